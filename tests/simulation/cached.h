// Cached is one schedule of a route of mode "rfc9111": clients ask for a few URLs with what answers
// may hang on, with conditions, ranges and directives of their own, others change what there is,
// and the upstream says who may have what for how long (http_upstream.h). It plays on a virtual
// clock against the real Service, Flights, Passing and PolicyFetcher. The same seed gives the same
// schedule. One thread.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "http_upstream.h"
#include "proxy/service.h"
#include "simulated_server.h"
#include "simulated_store.h"
#include "trace.h"

namespace holdfast::simulation {

// As Tally has it, of these schedules.
struct CachedTally {
  std::uint64_t steps = 0, clients = 0, fresh = 0, stale_while_revalidate = 0, stale_if_error = 0,
                fetched = 0, collapsed = 0, passed = 0, errors = 0, by_a_field = 0,
                shared_authorized = 0, for_one = 0, not_modified = 0, parts = 0, several_parts = 0,
                rests = 0, missing = 0, not_cached = 0, unsafe_done = 0, asked_since_change = 0,
                left = 0;
};

class Cached final : SimulatedServer::Clients {
 public:
  Cached(std::uint64_t seed, bool traced, CachedTally& tally);
  ~Cached() override;

  void run();

  const std::string& violation() const { return violation_; }
  const Trace& trace() const { return trace_; }

 private:
  struct Ask {
    std::string method = "GET";
    std::string path;
    Selecting selecting;
    std::string authorization, cache_control, range;
    // Of the validators seen by then: one of them; 0: none.
    std::size_t if_none_match = 0, if_range = 0;
    std::size_t content_bytes = 0;
    base::Duration leaves_after{};  // 0: it stays
  };
  struct Client {
    Ask ask;
    std::string trace;  // as it goes upstream
    std::string if_none_match;
    std::uint64_t asked = 0;  // its place in the order
    base::SteadyTime asked_at;
    bool over = false;
    bool safe() const { return ask.method == "GET" || ask.method == "HEAD"; }
    bool wants(std::string_view directive) const {
      return ask.cache_control.find(directive) != std::string::npos;
    }
    // The number behind "directive="; none: it is not there.
    std::optional<std::chrono::seconds> seconds_of(std::string_view directive) const;
  };
  // A URL was changed by a client's doing, and it was told so.
  struct Changed {
    std::string path;
    std::uint64_t revision = 0;  // from then on
    std::uint64_t told = 0;      // its place in the order
  };
  struct Process;

  void plan();
  void plan_asks(base::Duration time, base::Duration over, std::uint64_t count);
  void plan_outage(base::Duration time);
  void plan_parts(base::Duration time);
  Ask draw_ask();
  void at(base::Duration when, std::string what, std::function<void()> act);
  bool chance(double probability) { return random_.uniform() < probability; }
  template <typename T>
  T one_of(std::initializer_list<T> values) {
    return values.begin()[random_.below(values.size())];
  }

  void ask(const Ask& ask);
  void run_until(base::SteadyTime when);

  // What must hold, in cached_checks.cpp.
  void begun(http::ExchangeId id) override;
  void ended(http::ExchangeId id, const Given& given) override;
  void broken(const std::string& promise) override;
  void check_read(const Client& client, const Given& given);
  void check_selected(const Client& client, const HttpSaid& said);
  void check_shared(const Client& client, const HttpSaid& said);
  void check_unchanged(const Client& client, const Representation& of);
  void check_content(const Client& client, const Given& given, const Representation& of);
  void check_age(const Client& client, const Given& given, const HttpSaid& said);
  void check_not_modified(const Client& client, const Given& given);
  void check_stored(const cache::StoredResponse& stored);
  void check_drained();

  base::SteadyTime now() const { return scheduler_.now(); }
  bool over() const { return !violation_.empty(); }

  CachedTally& tally_;
  base::VirtualScheduler scheduler_;
  base::Random random_;
  const base::SteadyTime begun_;
  Trace trace_;
  std::string violation_;
  Order order_;
  const base::Duration patience_;
  proxy::StoringPolicy storing_;
  SimulatedStore store_;
  HttpUpstream upstream_;
  std::unique_ptr<Process> process_;
  SimulatedServer server_;
  base::Duration horizon_{};
  std::deque<Client> clients_;
  std::vector<Changed> changed_;
  std::vector<std::string> etags_;  // that clients have seen
};

}  // namespace holdfast::simulation
