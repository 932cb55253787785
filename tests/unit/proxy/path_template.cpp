#include "proxy/path_template.h"

#include <doctest/doctest.h>

#include <string>

using namespace holdfast::proxy;

namespace {

std::string template_error(std::string_view text) {
  const auto parsed = PathTemplate::parse(text);
  return parsed ? "none" : parsed.error().message;
}

// The values, each in brackets; "no" where the path is not the template's.
std::string matched(std::string_view text, std::string_view path) {
  const auto parsed = PathTemplate::parse(text);
  REQUIRE(parsed);
  Parameters parameters;
  if (!parsed->match(path, parameters)) {
    CHECK(parameters.size() == 0);
    return "no";
  }
  CHECK(parsed->why(path) == nullptr);
  std::string out;
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    out += "[" + std::string(parameters[i]) + "]";
  }
  return out;
}

std::string why_not(std::string_view text, std::string_view path) {
  const auto parsed = PathTemplate::parse(text);
  REQUIRE(parsed);
  const char* objection = parsed->why(path);
  return objection == nullptr ? "null" : objection;
}

}  // namespace

TEST_CASE("literals match themselves, segment by segment") {
  CHECK(matched("/", "/") == "");
  CHECK(matched("/a/b", "/a/b") == "");
  CHECK(matched("/a/", "/a/") == "");
  CHECK(matched("/a//b", "/a//b") == "");
  CHECK(matched("/a%20b", "/a%20b") == "");
  for (const char* path : {"/", "/a/b/", "/a//b", "/A/b", "/a/bc", "//a/b", "/a%2Fb"}) {
    CAPTURE(path);
    CHECK(matched("/a/b", path) == "no");
  }
  CHECK(matched("/a", "/a/") == "no");
  CHECK(matched("/a/", "/a") == "no");
}

TEST_CASE("a parameter takes one segment that is not empty, as its canonical text") {
  CHECK(matched("/u/{name}", "/u/x%20y") == "[x%20y]");
  CHECK(matched("/u/{name}", "/u/a%2Fb;v=1") == "[a%2Fb;v=1]");
  CHECK(matched("/{a}/{b}/c", "/1/2/c") == "[1][2]");
  CHECK(matched("/u/{name}", "/u/") == "no");
  CHECK(matched("/u/{name}", "/u") == "no");
  CHECK(matched("/u/{name}", "/u/a/b") == "no");
  CHECK(matched("/u/{name}", "/u/a/") == "no");
}

TEST_CASE("an address has one value in all its spellings") {
  CHECK(matched("/lookup/{ip:ip}", "/lookup/8.8.8.8") == "[8.8.8.8]");
  CHECK(matched("/lookup/{ip:ip}", "/lookup/2001:DB8:0:0::1") == "[2001:db8::1]");
  CHECK(matched("/lookup/{ip:ip}", "/lookup/2001%3ADB8%3A%3A1") == "[2001:db8::1]");
  CHECK(matched("/lookup/{ip:ip}", "/lookup/::ffff:8.8.8.8") == "[8.8.8.8]");
  CHECK(matched("/lookup/{ip:ip}", "/lookup/01.2.3.4") == "no");
  CHECK(matched("/lookup/{ip:ip}", "/lookup/") == "no");
  CHECK(matched("/lookup/{ip:ip}", "/lookup/8.8.8.8%2F") == "no");
}

TEST_CASE("an integer has one spelling") {
  for (const char* text : {"0", "1", "-1", "42", "999999999999999999", "-999999999999999999"}) {
    CHECK(matched("/{n:int}", "/" + std::string(text)) == "[" + std::string(text) + "]");
  }
  for (const char* text : {"", "-", "+1", "01", "00", "-0", "-01", "1.0", "1e3", "0x1", "1%20",
                           "1000000000000000000", "--1"}) {
    CAPTURE(text);
    CHECK(matched("/{n:int}", "/" + std::string(text)) == "no");
  }
}

TEST_CASE("UUIDs and hex digits are in lower case") {
  CHECK(matched("/{id:uuid}", "/123E4567-E89B-12D3-A456-426614174000") ==
        "[123e4567-e89b-12d3-a456-426614174000]");
  CHECK(matched("/{id:uuid}", "/123e4567-e89b-12d3-a456-426614174000") ==
        "[123e4567-e89b-12d3-a456-426614174000]");
  for (const char* text :
       {"123e4567e89b12d3a456426614174000", "{123e4567}", "123e4567-e89b-12d3-a456-42661417400g",
        "123e4567-e89b-12d3-a456-4266141740000", "123e456-7e89b-12d3-a456-426614174000"}) {
    CAPTURE(text);
    CHECK(matched("/{id:uuid}", "/" + std::string(text)) == "no");
  }
  CHECK(matched("/{h:hex}", "/00DEADbeef") == "[00deadbeef]");
  CHECK(matched("/{h:hex}", "/" + std::string(128, 'F')) == "[" + std::string(128, 'f') + "]");
  CHECK(matched("/{h:hex}", "/" + std::string(129, 'f')) == "no");
  CHECK(matched("/{h:hex}", "/xyz") == "no");
  CHECK(matched("/{h:hex}", "/") == "no");
}

TEST_CASE("values of all eight parameters stand beside each other") {
  std::string path, expected;
  for (int i = 0; i < 8; ++i) {
    path += "/" + std::string(127, 'A') + std::to_string(i);
    expected += "[" + std::string(127, 'a') + std::to_string(i) + "]";
  }
  CHECK(matched("/{a:hex}/{b:hex}/{c:hex}/{d:hex}/{e:hex}/{f:hex}/{g:hex}/{h:hex}", path) ==
        expected);
}

TEST_CASE("the rest is all that follows a slash, perhaps nothing") {
  CHECK(matched("/f/{p:rest}", "/f/") == "[]");
  CHECK(matched("/f/{p:rest}", "/f/a/b//c/") == "[a/b//c/]");
  CHECK(matched("/f/{p:rest}", "/f//") == "[/]");
  CHECK(matched("/f/{p:rest}", "/f") == "no");
  CHECK(matched("/f/{p:rest}", "/g/a") == "no");
  CHECK(matched("/{p:rest}", "/") == "[]");
  CHECK(matched("/{v:int}/{p:rest}", "/1/a/b") == "[1][a/b]");
  CHECK(matched("/{p:rest}", "*") == "no");
  CHECK(matched("/{p:rest}", "") == "no");
}

TEST_CASE("where only a parameter's type does not fit, the client is told") {
  CHECK(why_not("/lookup/{ip:ip}", "/lookup/abc") == "not an IPv4 or IPv6 address");
  CHECK(why_not("/lookup/{ip:ip}", "/lookup/") == "not an IPv4 or IPv6 address");
  CHECK(why_not("/{n:int}", "/x") == "not a decimal integer of at most 18 digits");
  CHECK(why_not("/{id:uuid}", "/x") == "not a UUID");
  CHECK(why_not("/{h:hex}", "/x") == "not 1 to 128 hexadecimal digits");
  CHECK(why_not("/{a:int}/{b:ip}", "/x/y") == "not a decimal integer of at most 18 digits");
  CHECK(why_not("/{a:int}/{b:ip}", "/1/y") == "not an IPv4 or IPv6 address");
  CHECK(why_not("/{a:int}/{p:rest}", "/x/y") == "not a decimal integer of at most 18 digits");
  CHECK(why_not("/lookup/{ip:ip}", "/lookup/8.8.8.8") == "null");
  CHECK(why_not("/lookup/{ip:ip}", "/lookup/abc/") == "null");
  CHECK(why_not("/lookup/{ip:ip}", "/lookup") == "null");
  CHECK(why_not("/lookup/{ip:ip}", "/other/abc") == "null");
  CHECK(why_not("/{ip:ip}/b", "/abc/c") == "null");
  CHECK(why_not("/u/{name}", "/u/") == "null");  // another path, not another type
}

TEST_CASE("a template that is wrong says what and where") {
  CHECK(template_error("/lookup/{ip:ipp}") ==
        "parameter {ip:ipp}: unknown type \"ipp\"; did you mean \"ip\"?");
  CHECK(template_error("/{x:float}") == "parameter {x:float}: unknown type \"float\"");
  CHECK(template_error("/{x:}") == "parameter {x:}: unknown type \"\"");
  CHECK(template_error("/{x:INT}") ==
        "parameter {x:INT}: unknown type \"INT\"; did you mean \"int\"?");
  CHECK(template_error("/{a}/{a:int}") == "parameter {a:int}: the name \"a\" is there twice");
  CHECK(template_error("/{}") == "parameter {}: it has no name");
  CHECK(template_error("/{:ip}") == "parameter {:ip}: it has no name");
  for (const char* name : {"A", "1a", "a-b", "a b", "*", "é"}) {
    CHECK(template_error("/{" + std::string(name) + "}") ==
          "parameter {" + std::string(name) +
              "}: a name is lower-case letters, digits and \"_\", no digit first");
  }
  CHECK(template_error("/{p:rest}/x") ==
        "parameter {p:rest}: what takes the rest of a path comes last");
  CHECK(template_error("/{p:rest}/") ==
        "parameter {p:rest}: what takes the rest of a path comes last");
  CHECK(template_error("/a/{x") == "segment \"{x\": a \"{\" that is not closed");
  CHECK(template_error("/{x/y}") == "segment \"{x\": a \"{\" that is not closed");
  CHECK(template_error("/x}") == "segment \"x}\": a \"}\" that closes nothing");
  for (const char* segment : {"a{x}", "{x}a", "{x}{y}", "}x{", "{{x}}"}) {
    CHECK(template_error("/" + std::string(segment)) ==
          "segment \"" + std::string(segment) + "\": a parameter is a whole segment");
  }
  CHECK(template_error("/a b") == "segment \"a b\" is not in canonical form, which is \"a%20b\"");
  CHECK(template_error("/é") == "segment \"é\" is not in canonical form, which is \"%C3%A9\"");
  CHECK(template_error("/%7e") == "segment \"%7e\" is not in canonical form, which is \"~\"");
  CHECK(template_error("/a/../b") == "segment \"..\": a dot segment in the path");
  CHECK(template_error("/%2e") == "segment \"%2e\": a dot segment in the path");
  CHECK(template_error("/a%2") == "segment \"a%2\": a malformed percent-encoding in the path");
  CHECK(template_error("/a?b") == "segment \"a?b\": a \"?\" or \"#\" inside the path");
  CHECK(template_error("") == "\"\" does not start with a slash");
  CHECK(template_error("lookup/{ip}") == "\"lookup/{ip}\" does not start with a slash");
  CHECK(template_error("/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}") == "none");
  CHECK(template_error("/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}/{i}") ==
        "parameter {i}: at most 8 parameters are possible");
}

TEST_CASE("names of parameters come in the order of their values") {
  const auto parsed = PathTemplate::parse("/a/{x}/b/{y_2:int}/{_:rest}");
  REQUIRE(parsed);
  CHECK(parsed->parameter_names() == std::vector<std::string>{"x", "y_2", "_"});
  CHECK(parsed->parameter_index("y_2") == 1);
  CHECK(!parsed->parameter_index("a"));
  CHECK(parsed->text() == "/a/{x}/b/{y_2:int}/{_:rest}");
}
