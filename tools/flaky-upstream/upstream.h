// Upstream is the service that flaky-upstream plays, the lookup or another API: it decides what
// each request gets, and when. Control (control.h) turns its knobs while it runs.
// Everything belongs to the loop's thread; nothing blocks.
//
// A request's life: received -> (latency) -> (held) -> sent -> ended. It is in
// flight from received to ended, and one that hangs is so until its client goes.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "answer_source.h"
#include "api.h"
#include "availability.h"
#include "block.h"
#include "fault_answers.h"
#include "http_server.h"
#include "latency.h"
#include "rate_limit.h"
#include "stats.h"

namespace holdfast::flaky {

struct UpstreamSettings {
  std::vector<std::string> paths = {"/geoip/"};  // what the address may follow
  std::shared_ptr<const Api> api;                // instead of the lookup
  std::string token;                             // empty: none is asked for
  std::string token_field, token_query;          // where it is looked for; both empty: bearer
  std::uint64_t seed = 1;
  std::uint64_t requests_per_second = 0;  // 0: no limit
  FaultMix faults;
  FaultSettings fault_settings;
  Latency latency;
  std::vector<std::pair<Block, Latency>>
      latency_for;  // instead, for addresses in there; first wins
  // After so many further requests it closes after each answer, and says so.
  std::optional<std::uint64_t> close_after;
  bool etag = false;  // a strong one, from the content
  Fields fields;      // added to every 200 and 304, such as Cache-Control
  std::uint64_t edition = 0;
};

class Upstream final : public RequestHandler {
 public:
  // With `database`, answers come from there; otherwise they are generated.
  Upstream(base::EventLoop& loop, ListenSettings listen, UpstreamSettings settings,
           std::unique_ptr<AnswerSource> database = nullptr);
  ~Upstream() override;

  std::uint16_t port() const { return server_.port(); }

  // Runs after every change of the counters.
  void on_change(std::function<void()> callback) { on_change_ = std::move(callback); }

  const UpstreamSettings& settings() const { return settings_; }
  void set_faults(const FaultMix& faults) { settings_.faults = faults; }
  void set_latency(const Latency& latency) { settings_.latency = latency; }
  // None: as all others. A block that is given again replaces its earlier latency.
  void set_latency_for(const Block& block, const std::optional<Latency>& latency);
  void set_close_after(std::optional<std::uint64_t> requests);
  void set_handshake_delay(base::Duration delay) { server_.set_handshake_delay(delay); }
  void set_requests_per_second(std::uint64_t limit);
  void set_mode(const Mode& mode) { availability_.set(mode); }
  void set_fields(Fields fields, bool etag);
  void set_edition(std::uint64_t edition);  // of generated answers
  FaultScript& script() { return script_; }

  // While held, every answer waits, once its latency has passed. release() sends
  // the `most` oldest; without a number it sends all and ends the holding.
  void hold() { holding_ = true; }
  std::size_t release(std::optional<std::size_t> most);
  std::size_t held() const { return held_.size(); }

  // Forgets the counts, the script and each address's turn, so that a run with
  // the same seed plays again from its start. What is in flight stays counted.
  void reset_counters();

  Stats& stats() { return stats_; }
  std::string stats_json();
  // The content of a healthy answer; none if there is none for the address.
  std::optional<std::string> content(const Address& address) const;
  // The latest requests as they came, oldest first: {"requests":[{"method":...},...]}.
  std::string heard_json() const;

  void on_request(ConnectionId id, Request request) override;
  void on_answer_end(ConnectionId id, bool complete) override;

 private:
  struct InFlight {
    std::string ip;  // or another API's key; empty if the request named none
    WirePlan plan;
    base::Timer delay;
    std::uint64_t held_as = 0;  // 0: not held
  };
  // What a request gets: its plan, and the delay before it.
  struct Decision {
    WirePlan plan;
    base::Duration delay{0};
    std::string ip;
  };

  Decision decide(const Request& request);
  Decision decide_lookup(const Request& request);
  Decision decide_api(const Request& request);
  // Null, or the refusal of one that does not ask as it should.
  std::optional<Decision> objection(const Request& request);
  Decision answer(const Request& request, ApiAnswer healthy, const Latency& latency);
  ApiAnswer lookup_answer(const Address& address) const;
  Decision refuse(const Request& request, Outcome outcome, Message message);
  const Latency& latency_of(const Address& address) const;
  bool closes_now() const;
  Message with_validators(const Request& request, Message message, bool etag,
                          Outcome& outcome) const;
  // The token that the request has, if any.
  std::optional<std::string> token_of(const Request& request) const;
  void ready(ConnectionId id);
  void transmit(ConnectionId id);
  void changed() const;

  base::EventLoop& loop_;
  UpstreamSettings settings_;
  GeneratedAnswers generated_;
  std::unique_ptr<AnswerSource> database_;
  Stats stats_;
  std::uint64_t close_counts_from_ = 0;  // stats_.requests then
  RateLimit rate_limit_;
  FaultScript script_;
  std::deque<Request> heard_;
  bool holding_ = false;
  std::uint64_t last_held_ = 0;
  std::map<std::uint64_t, ConnectionId> held_;  // oldest first
  std::unordered_map<ConnectionId, std::unique_ptr<InFlight>> in_flight_;
  std::function<void()> on_change_;
  HttpServer server_;
  Availability availability_;
};

}  // namespace holdfast::flaky
