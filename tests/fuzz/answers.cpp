// Whole conversations of an upstream through transport, judge, the route's validator and
// storing, beside a strict reading of the same bytes. Promises: what is served was said,
// whole, by one response; of that response, what forbids storing is obeyed; what is stored
// has its content. What the input is, conversation.h says.
#include <algorithm>
#include <cstdint>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <string_view>
#include <thread>

#include "base/event_loop.h"
#include "cache/freshness.h"
#include "conversation.h"
#include "proxy/geoip_route.h"
#include "proxy/storing.h"
#include "require.h"
#include "strict_response.h"
#include "upstream/curl_transport.h"
#include "upstream/judge.h"

using namespace holdfast;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t kBodyLimitBytes = 4096;
constexpr std::size_t kHeadLimitBytes = 2048;
constexpr int kAttempts = 4;
constexpr std::string_view kKey = "lookup/8.8.8.8";

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
        // Nothing of this input's is left for the next one.
        transport_.distrust(0, "");
        transport_.start(upstream::Sending{.timeout = 9s}, {"/", {}},
                         [&](const upstream::Reply&) { done.set_value(); });
      });
    });
    done.get_future().wait();
  }

 private:
  void ask(int times, std::function<void()> then) {
    if (times == 0) return then();
    const upstream::Request request = route_->upstream_request(kKey);
    transport_.start(
        upstream::Sending{.timeout = 5s}, request,
        [this, times, request, then = std::move(then)](const upstream::Reply& reply) mutable {
          check(request, reply);
          ask(times - 1, std::move(then));
        });
  }

  void check(const upstream::Request& request, const upstream::Reply& reply) {
    const upstream::Verdict verdict = upstream::judge(
        request, reply,
        [this](const upstream::Reply& whole) { return route_->validate(kKey, whole); });
    if (verdict.outcome != upstream::Outcome::Ok) {
      REQUIRE_HOLDS(!verdict.reason.empty() || upstream::is_answer(verdict.outcome) ||
                    reply.status != 200);
      return;
    }
    bool said = false, forbidden = true, fresh_forbidden = true;
    // The same content may have been said twice, with other fields: one of them allowed it.
    for (const std::string& connection : server_.said()) {
      for (const fuzz::StrictResponse& response : fuzz::strict_responses(connection)) {
        if (response.status != reply.status || response.body != reply.body) continue;
        said = true;
        forbidden = forbidden &&
                    (says(response, "cache-control", "no-store") ||
                     says(response, "cache-control", "private") || says(response, "vary", "*"));
        fresh_forbidden = fresh_forbidden && says(response, "cache-control", "no-cache");
      }
    }
    REQUIRE_HOLDS(said);
    const base::WallTime now = clock_.wall();
    const proxy::Storable storable =
        proxy::make_storable(reply, proxy::StoringPolicy{}, now, random_);
    REQUIRE_HOLDS(storable.response->body == reply.body);
    REQUIRE_HOLDS(!forbidden || !storable.may_store);
    REQUIRE_HOLDS(!fresh_forbidden ||
                  cache::freshness(*storable.response, now).use != cache::Use::Fresh);
  }

  base::SystemClock clock_;
  base::Random random_{1};
  base::EventLoop loop_{"fuzz", clock_};
  fuzz::Conversation server_{loop_};
  std::unique_ptr<proxy::Route> route_ = proxy::make_geoip_route(nullptr, kBodyLimitBytes);
  upstream::CurlTransport transport_{
      loop_, upstream::CurlTransport::Settings{.base_urls = {server_.url()},
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
