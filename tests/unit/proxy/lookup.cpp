// The lookup's route, as the proxy serves it.
#include <doctest/doctest.h>

#include <string>

#include "lookup_route.h"
#include "proxy/body_check.h"

using namespace holdfast::proxy;
using holdfast::upstream::Outcome;
using holdfast::upstream::Verdict;

namespace {

// The lookup's rules, with a 200 around the content.
class LookupBody {
 public:
  explicit LookupBody(std::size_t max_body_bytes)
      : check_(holdfast::proxy::test::lookup_body_rules(max_body_bytes)) {}

  Verdict validate(std::string_view ip, std::string_view body) {
    holdfast::upstream::Reply reply;
    reply.status = 200;
    reply.body = body;
    const PathParameter parameter{"ip", ip, ParameterType::Ip};
    return check_.validate({&parameter, 1}, reply);
  }

 private:
  BodyCheck check_;
};

constexpr std::string_view kGood =
    R"({"ip":"8.8.8.8","location":"United States","postal_code":"","network_name":"AS15169 GOOGLE",)"
    R"("domain":"Google","latitude":37.751,"longitude":-97.822})";

std::string replaced(std::string_view what, std::string_view by) {
  std::string body(kGood);
  const auto at = body.find(what);
  REQUIRE(at != std::string::npos);
  return body.replace(at, what.size(), by);
}

Outcome judge(std::string_view body, std::string_view ip = "8.8.8.8") {
  LookupBody validator(1 << 20);
  return validator.validate(ip, body).outcome;
}

}  // namespace

TEST_CASE("a right answer is accepted") {
  CHECK(judge(kGood) == Outcome::Ok);
  CHECK(judge(" " + std::string(kGood) + "\n") == Outcome::Ok);
  CHECK(judge(replaced("37.751", "38")) == Outcome::Ok);
  CHECK(judge(replaced("\"Google\"", "null")) == Outcome::Ok);
  CHECK(judge(replaced("37.751", "null")) == Outcome::Ok);
  CHECK(judge(replaced("{", R"({"more":[1,{"ip":"1.1.1.1"}],)")) == Outcome::Ok);
}

TEST_CASE("another spelling of the same address is the same address") {
  CHECK(judge(replaced("8.8.8.8", "2001:DB8:0::1"), "2001:db8::1") == Outcome::Ok);
  CHECK(judge(replaced("8.8.8.8", "::ffff:8.8.8.8")) == Outcome::Ok);
}

TEST_CASE("an answer about another address is refused") {
  CHECK(judge(replaced("8.8.8.8", "8.8.4.4")) == Outcome::WrongContent);
}

TEST_CASE("every truncation of a right answer is refused") {
  LookupBody validator(1 << 20);
  for (std::size_t size = 0; size < kGood.size(); ++size) {
    CAPTURE(size);
    CHECK(validator.validate("8.8.8.8", kGood.substr(0, size)).outcome == Outcome::InvalidBody);
  }
  CHECK(validator.validate("8.8.8.8", kGood).outcome == Outcome::Ok);  // and it still works
}

TEST_CASE("what is not the object asked for is refused") {
  for (const std::string& body : {std::string(),
                                  std::string("null"),
                                  std::string("[]"),
                                  std::string("{}"),
                                  std::string("\"8.8.8.8\""),
                                  std::string("<html><body>502 Bad Gateway</body></html>"),
                                  std::string(kGood) + "x",
                                  std::string(kGood) + std::string(kGood),
                                  "[" + std::string(kGood) + "]",
                                  replaced("\"ip\":\"8.8.8.8\",", ""),
                                  replaced("\"8.8.8.8\"", "8"),
                                  replaced("\"8.8.8.8\"", "null"),
                                  replaced("8.8.8.8", "localhost"),
                                  replaced("37.751", "\"37.751\""),
                                  replaced("37.751", "NaN"),
                                  replaced("\"Google\"", "15"),
                                  replaced("Google\"", "Goo\xffgle\""),
                                  replaced("Google\"", "Goo\ngle\""),
                                  replaced("\"domain\"", "\"ip\""),
                                  replaced("{", R"({"ip":"8.8.8.8",)"),
                                  std::string(kGood).replace(5, 1, 1, '\0')}) {
    CAPTURE(body);
    CHECK(judge(body) == Outcome::InvalidBody);
  }
}

TEST_CASE("an integer is a number, however long") {
  CHECK(judge(replaced("37.751", "99999999999999999999")) == Outcome::Ok);
  CHECK(judge(replaced("37.751", "-18446744073709551616")) == Outcome::Ok);
  CHECK(judge(replaced("{", R"({"big":[123456789012345678901234567890],)")) == Outcome::Ok);
  CHECK(judge(replaced("{", R"({"\"1":99999999999999999999,)")) == Outcome::Ok);
  CHECK(judge(replaced("\"Google\"", "99999999999999999999")) == Outcome::InvalidBody);
  CHECK(judge(replaced("37.751", "012345678901234567890123")) == Outcome::InvalidBody);
  CHECK(judge(replaced("37.751", "1" + std::string(400, '0'))) == Outcome::Ok);
  // Strings are left alone: it is another address for which it is no number.
  CHECK(judge(replaced("{", R"({"big":99999999999999999999,"x":"99999999999999999999",)"),
              "8.8.4.4") == Outcome::WrongContent);
}

TEST_CASE("what is wrong with the text itself is told by its name") {
  const auto reason = [](std::string_view body) {
    LookupBody validator(1 << 20);
    const auto verdict = validator.validate("8.8.8.8", body);
    CHECK(verdict.outcome == Outcome::InvalidBody);
    return verdict.reason;
  };
  const std::string good(kGood);
  CHECK(reason("\xEF\xBB\xBF" + good) == "not JSON: it begins with a byte order mark");
  CHECK(reason(std::string("\xFF\xFE{\0", 4)) == "not JSON: it is UTF-16, by its byte order mark");
  CHECK(reason(replaced("Google\"", "Caf\xe9\"")) ==
        "not JSON: it is not in UTF-8 (Latin-1, maybe)");
  for (const char* lone : {R"(\ud800")", R"(\uDC00")", R"(\ud83dx")", R"(\ud83d\u0041")",
                           R"(\ud83d\ud83d")", R"(\\\udfff")", R"(\ud83d\ude00\ude00")"}) {
    CAPTURE(lone);
    CHECK(reason(replaced("Google\"", lone)) == "not JSON: half of a surrogate pair in a string");
  }
  CHECK(judge(replaced("Google\"", R"(\ud83d\ude00\\ud800")")) == Outcome::Ok);
  const std::string other = reason(replaced("Google\"", R"(\x")"));
  CHECK(other.starts_with("not JSON: "));
  CHECK(other.ends_with("Problem while parsing a string"));  // newer parsers name it as well
}

TEST_CASE("a body over the limit and a very deep one are refused") {
  LookupBody small(100);
  CHECK(small.validate("8.8.8.8", kGood).outcome == Outcome::InvalidBody);
  CHECK(judge(replaced("{", R"({"a":)" + std::string(5000, '[') + std::string(5000, ']') + ",")) ==
        Outcome::InvalidBody);
}

TEST_CASE("the route asks the upstream for the canonical address") {
  const auto route = holdfast::proxy::test::lookup_route();
  const auto key_of = [&](std::string_view path, std::string_view query) {
    Parameters parameters;
    if (!route->plan().match.match(path, parameters)) return std::string("no match");
    std::string key;
    CHECK(route->key(parameters, query, key) == nullptr);
    return key;
  };
  const std::string key = key_of("/lookup/2001:DB8:0:0::1", {});
  CHECK(key == "lookup/2001:db8::1");
  CHECK(route->is_key(key));
  CHECK_FALSE(route->is_key("lookup/2001:DB8::1"));
  CHECK(route->subject(key) == "2001:db8::1");
  CHECK(route->upstream_request(key).target == "/geoip/2001:db8::1");
  CHECK(key_of("/lookup/8.8.8.8", "x=1") == "lookup/8.8.8.8");
  CHECK(key_of("/lookup/nowhere", {}) == "no match");
  CHECK_FALSE(route->offline_body("lookup/8.8.8.8").has_value());
}

TEST_CASE("a 206 is not an answer, whatever its content") {
  const auto route = holdfast::proxy::test::lookup_route();
  holdfast::upstream::Reply reply;
  reply.status = 206;
  reply.body = kGood;
  CHECK(route->validate("lookup/8.8.8.8", reply).outcome == Outcome::InvalidBody);
  // Somebody on the way has changed it: whether to the worse, the content shows.
  reply.status = 203;
  CHECK(route->validate("lookup/8.8.8.8", reply).outcome == Outcome::Ok);
  CHECK(route->validate("lookup/8.8.4.4", reply).outcome == Outcome::WrongContent);
  reply.status = 200;
  CHECK(route->validate("lookup/8.8.8.8", reply).outcome == Outcome::Ok);
}
