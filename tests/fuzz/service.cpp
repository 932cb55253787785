// A connection's bytes through everything in front of the upstream: server, parser,
// router, cache, flights. Promises: the connection always comes to its end; what
// comes back is whole HTTP messages, their JSON is JSON, and a 200 of the route
// speaks of addresses alone; it is the same however the bytes are cut; the upstream
// sees canonical addresses and nothing else.
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <future>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/event_loop.h"
#include "cache/no_store.h"
#include "http/server.h"
#include "lookup_route.h"
#include "patience.h"
#include "proxy/ip_address.h"
#include "proxy/service.h"
#include "require.h"

using namespace holdfast;

namespace {

std::string body_of(std::string_view ip) {
  return R"({"ip":")" + std::string(ip) + R"(","location":"x"})";
}

// Knows every address but 192.0.2.0/24, which it finds nothing for.
class Fetcher final : public upstream::Fetcher {
 public:
  explicit Fetcher(base::Scheduler& loop) : loop_(loop) {}

  FetchId start(upstream::FetchRequest request, Callback callback) override {
    constexpr std::string_view kPrefix = "/geoip/";
    const std::string_view target = request.request.target;
    REQUIRE_HOLDS(target.starts_with(kPrefix));
    const std::string_view ip = target.substr(kPrefix.size());
    const auto canonical = proxy::canonical_ip(ip);
    REQUIRE_HOLDS(canonical && canonical->view() == ip);
    upstream::FetchResult result;
    result.end = upstream::FetchEnd::Answered;
    result.outcome = upstream::Outcome::Ok;
    result.reply.status = ip.starts_with("192.0.2.") ? 404 : 200;
    result.reply.body = body_of(ip);
    result.attempts_sent = 1;
    loop_.post([callback = std::move(callback), result] { callback(result); });
    return ++last_;
  }
  void extend(FetchId, base::SteadyTime, upstream::Priority) override {}
  void cancel(FetchId) override {}
  upstream::FetchResult so_far(FetchId) override { return {}; }

 private:
  base::Scheduler& loop_;
  FetchId last_ = 0;
};

// libFuzzer looks at the time in a signal handler, every few seconds.
template <typename Call>
auto uninterrupted(Call call) {
  auto result = call();
  while (result < 0 && errno == EINTR) result = call();
  return result;
}

class Stack {
 public:
  Stack() {
    // A Unix socket whose name the kernel picks: thousands of connections a second
    // would use up the ports.
    const sockaddr_un any{AF_UNIX, {}};
    base::UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    REQUIRE_HOLDS(
        ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&any), sizeof any.sun_family) == 0);
    REQUIRE_HOLDS(::listen(socket.get(), 16) == 0);
    REQUIRE_HOLDS(::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&name_), &name_size_) ==
                  0);
    loop_.post([this, fd = socket.release()] { server_.listen(base::UniqueFd(fd)); });
    thread_ = std::thread([this] { loop_.run(); });
  }
  ~Stack() {
    loop_.stop();
    thread_.join();
  }

  // All that comes back, the end included, to `first`, and `second` once the server
  // has had the time to read that.
  std::string answers_to(std::string_view first, std::string_view second) {
    const base::UniqueFd client(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const timeval most{kPatience.count(), 0};
    ::setsockopt(client.get(), SOL_SOCKET, SO_RCVTIMEO, &most, sizeof most);
    const auto connect = [&] {
      return ::connect(client.get(), reinterpret_cast<const sockaddr*>(&name_), name_size_);
    };
    REQUIRE_HOLDS(uninterrupted(connect) == 0);
    // Small enough for the socket's buffer: this cannot block.
    (void)!::send(client.get(), first.data(), first.size(), MSG_NOSIGNAL);
    if (!second.empty()) {
      turn();
      (void)!::send(client.get(), second.data(), second.size(), MSG_NOSIGNAL);
    }
    ::shutdown(client.get(), SHUT_WR);
    std::string answers;
    char buffer[16384];
    ssize_t got;
    const auto receive = [&] { return ::recv(client.get(), buffer, sizeof buffer, 0); };
    while ((got = uninterrupted(receive)) > 0) {
      answers.append(buffer, static_cast<std::size_t>(got));
    }
    // A server that has closed answers more with a reset, behind what it sent.
    REQUIRE_HOLDS(got == 0 || (errno == ECONNRESET && !second.empty()));
    return answers;
  }

 private:
  // Two turns: within one, this may come before the connection.
  void turn() {
    for (int i = 0; i < 2; ++i) {
      std::promise<void> done;
      loop_.post([&done] { done.set_value(); });
      done.get_future().wait();
    }
  }

  base::SystemClock clock_;
  base::EventLoop loop_{"fuzz", clock_};
  observe::Metrics metrics_;
  observe::Shard& shard_ = metrics_.shard();
  observe::Log log_;
  observe::RecentFailures failures_;
  cache::MemoryCache memory_{{.limit_bytes = 1U << 20}};
  cache::NoStore store_;
  std::unique_ptr<proxy::Route> route_ = proxy::test::lookup_route();
  proxy::Pages pages_{{"/livez", [] { return proxy::Page{}; }}};
  Fetcher fetcher_{loop_};
  proxy::Flights flights_{
      {loop_, fetcher_, memory_, store_, log_, metrics_, shard_}, proxy::Flights::Settings{}, 1};
  std::shared_ptr<const proxy::Routes> routes_ =
      std::make_shared<const proxy::Routes>(std::vector<proxy::Routes::Entry>{{*route_, flights_}});
  proxy::Service service_{
      {loop_, loop_, memory_, store_, log_, metrics_, shard_, failures_, routes_, pages_},
      proxy::Service::Settings{},
      1};
  http::Server server_{loop_, http::Server::Settings{}, service_, metrics_, shard_};
  sockaddr_un name_{};
  socklen_t name_size_ = sizeof name_;
  std::thread thread_;
};

std::string_view field(std::string_view head, std::string_view name) {
  const std::string start = "\r\n" + std::string(name) + ": ";
  const std::size_t at = head.find(start);
  if (at == head.npos) return {};
  const auto value = head.substr(at + start.size());
  return value.substr(0, value.find("\r\n"));
}

void check_content(int status, std::string_view type, std::string_view content) {
  if (type == "application/problem+json") {
    const auto json = nlohmann::json::parse(content, nullptr, false);
    REQUIRE_HOLDS(json.is_object() && json["status"] == status && json["error"].is_string());
    return;
  }
  if (type != "application/json") return;
  const auto json = nlohmann::json::parse(content, nullptr, false);
  const auto check_element = [](const nlohmann::json& element) {
    REQUIRE_HOLDS(element.is_object() && element["ip"].is_string());
    if (element.contains("error")) {
      REQUIRE_HOLDS(element["status"] == 400 || element["status"] == 404);
    } else {
      const std::string ip = element["ip"].get<std::string>();
      const auto canonical = proxy::canonical_ip(ip);
      REQUIRE_HOLDS(canonical && canonical->view() == ip);
    }
  };
  REQUIRE_HOLDS(status == 200);
  if (json.is_array()) {
    for (const auto& element : json) check_element(element);
  } else {
    check_element(json);
  }
}

// Status and content, or only the status of an error: of several mistakes in one
// request, which one is told of depends on which came first.
using Messages = std::vector<std::pair<int, std::string>>;

// Takes the messages apart; those that only say "go on" are left out. An answer to
// HEAD cannot be told from its bytes, so where one was asked for, only the first head
// is looked at.
Messages check_messages(std::string_view answers, bool maybe_head) {
  Messages messages;
  while (!answers.empty()) {
    REQUIRE_HOLDS(answers.starts_with("HTTP/1.1 "));
    const std::size_t head_end = answers.find("\r\n\r\n");
    REQUIRE_HOLDS(head_end != answers.npos);
    const std::string_view head = answers.substr(0, head_end + 2);
    const int status = std::atoi(head.data() + 9);
    REQUIRE_HOLDS(status == 100 || (status >= 200 && status <= 505));
    // Nothing fails in here, but a client may ask for what is stored alone.
    const bool only_stored = field(head, "Cache-Status") == "holdfast; detail=only-if-cached";
    REQUIRE_HOLDS(status < 500 || status == 501 || status == 505 || (status == 504 && only_stored));
    if (maybe_head) return messages;
    answers.remove_prefix(head_end + 4);
    const auto length = field(head, "Content-Length");
    REQUIRE_HOLDS(length.empty() == (status == 100 || status == 204 || status == 304));
    const std::size_t size = std::strtoul(std::string(length).c_str(), nullptr, 10);
    REQUIRE_HOLDS(size <= answers.size());
    if (field(head, "Content-Encoding").empty()) {
      check_content(status, field(head, "Content-Type"), answers.substr(0, size));
    }
    if (status != 100) messages.emplace_back(status, answers.substr(0, status < 400 ? size : 0));
    answers.remove_prefix(size);
  }
  return messages;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 16'384) return 0;
  static Stack stack;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const bool maybe_head = input.find("HEAD") != input.npos;
  const Messages whole = check_messages(stack.answers_to(input, {}), maybe_head);
  const std::size_t cut = size == 0 ? 0 : std::hash<std::string_view>{}(input) % size;
  const Messages pieces =
      check_messages(stack.answers_to(input.substr(0, cut), input.substr(cut)), maybe_head);
  // What is stored is not the same before and after.
  if (std::all_of(whole.begin(), whole.end(), [](const auto& m) { return m.first != 504; })) {
    REQUIRE_HOLDS(pieces == whole);
  }
  return 0;
}
