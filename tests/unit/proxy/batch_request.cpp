#include "proxy/batch_request.h"

#include <doctest/doctest.h>

using namespace holdfast::proxy;

namespace {

using Elements = std::vector<std::string>;

std::string refusal(std::string_view content, int status = 400) {
  const BatchRequest batch = parse_batch(content, 3);
  CHECK(batch.status == status);
  CHECK(batch.elements.empty());
  return batch.detail;
}

}  // namespace

TEST_CASE("an array of strings is read in order, unescaped, duplicates and all") {
  CHECK(parse_batch("[]", 3).elements == Elements{});
  CHECK(parse_batch("[]", 3).status == 0);
  CHECK(parse_batch(" [ \"8.8.8.8\" ,\r\n\t\"::1\" ] ", 3).elements == Elements{"8.8.8.8", "::1"});
  CHECK(parse_batch(R"(["a","a","a"])", 3).elements == Elements{"a", "a", "a"});
  CHECK(parse_batch(R"(["\u0038.8.8.8","\u00fc\n",""])", 3).elements ==
        Elements{"8.8.8.8", "\xc3\xbc\n", ""});
}

TEST_CASE("what is no JSON is refused with the byte where it stops being so") {
  CHECK(refusal("") == "not JSON: error at byte 1");
  CHECK(refusal("[\"8.8.8.8\"") == "not JSON: error at byte 11");
  CHECK(refusal("[\"a\" \"b\"]") == "not JSON: error at byte 8");
  CHECK(refusal("[\"a\",]") == "not JSON: error at byte 6");
  CHECK(refusal("[a]") == "not JSON: error at byte 2");
  CHECK(refusal("['a']") == "not JSON: error at byte 2");
  CHECK(refusal("[\"a\"] x") == "not JSON: error at byte 7");
  CHECK(refusal("[\"\x01\"]").find("at byte 3") != std::string::npos);
  CHECK(refusal("[\"\xff\"]").find("at byte 3") != std::string::npos);
  CHECK(refusal("[\"\\ud800\"]").find("at byte") != std::string::npos);
  CHECK(refusal(std::string("[\"\0\"]", 5)).find("at byte 3") != std::string::npos);
  CHECK(refusal(std::string("[\"a\"] \0x", 8)) == "not JSON: error at byte 7");
  CHECK(refusal(std::string("[\"a\"]\0", 6)) == "not JSON: error at byte 6");
}

TEST_CASE("JSON that is no array of strings is refused with the element that is none") {
  for (const char* content : {"{}", "\"8.8.8.8\"", "1", "null", "true", R"({"ips":["8.8.8.8"]})"}) {
    CHECK(refusal(content) == "not a JSON array of addresses");
  }
  for (const char* other : {"1", "1.5", "-1", "null", "false", "{}", "[]", "[\"8.8.8.8\"]"}) {
    CHECK(refusal("[\"8.8.8.8\"," + std::string(other) + "]") == "element 1 is not a string");
  }
  CHECK(refusal(std::string(60'000, '[')) == "element 0 is not a string");
}

TEST_CASE("where they may be, integers are elements by their digits, and nothing else is") {
  const BatchElements integers{.in_words = "integers", .integers = true};
  CHECK(parse_batch(R"([1,"2",-3,123456789012345678901])", 9, integers).elements ==
        Elements{"1", "2", "-3", "123456789012345678901"});
  for (const char* content : {"[1.0]", "[1e2]", "[true]", "[[1]]", "1"}) {
    CAPTURE(content);
    CHECK(parse_batch(content, 9, integers).status == 400);
  }
  CHECK(parse_batch("[1,2,3]", 2, integers).detail == "more than 2 integers");
  CHECK(parse_batch("{}", 2, integers).detail == "not a JSON array of integers");
}

TEST_CASE("more elements than allowed are 413, however the array ends") {
  CHECK(refusal(R"(["a","b","c","d"])", 413) == "more than 3 addresses");
  CHECK(refusal(R"(["a","b","c","d", oops)", 413) == "more than 3 addresses");
  CHECK(parse_batch(R"(["a","b","c"])", 3).elements.size() == 3);
}

TEST_CASE("JSON's media type is taken whatever its parameters, which mean nothing") {
  for (const char* type :
       {"application/json", "Application/JSON", "application/json;charset=utf-8",
        "application/json ; charset=\"UTF-8\"", "application/json;",
        "application/json; charset=utf-8; foo=bar", "application/json;x=\"a;b, c\"",
        "application/json\t;odata=verbose;;", "application/json;charset=latin1"}) {
    CAPTURE(type);
    CHECK(is_json_content_type(type));
  }
  for (const char* type :
       {"", ";", "text/json", "application/json5", "application/json charset=utf-8",
        "application/json, text/plain", "application/x-www-form-urlencoded",
        "application/problem+json", "text/plain; application/json", "application /json"}) {
    CAPTURE(type);
    CHECK(!is_json_content_type(type));
  }
}

TEST_CASE("content is uncoded where nothing but identity is said of its coding") {
  for (const char* codings : {"", "identity", "Identity", " , identity ,", "identity,identity"}) {
    CAPTURE(codings);
    CHECK(is_uncoded(codings));
  }
  for (const char* codings : {"gzip", "GZIP", "x-gzip", "br", "identity, gzip", "gzip,identity",
                              ",,deflate", "identity;q=1", "nonsense"}) {
    CAPTURE(codings);
    CHECK(!is_uncoded(codings));
  }
}
