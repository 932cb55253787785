// What clients get where a request would be passed through and there is no place for it: what is
// stored, if it may be used when the upstream fails, else 503.
#include "http_stack.h"

using namespace holdfast;
using namespace holdfast::proxy;
using namespace holdfast::proxy::test;

namespace {

using Says = HttpStack::Says;

RoutePlan plan_of(bool rfc9111) {
  RoutePlan plan = HttpStack::plan();
  plan.storing.http.on = rfc9111;
  return plan;
}

// One place, and a request that keeps it.
class FullStack : public HttpStack {
 public:
  explicit FullStack(bool rfc9111 = true)
      : HttpStack(plan_of(rfc9111), {.most_passed = 1}), keeper_(client()) {}

  // What was small, and stored, is too large now.
  void grows(const std::string& path, const std::string& cache_control) {
    says({200, {{"Cache-Control", cache_control}}, "few"});
    get(path);
    says({200, {{"Cache-Control", cache_control}}, std::string(kMostBytes + 1, 'x')});
    pass(11s);
    // The first may be answered stale, with a refresh behind it.
    CHECK(eventually([&] { return get(path).body.size() > kMostBytes; }));
  }
  void takes_the_place() {
    hold();
    const std::size_t before = got().size();
    keeper_.send("POST /kept HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    REQUIRE(eventually([&] { return got().size() > before; }));
    asked_ = got().size();
  }
  // Nobody was asked since.
  bool asked_nobody() { return got().size() == asked_; }

 private:
  http::test::Client keeper_;
  std::size_t asked_ = 0;
};

bool is_stale(const http::test::Answer& answer) {
  return answer.field("Cache-Status").ends_with("; detail=stale-if-error");
}

}  // namespace

TEST_CASE("without a place for what has grown too large what is stored answers, in both modes") {
  bool rfc9111 = false;
  SUBCASE("of mode resilient") {}
  SUBCASE("of mode rfc9111") {
    rfc9111 = true;
  }
  FullStack stack(rfc9111);
  stack.grows("/a", "max-age=10");
  stack.takes_the_place();
  const double stale_before = stack.counted("200", "stale");
  for (const char* method : {"GET", "HEAD"}) {
    CAPTURE(method);
    const http::test::Answer answer = stack.ask(method, "/a");
    CHECK(answer.status == 200);
    CHECK(answer.body == (std::string(method) == "GET" ? "few" : ""));
    CHECK(is_stale(answer));
  }
  CHECK(stack.counted("200", "stale") == stale_before + 2);
  CHECK(stack.asked_nobody());
}

TEST_CASE("without a place nothing stored answers that may not be used, or that is not read") {
  FullStack stack;
  std::string method = "GET", path = "/a", fields;
  SUBCASE("the upstream allows nothing stale") {
    stack.grows("/a", "max-age=10, must-revalidate");
  }
  SUBCASE("nothing is stored") {
    stack.grows("/b", "max-age=10");
    fields = "Range: bytes=0-1\r\n";
  }
  SUBCASE("the client wants nothing kept") {
    stack.grows("/a", "max-age=10");
    fields = "Cache-Control: no-store\r\n";
  }
  SUBCASE("the condition is for the origin to judge") {
    stack.grows("/a", "max-age=10");
    fields = "If-Match: \"e\"\r\n";
  }
  SUBCASE("another method") {
    stack.grows("/a", "max-age=10");
    method = "POST";
  }
  stack.takes_the_place();
  const http::test::Answer answer = stack.ask(method, path, fields);
  CHECK(answer.status == 503);
  CHECK(answer.body.find("too many requests are passed on already") != std::string::npos);
  CHECK(stack.asked_nobody());
}

TEST_CASE("of mode resilient, too, it is an error where nothing stale is allowed") {
  FullStack stack(false);
  stack.grows("/a", "max-age=10, must-revalidate");
  stack.takes_the_place();
  CHECK(stack.get("/a").status == 503);
  CHECK(stack.asked_nobody());
}
