// Answers larger than max_body of a route of mode resilient: through the service, by a played
// upstream.
#include "http_stack.h"

using namespace holdfast;
using namespace holdfast::proxy;
using namespace holdfast::proxy::test;

namespace {

using Says = HttpStack::Says;
using Got = HttpStack::Got;

RoutePlan large_plan() {
  StoringPolicy storing{.jitter = 0};
  storing.http.on = false;
  storing.is_json = false;
  RoutePlan plan = http_plan();
  plan.storing = std::move(storing);
  plan.body.max_body_bytes = HttpStack::kMostBytes;
  return plan;
}

const std::string kMuch(HttpStack::kMostBytes + 1, 'x');
const std::string kPassed = "holdfast; fwd=bypass; fwd-status=200; detail=too-large";

Says much() {
  return {
      200, {{"Content-Type", "text/csv"}, {"X-Up", "1"}, {"Last-Modified", "yesterday"}}, kMuch};
}

std::size_t passed_of(const std::vector<Got>& got) {
  return static_cast<std::size_t>(
      std::count_if(got.begin(), got.end(), [](const Got& one) { return one.passed; }));
}

}  // namespace

TEST_CASE("what is too large to keep goes through, and costs each later client one request") {
  HttpStack stack(large_plan());
  stack.says(much());
  for (int i = 0; i < 3; ++i) {
    const http::test::Answer answer =
        stack.get("/a?b=c", "Authorization: mine\r\nCookie: a=b\r\nX-Mine: 1\r\n");
    CHECK(answer.status == 200);
    CHECK(answer.body == kMuch);
    CHECK(answer.field("Cache-Status") == kPassed);
    CHECK(answer.field("Content-Type") == "text/csv");
    CHECK(answer.field("Last-Modified") == "yesterday");
    CHECK(answer.field("Cache-Control") == "no-store");
    CHECK(answer.field("X-Request-ID") != "");
    CHECK(answer.head.find("X-Up") == std::string::npos);
    CHECK(answer.head.find("Via") == std::string::npos);
  }
  const std::vector<Got> got = stack.got();
  REQUIRE(got.size() == 4);
  CHECK_FALSE(got[0].passed);
  for (const Got& one : got) {
    CHECK(one.method == "GET");
    CHECK(one.target == "/a?b=c");
    CHECK(one.field("Authorization") == "(none)");
    CHECK(one.field("Cookie") == "(none)");
    CHECK(one.field("X-Mine") == "(none)");
    CHECK(one.field("X-Forwarded-For") == "(none)");
  }
  CHECK(passed_of(got) == 3);
  CHECK(stack.counted("200", "pass") == 3);
  // For a while.
  stack.pass(5min);
  stack.get("/a?b=c");
  CHECK_FALSE(stack.got()[4].passed);
}

TEST_CASE("those who wait for what turns out too large are not kept by each other") {
  HttpStack stack(large_plan());
  stack.says(much());
  stack.hold();
  std::vector<http::test::Client> clients;
  for (int i = 0; i < 3; ++i) {
    clients.push_back(stack.client());
    clients.back().send("GET /a HTTP/1.1\r\nHost: a\r\n\r\n");
  }
  REQUIRE(stack.eventually([&] { return stack.got().size() == 1; }));
  stack.turns();
  stack.release();
  for (http::test::Client& client : clients) CHECK(client.read().body == kMuch);
  CHECK(stack.got().size() == 4);
}

TEST_CASE("a HEAD is asked for as a GET, which ends at the head") {
  HttpStack stack(large_plan());
  stack.says(much());
  for (int i = 0; i < 2; ++i) {
    const http::test::Answer answer = stack.ask("HEAD", "/a");
    CHECK(answer.status == 200);
    CHECK(answer.field("Content-Length") == std::to_string(kMuch.size()));
    CHECK(answer.field("Content-Type") == "text/csv");
    CHECK(answer.field("Cache-Status") == kPassed);
  }
  const std::vector<Got> got = stack.got();
  REQUIRE(got.size() == 3);
  for (const Got& one : got) CHECK(one.method == "GET");
  CHECK(stack.counted("200", "pass") == 2);
}

TEST_CASE("what the head says wrong goes to no client: who asks is answered as any miss is") {
  RoutePlan plan = large_plan();
  plan.body.content_type = "text/csv";
  HttpStack stack(std::move(plan));
  stack.says(much());
  CHECK(stack.get("/a").body == kMuch);
  Says other{200, {{"Content-Type", "text/html"}}, kMuch};
  SUBCASE("another type") {}
  SUBCASE("a failure") {
    other.status = 503;
  }
  SUBCASE("no such entry") {
    other.status = 404;
  }
  SUBCASE("in a coding that nobody asked for") {
    other.fields = {{"Content-Type", "text/csv"}, {"Content-Encoding", "gzip"}};
  }
  SUBCASE("nothing at all") {
    other.lost = true;
  }
  stack.says([&](const Got& got) {
    return got.passed ? other : Says{200, {{"Content-Type", "text/csv"}}, "few"};
  });
  const http::test::Answer answer = stack.get("/a");
  CHECK(answer.status == 200);
  CHECK(answer.body == "few");
  CHECK(answer.head.find("fwd=uri-miss; fwd-status=200; stored") != std::string::npos);
  CHECK(stack.got().size() == 4);
  // It is no larger than what is kept any more.
  CHECK(stack.get("/a").head.find("; hit;") != std::string::npos);
  CHECK(stack.got().size() == 4);
  CHECK(stack.counted("200", "miss") == 1);
}

TEST_CASE("what fails before its first byte is asked for again, but not for ever") {
  HttpStack stack(large_plan());
  stack.says([](const Got& got) {
    Says says = much();
    says.lost = got.passed;
    return says;
  });
  const http::test::Answer answer = stack.get("/a");
  CHECK(answer.status == 502);
  CHECK(answer.body.find("not repeated") == std::string::npos);
  const std::vector<Got> got = stack.got();
  CHECK(got.size() == 6);
  CHECK(passed_of(got) == 3);
  CHECK(stack.counted("502", "error") == 1);
  stack.says(much());
  CHECK(stack.get("/a").body == kMuch);
}

TEST_CASE("what was stored before it grew answers while it fails, and not before") {
  HttpStack stack(large_plan());
  stack.says({200, {{"Content-Type", "text/csv"}, {"Cache-Control", "max-age=10"}}, "few"});
  stack.get("/a");
  stack.says(much());
  stack.pass(11s);
  // Stale, with a refresh behind it which finds that it has grown.
  CHECK(stack.get("/a").body == "few");
  REQUIRE(stack.eventually([&] { return stack.got().size() == 2; }));
  stack.turns();
  CHECK(stack.get("/a").body == kMuch);
  Says lost;
  lost.lost = true;
  stack.says(lost);
  const http::test::Answer stale = stack.get("/a");
  CHECK(stale.status == 200);
  CHECK(stale.body == "few");
  CHECK(stale.head.find("detail=stale-if-error") != std::string::npos);
}

TEST_CASE(
    "what is stored answers too where it is large to each fetch and fails when it is passed") {
  HttpStack stack(large_plan());
  bool stored = false;
  SUBCASE("nothing is stored") {}
  SUBCASE("something is") {
    stored = true;
    stack.says({200, {{"Content-Type", "text/csv"}, {"Cache-Control", "max-age=10"}}, "few"});
    stack.get("/a");
    stack.says(much());
    stack.pass(11s);
    CHECK(stack.get("/a").body == "few");
    REQUIRE(stack.eventually([&] { return stack.got().size() == 2; }));
    stack.turns();
  }
  stack.says([](const Got& got) { return got.passed ? Says{500, {}, "oops"} : much(); });
  const http::test::Answer answer = stack.get("/a");
  CHECK(passed_of(stack.got()) == 3);
  if (stored) {
    CHECK(answer.status == 200);
    CHECK(answer.body == "few");
    CHECK(answer.head.find("detail=stale-if-error") != std::string::npos);
  } else {
    CHECK(answer.status == 502);
    CHECK(answer.body.find("status 500: ") != std::string::npos);
  }
}

TEST_CASE("what has become small again is kept from its next request on") {
  HttpStack stack(large_plan());
  stack.says(much());
  stack.get("/a");
  stack.says({200, {{"Content-Type", "text/csv"}}, "few"});
  const http::test::Answer passed = stack.get("/a");
  CHECK(passed.body == "few");
  CHECK(passed.field("Cache-Status") == kPassed);
  CHECK(stack.get("/a").head.find("; stored") != std::string::npos);
  CHECK(stack.get("/a").head.find("; hit;") != std::string::npos);
}

TEST_CASE("only-if-cached reaches no upstream for it either") {
  HttpStack stack(large_plan());
  stack.says(much());
  stack.get("/a");
  CHECK(stack.get("/a", "Cache-Control: only-if-cached\r\n").status == 504);
  CHECK(stack.got().size() == 2);
}

TEST_CASE("where its content is to be checked, what is too large to be held is refused") {
  RoutePlan plan = large_plan();
  plan.body.json = true;
  HttpStack stack(std::move(plan));
  stack.says({200, {{"Content-Type", "application/json"}}, "[" + kMuch + "]"});
  for (int i = 0; i < 2; ++i) CHECK(stack.get("/a").status == 502);
  CHECK(passed_of(stack.got()) == 0);
}
