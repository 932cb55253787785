// Simulation is one schedule: from a seed it draws the settings, the upstream,
// the disk and what happens to them, and plays it on a virtual clock against the
// real Flights and PolicyFetcher. After every step it checks what Holdfast
// promises; it ends with the first broken promise or when all has drained.
//
//   clients -> Flights -> WatchedFetcher -> PolicyFetcher -> WatchedTransport -> GeoUpstream
//                 |-> MemoryCache, SimulatedStore
//
// The same seed gives the same schedule, step for step. One thread.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "cache/memory_cache.h"
#include "fates.h"
#include "geo_upstream.h"
#include "health.h"
#include "proxy/flights.h"
#include "simulated_store.h"
#include "trace.h"
#include "watch.h"

namespace holdfast::simulation {

// How often things came to pass, over all schedules: a promise about something
// that never happens is not tested.
struct Tally {
  std::uint64_t steps = 0, clients = 0, fresh = 0, stale_while_revalidate = 0, fetched = 0,
                stale_if_error = 0, errors = 0, collapsed = 0, negative = 0, parked = 0,
                restarts = 0, gone = 0, stalls = 0, attempts = 0, retries = 0, hedges = 0,
                probes = 0, bare_probes = 0, freshened = 0, canaries = 0, waited_it_out = 0,
                purges = 0, asked_since_purge = 0, bad_keys = 0, beside_bad_keys = 0,
                other_origin = 0, beside = 0, well = 0, calm = 0, disturbed = 0, lacking = 0,
                served_in_lack = 0, local = 0, compared = 0;
};

class Simulation {
 public:
  // What others ask for: with Good, the keys that always fail are as good as any, and all else
  // is the same.
  enum class Others { AsDrawn, Good };

  Simulation(std::uint64_t seed, bool traced, Tally& tally, Others others = Others::AsDrawn);
  ~Simulation();

  void run();

  // Empty: every promise was kept.
  const std::string& violation() const { return watch_.violation(); }
  const Trace& trace() const { return trace_; }

  // Whether others' bad keys are all that could have decided a good key's fate.
  bool comparable() const { return comparable_ && !bad_targets_.empty(); }
  // Of those who asked for good keys.
  const Fates& fates() const { return fates_; }

 private:
  struct Client {
    std::string ip;
    base::SteadyTime deadline;
    base::SteadyTime asked_at;
    bool waits_in_flights = false;
    bool answered = false;
    bool gone = false;        // with the process it was connected to
    bool had_stored = false;  // what may be used for as long as it waits
    base::Duration patience{};
    bool planned = true;        // not as an answer came
    bool must_succeed = false;  // nothing stands in the way of its answer any more
  };
  struct Process;

  // Drawing, in plan.cpp.
  static upstream::Settings draw_upstream_settings(base::Random& random, bool well);
  static proxy::StoringPolicy draw_storing_policy(base::Random& random);
  static proxy::Flights::Settings draw_flights_settings(base::Random& random, bool well);
  void plan();
  void plan_bad_keys();
  void look_for_what_is_scarce();
  void note_mix(const std::map<upstream::test::Fault, double>& mix);
  void note_outage(upstream::test::Fault fault);
  void plan_wrong_origin();
  void plan_lacks();
  void plan_network();
  void plan_network_event(base::Duration at);
  void plan_requests(base::Duration at);
  void plan_event(base::Duration at);
  void plan_end_in_outage(base::Duration at);
  void plan_upstream_event(base::Duration at);
  void plan_disk_event(base::Duration at);
  void at(base::Duration when, std::string what, std::function<void()> act);
  bool chance(double probability) { return random_.uniform() < probability; }
  base::Duration between(base::Duration least, base::Duration most) {
    return least + random_.up_to(most - least);
  }
  template <typename T>
  T one_of(std::initializer_list<T> values) {
    return values.begin()[random_.below(values.size())];
  }

  // The network, in plan_network.cpp.
  bool is_named(std::size_t origin) const {
    return origin < upstream_settings_.named.size() && upstream_settings_.named[origin];
  }
  std::string new_address(std::size_t origin);
  void set_path(const std::string& address, upstream::test::SimulatedNetwork::Path path);
  void tell(std::size_t origin);
  void look_names_up();
  void network_changed();

  // Lacks of our own, in lacks.cpp.
  void lack(std::optional<base::Resource> resource);
  void check_lack(const upstream::Status& status);
  void check_served_in_lack(const Client& client, const proxy::Answer& answer);

  // What happens.
  void boot();
  void give_addresses(std::size_t origin);
  void restart(bool killed);
  void purge(const std::string& ip);
  void force_breaker(std::size_t origin, upstream::Breaker::Forced forced);
  void ask(const std::string& ip, base::Duration patience, bool must_succeed = false,
           bool planned = true);
  void join(std::size_t number);
  void recover();
  bool distrusted();  // for some origin's certificate
  void expect_answers();

  // What must hold.
  void answered(std::size_t number, const proxy::Answer& answer);
  void check_content(const Client& client, const proxy::Answer& answer);
  void check_error(const Client& client, const proxy::Answer& answer);
  void check_stored(std::string_view key, const cache::StoredResponse& stored);
  bool may_lose_answers(const Client& client) const;
  // Answers that may not be shared took slots for one key since then, and with them what is left
  // for others to find out by that something is wrong: plan() has no more keys than that.
  bool crowded_since(base::SteadyTime from) const { return crowded_at_ >= from; }
  // Nobody can answer that; and what comes of it is nobody else's trouble.
  bool always_fails(const Client& client) const;
  static std::string upstream_target(const std::string& ip) { return "/geoip/" + ip; }
  base::Random& luck_of(const Client& client);
  void note_fate(const Client& client, const proxy::Answer& answer);
  void note_scarcity(const upstream::Status& status);
  void check_wait(const Client& client, const proxy::Answer& answer);
  void check_step();
  void check_drained();
  void check_serves_again();
  void run_until(base::SteadyTime when);
  bool over() const { return !watch_.violation().empty(); }

  base::SteadyTime now() const { return scheduler_.now(); }

  Tally& tally_;
  const std::uint64_t seed_;
  base::VirtualScheduler scheduler_;
  base::Random random_;
  const base::SteadyTime begun_;
  Trace trace_;
  const bool well_;  // the upstream is, in all of this schedule; the network need not be
  const upstream::Settings upstream_settings_;
  const proxy::StoringPolicy storing_;
  const proxy::Flights::Settings flights_settings_;
  const std::size_t memory_bytes_;
  const base::Duration patience_;  // REQUEST_DEADLINE
  GeoUpstream upstream_;
  SimulatedStore store_;
  Health health_;
  Watch watch_;
  WatchedTransport transport_;
  std::unique_ptr<proxy::Route> route_;
  std::vector<std::string> ips_;
  std::vector<std::vector<std::string>> names_;  // where the origins are, by their names
  std::vector<std::vector<std::string>> told_;   // ... as far as this process knows
  int last_address_ = 0;
  base::SteadyTime crowded_at_ = base::SteadyTime::min();
  std::optional<std::size_t> wrong_origin_;  // it has a final word for everything
  const Others others_;
  base::Random others_luck_;
  std::map<std::string, base::Random> luck_;  // by ip
  std::set<std::string> bad_targets_;         // as drawn
  bool comparable_ = true;
  base::SteadyTime scarce_at_ = base::SteadyTime::min();
  bool refuses_some_ = false;  // of the bad keys are told to come back later
  bool breaks_some_ = false;   // ... have their connections broken
  base::SteadyTime paced_at_ = base::SteadyTime::min();  // last, though there is no limit
  Fates fates_;
  std::optional<base::SteadyTime> lack_began_;
  std::uint64_t lack_generation_ = 0;
  std::vector<bool> closed_before_lack_;  // the breakers, by origin
  std::unique_ptr<Process> process_;
  std::uint64_t generation_ = 0;
  base::SteadyTime booted_at_{};
  std::deque<Client> clients_;
  std::map<std::string, base::SteadyTime> purged_;  // when, by ip
  std::size_t joined_ = 0;                          // clients that Flights owes an answer
  base::Duration jumped_back_{};
  base::Duration horizon_{};
  bool recovered_ = false;
  bool stopping_ = false;
  std::uint64_t steps_ = 0;
};

}  // namespace holdfast::simulation
