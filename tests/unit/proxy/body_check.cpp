#include "proxy/body_check.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

using namespace holdfast::proxy;
using holdfast::upstream::Outcome;
using holdfast::upstream::Reply;
using holdfast::upstream::Verdict;

namespace {

using Texts = std::vector<std::string>;

BodyRules requires_all(const Texts& texts) {
  BodyRules rules;
  for (const std::string& text : texts) rules.require.push_back(parse_require(text).value());
  return rules;
}

BodyRules equals(std::string_view pointer, std::string_view parameter) {
  BodyRules rules;
  rules.equal.push_back(parse_equal(pointer, parameter).value());
  return rules;
}

BodyRules rejects(std::string_view pointer, Texts values) {
  BodyRules rules;
  rules.reject_if.push_back(parse_reject_if(pointer, std::move(values)).value());
  return rules;
}

Reply reply_of(std::string_view body, int status = 200) {
  Reply reply;
  reply.status = status;
  reply.body = body;
  return reply;
}

Verdict judge(const BodyRules& rules, std::string_view body,
              const std::vector<PathParameter>& parameters = {}) {
  BodyCheck check(rules);
  return check.validate(parameters, reply_of(body));
}

// Empty: it is right.
std::string objection(const BodyRules& rules, std::string_view body,
                      const std::vector<PathParameter>& parameters = {}) {
  const Verdict verdict = judge(rules, body, parameters);
  CHECK(verdict.reason.empty() == (verdict.outcome == Outcome::Ok));
  return verdict.reason;
}

std::string nested(std::size_t depth) {
  return std::string(depth, '[') + "1" + std::string(depth, ']');
}

}  // namespace

TEST_CASE("without rules every content is right, whatever its status") {
  BodyCheck check({});
  for (const int status : {200, 201, 203, 206, 404, 410}) {
    CAPTURE(status);
    CHECK(check.validate({}, reply_of("<html>", status)).outcome == Outcome::Ok);
  }
}

TEST_CASE("JSON alone may be of any kind, and is whole") {
  BodyRules rules;
  rules.json = true;
  for (const char* body : {"{}", "[]", "null", " \"x\" ", "1", "123456789012345678901234567890"}) {
    CAPTURE(body);
    CHECK(objection(rules, body).empty());
  }
  for (const char* body : {"", "{", "{}{}", "[1,]", "nul", "{\"a\":1", "<html>", "\"\xff\""}) {
    CAPTURE(body);
    CHECK(objection(rules, body).starts_with("not JSON: "));
  }
}

TEST_CASE("each type is told from each other") {
  struct Case {
    const char* body;
    const char* types;
  };
  for (const Case& one :
       {Case{"\"x\"", "string"}, Case{"1", "number integer"}, Case{"-7", "number integer"},
        Case{"18446744073709551615", "number integer"},
        Case{"99999999999999999999999", "number integer"},
        Case{"-99999999999999999999999", "number integer"}, Case{"1.0", "number"},
        Case{"1e2", "number"}, Case{"true", "bool"}, Case{"false", "bool"}, Case{"[1]", "array"},
        Case{"{\"b\":1}", "object"}, Case{"null", "null"}}) {
    const std::string right = std::string(" ") + one.types + " any ";
    for (const char* type :
         {"string", "number", "integer", "bool", "array", "object", "null", "any"}) {
      CAPTURE(one.body);
      CAPTURE(type);
      const bool expected = right.find(" " + std::string(type) + " ") != std::string::npos;
      const bool is_null = std::string(one.body) == "null";
      const std::string body = R"({"a":)" + std::string(one.body) + "}";
      CHECK(objection(requires_all({"/a:" + std::string(type)}), body).empty() == expected);
      CHECK(objection(requires_all({"/a:" + std::string(type) + "?"}), body).empty() ==
            (expected || is_null));
    }
  }
}

TEST_CASE("what is missing or of the wrong type is told by its pointer") {
  const BodyRules rules = requires_all({"/a/b:string", "/a/c~1d:number?"});
  CHECK(objection(rules, R"({"a":{"c/d":null,"b":"x"}})").empty());
  CHECK(objection(rules, R"({"a":{"c/d":1}})") == "/a/b is missing");
  CHECK(objection(rules, R"({"a":{"b":""}})") == "/a/c~1d is missing");
  CHECK(objection(rules, R"({"a":[]})") == "/a/b is missing");
  CHECK(objection(rules, R"({"b":"x"})") == "/a/b is missing");
  CHECK(objection(rules, R"({"a":{"b":1,"c/d":1}})") == "/a/b is an integer, not a string");
  CHECK(objection(rules, R"({"a":{"b":"","c/d":true}})") ==
        "/a/c~1d is true or false, not a number or null");
  CHECK(objection(requires_all({":array"}), "{}") == "the document is an object, not an array");
}

TEST_CASE("elements of arrays are found by their index") {
  const BodyRules rules = requires_all({"/1/x:integer", "/0:string"});
  CHECK(objection(rules, R"(["a",{"x":1},2])").empty());
  CHECK(objection(rules, R"(["a"])") == "/1/x is missing");
  CHECK(objection(rules, R"(["a",[1]])") == "/1/x is missing");
  CHECK(objection(rules, R"([{"x":1},"a"])") == "/0 is an object, not a string");
  CHECK(objection(rules, R"({"0":"a","1":{"x":1}})").empty());
  CHECK(objection(requires_all({"/01"}), "[1,2]") == "/01 is missing");
  CHECK(objection(requires_all({"/-"}), "[1,2]") == "/- is missing");
  CHECK(objection(requires_all({"/99999999999999999999999"}), "[1,2]") ==
        "/99999999999999999999999 is missing");
}

TEST_CASE("a document that is no object is refused only where a pointer needs one") {
  CHECK(objection(requires_all({":array"}), "[]").empty());
  CHECK(objection(requires_all({""}), "7").empty());
  CHECK(objection(requires_all({"/0"}), "[7]").empty());
  CHECK(objection(requires_all({"/a"}), "7") == "not a JSON object");
  CHECK(objection(rejects("/a", {"error"}), "7").empty());
}

TEST_CASE("what a rule names occurs once, and so does what holds it") {
  const BodyRules rules = requires_all({"/a/b"});
  CHECK(objection(rules, R"({"a":{"b":1,"b":1}})") == "/a/b occurs twice");
  CHECK(objection(rules, R"({"a":{"b":1},"a":{"b":1}})") == "/a occurs twice");
  CHECK(objection(rules, R"({"a":{"b":1},"\u0061":1})") == "/a occurs twice");
  CHECK(objection(rules, R"({"a":{"b":{"c":1,"c":1},"d":1,"d":2},"x":1,"x":1})").empty());
  CHECK(objection(rejects("/a", {"error"}), R"({"a":1,"a":2})") == "/a occurs twice");
}

TEST_CASE("an address is equal in any spelling") {
  const BodyRules rules = equals("/ip", "ip");
  const std::vector<PathParameter> asked{{"ip", "2001:db8::1", ParameterType::Ip}};
  CHECK(objection(rules, R"({"ip":"2001:DB8:0::1"})", asked).empty());
  CHECK(objection(rules, R"({"ip":"2001:db8::1"})", {{"ip", "2001:DB8:0::1", ParameterType::Ip}})
            .empty());
  const Verdict other = judge(rules, R"({"ip":"2001:db8::2"})", asked);
  CHECK(other.outcome == Outcome::WrongContent);
  CHECK(other.reason == "speaks of 2001:db8::2");
  for (const char* body :
       {R"({"ip":"x"})", R"({"ip":7})", R"({"ip":null})", "{}", R"({"ip":{}})"}) {
    CAPTURE(body);
    CHECK(judge(rules, body, asked).outcome == Outcome::InvalidBody);
  }
}

TEST_CASE("an integer is equal by its value, however it is written and however long") {
  const auto outcome = [](std::string_view value, std::string_view asked) {
    return judge(equals("/n", "n"), R"({"n":)" + std::string(value) + "}",
                 {{"n", asked, ParameterType::Int}})
        .outcome;
  };
  CHECK(outcome("42", "42") == Outcome::Ok);
  CHECK(outcome("42", "0042") == Outcome::Ok);
  CHECK(outcome("\"042\"", "42") == Outcome::Ok);
  CHECK(outcome("42.0", "42") == Outcome::Ok);
  CHECK(outcome("-0", "0") == Outcome::Ok);
  CHECK(outcome("-5", "-5") == Outcome::Ok);
  CHECK(outcome("-9223372036854775808", "-9223372036854775808") == Outcome::Ok);
  CHECK(outcome("18446744073709551615", "18446744073709551615") == Outcome::Ok);
  CHECK(outcome("99999999999999999999", "99999999999999999999") == Outcome::Ok);
  CHECK(outcome("-99999999999999999999", "-99999999999999999999") == Outcome::Ok);
  CHECK(outcome("99999999999999999998", "99999999999999999999") == Outcome::WrongContent);
  CHECK(outcome("-99999999999999999999", "99999999999999999999") == Outcome::WrongContent);
  CHECK(outcome("43", "42") == Outcome::WrongContent);
  CHECK(outcome("\"43\"", "42") == Outcome::WrongContent);
  // Two integers are this double; which is meant?
  CHECK(outcome("9007199254740993.0", "9007199254740992") == Outcome::InvalidBody);
  CHECK(outcome("42.5", "42") == Outcome::InvalidBody);
  CHECK(outcome("\"x\"", "42") == Outcome::InvalidBody);
  CHECK(outcome("\"\"", "42") == Outcome::InvalidBody);
  CHECK(outcome("true", "1") == Outcome::InvalidBody);
  CHECK(outcome("[42]", "42") == Outcome::InvalidBody);
}

TEST_CASE("long integers are each taken for what they are") {
  const BodyRules rules = equals("/c", "n");
  const std::vector<PathParameter> asked{{"n", "30000000000000000000", ParameterType::Int}};
  // The second is what the parser sees in the place of the first of them.
  const std::string body =
      R"({"a":10000000000000000000,"b":1000000000000000000,"s":"30000000000000000000",)"
      R"("d":1e-00000000000000000000001,"f":1.30000000000000000000,"c":%})";
  const auto outcome = [&](std::string_view value) {
    return judge(rules, std::string(body).replace(body.find('%'), 1, value), asked).outcome;
  };
  CHECK(outcome("30000000000000000000") == Outcome::Ok);
  CHECK(outcome("\"30000000000000000000\"") == Outcome::Ok);
  CHECK(outcome("20000000000000000000") == Outcome::WrongContent);
  CHECK(outcome("1000000000000000000") == Outcome::WrongContent);
  CHECK(outcome("1000000000000000002") == Outcome::WrongContent);
  CHECK(outcome("030000000000000000000") == Outcome::InvalidBody);
}

TEST_CASE("a number beyond a double is one, and an integer if it is written as one") {
  const std::string integer = "1" + std::string(400, '0');
  const auto wrong = [](std::string_view types, std::string_view value) {
    return objection(requires_all({"/n:" + std::string(types)}),
                     R"({"n":)" + std::string(value) + "}");
  };
  BodyRules json;
  json.json = true;
  for (const std::string& number :
       {std::string("1e309"), std::string("-1E+999"), std::string("1.5e400"),
        std::string("0.1e99999999999999999999"), integer + ".5", integer, "-" + integer}) {
    CAPTURE(number);
    const bool whole = number.find_first_of(".eE") == number.npos;
    CHECK(objection(json, number).empty());
    CHECK(objection(json, "[" + number + ",\"1e400\"," + number + "]").empty());
    CHECK(wrong("number", number).empty());
    CHECK(wrong("integer", number) == (whole ? "" : "/n is a number, not an integer"));
    CHECK(wrong("string", number) ==
          (whole ? "/n is an integer, not a string" : "/n is a number, not a string"));
  }
  // Beside them the others are what they were.
  CHECK(objection(requires_all({"/1:integer", "/2:number", "/3:string"}),
                  "[1e400,1000000000000000000,1e300,\"1e400\"]")
            .empty());
}

TEST_CASE("what is no number is none beside one beyond a double either") {
  BodyRules rules;
  rules.json = true;
  for (const char* wrong : {"01e400", "1e", "1.e400", "+1e400", "--1e400", "1e400.5", "1e4e400",
                            ".1e400", "1e+-400", "1e400x", "e400", "-e400", "true1e400",
                            "1e400\"\"", "1e400 1", "\"\"1e400", "0x1e400", "1e400,"}) {
    CAPTURE(wrong);
    CHECK(judge(rules, wrong).outcome == Outcome::InvalidBody);
    CHECK(judge(rules, "[1e400," + std::string(wrong) + "]").outcome == Outcome::InvalidBody);
    CHECK(judge(rules, "[" + std::string(wrong) + ",1e400]").outcome == Outcome::InvalidBody);
  }
  CHECK(objection(rules,
                  "\xEF\xBB\xBF"
                  "1e400") == "not JSON: it begins with a byte order mark");
  CHECK(objection(rules, "[1e400,\"\xE9\"]") == "not JSON: it is not in UTF-8 (Latin-1, maybe)");
  CHECK(objection(rules, "[1e400,\"\\ud800\"]") ==
        "not JSON: half of a surrogate pair in a string");
  CHECK(objection(rules, "[1e400," + nested(64) + "]") == "JSON nested more than 64 deep");
  CHECK(objection(rules, "[1e400," + nested(63) + "]").empty());
  CHECK(objection(requires_all({"/n:number"}), R"({"n":1e400,"n":1})") == "/n occurs twice");
}

TEST_CASE("a number beyond a double is another's equal by its exact value") {
  const auto refused = [](std::string_view value, std::string_view text) {
    return !objection(rejects("/n", {std::string(text)}), R"({"n":)" + std::string(value) + "}")
                .empty();
  };
  CHECK(refused("1e400", "1e400"));
  CHECK(refused("1e400", "10E+399"));
  CHECK(refused("-0.10e401", "-1e400"));
  CHECK(refused("1" + std::string(400, '0'), "1e400"));
  CHECK(refused("1e400", "1" + std::string(400, '0')));
  CHECK(!refused("1e400", "1e401"));
  CHECK(!refused("1e400", "-1e400"));
  CHECK(!refused("1e400", "1.0000000000000000000000000000001e400"));
  CHECK(!refused("1e400", "inf"));
  CHECK(!refused("1e400", "1e"));
  CHECK(!refused("1", "1e400"));
  CHECK(!refused("1000000000000000000", "1e400"));
  // As of every double beyond 2^53, nobody can tell which integer it is.
  const std::vector<PathParameter> asked{{"n", "1000000000000000000", ParameterType::Int}};
  CHECK(judge(equals("/n", "n"), R"({"n":1e400})", asked).reason == "/n is not an integer");
}

TEST_CASE("other parameters are equal as text, UUIDs and hex in either case") {
  const auto outcome = [](std::string_view value, std::string_view asked,
                          ParameterType type = ParameterType::Segment) {
    return judge(equals("/v", "v"), R"({"v":)" + std::string(value) + "}", {{"v", asked, type}})
        .outcome;
  };
  CHECK(outcome("\"left-pad\"", "left-pad") == Outcome::Ok);
  CHECK(outcome("\"caf\\u00e9\"", "caf\xC3\xA9") == Outcome::Ok);
  CHECK(outcome("42", "42") == Outcome::Ok);
  CHECK(outcome("37.50", "37.5") == Outcome::Ok);
  CHECK(outcome("true", "true") == Outcome::Ok);
  CHECK(outcome("\"Left-pad\"", "left-pad") == Outcome::WrongContent);
  CHECK(outcome("\"042\"", "42") == Outcome::WrongContent);
  CHECK(outcome("null", "null") == Outcome::InvalidBody);
  CHECK(outcome("{}", "{}") == Outcome::InvalidBody);
  CHECK(outcome("\"AB\"", "ab", ParameterType::Hex) == Outcome::Ok);
  CHECK(outcome("\"ab1\"", "ab", ParameterType::Hex) == Outcome::WrongContent);
  CHECK(outcome("\"6BA7B810-9DAD-11D1-80B4-00C04FD430C8\"", "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
                ParameterType::Uuid) == Outcome::Ok);
}

TEST_CASE("a reason repeats nothing of a content that only who asked may see") {
  CHECK(objection(equals("/user", "user"), R"({"user":"secret"})", {{"user", "me"}}) ==
        "/user is not {user}");
  CHECK(objection(equals("/user", "user"), R"({"user":"me"})") == "the path has no parameter user");
}

TEST_CASE("it is wrong before it is about something else") {
  BodyRules rules = equals("/id", "id");
  rules.require.push_back(parse_require("/name:string").value());
  const std::vector<PathParameter> asked{{"id", "1", ParameterType::Int}};
  CHECK(judge(rules, R"({"id":2,"name":1})", asked).outcome == Outcome::InvalidBody);
  CHECK(judge(rules, R"({"id":2,"name":""})", asked).outcome == Outcome::WrongContent);
  rules.equal.push_back(parse_equal("/ip", "ip").value());
  CHECK(judge(rules, R"({"id":2,"name":"","ip":"x"})",
              {{"id", "1", ParameterType::Int}, {"ip", "192.0.2.1", ParameterType::Ip}})
            .outcome == Outcome::InvalidBody);
}

TEST_CASE("a value that is refused is told first, and any other is fine") {
  const BodyRules rules = rejects("/status", {"error", "7", "1.5", "true", "null"});
  for (const char* value : {"\"error\"", "7", "7.0", "70e-1", "1.50", "true", "null", "\"7\""}) {
    CAPTURE(value);
    CHECK(objection(rules, R"({"status":)" + std::string(value) + "}").starts_with("/status is "));
  }
  for (const char* value : {"\"Error\"", "8", "-7", "\"7.0\"", "false", "[7]", "{}", "\"\""}) {
    CAPTURE(value);
    CHECK(objection(rules, R"({"status":)" + std::string(value) + "}").empty());
  }
  CHECK(objection(rules, "{}").empty());
  CHECK(objection(rejects("/n", {"99999999999999999999"}), R"({"n":99999999999999999999})") ==
        "/n is \"99999999999999999999\"");
  CHECK(
      objection(rejects("/n", {"99999999999999999999"}), R"({"n":99999999999999999998})").empty());
  BodyRules both = rejects("/status", {"error"});
  both.require.push_back(parse_require("/ip").value());
  CHECK(objection(both, R"({"status":"error"})") == "/status is \"error\"");
}

TEST_CASE("how deep it may be nested is said") {
  BodyRules rules;
  rules.json = true;
  CHECK(objection(rules, nested(64)).empty());
  CHECK(objection(rules, nested(65)) == "JSON nested more than 64 deep");
  CHECK(objection(rules, nested(100'000)) == "JSON nested more than 64 deep");
  rules.max_depth = 2;
  CHECK(objection(rules, "[[1]]").empty());
  CHECK(objection(rules, "[[[1]]]") == "JSON nested more than 2 deep");
  // Also after a content whose memory was given back.
  BodyCheck check(rules);
  CHECK(check.validate({}, reply_of("[" + std::string(1 << 20, ' ') + "]")).reason.empty());
  CHECK(check.validate({}, reply_of("[[[1]]]")).reason == "JSON nested more than 2 deep");
  CHECK(check.validate({}, reply_of("[[1]]")).reason.empty());
}

TEST_CASE("a content has at least and at most so many bytes") {
  BodyRules rules;
  rules.max_body_bytes = 3;
  CHECK(objection(rules, "abc").empty());
  CHECK(objection(rules, "abcd") == "more than 3 bytes, the max_body");
  rules.min_body_bytes = 2;
  CHECK(objection(rules, "ab").empty());
  CHECK(objection(rules, "a") == "1 bytes, less than 2");
  rules.min_body_bytes = 0;
  rules.json = true;
  CHECK(objection(rules, "[1]").empty());
}

TEST_CASE("of what is too large its head is judged, where that can tell all that is asked for") {
  BodyRules rules;
  rules.max_body_bytes = 3;
  Reply head;
  head.status = 200;
  const auto said = [&](std::optional<std::uint64_t> length = 4) {
    return BodyCheck(rules).validate_head(head, length).reason;
  };
  CHECK(said() == "");
  CHECK(said(std::nullopt) == "");
  head.status = 203;
  CHECK(said() == "");
  for (const int status : {201, 204, 206, 304, 404, 500}) {
    head.status = status;
    CHECK(said() == "a status that carries no answer here");
  }
  head.status = 200;
  rules.content_type = "text/csv";
  CHECK(said() == "no Content-Type, text/csv is asked for");
  head.fields = {{"Content-Type", "text/html"}};
  CHECK(said() == "not text/csv");
  head.fields = {{"Content-Type", "text/csv; header=present"}};
  CHECK(said() == "");
  head.fields.push_back({"Content-Encoding", "gzip"});
  CHECK(said().starts_with("coded, and larger than max_body, 3 bytes"));
  head.fields.back().value = "identity";
  CHECK(said() == "");
  rules.min_body_bytes = 2;
  CHECK(said() == "");
  CHECK(said(1) == "1 bytes, less than 2");
  CHECK(said(std::nullopt) == "of no stated length, so that min_body cannot be told by its head");
  rules.reject_if = {{*parse_pointer("/status"), {"error"}}};
  CHECK(
      said() ==
      "a content that is larger than max_body, 3 bytes, cannot be checked as validate asks for it");
}

TEST_CASE("the media type is that of each Content-Type") {
  BodyRules rules;
  rules.content_type = parse_content_type("application/json").value();
  BodyCheck check(rules);
  Reply reply = reply_of("x");
  CHECK(check.validate({}, reply).reason == "no Content-Type, application/json is asked for");
  reply.fields.push_back({"content-type", "Application/JSON; charset=utf-8"});
  CHECK(check.validate({}, reply).outcome == Outcome::Ok);
  reply.fields.push_back({"Content-Type", "text/html"});
  CHECK(check.validate({}, reply).reason == "not application/json");
  reply.status = 206;
  CHECK(check.validate({}, reply).reason == "a status that carries no answer here");
}

TEST_CASE("a 404 is the API's own if it is one JSON object, where JSON is asked for") {
  BodyRules rules = requires_all({"/ip:string"});
  rules.content_type = "application/json";
  rules.min_body_bytes = 10;
  BodyCheck check(rules);
  for (const int status : {404, 410}) {
    CHECK(check.validate({}, reply_of("{}", status)).outcome == Outcome::Ok);
    CHECK(check.validate({}, reply_of(R"({"n":99999999999999999999})", status)).outcome ==
          Outcome::Ok);
    for (const char* body : {"", "[]", "null", "<html>", "{}{}", "\xEF\xBB\xBF{}"}) {
      CAPTURE(body);
      CHECK(check.validate({}, reply_of(body, status)).outcome == Outcome::InvalidBody);
    }
  }
  CHECK(check.validate({}, reply_of("[]", 404)).reason ==
        "a 404 that is not the API's own: not a JSON object");
  BodyRules page;
  page.content_type = "image/png";
  CHECK(BodyCheck(page).validate({}, reply_of("<html>", 404)).outcome == Outcome::Ok);
}
