// Whole conversations of an upstream through transport, judge, the route's validator and
// storing, beside a strict reading of the same bytes. Promises: what is served was said,
// whole, by one response to the request it was served to; of that response, what forbids storing is
// obeyed; what is stored has its content. What the input is, conversation.h says.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/event_loop.h"
#include "cache/freshness.h"
#include "conversation.h"
#include "lookup_route.h"
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
      stored_ = nullptr;
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
    upstream::Request request = route_->upstream_request(kKey);
    // As a flight does.
    if (stored_ && !stored_->upstream_etag.empty()) {
      request.fields.push_back({"If-None-Match", stored_->upstream_etag});
    } else if (stored_ && !stored_->upstream_last_modified.empty()) {
      request.fields.push_back({"If-Modified-Since", stored_->upstream_last_modified});
    }
    attempt_ = times;
    server_.attempt(times);
    transport_.start(
        upstream::Sending{.timeout = 5s}, request,
        [this, times, request, then = std::move(then)](const upstream::Reply& reply) mutable {
          check(request, reply);
          ask(times - 1, std::move(then));
        });
  }

  void check(const upstream::Request& request, const upstream::Reply& reply) {
    using upstream::Outcome;
    const upstream::Verdict verdict = upstream::judge(
        request, reply,
        [this](const upstream::Reply& whole) { return route_->validate(kKey, whole); });
    const bool negative =
        verdict.outcome == Outcome::ClientError && upstream::is_negative(reply.status);
    if (verdict.outcome != Outcome::Ok && verdict.outcome != Outcome::NotModified && !negative) {
      REQUIRE_HOLDS(!verdict.reason.empty() || upstream::is_answer(verdict.outcome) ||
                    reply.status != 200);
      return;
    }
    const bool confirmed = verdict.outcome == Outcome::NotModified;
    REQUIRE_HOLDS(!confirmed || stored_);
    const base::WallTime now = clock_.wall();
    const proxy::StoringPolicy policy;
    const proxy::Storable storable = confirmed
                                         ? proxy::freshen(*stored_, reply, policy, now, random_)
                                         : proxy::make_storable(reply, policy, now, random_);
    const cache::StoredResponse& made = *storable.response;
    REQUIRE_HOLDS(negative || made.body == (confirmed ? stored_->body : reply.body));
    REQUIRE_HOLDS(!confirmed || reply.body.empty());

    if (said_nul_first()) return;
    // The same content may have been said twice, with other fields: one of them allowed it.
    const std::vector<fuzz::StrictResponse> said = said_of(reply);
    if (said.empty()) show(reply);
    REQUIRE_HOLDS(!said.empty());
    const auto all = [&said](auto holds) { return std::all_of(said.begin(), said.end(), holds); };
    const auto any = [&said](auto holds) { return std::any_of(said.begin(), said.end(), holds); };
    const auto directive = [](std::string_view word) {
      return [word](const fuzz::StrictResponse& one) { return says(one, "cache-control", word); };
    };
    REQUIRE_HOLDS(!storable.may_store || !all([&](const fuzz::StrictResponse& one) {
      return directive("no-store")(one) || directive("private")(one) || says(one, "vary", "*");
    }));
    if (all([&](const fuzz::StrictResponse& one) {
          return directive("no-cache")(one) ||
                 (directive("max-age=0")(one) && !directive("s-maxage")(one));
        })) {
      REQUIRE_HOLDS(cache::freshness(made, now).use != cache::Use::Fresh);
    }
    if (all([&](const fuzz::StrictResponse& one) {
          return directive("no-cache")(one) || directive("must-revalidate")(one) ||
                 directive("proxy-revalidate")(one);
        })) {
      const auto stale = now + made.freshness_lifetime + 1s;
      REQUIRE_HOLDS(cache::freshness(made, stale).use == cache::Use::Unusable);
    }
    // Validators that belong to another content would confirm that one later.
    const auto validates = [&](std::string_view name, const std::string& value) {
      return value.empty() ||
             (confirmed &&
              (value == stored_->upstream_etag || value == stored_->upstream_last_modified)) ||
             any([&](const fuzz::StrictResponse& one) {
               return std::any_of(one.fields.begin(), one.fields.end(), [&](const auto& field) {
                 return field.first == name && visible(field.second) == visible(value);
               });
             });
    };
    REQUIRE_HOLDS(validates("etag", made.upstream_etag));
    REQUIRE_HOLDS(validates("last-modified", made.upstream_last_modified));
    // What clients are sent are lines, and as many as there are fields.
    std::size_t lines = 0;
    for (std::size_t at = 0; at < made.fields.size(); ++lines) {
      const std::size_t end = made.fields.find("\r\n", at);
      REQUIRE_HOLDS(end != made.fields.npos);
      const std::string line = made.fields.substr(at, end - at);
      REQUIRE_HOLDS(line.find(": ") != line.npos);
      REQUIRE_HOLDS(std::none_of(line.begin(), line.end(), is_control));
      at = end + 2;
    }
    REQUIRE_HOLDS(lines <= 3);
    if (storable.may_store && !negative) stored_ = storable.response;
  }

  // What it may be made of.
  std::vector<fuzz::StrictResponse> said_of(const upstream::Reply& reply) const {
    std::vector<fuzz::StrictResponse> all;
    for (const fuzz::Said& connection : server_.said()) {
      for (fuzz::StrictResponse& response : fuzz::strict_responses(connection)) {
        if (response.attempt == attempt_ && response.status == reply.status &&
            response.body == reply.body) {
          all.push_back(std::move(response));
        }
      }
    }
    return all;
  }

  // A line of a head that begins with NUL: libcurl 7.88 drops whatever the same read brought from
  // there on, before anybody sees it, and takes what the next one brings for the rest of the head.
  bool said_nul_first() const {
    const std::vector<fuzz::Said>& said = server_.said();
    return std::any_of(said.begin(), said.end(), [](const fuzz::Said& connection) {
      return connection.bytes.find(std::string_view("\n\0", 2)) != std::string::npos;
    });
  }

  static bool is_control(char c) {
    const auto byte = static_cast<unsigned char>(c);
    return (byte < 0x20 && c != '\t') || byte == 0x7f;
  }
  // A recipient may make blanks of controls, and one of several.
  static std::string visible(std::string text) {
    std::erase_if(text, [](char c) { return c == ' ' || c == '\t' || is_control(c); });
    return text;
  }

  // For whoever is to find out.
  void show(const upstream::Reply& reply) const {
    std::fprintf(stderr, "attempt %d was served %d, %zu bytes: %s\n", attempt_, reply.status,
                 reply.body.size(), reply.body.c_str());
    for (const fuzz::Said& connection : server_.said()) {
      std::fprintf(stderr, "connection, %zu bytes said%s; asked at", connection.bytes.size(),
                   connection.ended ? " to the end" : "");
      for (const auto& asked : connection.asked) {
        std::fprintf(stderr, " %zu by %d", asked.at, asked.attempt);
      }
      std::fprintf(stderr, "\n");
      for (const char c : connection.bytes) {
        const auto byte = static_cast<unsigned char>(c);
        const bool shown = (byte >= 0x20 && byte < 0x7f && c != '\\') || c == '\n';
        if (shown) std::fputc(c, stderr);
        if (!shown) std::fprintf(stderr, "\\x%02x", byte);
      }
      std::fprintf(stderr, "\n");
    }
  }

  int attempt_ = 0;
  cache::StoredPtr stored_;  // of this conversation
  base::SystemClock clock_;
  base::Random random_{1};
  base::EventLoop loop_{"fuzz", clock_};
  fuzz::Conversation server_{loop_};
  std::unique_ptr<proxy::Route> route_ = proxy::test::lookup_route({}, kBodyLimitBytes);
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
