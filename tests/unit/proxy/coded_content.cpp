// Content in a coding, where a route of mode rfc9111 asks for something of it: judged by what it is
// without, kept and sent as it came.
#include "http/content_coding.h"
#include "http_stack.h"
#include "proxy/storing.h"

using namespace holdfast;
using namespace holdfast::proxy;
using namespace holdfast::proxy::test;

namespace {

using Says = HttpStack::Says;

RoutePlan judging(const std::function<void(BodyRules&)>& asks) {
  RoutePlan plan = HttpStack::plan();
  asks(plan.body);
  return plan;
}
RoutePlan asking_for_json() {
  return judging([](BodyRules& rules) { rules.json = true; });
}

std::string json_of(std::size_t bytes) {
  return R"({"text":")" + std::string(bytes, 'x') + R"("})";
}
std::string coded(const std::string& content) {
  const auto gzipped = http::gzip(content);
  REQUIRE(gzipped.has_value());
  return *gzipped;
}
Says in_coding(const std::string& coding, const std::string& content) {
  return {200,
          {{"Content-Type", "application/json"},
           {"Content-Encoding", coding},
           {"Cache-Control", "max-age=60"}},
          content};
}

}  // namespace

TEST_CASE("JSON in gzip is judged without it, and kept and sent with it") {
  HttpStack stack(asking_for_json());
  const std::string content = coded(json_of(900));
  stack.says(in_coding("gzip", content));
  for (const char* status : {"fwd=uri-miss; fwd-status=200; stored; ttl=60", "hit; ttl=60"}) {
    const http::test::Answer answer = stack.get("/a", "Accept-Encoding: gzip\r\n");
    CHECK(answer.status == 200);
    CHECK(answer.body == content);
    CHECK(answer.field("Content-Encoding") == "gzip");
    CHECK(answer.field("Cache-Status") == std::string("holdfast; ") + status);
  }
  CHECK(stack.got().size() == 1);
}

TEST_CASE("what is no JSON without its coding, or cannot be had without it, is refused") {
  HttpStack stack(asking_for_json());
  std::string coding = "gzip", content;
  SUBCASE("text") {
    content = coded(std::string(500, 'x'));
  }
  SUBCASE("not all of it") {
    content = coded(json_of(500));
    content.resize(content.size() - 4);
  }
  SUBCASE("another coding") {
    coding = "br";
    content = json_of(500);
  }
  SUBCASE("more than max_body once it is decoded") {
    content = coded(json_of(HttpStack::kMostBytes));
    REQUIRE(content.size() < HttpStack::kMostBytes);
  }
  stack.says(in_coding(coding, content));
  const std::string field = "Accept-Encoding: " + coding + "\r\n";
  CHECK(stack.get("/a", field).status == 502);
  CHECK(stack.get("/a", field).status == 502);
  CHECK(stack.got().size() == 2);
}

TEST_CASE("where content is judged the upstream is asked for codings that can be undone") {
  const auto asked_with = [](RoutePlan plan, const std::string& accepts) {
    HttpStack stack(std::move(plan));
    stack.says(Says{});
    stack.get("/a", "Accept-Encoding: " + accepts + "\r\n");
    return stack.got().at(0).field("Accept-Encoding");
  };
  const std::string all = "gzip, deflate;q=0.5, br, zstd";
  CHECK(asked_with(asking_for_json(), all) == "gzip, deflate;q=0.5");
  CHECK(asked_with(asking_for_json(), "br, *") == "(none)");
  CHECK(asked_with(judging([](BodyRules& rules) { rules.min_body_bytes = 2; }), all) ==
        "gzip, deflate;q=0.5");
  CHECK(asked_with(judging([](BodyRules& rules) { rules.content_type = "text/csv"; }), all) == all);
  CHECK(asked_with(HttpStack::plan(), all) == all);
}

TEST_CASE("a content in a coding is as long as it is without, to who asks for a length") {
  Route route(judging([](BodyRules& rules) { rules.min_body_bytes = 400; }));
  const auto verdict_of = [&route](const std::string& content) {
    upstream::Reply reply;
    reply.status = 200;
    reply.fields = {{"Content-Encoding", "gzip"}};
    reply.body = coded(content);
    return route.validate("all/a", reply).outcome;
  };
  REQUIRE(coded(std::string(400, 'x')).size() < 100);
  CHECK(verdict_of(std::string(400, 'x')) == upstream::Outcome::Ok);
  CHECK(verdict_of(std::string(399, 'x')) == upstream::Outcome::InvalidBody);
}

TEST_CASE("what is stored in a coding is right still by the rules of today") {
  Route route(asking_for_json());
  const auto is_right = [&route](const std::string& content) {
    cache::StoredParts parts;
    parts.kind = cache::Kind::Verbatim;
    parts.fields = "Content-Encoding: gzip\r\n";
    parts.body = content;
    return is_right_still(route, "all/a", *cache::make_stored(std::move(parts)));
  };
  CHECK(is_right(coded(json_of(500))));
  CHECK_FALSE(is_right(coded(std::string(500, 'x'))));
  CHECK_FALSE(is_right(json_of(500)));
}
