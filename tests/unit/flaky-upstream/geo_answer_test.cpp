#include "geo_answer.h"

#include <doctest/doctest.h>
#include <simdjson.h>

#include <cstdlib>
#include <set>

#include "harness.h"

using namespace holdfast::flaky;

TEST_CASE("a body never changes from one build or machine to the next") {
  CHECK(truth("8.8.8.8") ==
        R"({"ip":"8.8.8.8","location":"United States","postal_code":"","network_name":)"
        R"("AS64498 Cedar & Pine Fibre Ltd","domain":"Cedar & Pine Fibre","latitude":37.792,)"
        R"("longitude":-97.8384})");
  CHECK(truth("2001:db8::1") ==
        R"({"ip":"2001:db8::1","location":"Ashburn, Virginia, United States","postal_code":)"
        R"("20128","network_name":"AS64502 The \"Last Mile\" Co-operative","domain":"Last Mile",)"
        R"("latitude":39.0119,"longitude":-77.4502})");
}

TEST_CASE("the spelling of an address does not matter") {
  CHECK(truth("2001:DB8:0:0::1") == truth("2001:db8::1"));
  CHECK(truth("::ffff:192.0.2.1") == truth("192.0.2.1"));
  CHECK(parse_address("::FFFF:c000:201")->text == "192.0.2.1");
  CHECK(parse_address("2001:db8:0:0:1:0:0:1")->text == "2001:db8::1:0:0:1");
}

TEST_CASE("what is no address is none") {
  for (const char* text : {"", "abc", "999.1.1.1", "1.2.3", "1.2.3.4.5", "01.2.3.4", "1.2.3.4 ",
                           " 1.2.3.4", "::1%eth0", "1.2.3.4/24", ":::", "2001:db8::1::2", "12345::",
                           "0x7f.0.0.1", "1111:2222:3333:4444:5555:6666:7777:8888:9999:0000"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_address(text).has_value());
  }
  CHECK_FALSE(parse_address(std::string_view("1.2.3.4\0", 8)).has_value());
}

TEST_CASE("every body is a JSON object with the seven fields and the asked ip") {
  simdjson::dom::parser parser;
  std::set<std::string> bodies;
  for (int i = 0; i < 4096; ++i) {
    const auto address =
        parse_address((i % 2 != 0 ? "10.9." : "2001:db8::") + std::to_string(i / 256) +
                      (i % 2 != 0 ? "." : ":") + std::to_string(i % 256));
    REQUIRE(address.has_value());
    const auto body = geo_answer(*address);
    bodies.insert(body);
    simdjson::dom::object object;
    REQUIRE(parser.parse(simdjson::padded_string(body)).get(object) == simdjson::SUCCESS);
    CHECK(std::string_view(object["ip"]) == address->text);
    for (const char* name : {"location", "postal_code", "network_name", "domain"}) {
      CHECK(object[name].is_string());
    }
    const double latitude = object["latitude"].get_double();
    const double longitude = object["longitude"].get_double();
    CHECK(std::abs(latitude) <= 90);
    CHECK(std::abs(longitude) <= 180);
    CHECK(object.size() == 7);
  }
  CHECK(bodies.size() == 4096);
}

TEST_CASE("a new edition of the data says something else about an address") {
  const auto address = *parse_address("192.0.2.7");
  CHECK(geo_answer(address, 1) != geo_answer(address, 0));
  CHECK(geo_answer(address, 1) == geo_answer(address, 1));
}

TEST_CASE("a neighbour is another address of the same family") {
  for (const char* text : {"255.255.255.255", "0.0.0.0", "::", "2001:db8::ffff"}) {
    const auto address = *parse_address(text);
    const auto other = neighbour(address);
    CHECK(other.text != address.text);
    CHECK(other.is_v4 == address.is_v4);
    CHECK(neighbour(other).text == address.text);
  }
}
