// A worker's service in front of an origin loop that may be held up, as by a disk
// that hangs: two loops on threads of their own, one clock that moves when told to.
#include "proxy/service.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>

#include "cache/no_store.h"
#include "lookup_route.h"
#include "two_loops.h"

using namespace holdfast;
using namespace std::chrono_literals;
using http::test::Client;
using http::test::get;

namespace {

std::string body_of(std::string_view ip) {
  return R"({"ip":")" + std::string(ip) + R"(","location":"x"})";
}

// Knows every address; answers at once, or when told to.
class Fetcher final : public upstream::Fetcher {
 public:
  explicit Fetcher(base::Scheduler& loop) : loop_(loop) {}

  FetchId start(upstream::FetchRequest request, Callback callback) override {
    started.push_back(request.request.target.substr(std::string_view("/geoip/").size()));
    upstream::FetchResult result;
    result.end = upstream::FetchEnd::Answered;
    result.outcome = upstream::Outcome::Ok;
    result.reply.status = 200;
    result.reply.body = body_of(started.back());
    result.attempts_sent = 1;
    waiting_.push_back([callback = std::move(callback), result] { callback(result); });
    if (!holding) release();
    return started.size();
  }
  void extend(FetchId, base::SteadyTime, upstream::Priority) override {}
  void cancel(FetchId) override {}
  upstream::FetchResult so_far(FetchId) override { return {}; }
  void release() {
    for (auto& answer : std::exchange(waiting_, {})) loop_.post(std::move(answer));
  }

  // Origin loop only.
  bool holding = false;
  std::vector<std::string> started;

 private:
  base::Scheduler& loop_;
  std::vector<std::function<void()>> waiting_;
};

class ServiceStack : public proxy::test::TwoLoops {
 public:
  ServiceStack() { serve(service_); }
  ~ServiceStack() { stop(); }

  // Waits until so many requests wait for the origin loop.
  bool in_flight(std::size_t count) {
    const auto until = std::chrono::steady_clock::now() + kPatience;
    while (server_->stats().in_flight != count) {
      if (std::chrono::steady_clock::now() > until) return false;
      on(worker_, [] {});
    }
    return true;
  }
  // Some turns of the worker's loop, in which nothing is to happen.
  void turns() {
    for (int i = 0; i < 10; ++i) on(worker_, [] {});
  }
  // Something that may be used only if the upstream fails.
  void have_old(const std::string& ip) {
    cache::StoredParts parts;
    parts.body = body_of(ip);
    parts.fields = "Content-Type: application/json\r\n";
    parts.response_time = clock.wall() - 2h;
    parts.freshness_lifetime = 1h;
    parts.stale_if_error = 24h;
    memory_.put("lookup/" + ip, cache::make_stored(std::move(parts)));
  }
  // Kept under a key, with the date that its upstream stated.
  void have_dated(const std::string& ip, const std::string& modified, int status = 200) {
    cache::StoredParts parts;
    parts.status = status;
    parts.body = body_of(ip);
    parts.upstream_last_modified = modified;
    parts.response_time = clock.wall();
    parts.freshness_lifetime = 1h;
    parts.stale_while_revalidate = 24h;
    memory_.put("lookup/" + ip, cache::make_stored(std::move(parts)));
  }
  void have_content(const std::string& ip, std::string body) {
    cache::StoredParts parts;
    parts.body = std::move(body);
    parts.response_time = clock.wall();
    parts.freshness_lifetime = 1h;
    memory_.put("lookup/" + ip, cache::make_stored(std::move(parts)));
  }
  // An answer is counted after it is sent.
  double counted(const std::string& route, const std::string& code, const std::string& cache) {
    on(worker_, [] {});
    return metrics_.value(observe::Family::Requests,
                          {{"route", route}, {"code", code}, {"cache", cache}});
  }
  // All that is in the log by now.
  std::string logged() {
    on(worker_, [] {});
    log_.flush();
    return text_of(*log_file);
  }
  // Other routes, as a reload brings them: none, or the lookup with what holds it.
  // After none it is another one to the worker.
  void adopt(const std::shared_ptr<const void>& hold) {
    std::vector<proxy::Routes::Entry> entries;
    if (hold) entries.push_back({*route_, flights_, nullptr, hold});
    const auto table = service_.prepare(std::make_shared<const proxy::Routes>(std::move(entries)));
    on(worker_, [&] { service_.adopt(table); });
  }
  // Whether nobody holds it any more, once what is posted has run.
  bool let_go(const std::weak_ptr<const void>& hold) {
    for (int i = 0; i < 5; ++i) {
      on(origin_, [] {});
      on(worker_, [] {});
    }
    return hold.expired();
  }
  base::EventLoop& origin() { return origin_; }
  Fetcher& fetcher() { return fetcher_; }

  std::shared_ptr<std::FILE> log_file{std::tmpfile(), &std::fclose};
  std::atomic<int> rendered{0};  // how often /slow was, on the origin loop

 private:
  observe::Log log_{{.fd = fileno(log_file.get())}};
  observe::RecentFailures failures_;
  cache::MemoryCache memory_{{.limit_bytes = 1U << 20}};
  cache::NoStore store_;
  std::unique_ptr<proxy::Route> route_ = proxy::test::lookup_route();
  proxy::Pages pages_{{"/slow",
                       [this] {
                         ++rendered;
                         proxy::Page page;
                         page.body = std::string(2000, 'p');
                         return page;
                       },
                       &origin_, true}};
  Fetcher fetcher_{origin_};
  proxy::Flights flights_{{origin_, fetcher_, memory_, store_, log_, metrics_, origin_shard_},
                          proxy::Flights::Settings{},
                          1};
  std::shared_ptr<const proxy::Routes> routes_ =
      std::make_shared<const proxy::Routes>(std::vector<proxy::Routes::Entry>{{*route_, flights_}});
  proxy::Service service_{{worker_, origin_, memory_, store_, log_, metrics_, worker_shard_,
                           failures_, routes_, pages_},
                          {.request_deadline = 10s},
                          1};
};

// The origin loop does nothing while this lives.
class HeldUp {
 public:
  explicit HeldUp(ServiceStack& stack) {
    std::promise<void> entered;
    stack.origin().post([this, &entered] {
      // What is used here must outlive neither set_value() nor the wait.
      auto released = released_.get_future();
      entered.set_value();
      released.wait();
    });
    entered.get_future().wait();
  }
  ~HeldUp() { released_.set_value(); }

 private:
  std::promise<void> released_;
};

std::string post(std::string_view content) {
  return "POST /lookup HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: " +
         std::to_string(content.size()) + "\r\n\r\n" + std::string(content);
}

}  // namespace

TEST_CASE("a miss that the origin loop does not get to is 504 at the deadline, not before") {
  ServiceStack stack;
  Client one = stack.client();
  {
    const HeldUp held(stack);
    one.send(get("/lookup/192.0.2.1"));
    REQUIRE(stack.in_flight(1));
    stack.pass(9900ms);
    stack.turns();
    CHECK(!one.readable_now());
    stack.pass(99ms);
    const http::test::Answer late = one.read();
    CHECK(late.status == 504);
    CHECK(late.field("Retry-After") == "1");
    CHECK(late.field("Content-Type") == "application/problem+json");
    CHECK(late.field("Connection") == "(none)");
    CHECK(stack.counted("lookup", "504", "error") == 1);
    // Nobody is to look for it at the upstream.
    CHECK(stack.logged().find("held up past the deadline, by load or a disk") != std::string::npos);
    // It goes on with others, whose deadlines are their own.
    stack.pass(1ms);
    one.send(get("/lookup/192.0.2.2"));
    REQUIRE(stack.in_flight(1));
  }
  CHECK(one.read().body == body_of("192.0.2.2"));
  CHECK(one.ask(get("/lookup/192.0.2.3")).body == body_of("192.0.2.3"));
  // Nobody waited for the first any more: it cost no request.
  stack.on_origin([&] {
    CHECK(stack.fetcher().started == std::vector<std::string>{"192.0.2.2", "192.0.2.3"});
  });
}

TEST_CASE("an answer that comes after the deadline reaches nobody, and fills the cache") {
  ServiceStack stack;
  stack.on_origin([&] { stack.fetcher().holding = true; });
  Client one = stack.client();
  Client two = stack.client();
  one.send(get("/lookup/192.0.2.1") + get("/lookup/192.0.2.2"));
  two.send(get("/lookup/192.0.2.1"));
  REQUIRE(stack.in_flight(2));
  // The fetch is under way, so that its answer will come.
  stack.on_origin([&] { REQUIRE(stack.fetcher().started.size() == 1); });
  {
    const HeldUp held(stack);
    stack.pass(10s);
    CHECK(one.read().status == 504);
    CHECK(two.read().status == 504);
    two.send(get("/lookup/192.0.2.3"));
    REQUIRE(stack.in_flight(2));  // the second of each
  }
  stack.on_origin([&] {
    stack.fetcher().holding = false;
    stack.fetcher().release();
  });
  CHECK(one.read().body == body_of("192.0.2.2"));
  CHECK(two.read().body == body_of("192.0.2.3"));
  stack.turns();
  CHECK(!one.readable_now());
  CHECK(!two.readable_now());
  const http::test::Answer hit = two.ask(get("/lookup/192.0.2.1"));
  CHECK(hit.body == body_of("192.0.2.1"));
  CHECK(hit.field("Cache-Status").starts_with("holdfast; hit"));
}

// RFC 9110, 13.1.3 and 13.2.
TEST_CASE("If-Modified-Since counts if it is one date, alone, and of a 200") {
  const std::string modified = "Tue, 01 Sep 2026 00:00:00 GMT";
  const std::string since = "If-Modified-Since: " + modified + "\r\n";
  ServiceStack stack;
  stack.have_dated("192.0.2.1", modified);
  stack.have_dated("192.0.2.2", modified, 404);
  stack.have_dated("192.0.2.3", "");
  const auto status = [&](const std::string& ip, const std::string& fields) {
    return stack.client().ask(get("/lookup/" + ip, fields)).status;
  };
  CHECK(status("192.0.2.1", since) == 304);
  CHECK(status("192.0.2.1", since + since) == 200);
  CHECK(status("192.0.2.1", since + "If-None-Match: \"other\"\r\n") == 200);
  CHECK(status("192.0.2.1", since + "If-None-Match:\r\n") == 200);
  CHECK(status("192.0.2.1", "If-None-Match: \t\r\n" + since) == 200);
  CHECK(status("192.0.2.1", "If-None-Match: *\r\nIf-Modified-Since: never\r\n") == 304);
  CHECK(status("192.0.2.1", "If-Modified-Since: never\r\n") == 200);
  CHECK(status("192.0.2.1", "If-Modified-Since:\r\n") == 200);
  CHECK(status("192.0.2.2", since) == 404);
  CHECK(status("192.0.2.3", since) == 200);
  stack.pass(2h);
  CHECK(status("192.0.2.1", since) == 304);  // stale
}

// RFC 9110, 15.4.5.
TEST_CASE("a 304 names the ETag that its 200 would have, also where gzip does not pay") {
  ServiceStack stack;
  base::Random random(1);
  std::string noise(2000, '\0');
  for (char& c : noise) c = static_cast<char>(random.below(256));
  stack.have_content("192.0.2.1", std::string(2000, 'a'));
  stack.have_content("192.0.2.2", noise);
  stack.have_content("192.0.2.3", "{}");
  for (const std::string ip : {"192.0.2.1", "192.0.2.2", "192.0.2.3"}) {
    for (const std::string accept : {"", "Accept-Encoding: gzip\r\n"}) {
      CAPTURE(ip);
      CAPTURE(accept);
      const http::test::Answer whole = stack.client().ask(get("/lookup/" + ip, accept));
      REQUIRE(whole.status == 200);
      const http::test::Answer unchanged = stack.client().ask(
          get("/lookup/" + ip, accept + "If-None-Match: " + whole.field("ETag") + "\r\n"));
      CHECK(unchanged.status == 304);
      CHECK(unchanged.field("ETag") == whole.field("ETag"));
      CHECK(unchanged.field("Vary") == whole.field("Vary"));
      const bool weak = ip != "192.0.2.3" && !accept.empty();
      CHECK(whole.field("ETag").starts_with("W/") == weak);
      CHECK(whole.field("Content-Encoding") == (weak && ip == "192.0.2.1" ? "gzip" : "(none)"));
    }
  }
  CHECK(stack.client().ask(get("/lookup/192.0.2.2", "Accept-Encoding: gzip\r\n")).body == noise);
}

TEST_CASE("at the deadline a stale answer is better than 504, for batches too") {
  ServiceStack stack;
  stack.have_old("198.51.100.1");
  Client single = stack.client();
  Client picky = stack.client();
  Client batch = stack.client();
  const HeldUp held(stack);
  single.send(get("/lookup/198.51.100.1"));
  picky.send(get("/lookup/198.51.100.1", "Cache-Control: only-if-cached\r\n"));
  batch.send(post(R"(["192.0.2.1","198.51.100.1"])"));
  REQUIRE(stack.in_flight(3));
  stack.pass(10s);
  const http::test::Answer stale = single.read();
  CHECK(stale.status == 200);
  CHECK(stale.body == body_of("198.51.100.1"));
  CHECK(stale.field("Age") == "7210");
  CHECK(stale.field("Cache-Control") == "max-age=3600");  // its lifetime, long used up
  CHECK(stale.field("Cache-Status") == "holdfast; hit; ttl=-3610; detail=stale-if-error");
  CHECK(picky.read().status == 504);
  CHECK(stack.counted("lookup", "504", "absent") == 1);
  const http::test::Answer both = batch.read();
  CHECK(both.status == 200);
  CHECK(both.body == R"([{"ip":"192.0.2.1","error":"no answer came in time","status":504},)" +
                         body_of("198.51.100.1") + "]");
}

TEST_CASE("clients that leave before the deadline leave nothing behind") {
  ServiceStack stack;
  {
    const HeldUp held(stack);
    for (int i = 0; i < 3; ++i) {
      Client gone = stack.client();
      gone.send(get("/lookup/192.0.2.1"));
      REQUIRE(stack.in_flight(1));
      gone.reset();
      REQUIRE(stack.in_flight(0));
      stack.pass(4s);
    }
    Client stays = stack.client();
    stays.send(get("/lookup/192.0.2.1"));
    REQUIRE(stack.in_flight(1));
    // The deadlines of all who are gone, but not this one's.
    stack.pass(9s);
    stack.turns();
    CHECK(!stays.readable_now());
    stack.pass(1s);
    CHECK(stays.read().status == 504);
  }
  stack.on_origin([&] { CHECK(stack.fetcher().started.empty()); });
}

TEST_CASE("a page is rendered once for all who wait for it, and not for those who are gone") {
  ServiceStack stack;
  std::vector<Client> stay;
  {
    const HeldUp held(stack);
    for (std::size_t i = 0; i < 20; ++i) {
      Client gone = stack.client();
      gone.send(get("/slow"));
      REQUIRE(stack.in_flight(i + 1));
      gone.reset();
      REQUIRE(stack.in_flight(i));
      stay.push_back(stack.client());
      stay.back().send(get("/slow"));
      REQUIRE(stack.in_flight(i + 1));
    }
    CHECK(stack.rendered == 0);
  }
  for (Client& client : stay) {
    const http::test::Answer answer = client.read();
    CHECK(answer.status == 200);
    CHECK(answer.body == std::string(2000, 'p'));
    CHECK(answer.field("Cache-Control") == "no-store");
  }
  // Once for who came first, who is gone, and once for all who came later.
  CHECK(stack.rendered == 2);
  CHECK(stay[0].ask(get("/slow")).status == 200);
  CHECK(stack.rendered == 3);
  const http::test::Answer packed = stay[0].ask(get("/slow", "Accept-Encoding: gzip\r\n"));
  CHECK(packed.field("Content-Encoding") == "gzip");
}

TEST_CASE("a page that its loop does not get to is 503 at the deadline, not before") {
  ServiceStack stack;
  Client client = stack.client();
  {
    const HeldUp held(stack);
    client.send(get("/slow"));
    REQUIRE(stack.in_flight(1));
    stack.pass(9999ms);
    stack.turns();
    CHECK(!client.readable_now());
    stack.pass(1ms);
    const http::test::Answer late = client.read();
    CHECK(late.status == 503);
    CHECK(late.field("Retry-After") == "1");
    CHECK(late.field("Content-Type") == "application/problem+json");
  }
  CHECK(client.ask(get("/slow")).status == 200);
  stack.turns();
  CHECK(!client.readable_now());
}

TEST_CASE("how many lines were left out is told after a while, and at the end") {
  std::shared_ptr<std::FILE> file;
  {
    ServiceStack stack;
    file = stack.log_file;
    Client client = stack.client();
    for (int i = 0; i < 150; ++i) REQUIRE(client.ask(get("/lookup/nonsense")).status == 400);
    CHECK(stack.logged().find("not_logged") == std::string::npos);
    stack.pass(10s);
    const auto until = std::chrono::steady_clock::now() + kPatience;
    while (stack.logged().find(R"("event":"rejections_not_logged","count":50)") ==
           std::string::npos) {
      REQUIRE(std::chrono::steady_clock::now() < until);
    }
    for (int i = 0; i < 130; ++i) REQUIRE(client.ask(get("/lookup/nonsense")).status == 400);
  }
  CHECK(ServiceStack::text_of(*file).find(R"("event":"rejections_not_logged","count":30)") !=
        std::string::npos);
}

TEST_CASE("requests under way when the routes change are answered; later ones go by the new ones") {
  ServiceStack stack;
  auto held = std::make_shared<int>();
  const std::weak_ptr<const void> hold = held;
  stack.adopt(nullptr);
  stack.adopt(std::exchange(held, nullptr));
  stack.on_origin([&] { stack.fetcher().holding = true; });
  Client single = stack.client();
  Client batch = stack.client();
  Client left = stack.client();
  single.send(get("/lookup/192.0.2.1"));
  batch.send(post(R"(["192.0.2.2","192.0.2.3"])"));
  left.send(post(R"(["192.0.2.4"])"));
  REQUIRE(stack.in_flight(3));
  // Wherever they are by now.
  stack.on_origin([] {});
  stack.adopt(nullptr);
  stack.adopt(nullptr);
  CHECK(stack.client().ask(get("/lookup/192.0.2.1")).status == 404);
  CHECK(stack.client().ask(post("[]")).status == 404);
  left.reset();
  REQUIRE(stack.in_flight(2));
  CHECK_FALSE(stack.let_go(hold));

  stack.on_origin([&] { stack.fetcher().release(); });
  CHECK(single.read().body == body_of("192.0.2.1"));
  CHECK(batch.read().body == "[" + body_of("192.0.2.2") + "," + body_of("192.0.2.3") + "]");
  CHECK(stack.let_go(hold));
  CHECK(stack.counted("lookup", "200", "miss") == 1);
}

TEST_CASE("a hit and a refresh behind it hold nothing of routes that are gone") {
  ServiceStack stack;
  auto held = std::make_shared<int>();
  const std::weak_ptr<const void> hold = held;
  stack.adopt(nullptr);
  stack.adopt(std::exchange(held, nullptr));
  stack.have_old("192.0.2.1");
  stack.have_dated("192.0.2.2", "");
  stack.pass(2h);
  Client client = stack.client();
  CHECK(client.ask(get("/lookup/192.0.2.2")).field("Cache-Status").find("stale-while") !=
        std::string::npos);
  stack.adopt(nullptr);
  CHECK(stack.let_go(hold));
  CHECK(client.ask(get("/lookup/192.0.2.2")).status == 404);
}

TEST_CASE("a path that takes batches alone says so to every other method") {
  ServiceStack stack;
  Client client = stack.client();
  for (const std::string method : {"GET", "HEAD", "PUT"}) {
    CAPTURE(method);
    const http::test::Answer answer =
        client.ask(method + " /lookup HTTP/1.1\r\nHost: a\r\n\r\n", method == "HEAD");
    CHECK(answer.status == 405);
    CHECK(answer.field("Allow") == "POST, OPTIONS");
  }
  CHECK(client.ask("GET /other HTTP/1.1\r\nHost: a\r\n\r\n").status == 404);
  CHECK(stack.counted("none", "405", "error") == 3);
}

TEST_CASE("routes that are the same go on with what they have, batches and counters with it") {
  ServiceStack stack;
  auto held = std::make_shared<int>();
  stack.adopt(held);
  CHECK(stack.client().ask(get("/lookup/192.0.2.1")).status == 200);
  stack.on_origin([&] { stack.fetcher().holding = true; });
  Client batch = stack.client();
  batch.send(post(R"(["192.0.2.2"])"));
  REQUIRE(stack.in_flight(1));
  for (int i = 0; i < 100; ++i) stack.adopt(held);
  CHECK(stack.client().ask(get("/lookup/192.0.2.1")).status == 200);
  stack.on_origin([&] { stack.fetcher().release(); });
  CHECK(batch.read().body == "[" + body_of("192.0.2.2") + "]");
  CHECK(stack.counted("lookup", "200", "hit") == 1);
  CHECK(stack.counted("lookup", "200", "miss") == 1);
}
