// GET and HEAD that are passed through, as what nothing stored may answer is.
#include <doctest/doctest.h>

#include <utility>

#include "patience.h"
#include "proxy/passed_fields.h"
#include "proxy/passing.h"
#include "test_server.h"

using namespace holdfast;
using namespace std::chrono_literals;
using http::test::Client;

namespace {

// A test plays the upstream, on the loop.
class ReadsPasser final : public upstream::Passer {
 public:
  PassId pass(upstream::StreamRequest what, base::SteadyTime, upstream::StreamPeer& whose,
              Ended then) override {
    requests.push_back(std::move(what));
    play(requests.back(), whose);
    upstream::FetchResult result;
    result.end = upstream::FetchEnd::Answered;
    result.attempts_sent = 1;
    // Behind what the peer was told.
    end = [then = std::move(then), result] { then(result); };
    return 1;
  }
  void go_on(PassId) override {}
  bool end_pass(PassId) override { return true; }

  std::function<void(const upstream::StreamRequest&, upstream::StreamPeer&)> play;
  std::vector<upstream::StreamRequest> requests;
  std::function<void()> end;
};

// Passes everything.
class ReadsHandler final : public http::Handler {
 public:
  ReadsHandler(base::Scheduler& loop, ReadsPasser& passer)
      : passer_(passer), passing_(loop, loop, {}, [](const proxy::Passing::Facts&) {}) {
    plan_.storing.http.on = true;
  }
  void handle(http::Server& server, http::ExchangeId id, const http::Request& request) override {
    upstream::Request asked{std::string(request.path),
                            proxy::passed_request_fields(request, plan_, {})};
    proxy::Passing::Order order{plan_, passer_, std::move(asked), {}};
    order.forward = {"uri-miss", {}};
    passing_.start(server, id, request, std::move(order), {.received = request.received});
  }
  void abandoned(http::ExchangeId id) override { passing_.abandoned(id); }
  std::size_t body_limit(http::Method, std::string_view) const override { return 0; }
  void rejected(const http::Rejection&) override {}
  void written(http::ExchangeId id) override { passing_.written(id); }
  void answered(http::ExchangeId id) override { passing_.answered(id); }

 private:
  static proxy::RoutePlan plan() {
    proxy::PathTemplate match = *proxy::PathTemplate::parse("/{path:rest}");
    proxy::TargetTemplate target = *proxy::TargetTemplate::parse("/{path}", match);
    return {.name = "r", .match = match, .target = target, .query = *proxy::QueryRules::parse({})};
  }
  proxy::RoutePlan plan_ = plan();
  ReadsPasser& passer_;
  proxy::Passing passing_;
};

struct Reads {
  explicit Reads(decltype(ReadsPasser::play) play) {
    passer.play = std::move(play);
    auto socket = http::listen_at({"127.0.0.1", 0});
    port = http::local_port(socket->get());
    server.emplace(loop, http::Server::Settings{}, handler, metrics, metrics.shard());
    server->listen(std::move(*socket));
    thread = std::thread([this] { loop.run(); });
  }
  ~Reads() {
    on_loop([this] { server.reset(); });
    loop.stop();
    thread.join();
  }
  void on_loop(const std::function<void()>& function) {
    std::promise<void> done;
    loop.post([&] {
      function();
      done.set_value();
    });
    done.get_future().wait();
  }

  http::test::TestClock clock;
  base::EventLoop loop{"reads", clock};
  observe::Metrics metrics;
  ReadsPasser passer;
  ReadsHandler handler{loop, passer};
  std::optional<http::Server> server;
  std::uint16_t port = 0;
  std::thread thread;
};

std::string read_request(std::string_view method, std::string_view fields) {
  return std::string(method).append(" /x HTTP/1.1\r\nHost: a\r\n").append(fields) + "\r\n";
}

}  // namespace

TEST_CASE("a GET that is passed has no content, its conditions and its client's credentials") {
  Reads reads([](const upstream::StreamRequest&, upstream::StreamPeer& peer) {
    const upstream::Fields fields{{"ETag", "\"a\""}};
    peer.head({206, fields, 2});
    peer.write("ab");
  });
  Client client(reads.port);
  const auto answer =
      client.ask(read_request("GET",
                              "Content-Length: 0\r\nRange: bytes=0-1\r\nIf-Range: \"a\"\r\n"
                              "Authorization: Basic x\r\nCookie: c=d\r\n"));
  CHECK(answer.status == 206);
  CHECK(answer.body == "ab");
  CHECK(answer.field("ETag") == "\"a\"");
  CHECK(answer.field("Cache-Status") == "holdfast; fwd=uri-miss; fwd-status=206");
  reads.on_loop([&] {
    REQUIRE(reads.passer.requests.size() == 1);
    const upstream::StreamRequest& sent = reads.passer.requests[0];
    CHECK(sent.method == "GET");
    CHECK(sent.content == upstream::StreamRequest::Content::None);
    for (const char* name : {"Range", "If-Range", "Authorization", "Cookie"}) {
      CAPTURE(name);
      CHECK(upstream::find_field(sent.request.fields, name) != nullptr);
    }
  });
}

TEST_CASE("a HEAD that is passed has the length of the content, and none of it") {
  Reads reads([](const upstream::StreamRequest& sent, upstream::StreamPeer& peer) {
    CHECK(sent.method == "HEAD");
    peer.head({200, {}, 5'000'000'000});
  });
  Client client(reads.port);
  for (int i = 0; i < 2; ++i) {  // on one connection
    const auto answer = client.ask(read_request("HEAD", ""), true);
    CHECK(answer.status == 200);
    CHECK(answer.field("Content-Length") == "5000000000");
  }
}

TEST_CASE("a 304 and a 204 that are passed end with their heads") {
  int status = 304;
  Reads reads([&status](const upstream::StreamRequest&, upstream::StreamPeer& peer) {
    peer.head({std::exchange(status, 204), {}, std::nullopt});
  });
  Client client(reads.port);
  const auto confirmed = client.ask(read_request("GET", "If-None-Match: \"a\"\r\n"));
  CHECK(confirmed.status == 304);
  CHECK(confirmed.field("Content-Length") == "(none)");
  CHECK(client.ask(read_request("GET", "")).status == 204);
}
