// Plays seeded random schedules until one breaks a promise.
//
//   simulation                  10,000 schedules
//   simulation --seeds 200000   more
//   simulation --seed 4711      one, with its trace
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

#include "simulation.h"

// Where a sanitizer is linked in, it calls this before it ends the program.
extern "C" void __sanitizer_set_death_callback(void (*callback)()) __attribute__((weak));

namespace holdfast::simulation {
namespace {

constexpr std::size_t kShownLines = 80;
// Fewer schedules than this need not have seen everything.
constexpr std::uint64_t kMustSeeAll = 1000;

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

// The broken promise, or empty.
std::string play(std::uint64_t seed, Tally& tally, std::vector<std::string>* trace) {
  playing = seed;
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

void show(const std::vector<std::string>& lines, std::size_t most) {
  const std::size_t first = lines.size() > most ? lines.size() - most : 0;
  if (first > 0) std::cout << "  ... " << first << " lines before\n";
  for (std::size_t i = first; i < lines.size(); ++i) std::cout << lines[i] << '\n';
}

// Prints the tally; false if something never came to pass.
bool report(const Tally& tally) {
  const std::pair<const char*, std::uint64_t> counts[] = {
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
  bool all = true;
  for (const auto& [name, count] : counts) {
    std::cout << "  " << count << ' ' << name << '\n';
    all = all && count > 0;
  }
  return all;
}

int replay(std::uint64_t seed) {
  Tally tally;
  std::vector<std::string> trace;
  const std::string violation = play(seed, tally, &trace);
  show(trace, trace.size());
  std::cout << "seed " << seed << ": " << (violation.empty() ? "all promises kept" : violation)
            << '\n';
  return violation.empty() ? 0 : 1;
}

int play_all(std::uint64_t first, std::uint64_t seeds, bool keep_going) {
  const auto begun = std::chrono::steady_clock::now();
  Tally tally;
  int broken = 0;
  for (std::uint64_t seed = first; seed < first + seeds; ++seed) {
    std::string violation = play(seed, tally, nullptr);
    if (violation.empty()) continue;
    ++broken;
    std::cout << "seed " << seed << ": " << violation << std::endl;
    if (keep_going) continue;
    Tally unused;
    std::vector<std::string> trace;
    const std::string again = play(seed, unused, &trace);
    show(trace, kShownLines);
    std::cout << (again == violation ? "the whole: " : "NOT THE SAME AGAIN; see: ")
              << "simulation --seed " << seed << '\n';
    return 1;
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begun;
  std::cout << seeds << " schedules from seed " << first << " in " << took.count() << " s, "
            << broken << " broke a promise\n";
  const bool all = report(tally);
  if (!all && seeds >= kMustSeeAll) {
    std::cout << "something never came to pass: the schedules are too tame\n";
    return 1;
  }
  return broken == 0 ? 0 : 1;
}

constexpr const char* kHelp =
    "Plays seeded random schedules against flights and policies.\n"
    "  --seeds N     how many schedules [10000]\n"
    "  --first SEED  seed of the first [1]\n"
    "  --seed SEED   play this one and print its trace\n"
    "  --keep-going  do not stop at the first broken promise\n";

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
  // getopt and not CLI11: that takes longer to compile than all of the simulation.
  const option options[] = {
      {"seeds", required_argument, nullptr, 'n'}, {"first", required_argument, nullptr, 'f'},
      {"seed", required_argument, nullptr, 's'},  {"keep-going", no_argument, nullptr, 'k'},
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
  return replayed ? replay(one) : play_all(first, seeds, keep_going);
}

}  // namespace
}  // namespace holdfast::simulation

int main(int argc, char** argv) {
  return holdfast::simulation::run(argc, argv);
}
