// A server's side of whole conversations, through libcurl and CurlTransport. Promises:
// each attempt is told of exactly once; content is never longer than the limit, nor than
// its length was stated, unless it was coded; whatever an upstream says, the next attempt on a
// connection of its own is answered. What the input is, conversation.h says.
#include <cstdint>
#include <functional>
#include <future>
#include <string>
#include <string_view>
#include <thread>

#include "base/event_loop.h"
#include "conversation.h"
#include "require.h"
#include "upstream/curl_transport.h"

using namespace holdfast;
using namespace holdfast::upstream;

namespace {

using namespace std::chrono_literals;

constexpr std::size_t kBodyLimitBytes = 4096;
constexpr std::size_t kHeadLimitBytes = 2048;
constexpr int kAttempts = 4;
void check(const Reply& reply) {
  REQUIRE_HOLDS(reply.body.size() <= kBodyLimitBytes);
  std::size_t head_bytes = 0;
  for (const Field& field : reply.fields) head_bytes += field.name.size() + field.value.size();
  REQUIRE_HOLDS(head_bytes <= kHeadLimitBytes);
  // 101 ends HTTP on its connection, so it is no interim head either.
  REQUIRE_HOLDS(reply.status == 0 || reply.status == 101 || reply.status >= 200);
  REQUIRE_HOLDS(reply.transport == Outcome::Ok || !reply.detail.empty());
  REQUIRE_HOLDS(!reply.own_lack);
  if (reply.transport != Outcome::Ok) return;
  REQUIRE_HOLDS(reply.status != 0 && reply.phase == Phase::Answer);
  if (reply.status == 101) {
    REQUIRE_HOLDS(reply.body.empty());
    return;
  }
  if (reply.status == 204 || reply.status == 304) {
    REQUIRE_HOLDS(reply.body.empty());
    return;
  }
  // What was coded is told as it was before, or not at all.
  if (find_field(reply.fields, "Content-Encoding") != nullptr) return;
  const std::string* const length = find_field(reply.fields, "Content-Length");
  if (length == nullptr || find_field(reply.fields, "Transfer-Encoding") != nullptr) return;
  REQUIRE_HOLDS(std::strtoull(length->c_str(), nullptr, 10) == reply.body.size());
}

class Stack {
 public:
  Stack() {
    thread_ = std::thread([this] { loop_.run(); });
  }
  ~Stack() {
    loop_.stop();
    thread_.join();
  }

  void converse(std::string_view script) {
    std::promise<void> done;
    loop_.post([&] {
      server_.play(script);
      ask(kAttempts, [&] {
        server_.finish();
        ask_properly([&] { done.set_value(); });
      });
    });
    done.get_future().wait();
  }

 private:
  void ask(int times, std::function<void()> then) {
    if (times == 0) return then();
    transport_.start(
        Sending{.timeout = 5s}, {"/", {}},
        [this, times, then = std::move(then), told = false](const Reply& reply) mutable {
          REQUIRE_HOLDS(!told);
          told = true;
          check(reply);
          ask(times - 1, std::move(then));
        });
  }
  void ask_properly(std::function<void()> then) {
    transport_.distrust(0, "");
    transport_.start(Sending{.timeout = 9s}, {"/", {}},
                     [then = std::move(then)](const Reply& reply) {
                       REQUIRE_HOLDS(reply.transport == Outcome::Ok && reply.body == "hello");
                       then();
                     });
  }

  base::SystemClock clock_;
  base::EventLoop loop_{"fuzz", clock_};
  fuzz::Conversation server_{loop_};
  CurlTransport transport_{loop_, CurlTransport::Settings{.base_urls = {server_.url()},
                                                          .body_limit_bytes = kBodyLimitBytes,
                                                          .head_limit_bytes = kHeadLimitBytes}};
  std::thread thread_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static Stack stack;
  if (size > 16384) return 0;
  stack.converse({reinterpret_cast<const char*>(data), size});
  return 0;
}
