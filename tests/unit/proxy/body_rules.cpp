#include "proxy/body_rules.h"

#include <doctest/doctest.h>

using namespace holdfast::proxy;

namespace {

using Tokens = std::vector<std::string>;

template <typename T>
std::string error_of(const holdfast::base::Result<T>& result) {
  REQUIRE_FALSE(result.has_value());
  CHECK(result.error().kind == holdfast::base::ErrorKind::InvalidInput);
  return result.error().message;
}

Require required(std::string_view text) {
  CAPTURE(text);
  const auto result = parse_require(text);
  REQUIRE(result.has_value());
  return *result;
}

}  // namespace

TEST_CASE("a pointer is taken apart as RFC 6901 has it") {
  CHECK(parse_pointer("")->tokens.empty());
  CHECK(parse_pointer("/")->tokens == Tokens{""});
  CHECK(parse_pointer("/ip")->tokens == Tokens{"ip"});
  CHECK(parse_pointer("/a/0/b")->tokens == Tokens{"a", "0", "b"});
  CHECK(parse_pointer("/a//")->tokens == Tokens{"a", "", ""});
  CHECK(parse_pointer("/a~1b/m~0n/~01")->tokens == Tokens{"a/b", "m~n", "~1"});
  CHECK(parse_pointer("/a~1b")->text == "/a~1b");
}

TEST_CASE("a wrong pointer is refused by its text") {
  CHECK(error_of(parse_pointer("ip")) ==
        "ip: a JSON pointer begins with \"/\"; did you mean \"/ip\"?");
  for (const char* text : {"/a~", "/a~2", "/~/b"}) {
    CAPTURE(text);
    CHECK(error_of(parse_pointer(text)) ==
          std::string(text) +
              ": in a JSON pointer \"~\" is written \"~0\", and \"/\" in a name \"~1\"");
  }
}

TEST_CASE("what is required has its types behind the last colon") {
  CHECK(required("/ip:string").pointer.text == "/ip");
  CHECK(required("/ip:string").types == kString);
  CHECK(required("/ip:string?").types == (kString | kNull));
  CHECK(required("/x").types == kAnyType);
  CHECK(required("/x:any").types == kAnyType);
  CHECK(required("/x:null").types == kNull);
  CHECK(required("/x:integer|bool|array|object?").types ==
        (kInteger | kBool | kArray | kObject | kNull));
  CHECK(required("/x:number").types == kNumber);
  CHECK(required("/a:b:any").pointer.tokens == Tokens{"a:b"});
  CHECK(required(":array").pointer.tokens.empty());
  CHECK(required("").types == kAnyType);
  CHECK(required("/x:string") == required("/x:string"));
  CHECK_FALSE(required("/x:string") == required("/x:string?"));
}

TEST_CASE("a wrong type is refused, and the one that was meant is named") {
  CHECK(error_of(parse_require("/ip:strin")) ==
        "/ip:strin: unknown type \"strin\"; did you mean \"string\"?");
  CHECK(error_of(parse_require("/ip:number|Strings")) ==
        "/ip:number|Strings: unknown type \"Strings\"; did you mean \"string\"?");
  CHECK(error_of(parse_require("/a:b")) ==
        "/a:b: unknown type \"b\"; the types are string, number, integer, bool, array, object, "
        "null, any");
  for (const char* text : {"/ip:", "/ip:?", "/ip:|string", "/ip:string|", "/ip:string||null"}) {
    CAPTURE(text);
    CHECK(error_of(parse_require(text)) == std::string(text) + ": a type is missing");
  }
  for (const char* text : {"/ip:string?|null", "/ip:string??"}) {
    CAPTURE(text);
    CHECK(error_of(parse_require(text)) == std::string(text) + ": \"?\" stands at the end, once");
  }
  CHECK(error_of(parse_require("ip:string")) ==
        "ip: a JSON pointer begins with \"/\"; did you mean \"/ip\"?");
}

TEST_CASE("types are told in words") {
  CHECK(in_words(kString) == "a string");
  CHECK(in_words(kString | kNull) == "a string or null");
  CHECK(in_words(kInteger | kBool) == "an integer or true or false");
  CHECK(in_words(kAnyType) == "anything");
}

TEST_CASE("equal has a parameter, and reject_if has values") {
  CHECK(parse_equal("/ip", "ip")->parameter == "ip");
  CHECK(error_of(parse_equal("/ip", "")) == "/ip: the name of a path parameter is missing");
  CHECK(error_of(parse_equal("ip", "ip")).starts_with("ip: a JSON pointer"));
  CHECK(parse_reject_if("/status", {"error", "7"})->values == Tokens{"error", "7"});
  CHECK(error_of(parse_reject_if("/status", {})) == "/status: no value that would be refused");
  CHECK(error_of(parse_reject_if("status", {"error"})).starts_with("status: a JSON pointer"));
}

TEST_CASE("a media type is one, without parameters") {
  CHECK(*parse_content_type("Application/JSON") == "application/json");
  CHECK(*parse_content_type("application/*+json") == "application/*+json");
  CHECK(*parse_content_type("*/*") == "*/*");
  for (const char* text : {"", "json", "application/", "/json", "a/b/c", "text html/x", "a/b "}) {
    CAPTURE(text);
    CHECK(error_of(parse_content_type(text)).find(": not a media type; they look like") !=
          std::string::npos);
  }
  CHECK(error_of(parse_content_type("text/html; charset=utf-8")) ==
        "text/html; charset=utf-8: a media type's parameters do not count here; leave out what "
        "follows \";\"");
  for (const char* text : {"appl*/json", "application/j*n", "text/**"}) {
    CAPTURE(text);
    CHECK(error_of(parse_content_type(text)).find("\"*\" is a whole type") != std::string::npos);
  }
}

TEST_CASE("a content's type is its essence, in any case") {
  CHECK(has_content_type("application/json", "application/json"));
  CHECK(has_content_type("Application/Json ; charset=utf-8", "application/json"));
  CHECK(has_content_type("\tapplication/json;", "application/json"));
  CHECK(has_content_type("application/geo+json", "application/json"));
  CHECK(has_content_type("application/geo+json", "application/*+json"));
  CHECK(has_content_type("text/json", "*/json"));
  CHECK(has_content_type("text/html", "text/*"));
  CHECK(has_content_type("image/png", "*/*"));
  CHECK_FALSE(has_content_type("text/geo+json", "application/json"));
  CHECK_FALSE(has_content_type("application/json", "application/*+json"));
  CHECK_FALSE(has_content_type("application/+json", "application/*+json"));
  CHECK_FALSE(has_content_type("application/json, text/html", "application/json"));
  CHECK_FALSE(has_content_type("text/html", "application/json"));
  CHECK_FALSE(has_content_type("application/json-seq", "application/json"));
  CHECK_FALSE(has_content_type("json", "*/json"));
  CHECK_FALSE(has_content_type("", "*/*"));
  CHECK_FALSE(has_content_type("text/", "*/*"));
}
