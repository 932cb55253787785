// Plays seeded random schedules until one breaks a promise.
//
//   simulation                  10,000 schedules
//   simulation --seeds 200000   more
//   simulation --seed 4711      one, with its trace
//
// Every third seed has, behind its schedule of one upstream, one of several routes and two
// upstreams, and one of a route of mode "rfc9111".
//
// A broken promise is printed with its seed and the end of its trace, and makes
// the exit status 1.
#include <getopt.h>
#include <unistd.h>

#include <charconv>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "cached.h"
#include "routed.h"
#include "simulation.h"

// Where a sanitizer is linked in, it calls this before it ends the program.
extern "C" void __sanitizer_set_death_callback(void (*callback)()) __attribute__((weak));

namespace holdfast::simulation {
namespace {

constexpr std::size_t kShownLines = 80;
// Fewer schedules than this need not have seen everything.
constexpr std::uint64_t kMustSeeAll = 1000;
// Of so many seeds one has a schedule of routes too: it is played twice, and takes longer.
constexpr std::uint64_t kRoutedEvery = 3;

volatile std::uint64_t playing = 0;

// A crash has no trace; the seed is enough to get one.
void say_seed() {
  char text[64];
  const int size = std::snprintf(text, sizeof text, "\ncrashed in seed %llu\n",
                                 static_cast<unsigned long long>(playing));
  if (size > 0) (void)!::write(2, text, static_cast<std::size_t>(size));
}

void say_seed_and_die(int signal) {
  say_seed();
  std::signal(signal, SIG_DFL);
  (void)std::raise(signal);
}

// The same again, but for the keys that always fail.
std::string play_beside_good(std::uint64_t seed, const Fates& beside_bad, Tally& tally,
                             std::vector<std::string>* trace) {
  Tally unused;
  Simulation simulation(seed, trace != nullptr, unused, Simulation::Others::Good);
  simulation.run();
  std::string violation = simulation.violation();
  if (violation.empty()) violation = compare(beside_bad, simulation.fates(), tally.compared);
  if (trace && !violation.empty()) {
    const auto& lines = simulation.trace().lines();
    trace->push_back("==== beside good keys ====");
    trace->insert(trace->end(), lines.begin(), lines.end());
  }
  return violation;
}

// The same of several routes and two upstreams, of which one is sick; and, where the other has
// nothing to do with it, again with both well.
std::string play_routed(std::uint64_t seed, RoutedTally& tally, std::vector<std::string>* trace) {
  const auto played = [&](Routed& schedule, const char* title) {
    schedule.run();
    if (!trace) return;
    trace->emplace_back(title);
    const auto& lines = schedule.trace().lines();
    trace->insert(trace->end(), lines.begin(), lines.end());
  };
  Routed beside_sick(seed, trace != nullptr, tally);
  played(beside_sick, "==== two upstreams, one of them sick ====");
  if (!beside_sick.violation().empty() || !beside_sick.comparable()) return beside_sick.violation();
  RoutedTally unused;
  Routed beside_well(seed, trace != nullptr, unused, Routed::Sickness::None);
  played(beside_well, "==== two upstreams, none of them sick ====");
  if (!beside_well.violation().empty()) return beside_well.violation();
  return compare(beside_sick.fates(), beside_well.fates(), tally);
}

// The broken promise, or empty.
std::string play_one_upstream(std::uint64_t seed, Tally& tally, std::vector<std::string>* trace) {
  Simulation simulation(seed, trace != nullptr, tally);
  std::string violation;
  try {
    simulation.run();
    violation = simulation.violation();
  } catch (const std::exception& e) {
    violation = std::string("an exception: ") + e.what();
  }
  if (trace) *trace = simulation.trace().lines();
  if (!violation.empty() || !simulation.comparable()) return violation;
  return play_beside_good(seed, simulation.fates(), tally, trace);
}

// The same of a route of mode "rfc9111".
std::string play_cached(std::uint64_t seed, CachedTally& tally, std::vector<std::string>* trace) {
  Cached schedule(seed, trace != nullptr, tally);
  schedule.run();
  if (trace) {
    trace->emplace_back("==== mode rfc9111 ====");
    const auto& lines = schedule.trace().lines();
    trace->insert(trace->end(), lines.begin(), lines.end());
  }
  return schedule.violation();
}

struct Tallies {
  Tally one_upstream;
  RoutedTally routed;
  CachedTally cached;
};

enum class Which { All, RoutedAlone, CachedAlone };

std::string play(std::uint64_t seed, Which which, Tallies& tallies,
                 std::vector<std::string>* trace) {
  playing = seed;
  if (which == Which::All) {
    std::string violation = play_one_upstream(seed, tallies.one_upstream, trace);
    if (!violation.empty() || seed % kRoutedEvery != 0) return violation;
  }
  std::string violation;
  try {
    if (which != Which::CachedAlone) violation = play_routed(seed, tallies.routed, trace);
    if (violation.empty() && which != Which::RoutedAlone) {
      violation = play_cached(seed, tallies.cached, trace);
    }
  } catch (const std::exception& e) {
    violation = std::string("an exception: ") + e.what();
  }
  return violation;
}

void show(const std::vector<std::string>& lines, std::size_t most) {
  const std::size_t first = lines.size() > most ? lines.size() - most : 0;
  if (first > 0) std::cout << "  ... " << first << " lines before\n";
  for (std::size_t i = first; i < lines.size(); ++i) std::cout << lines[i] << '\n';
}

using Counts = std::vector<std::pair<const char*, std::uint64_t>>;

// Prints them; false if something never came to pass.
bool report(const Counts& counts) {
  bool all = true;
  for (const auto& [name, count] : counts) {
    std::cout << "  " << count << ' ' << name << '\n';
    all = all && count > 0;
  }
  return all;
}

Counts counts_of(const Tally& tally) {
  return {
      {"steps", tally.steps},
      {"clients", tally.clients},
      {"fresh", tally.fresh},
      {"stale-while-revalidate", tally.stale_while_revalidate},
      {"fetched", tally.fetched},
      {"freshened by a 304", tally.freshened},
      {"stale-if-error", tally.stale_if_error},
      {"errors", tally.errors},
      {"collapsed", tally.collapsed},
      {"404", tally.negative},
      {"gone with a restart", tally.gone},
      {"restarts", tally.restarts},
      {"attempts", tally.attempts},
      {"retries", tally.retries},
      {"hedges", tally.hedges},
      {"attempts beside another", tally.beside},
      {"schedules with an upstream that is well", tally.well},
      {"answers from it while the network was well", tally.calm},
      {"answers from it while it was not", tally.disturbed},
      {"probes", tally.probes},
      {"probes without a client", tally.bare_probes},
      {"steps with something parked", tally.parked},
      {"clients who waited for the recovery", tally.waited_it_out},
      {"clients after the recovery", tally.canaries},
      {"clients of keys that always fail", tally.bad_keys},
      {"answers beside keys that always fail", tally.beside_bad_keys},
      {"good keys' clients compared beside bad keys and good ones", tally.compared},
      {"answers by the origin that is right", tally.other_origin},
      {"attempts that ended for a lack of our own", tally.local},
      {"steps in such a lack", tally.lacking},
      {"clients served from what is stored in one", tally.served_in_lack},
      {"purges", tally.purges},
      {"clients who asked after a purge", tally.asked_since_purge},
  };
}

Counts counts_of(const RoutedTally& tally) {
  return {
      {"steps with two upstreams", tally.steps},
      {"clients", tally.clients},
      {"fresh", tally.fresh},
      {"stale", tally.stale},
      {"fetched", tally.fetched},
      {"collapsed", tally.collapsed},
      {"errors", tally.errors},
      {"answers that may not be stored", tally.unstorable},
      {"requests that are sent once", tally.unsafe},
      {"answers to those", tally.unsafe_done},
      {"of those cut off", tally.cut_off},
      {"errors for those", tally.unsafe_failed},
      {"clients that left", tally.left},
      {"purges", tally.purges},
      {"asked after one", tally.asked_since_purge},
      {"marks as stale", tally.marks},
      {"asked after one", tally.asked_since_mark},
      {"asked after a change by a client", tally.asked_since_change},
      {"errors by the sick upstream", tally.sick_errors},
      {"of its answers with something parked", tally.parked},
      {"of its answers with all slots in use", tally.full},
      {"answers by the other one", tally.beside_sick},
      {"of those in time, as it is well", tally.in_time},
      {"the same beside a sick upstream and a well one", tally.compared},
  };
}

Counts counts_of(const CachedTally& tally) {
  return {
      {"steps of mode rfc9111", tally.steps},
      {"clients", tally.clients},
      {"fresh", tally.fresh},
      {"stale-while-revalidate", tally.stale_while_revalidate},
      {"stale-if-error", tally.stale_if_error},
      {"fetched and stored", tally.fetched},
      {"collapsed", tally.collapsed},
      {"passed, or not stored", tally.passed},
      {"errors", tally.errors},
      {"fields of others that a variant hangs on", tally.by_a_field},
      {"answers to Authorization that others may have", tally.shared_authorized},
      {"answers for one client", tally.for_one},
      {"304", tally.not_modified},
      {"parts", tally.parts},
      {"several parts", tally.several_parts},
      {"rests of a stored part", tally.rests},
      {"404", tally.missing},
      {"504 for who wants only what is stored", tally.not_cached},
      {"changes by a client", tally.unsafe_done},
      {"asked after one", tally.asked_since_change},
      {"clients that left", tally.left},
  };
}

int replay(std::uint64_t seed, Which which) {
  Tallies tallies;
  std::vector<std::string> trace;
  const std::string violation = play(seed, which, tallies, &trace);
  show(trace, trace.size());
  std::cout << "seed " << seed << ": " << (violation.empty() ? "all promises kept" : violation)
            << '\n';
  return violation.empty() ? 0 : 1;
}

int play_all(std::uint64_t first, std::uint64_t seeds, Which which, bool keep_going) {
  const auto begun = std::chrono::steady_clock::now();
  Tallies tallies;
  int broken = 0;
  for (std::uint64_t seed = first; seed < first + seeds; ++seed) {
    std::string violation = play(seed, which, tallies, nullptr);
    if (violation.empty()) continue;
    ++broken;
    std::cout << "seed " << seed << ": " << violation << std::endl;
    if (keep_going) continue;
    Tallies unused;
    std::vector<std::string> trace;
    const std::string again = play(seed, which, unused, &trace);
    show(trace, kShownLines);
    std::cout << (again == violation ? "the whole: " : "NOT THE SAME AGAIN; see: ")
              << "simulation --seed " << seed << '\n';
    return 1;
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begun;
  std::cout << seeds << " schedules from seed " << first << " in " << took.count() << " s, "
            << broken << " broke a promise\n";
  bool all = true;
  if (which == Which::All) all = report(counts_of(tallies.one_upstream));
  if (which != Which::CachedAlone) all = report(counts_of(tallies.routed)) && all;
  if (which != Which::RoutedAlone) all = report(counts_of(tallies.cached)) && all;
  if (!all && seeds >= kMustSeeAll) {
    std::cout << "something never came to pass: the schedules are too tame\n";
    return 1;
  }
  return broken == 0 ? 0 : 1;
}

constexpr const char* kHelp =
    "Plays seeded random schedules against flights, policies and routes.\n"
    "  --seeds N     how many schedules [10000]\n"
    "  --first SEED  seed of the first [1]\n"
    "  --seed SEED   play this one and print its trace\n"
    "  --keep-going  do not stop at the first broken promise\n"
    "  --routed      only the schedules of several routes and two upstreams\n"
    "  --cached      only those of mode \"rfc9111\"\n";

bool read_number(std::string_view text, std::uint64_t& number) {
  const char* end = text.data() + text.size();
  const auto read = std::from_chars(text.data(), end, number);
  return read.ec == std::errc() && read.ptr == end;
}

int run(int argc, char** argv) {
  std::uint64_t seeds = 10'000;
  std::uint64_t first = 1;
  std::uint64_t one = 0;
  bool replayed = false;
  bool keep_going = false;
  Which which = Which::All;
  // getopt and not CLI11: that takes longer to compile than all of the simulation.
  const option options[] = {
      {"seeds", required_argument, nullptr, 'n'}, {"first", required_argument, nullptr, 'f'},
      {"seed", required_argument, nullptr, 's'},  {"keep-going", no_argument, nullptr, 'k'},
      {"routed", no_argument, nullptr, 'r'},      {"cached", no_argument, nullptr, 'c'},
      {"help", no_argument, nullptr, 'h'},        {}};
  bool good = true;
  for (int c = 0; (c = getopt_long(argc, argv, "h", options, nullptr)) != -1;) {
    if (c == 'n') {
      good = good && read_number(optarg, seeds);
    } else if (c == 'f') {
      good = good && read_number(optarg, first);
    } else if (c == 's') {
      good = good && read_number(optarg, one);
      replayed = true;
    } else if (c == 'k') {
      keep_going = true;
    } else if (c == 'r') {
      which = Which::RoutedAlone;
    } else if (c == 'c') {
      which = Which::CachedAlone;
    } else if (c == 'h') {
      std::cout << kHelp;
      return 0;
    } else {
      good = false;
    }
  }
  if (!good || optind < argc) {
    std::cerr << kHelp;
    return 2;
  }
  if (__sanitizer_set_death_callback) {
    __sanitizer_set_death_callback(say_seed);
  } else {
    std::signal(SIGSEGV, say_seed_and_die);
    std::signal(SIGABRT, say_seed_and_die);
  }
  return replayed ? replay(one, which) : play_all(first, seeds, which, keep_going);
}

}  // namespace
}  // namespace holdfast::simulation

int main(int argc, char** argv) {
  return holdfast::simulation::run(argc, argv);
}
