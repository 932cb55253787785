// What is passed through, between a client on one loop and a transfer on another: windows, order
// and ends.
#include <doctest/doctest.h>

#include <fcntl.h>
#include <unistd.h>

#include <cstring>
#include <sstream>

#include "cache/no_store.h"
#include "patience.h"
#include "proxy/service.h"
#include "two_loops.h"

using namespace holdfast;
using namespace std::chrono_literals;
using http::test::Client;

namespace {

// Sends nothing: a test plays the upstream.
class Passer final : public upstream::Passer {
 public:
  PassId pass(upstream::StreamRequest what, base::SteadyTime, upstream::StreamPeer& whose,
              Ended then) override {
    const std::lock_guard lock(mutex);
    request = std::move(what);
    peer = &whose;
    ended = std::move(then);
    return 1;
  }
  void go_on(PassId) override { ++go_ons; }
  bool end_pass(PassId) override {
    ended = {};
    left = true;
    return true;
  }

  std::mutex mutex;
  upstream::StreamRequest request;
  std::atomic<upstream::StreamPeer*> peer{nullptr};
  Ended ended;
  std::atomic<int> go_ons{0};
  std::atomic<bool> left{false};
};

class NoFetcher final : public upstream::Fetcher {
 public:
  FetchId start(upstream::FetchRequest, Callback) override { return 0; }
  void extend(FetchId, base::SteadyTime, upstream::Priority) override {}
  void cancel(FetchId) override {}
  upstream::FetchResult so_far(FetchId) override { return {}; }
};

struct Pipe {
  Pipe() {
    int ends[2];
    REQUIRE(::pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0);
    read = base::UniqueFd(ends[0]);
    write = base::UniqueFd(ends[1]);
  }
  base::UniqueFd read, write;
};

proxy::RoutePlan pass_plan() {
  proxy::PathTemplate match = *proxy::PathTemplate::parse("/{path:rest}");
  proxy::TargetTemplate target = *proxy::TargetTemplate::parse("/base/{path}", match);
  return {.name = "r",
          .key_prefix = "r/",
          .match = match,
          .target = target,
          .methods = proxy::MethodSet::all(),
          .query = *proxy::QueryRules::parse({})};
}

class Stack : public proxy::test::TwoLoops {
 public:
  Stack() { serve(service_); }
  ~Stack() { stop(); }
  void head(int status, std::optional<std::uint64_t> length) {
    on_origin([&] { passer.peer.load()->head({status, fields, length}); });
  }
  void end(upstream::FetchResult result) {
    on_origin([&] {
      const auto ended = std::exchange(passer.ended, {});
      ended(std::move(result));
    });
  }
  // As a reload after which the route is another one, whose keys are of another form.
  void adopt_other() {
    proxy::RoutePlan changed = pass_plan();
    changed.key_prefix = "r~2/";
    other_ = std::make_unique<proxy::Route>(std::move(changed));
    const auto next = std::make_shared<const proxy::Routes>(
        std::vector<proxy::Routes::Entry>{{*other_, flights_, &passer}});
    const auto table = service_.prepare(next);
    on_origin([&] { now_ = next; });
    on(worker_, [&] { service_.adopt(table); });
  }
  void store(const std::string& key) {
    memory_.put(key, cache::make_stored({.body = "{}", .response_time = clock.wall()}));
  }
  bool stored(const std::string& key) { return memory_.find(key) != nullptr; }
  // As a reload that takes all routes out of service.
  void adopt_none() {
    const auto none = std::make_shared<const proxy::Routes>(std::vector<proxy::Routes::Entry>{});
    const auto table = service_.prepare(none);
    on_origin([&] { now_ = none; });
    on(worker_, [&] { service_.adopt(table); });
    hold_.reset();
    routes_.reset();
  }
  // Whether anybody needs the route and its upstream, so far as the service is concerned.
  bool held() {
    turns();
    return !held_.expired();
  }
  // What the peer has of the content by now: all that there is.
  void read_into(std::string& content, bool& whole) {
    on_origin([&] {
      char bytes[10'000];
      for (;;) {
        const auto got = passer.peer.load()->read(bytes, sizeof bytes);
        whole = got == std::size_t{0};
        if (!got || whole) return;
        content.append(bytes, *got);
      }
    });
  }
  double counted(const std::string& code, const std::string& cache = "pass") {
    turns();
    return metrics_.value(observe::Family::Requests,
                          {{"route", "r"}, {"code", code}, {"cache", cache}});
  }
  double abandoned() { return metrics_.value(observe::Family::RequestsAbandoned, {}); }
  std::size_t connections() const { return server_->stats().connections; }
  // Of the log, on requests.
  std::vector<std::string> lines() {
    turns();
    log_.flush();
    char bytes[10'000];
    const ssize_t count = ::read(log_pipe_.read.get(), bytes, sizeof bytes);
    std::istringstream text(std::string(bytes, count > 0 ? static_cast<std::size_t>(count) : 0));
    std::vector<std::string> found;
    for (std::string line; std::getline(text, line);) {
      if (line.find("\"event\":\"request") != std::string::npos) found.push_back(line);
    }
    return found;
  }

  Passer passer;
  const upstream::Fields fields{{"X-Up", "1"}};

 private:
  Pipe log_pipe_;
  observe::Log log_{{.fd = log_pipe_.write.get()}};
  observe::RecentFailures failures_;
  cache::MemoryCache memory_{{.limit_bytes = 1U << 20}};
  cache::NoStore store_;
  proxy::Route route_{pass_plan()};
  proxy::Pages pages_;
  NoFetcher fetcher_;
  proxy::Flights flights_{{origin_, fetcher_, memory_, store_, log_, metrics_, origin_shard_},
                          proxy::Flights::Settings{},
                          1};
  std::shared_ptr<const void> hold_ = std::make_shared<int>();
  const std::weak_ptr<const void> held_ = hold_;
  std::shared_ptr<const proxy::Routes> routes_ = std::make_shared<const proxy::Routes>(
      std::vector<proxy::Routes::Entry>{{route_, flights_, &passer, hold_}});
  std::shared_ptr<const proxy::Routes> now_ = routes_;  // the origin loop's
  std::unique_ptr<proxy::Route> other_;
  proxy::Service service_{{worker_, origin_, memory_, store_, log_, metrics_, worker_shard_,
                           failures_, routes_, pages_, [this] { return now_; }},
                          {.request_deadline = 10s},
                          1};
};

std::string post(std::string_view path, std::string_view fields) {
  return std::string("POST ").append(path).append(" HTTP/1.1\r\nHost: a\r\n").append(fields) +
         "\r\n";
}

upstream::FetchResult whole(int status) {
  upstream::FetchResult result;
  result.end = upstream::FetchEnd::Answered;
  result.outcome = upstream::Outcome::Ok;
  result.reply.status = status;
  result.attempts_sent = 1;
  return result;
}

upstream::FetchResult failed(upstream::FetchEnd end, int attempts) {
  upstream::FetchResult result;
  result.end = end;
  result.outcome = upstream::Outcome::Reset;
  result.attempts_sent = attempts;
  result.reply.phase = upstream::Phase::Answer;
  result.retry_after = 3s;
  return result;
}

}  // namespace

TEST_CASE("content and answer go through, in order, also what came before the head was told") {
  Stack stack;
  Client client = stack.client();
  client.send(post("/a?b=c", "Content-Length: 6\r\nContent-Type: x/y\r\n") + "abcdef");
  REQUIRE(stack.eventually([&] { return stack.passer.peer != nullptr; }));
  CHECK(stack.passer.request.method == "POST");
  CHECK(stack.passer.request.request.target == "/base/a?b=c");
  CHECK(stack.passer.request.content == upstream::StreamRequest::Content::Length);
  CHECK(stack.passer.request.content_length == 6);
  CHECK(*upstream::find_field(stack.passer.request.request.fields, "Content-Type") == "x/y");
  std::string content;
  bool is_whole = false;
  CHECK(stack.eventually([&] {
    stack.read_into(content, is_whole);
    return is_whole;
  }));
  CHECK(content == "abcdef");
  stack.on_origin([&] {
    upstream::StreamPeer& peer = *stack.passer.peer;
    peer.head({201, stack.fields, 9});
    peer.write("123");
    peer.write("456");
  });
  stack.on_origin([&] { stack.passer.peer.load()->write("789"); });
  stack.end(whole(201));
  const http::test::Answer answer = client.read();
  CHECK(answer.status == 201);
  CHECK(answer.body == "123456789");
  CHECK(answer.field("X-Up") == "1");
  CHECK(stack.counted("201") == 1);
}

TEST_CASE("interim answers come before the answer, without what is of the connection alone") {
  Stack stack;
  Client client = stack.client();
  client.send(post("/a", ""));
  REQUIRE(stack.eventually([&] { return stack.passer.peer != nullptr; }));
  stack.on_origin([&] {
    stack.passer.peer.load()->interim(103, {{"Link", "</a>"}, {"Connection", "X"}, {"X", "1"}});
  });
  CHECK(client.read().head == "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nVia: 1.1 holdfast\r\n");
  stack.head(200, 0);
  stack.end(whole(200));
  CHECK(client.read().status == 200);
  CHECK(stack.counted("200") == 1);
}

TEST_CASE("who waits to be asked for a content is, once the upstream wants it") {
  Stack stack;
  Client client = stack.client();
  client.send(post("/a", "Content-Length: 3\r\nExpect: 100-continue\r\n"));
  REQUIRE(stack.eventually([&] { return stack.passer.peer != nullptr; }));
  CHECK(stack.passer.request.expects_continue);
  CHECK(upstream::find_field(stack.passer.request.request.fields, "Expect") == nullptr);
  stack.turns();
  CHECK_FALSE(client.readable_now());
  SUBCASE("it does") {
    std::string content;
    bool is_whole = false;
    stack.read_into(content, is_whole);
    CHECK(client.read().status == 100);
    client.send("abc");
    CHECK(stack.eventually([&] {
      stack.read_into(content, is_whole);
      return is_whole;
    }));
    CHECK(content == "abc");
    stack.head(200, 0);
    stack.end(whole(200));
    CHECK(client.read().field("Connection") != "close");
  }
  SUBCASE("it answers without") {
    stack.head(417, 2);
    stack.on_origin([&] { stack.passer.peer.load()->write("no"); });
    stack.end(whole(417));
    const http::test::Answer answer = client.read();
    CHECK(answer.status == 417);
    CHECK(answer.body == "no");
    CHECK(answer.field("Connection") == "close");
    client.half_close();
    CHECK(client.at_end());
  }
  SUBCASE("it cannot be asked") {
    stack.end(failed(upstream::FetchEnd::BreakerOpen, 0));
    const http::test::Answer answer = client.read();
    CHECK(answer.status == 503);
    CHECK(answer.field("Connection") == "close");
  }
}

TEST_CASE("an Expect without content, or of HTTP/1.0, is waited for by nobody") {
  Stack stack;
  Client client = stack.client();
  SUBCASE("without content") {
    client.send(post("/a", "Content-Length: 0\r\nExpect: 100-continue\r\n"));
  }
  SUBCASE("of HTTP/1.0") {
    client.send("POST /a HTTP/1.0\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\nabc");
  }
  REQUIRE(stack.eventually([&] { return stack.passer.peer != nullptr; }));
  CHECK_FALSE(stack.passer.request.expects_continue);
  stack.head(200, 0);
  stack.end(whole(200));
  CHECK(client.read().status == 200);
}

TEST_CASE("no more of a content is on its way than the window, however much the client has") {
  Stack stack;
  Client client = stack.client();
  constexpr std::size_t kAll = 1'000'000;
  client.send(post("/a", "Content-Length: 1000000\r\n"));
  std::thread sender([&] { client.send(std::string(kAll, 'x')); });
  REQUIRE(stack.eventually([&] { return stack.passer.peer != nullptr; }));
  std::string content;
  bool is_whole = false;
  while (!is_whole) {
    stack.turns();
    const std::size_t before = content.size();
    stack.read_into(content, is_whole);
    CHECK(content.size() - before <= 128U << 10);
  }
  CHECK(content.size() == kAll);
  sender.join();
  stack.head(204, std::nullopt);
  stack.end(whole(204));
  CHECK(client.read().status == 204);
}

TEST_CASE("a client that does not read leaves no room, and makes some by reading") {
  Stack stack;
  Client client = stack.client(4096);
  client.send(post("/a", ""));
  REQUIRE(stack.eventually([&] { return stack.passer.peer != nullptr; }));
  stack.head(200, std::nullopt);
  const std::string piece(16 << 10, 'x');
  std::size_t written = 0;
  const auto fill = [&] {
    bool room = true;
    while (room && written < (256U << 20)) {
      stack.turns();
      stack.on_origin([&] {
        room = stack.passer.peer.load()->has_room(0);
        if (!room) return;
        stack.passer.peer.load()->write(piece);
        written += piece.size();
      });
    }
  };
  fill();
  REQUIRE(written < (64U << 20));  // what the kernel holds, and the window
  CHECK(stack.passer.go_ons == 0);
  std::size_t read = 0;
  while (read < written) read += client.read_some(1 << 20);
  CHECK(stack.eventually([&] { return stack.passer.go_ons == 1; }));
  stack.on_origin([&] { CHECK(stack.passer.peer.load()->has_room(0)); });
  stack.end(whole(200));
}

TEST_CASE("while few answers are under way each has a wide window, and a crowd has not") {
  Stack stack;
  std::vector<Client> clients;
  for (std::size_t others = 0; others < 10; ++others) {
    CAPTURE(others);
    stack.passer.peer = nullptr;
    clients.push_back(stack.client());
    clients.back().send(post("/a", ""));
    REQUIRE(stack.eventually([&] { return stack.passer.peer != nullptr; }));
    stack.on_origin([&] {
      const bool few = others < proxy::Passing::Settings{}.few;
      CHECK(stack.passer.request.reads_much == few);
      CHECK(stack.passer.peer.load()->has_room(0));
      CHECK(stack.passer.peer.load()->has_room(512U << 10) == few);
    });
  }
}

TEST_CASE("what fails before its answer is told as what it is, and after it is cut off") {
  Stack stack;
  Client client = stack.client();
  client.send(post("/a", ""));
  REQUIRE(stack.eventually([&] { return stack.passer.peer != nullptr; }));
  SUBCASE("lost") {
    stack.end(failed(upstream::FetchEnd::GaveUp, 1));
    const http::test::Answer answer = client.read();
    CHECK(answer.status == 502);
    CHECK(answer.body.find("sent once") != std::string::npos);
    CHECK(stack.counted("502", "error") == 1);
  }
  SUBCASE("never sent") {
    upstream::FetchResult unsent = failed(upstream::FetchEnd::GaveUp, 1);
    unsent.outcome = upstream::Outcome::Connect;
    unsent.reply.phase = upstream::Phase::Connect;
    stack.end(std::move(unsent));
    const http::test::Answer answer = client.read();
    CHECK(answer.status == 502);
    CHECK(answer.body.find("this request was not sent") != std::string::npos);
    CHECK(answer.body.find("once") == std::string::npos);
  }
  SUBCASE("not asked") {
    stack.end(failed(upstream::FetchEnd::BreakerOpen, 0));
    const http::test::Answer answer = client.read();
    CHECK(answer.status == 503);
    CHECK(answer.field("Retry-After") == "3");
    CHECK(answer.body.find("this request was not sent") != std::string::npos);
  }
  SUBCASE("broken off") {
    stack.head(200, 10);
    stack.on_origin([&] { stack.passer.peer.load()->write("abc"); });
    stack.end(failed(upstream::FetchEnd::GaveUp, 1));
    CHECK_FALSE(client.read_to_end());
  }
}

TEST_CASE(
    "a client that leaves behind the last byte has had its answer, and the transfer ends itself") {
  Stack stack;
  Client client = stack.client();
  client.send(post("/a", "Content-Length: 3\r\n") + "abc");
  REQUIRE(stack.eventually([&] { return stack.passer.peer != nullptr; }));
  std::string content;
  bool is_whole = false;
  CHECK(stack.eventually([&] {
    stack.read_into(content, is_whole);
    return is_whole;
  }));
  upstream::FetchResult end = whole(201);
  SUBCASE("by its length") {
    SUBCASE("and the transfer fails then") {
      end = failed(upstream::FetchEnd::GaveUp, 1);
    }
    SUBCASE("and the transfer ends well") {}
    stack.head(201, 6);
    stack.on_origin([&] { stack.passer.peer.load()->write("answer"); });
    CHECK(client.read().body == "answer");
  }
  SUBCASE("without content") {
    stack.head(201, 0);
    CHECK(client.read().status == 201);
  }
  client.close();
  CHECK(stack.eventually([&] { return stack.connections() == 0; }));
  CHECK(stack.counted("201") == 1);
  CHECK(stack.abandoned() == 0);
  CHECK_FALSE(stack.passer.left);
  const auto lines = stack.lines();
  REQUIRE(lines.size() == 1);
  CHECK(lines[0].find(
            R"("status":201,"cache":"pass","detail":"","attempts":1,"upstream_status":201)") !=
        std::string::npos);
  stack.end(std::move(end));
  CHECK(stack.counted("201") == 1);
}

TEST_CASE("a client that leaves earlier is abandoned, and its request is in the log") {
  Stack stack;
  Client client = stack.client();
  client.send(post("/a", ""));
  REQUIRE(stack.eventually([&] { return stack.passer.peer != nullptr; }));
  std::string expected =
      R"("status":499,"cache":"pass","detail":"","attempts":1,"upstream_status":0)";
  SUBCASE("before the answer") {}
  SUBCASE("in the middle of it") {
    stack.head(200, 6);
    stack.on_origin([&] { stack.passer.peer.load()->write("answ"); });
    client.read_some(1);
    expected = R"("status":200,"cache":"pass","detail":"","attempts":1,"upstream_status":200)";
  }
  client.close();
  CHECK(stack.eventually([&] { return stack.passer.left.load(); }));
  CHECK(stack.counted("200") == 0);
  CHECK(stack.abandoned() == 1);
  const auto lines = stack.lines();
  REQUIRE(lines.size() == 1);
  CHECK(lines[0].find(expected) != std::string::npos);
  CHECK(lines[0].find(R"("cause":"the client's connection ended before its answer")") !=
        std::string::npos);
}

TEST_CASE("what the upstream says itself has a cause in the log") {
  Stack stack;
  Client client = stack.client();
  client.send(post("/a", ""));
  REQUIRE(stack.eventually([&] { return stack.passer.peer != nullptr; }));
  SUBCASE("with a length") {
    stack.head(500, 0);
    CHECK(client.read().status == 500);
  }
  SUBCASE("in chunks") {
    stack.head(500, std::nullopt);
  }
  stack.end(whole(500));
  const auto lines = stack.lines();
  REQUIRE(lines.size() == 1);
  CHECK(lines[0].find(R"("cause":"the upstream answered 500")") != std::string::npos);
  CHECK(stack.counted("500") == 1);
}

TEST_CASE("a content that is too large is refused, counted and logged for its route") {
  Stack stack;
  Client client = stack.client();
  std::string answer;
  SUBCASE("by its length") {
    client.send(post("/a", "Content-Length: 1048577\r\nX-Request-ID: mine\r\n"));
    const http::test::Answer refused = client.read();
    CHECK(refused.field("X-Request-ID") == "mine");
    CHECK(refused.field("Retry-After") == "(none)");
    answer = refused.body;
    CHECK(stack.passer.peer == nullptr);
  }
  SUBCASE("by its chunks") {
    client.send(post("/a", "Transfer-Encoding: chunked\r\nX-Request-ID: mine\r\n") + "100001\r\n");
    answer = client.read().body;
    CHECK(stack.eventually([&] { return stack.passer.left.load(); }));
  }
  CHECK(answer.find("the content is larger than the 1 MiB that this route takes "
                    "(max_request_body)") != std::string::npos);
  CHECK(stack.counted("413", "error") == 1);
  CHECK(stack.abandoned() == 0);
  const auto lines = stack.lines();
  REQUIRE(lines.size() == 1);
  for (const char* part : {R"("level":"info","event":"request",)", R"("request_id":"mine")",
                           R"("path":"/a")", R"("route":"r")", R"("status":413)"}) {
    CAPTURE(part);
    CHECK(lines[0].find(part) != std::string::npos);
  }
}

TEST_CASE("a client that leaves ends it, and what comes afterwards finds nobody") {
  Stack stack;
  Client client = stack.client();
  client.send(post("/a", ""));
  REQUIRE(stack.eventually([&] { return stack.passer.peer != nullptr; }));
  client.close();
  CHECK(stack.eventually([&] { return stack.passer.left.load(); }));
}

TEST_CASE("what is passed through ends by the route it began with, though that is out of service") {
  Stack stack;
  Client client = stack.client();
  client.send(post("/a", "Content-Length: 6\r\n") + "abc");
  REQUIRE(stack.eventually([&] { return stack.passer.peer != nullptr; }));
  stack.adopt_none();
  CHECK(stack.held());
  client.send("def");
  std::string content;
  bool is_whole = false;
  CHECK(stack.eventually([&] {
    stack.read_into(content, is_whole);
    return is_whole;
  }));
  CHECK(content == "abcdef");
  stack.head(200, 6);
  stack.on_origin([&] { stack.passer.peer.load()->write("answer"); });
  CHECK(stack.held());
  stack.end(whole(200));
  CHECK(client.read().body == "answer");
  CHECK(stack.counted("200") == 1);
  CHECK(stack.eventually([&] { return !stack.held(); }));
  CHECK(client.ask(post("/a", "Content-Length: 0\r\n")).status == 404);
}

TEST_CASE("a change upstream forgets the answer of the routes that are in service when it ends") {
  Stack stack;
  stack.store("r/a");
  Client client = stack.client();
  client.send(post("/a", "Content-Length: 0\r\n"));
  REQUIRE(stack.eventually([&] { return stack.passer.peer != nullptr; }));
  stack.adopt_other();
  stack.store("r~2/a");
  stack.store("r~2/b");
  stack.head(200, 0);
  stack.end(whole(200));
  CHECK(client.read().status == 200);
  CHECK_FALSE(stack.stored("r/a"));
  CHECK_FALSE(stack.stored("r~2/a"));
  CHECK(stack.stored("r~2/b"));
}

TEST_CASE("content that began to come while nobody passed it through does not go upstream") {
  Stack stack;
  Client client = stack.client();
  stack.adopt_none();
  client.send(post("/a", "Content-Length: 6\r\n") + "abc");
  stack.turns();
  client.wait_until_received();
  stack.turns();
  stack.adopt_other();
  client.send("def");
  CHECK(client.read().status == 503);
  stack.turns();
  CHECK(stack.passer.peer == nullptr);
}
