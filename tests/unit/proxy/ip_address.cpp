#include "proxy/ip_address.h"

#include <doctest/doctest.h>

#include <string>

using namespace holdfast::proxy;

namespace {

std::string canonical(std::string_view text) {
  const auto ip = canonical_ip(text);
  return ip ? std::string(ip->view()) : "refused";
}

std::string from_path(std::string_view text) {
  const auto ip = canonical_ip_from_path(text);
  return ip ? std::string(ip->view()) : "refused";
}

}  // namespace

TEST_CASE("IPv4 addresses stay as they are") {
  for (const char* ip : {"8.8.8.8", "0.0.0.0", "255.255.255.255", "1.20.0.103"}) {
    CHECK(canonical(ip) == ip);
  }
}

TEST_CASE("every spelling of an IPv6 address becomes that of RFC 5952") {
  const char* const kOne = "2001:db8::1";
  for (const char* ip :
       {"2001:db8::1", "2001:DB8:0:0::1", "2001:0db8:0000:0000:0000:0000:0000:0001",
        "2001:db8:0:0:0:0:0:1", "2001:db8::0.0.0.1"}) {
    CHECK(canonical(ip) == kOne);
  }
  // The examples of RFC 5952, sections 4.1 to 4.3.
  CHECK(canonical("2001:0db8::0001") == "2001:db8::1");
  CHECK(canonical("2001:db8:0:0:0:0:2:1") == "2001:db8::2:1");
  CHECK(canonical("2001:db8:0:1:1:1:1:1") == "2001:db8:0:1:1:1:1:1");
  CHECK(canonical("2001:0:0:1:0:0:0:1") == "2001:0:0:1::1");
  CHECK(canonical("2001:db8:0:0:1:0:0:1") == "2001:db8::1:0:0:1");
  CHECK(canonical("::") == "::");
  CHECK(canonical("::1") == "::1");
  CHECK(canonical("1::") == "1::");
  CHECK(canonical("::1:2") == "::1:2");
  CHECK(canonical("FE80::AbCd") == "fe80::abcd");
}

TEST_CASE("an IPv4-mapped address is its IPv4 address") {
  CHECK(canonical("::ffff:8.8.8.8") == "8.8.8.8");
  CHECK(canonical("::FFFF:808:808") == "8.8.8.8");
  CHECK(canonical("0:0:0:0:0:ffff:1.2.3.4") == "1.2.3.4");
}

TEST_CASE("a canonical address is its own canonical form") {
  for (const char* ip :
       {"1.2.3.4", "2001:db8::1:0:0:1", "::", "ff02::1:ff00:0", "64:ff9b::808:808"}) {
    CHECK(canonical(canonical(ip)) == canonical(ip));
  }
}

TEST_CASE("an IPv4 address in its canonical form is told from all else") {
  for (const std::string octet :
       {"",    "0",   "00",  "01",  "1",   "9",   "10",  "99",        "099",  "100",
        "199", "200", "249", "250", "255", "256", "300", "999",       "1000", "-1",
        "+1",  " 1",  "1 ",  "a",   "0x1", ":",   "/",   "4294967297"}) {
    for (const std::string& text :
         {octet + ".2.3.4", "1." + octet + ".3.4", "1.2." + octet + ".4", "1.2.3." + octet,
          "1.2.3.4." + octet, "1.2." + octet, "::ffff:1.2.3." + octet, octet}) {
      CAPTURE(text);
      const bool is_one = text.find(':') == text.npos && canonical(text) == text;
      CHECK(is_canonical_ipv4(text) == is_one);
    }
  }
}

TEST_CASE("what is not an address is refused") {
  using namespace std::string_view_literals;
  for (const std::string_view text : {""sv,
                                      "abc"sv,
                                      "999.1.1.1"sv,
                                      "1.2.3"sv,
                                      "1.2.3.4.5"sv,
                                      "01.2.3.4"sv,
                                      "1.2.3.4 "sv,
                                      " 1.2.3.4"sv,
                                      "1.2.3.4\r\nX: 1"sv,
                                      "1.2.3.4\0"sv,
                                      "1.2.3.4\0.evil"sv,
                                      "::1%eth0"sv,
                                      "[::1]"sv,
                                      "1.2.3.4:80"sv,
                                      "1:2:3:4:5:6:7"sv,
                                      "1:2:3:4:5:6:7:8:9"sv,
                                      "::1::"sv,
                                      "12345::"sv,
                                      "0x1.2.3.4"sv,
                                      "1.2.3.4/32"sv,
                                      "+1.2.3.4"sv,
                                      "١.2.3.4"sv,
                                      ":"sv,
                                      ":::"sv}) {
    CAPTURE(text);
    CHECK(canonical(text) == "refused");
  }
  CHECK(canonical(std::string(10'000, '1')) == "refused");
}

TEST_CASE("a path segment is percent-decoded, once") {
  CHECK(from_path("8.8.8.8") == "8.8.8.8");
  CHECK(from_path("8%2e8%2E8.8") == "8.8.8.8");
  CHECK(from_path("2001%3adb8%3A%3a1") == "2001:db8::1");
  CHECK(from_path("%38.8.8.8") == "8.8.8.8");
  for (const char* text :
       {"%", "%2", "%zz", "8.8.8.8%", "8.8.8.8%0", "8.8.8.8%00", "%00", "1.2.3.4%0d%0aX:1",
        "::1%25eth0", "8%252e8.8.8", "8.8.8.8/", "../8.8.8.8", "8.8.8.8%2f", "%2e%2e"}) {
    CAPTURE(text);
    CHECK(from_path(text) == "refused");
  }
  CHECK(from_path(std::string(10'000, '%')) == "refused");
}
