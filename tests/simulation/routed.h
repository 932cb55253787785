// Routed is one schedule of several routes and two upstreams, one of which is sick for a while:
// clients ask for what is stored and for what may be sent once only, answers come that may not be
// stored, and operators purge. It plays on a virtual clock against the real Service, Flights and
// PolicyFetchers:
//
//   clients -> SimulatedServer -> Service -> Flights ----> PolicyFetcher -> ApiUpstream (each
//   twice)
//                                    |----> Passing -------^
//                                    |-> MemoryCache, SimulatedStore
//
// The same seed gives the same schedule; with Sickness::None it is the same but for the sick
// upstream, which is well. One thread.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "api_upstream.h"
#include "cache/memory_cache.h"
#include "observe/recent_failures.h"
#include "proxy/service.h"
#include "simulated_server.h"
#include "simulated_store.h"
#include "trace.h"

namespace holdfast::simulation {

// As Tally has it, of these schedules.
struct RoutedTally {
  std::uint64_t steps = 0, clients = 0, fresh = 0, stale = 0, fetched = 0, errors = 0,
                collapsed = 0, unstorable = 0, unsafe = 0, unsafe_done = 0, unsafe_failed = 0,
                cut_off = 0, left = 0, purges = 0, marks = 0, asked_since_purge = 0,
                asked_since_mark = 0, asked_since_change = 0, beside_sick = 0, sick_errors = 0,
                in_time = 0, compared = 0, parked = 0, full = 0;
};

// What became of a client, to be held against another play of the schedule.
struct RoutedFate {
  int status = 0;
  std::string body;
  base::Duration after{};
  bool operator==(const RoutedFate&) const = default;
};
using RoutedFates = std::map<std::size_t, RoutedFate>;

class Routed final : SimulatedServer::Clients {
 public:
  enum class Sickness { AsDrawn, None };

  Routed(std::uint64_t seed, bool traced, RoutedTally& tally,
         Sickness sickness = Sickness::AsDrawn);
  ~Routed() override;

  void run();

  const std::string& violation() const { return violation_; }
  const Trace& trace() const { return trace_; }
  // Whether the two upstreams have nothing to do with each other in this schedule.
  bool comparable() const { return comparable_; }
  // Of the clients of the upstream that is not sick.
  const RoutedFates& fates() const { return fates_; }

 private:
  static constexpr std::size_t kUpstreams = 2;
  // In the order of the routes.
  enum Which : std::size_t { kLookup, kSearch, kItems, kRest, kRoutes };

  // What a URL means, as the settings have it and not as the code does.
  struct Meaning {
    Which route{};
    std::string target;    // what the upstream is asked
    std::string language;  // where it is part of the key
    bool operator==(const Meaning&) const = default;
    std::string path() const { return target.substr(0, target.find('?')); }
  };
  struct Ask {
    std::string method = "GET";
    std::string path, query;  // one of several spellings
    bool has_query = false;
    std::string language;
    Meaning meaning;  // of what it asks
    Meaning read;     // of a GET of the same URL
    std::size_t content_bytes = 0;
    bool chunked = false;
    bool slow = false;
    base::Duration leaves_after{};  // 0: it stays
  };
  struct Client {
    Ask ask;
    std::size_t upstream = 0;
    std::uint64_t asked = 0;  // its place in the order
    base::SteadyTime asked_at;
    std::uint64_t begun = 0;  // likewise of its answer's head; 0: none yet
    bool over = false;
    bool left = false;
    bool must_succeed = false;
    bool safe() const { return ask.method == "GET" || ask.method == "HEAD"; }
    std::string once;
  };
  struct Purged {
    cache::Purge::Kind kind{};
    bool one = false;  // of one key, `meaning`'s; else of a set
    bool soft = false;
    std::string what;
    Meaning meaning;
    std::uint64_t at = 0;  // its place in the order
  };
  // A URL was changed by what was sent once.
  struct Changed {
    Meaning meaning;
    std::uint64_t done = 0;  // upstream
    std::uint64_t told = 0;  // and whoever did it was told
  };
  struct Upstream;
  struct Process;

  // Drawing, in routed_plan.cpp.
  struct Settings {
    upstream::Settings upstream;
    proxy::Flights::Settings flights;
    bool roomy = true;
  };
  Settings draw_settings(const std::string& name);
  std::vector<std::unique_ptr<proxy::Route>> make_routes();
  void plan();
  void plan_sickness();
  void plan_asks(base::Duration time, base::Duration over, std::uint64_t count,
                 std::optional<std::size_t> upstream);
  void plan_purge(base::Duration time);
  Ask draw_ask();
  Ask draw_ask(Which route);
  void at(base::Duration when, std::string what, std::function<void()> act);
  bool chance(double probability) { return random_.uniform() < probability; }
  template <typename T>
  T one_of(std::initializer_list<T> values) {
    return values.begin()[random_.below(values.size())];
  }

  // What happens.
  std::size_t ask(const Ask& ask, bool must_succeed = false);
  void purge(const Purged& purged, const Ask& of);
  void mark_stale(const proxy::Routes::Named& named);
  void recover();
  void check_serves_again();
  void run_until(base::SteadyTime when);

  // What must hold, in routed_checks.cpp.
  void begun(http::ExchangeId id) override;
  void ended(http::ExchangeId id, const Given& given) override;
  void broken(const std::string& promise) override;
  void check_read(std::size_t number, const Given& given);
  void check_purges(const Client& client, const Said& said, const Given& given);
  void check_unsafe(std::size_t number, const Given& given);
  void check_in_time(const Client& client, const Given& given);
  void check_stored(std::string_view key, const cache::StoredResponse& stored);
  void check_step();
  void check_drained();
  bool concerns(const Purged& purged, const Client& client, const Said& said) const;

  base::SteadyTime now() const { return scheduler_.now(); }
  bool over() const { return !violation_.empty(); }

  RoutedTally& tally_;
  const Sickness sickness_;
  base::VirtualScheduler scheduler_;
  base::Random random_;
  const base::SteadyTime begun_;
  Trace trace_;
  std::string violation_;
  Order order_;
  bool comparable_ = true;
  std::array<std::size_t, kRoutes> upstream_of_{};
  std::array<proxy::StoringPolicy, kRoutes> storing_;
  const std::size_t sick_;    // which of the two
  const bool other_is_well_;  // in all of it; else it has faults of its own
  const base::Duration patience_;
  std::vector<Settings> settings_;
  SimulatedStore store_;
  std::vector<std::unique_ptr<Upstream>> upstreams_;
  std::unique_ptr<Process> process_;
  SimulatedServer server_;
  base::Duration horizon_{};
  bool recovered_ = false;
  std::deque<Client> clients_;
  std::array<std::size_t, kUpstreams> reading_{};  // clients of each that wait for what is stored
  std::array<std::size_t, kUpstreams> leavers_{};  // whose flights go on
  std::vector<Purged> purged_;
  std::vector<Changed> changed_;
  RoutedFates fates_;
};

// Whose clients of a well upstream had something else beside a sick one than beside a well one.
std::string compare(const RoutedFates& beside_sick, const RoutedFates& beside_well,
                    RoutedTally& tally);

}  // namespace holdfast::simulation
