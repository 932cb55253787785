#include "faults.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdlib>

#include "availability.h"
#include "latency.h"
#include "rate_limit.h"
#include "stats.h"
#include "text.h"

using namespace holdfast;
using namespace holdfast::flaky;
using namespace std::chrono_literals;

namespace {

std::string mix_error(std::string_view text) {
  const auto mix = FaultMix::parse(text);
  return mix ? "" : mix.error().message;
}

bool says(const std::string& message, std::string_view part) {
  return message.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("a fault specification gives each fault its share") {
  const auto mix = FaultMix::parse(" 500=0.1, reset=0.25 ,hang=0.05,");
  REQUIRE(mix.has_value());
  CHECK(mix->fraction(Fault::Status500) == 0.1);
  CHECK(mix->fraction(Fault::Reset) == 0.25);
  CHECK(mix->fraction(Fault::Hang) == 0.05);
  CHECK(mix->fraction(Fault::Drip) == 0);
}

TEST_CASE("mixed spreads its share evenly, and only over the faults marked so") {
  const auto mix = FaultMix::parse("mixed=0.5,404=0.1,hang=0.1");
  REQUIRE(mix.has_value());
  double sum = 0;
  int members = 0;
  for (const auto& info : all_faults()) {
    sum += mix->fraction(info.fault);
    members += info.in_mixed ? 1 : 0;
  }
  CHECK(members == 14);
  CHECK(sum == doctest::Approx(0.7));
  CHECK(mix->fraction(Fault::Drip) == doctest::Approx(0.5 / members));
  CHECK(mix->fraction(Fault::Hang) == doctest::Approx(0.5 / members + 0.1));
  CHECK(mix->fraction(Fault::Status404) == 0.1);
  CHECK(mix->fraction(Fault::Oversized) == 0);
}

TEST_CASE("5xx spreads its share over 500, 502 and 503") {
  const auto mix = FaultMix::parse("5xx=0.3");
  REQUIRE(mix.has_value());
  CHECK(mix->fraction(Fault::Status502) == doctest::Approx(0.1));
  CHECK(mix->fraction(Fault::Status429) == 0);
}

TEST_CASE("nothing, and none, mean no faults") {
  CHECK(FaultMix::parse("")->to_text() == "none");
  CHECK(FaultMix::parse("none")->to_text() == "none");
  CHECK(FaultMix::parse("500=0")->to_text() == "none");
}

TEST_CASE("what to_text writes, parse reads") {
  const auto text = FaultMix::parse("mixed=0.5,garbage=0.1")->to_text();
  CHECK(FaultMix::parse(text)->to_text() == text);
}

TEST_CASE("a bad fault specification is refused, and the error names the piece") {
  CHECK(says(mix_error("500=0.1,rest=0.1"), "\"rest\""));
  CHECK(says(mix_error("rest=0.1"), "reset-body"));  // it lists what is known
  CHECK(says(mix_error("500"), "\"500\" is not name=fraction"));
  CHECK(says(mix_error("500=1.5"), "fault 500: \"1.5\""));
  CHECK(says(mix_error("500=-0.1"), "fault 500"));
  CHECK(says(mix_error("500="), "fault 500"));
  CHECK(says(mix_error("500=0.1x"), "fault 500"));
  CHECK(says(mix_error("500=nan"), "fault 500"));
  CHECK(says(mix_error("500=10%"), "fault 500"));
  CHECK(says(mix_error("500=0.1,500=0.1"), "twice"));
  CHECK(says(mix_error("500=0.6,reset=0.6"), "more than 1"));
  CHECK(says(mix_error("none,500=0.1"), "\"none\""));
}

TEST_CASE("faults come as often as they were asked for, over many addresses") {
  const auto mix = *FaultMix::parse("500=0.2,reset=0.3");
  std::array<int, kFaultCount> seen{};
  constexpr int kDraws = 100'000;
  for (int i = 0; i < kDraws; ++i) {
    Chance chance(7, fnv1a("192.0.2." + std::to_string(i)), 0);
    ++seen[static_cast<std::size_t>(mix.draw(chance))];
  }
  // Within five standard deviations.
  CHECK(std::abs(seen[static_cast<std::size_t>(Fault::Status500)] - 20'000) < 5 * 127);
  CHECK(std::abs(seen[static_cast<std::size_t>(Fault::Reset)] - 30'000) < 5 * 145);
  CHECK(std::abs(seen[static_cast<std::size_t>(Fault::None)] - 50'000) < 5 * 159);
}

TEST_CASE("the same seed, address and turn meet the same fault") {
  const auto mix = *FaultMix::parse("mixed=1");
  bool turn_matters = false;
  bool seed_matters = false;
  for (std::uint64_t turn = 0; turn < 50; ++turn) {
    Chance one(3, 99, turn), same(3, 99, turn), next_turn(3, 99, turn + 1), other_seed(4, 99, turn);
    const auto fault = mix.draw(one);
    CHECK(fault == mix.draw(same));
    CHECK(fault != Fault::None);
    turn_matters |= fault != mix.draw(next_turn);
    seed_matters |= fault != mix.draw(other_seed);
  }
  CHECK(turn_matters);
  CHECK(seed_matters);
}

TEST_CASE("a script is followed step by step, the address's own before the general one") {
  FaultScript script;
  CHECK(script.set("", "500, ok,reset").value() == 3);
  CHECK(script.set("192.0.2.1", "hang").value() == 1);
  CHECK(script.steps_left() == 4);
  Fault fault = Fault::Drip;
  REQUIRE(script.next("192.0.2.1", fault));
  CHECK(fault == Fault::Hang);
  for (const Fault expected : {Fault::Status500, Fault::None, Fault::Reset}) {
    REQUIRE(script.next("192.0.2.1", fault));
    CHECK(fault == expected);
  }
  CHECK_FALSE(script.next("192.0.2.1", fault));
}

TEST_CASE("a script with an unknown step changes nothing") {
  FaultScript script;
  REQUIRE(script.set("", "500").has_value());
  const auto bad = script.set("", "ok,mixed");
  REQUIRE_FALSE(bad.has_value());
  CHECK(says(bad.error().message, "\"mixed\""));
  CHECK(script.steps_left() == 1);
}

TEST_CASE("latency is lognormal around its median, with a tail") {
  const auto latency = *parse_latency("20ms,sigma=0.5,tail=0.1=5s");
  int in_tail = 0, below = 0, within_sigma = 0;
  constexpr int kDraws = 20'000;
  for (int i = 0; i < kDraws; ++i) {
    Chance chance(1, static_cast<std::uint64_t>(i), 0);
    const auto delay = draw(latency, chance);
    if (delay == 5s) {
      ++in_tail;
      continue;
    }
    below += delay < 20ms ? 1 : 0;
    const double distance = std::log(static_cast<double>(delay.count()) / 20e6);
    within_sigma += std::abs(distance) < 0.5 ? 1 : 0;
  }
  // Five standard deviations around the expected counts.
  CHECK(std::abs(in_tail - 2000) < 5 * 43);
  CHECK(std::abs(below - 9000) < 5 * 70);
  CHECK(std::abs(within_sigma - 18'000 * 0.6827) < 5 * 67);
}

TEST_CASE("without sigma every delay is the median") {
  const auto latency = *parse_latency("300ms,sigma=0");
  for (std::uint64_t i = 0; i < 100; ++i) {
    Chance chance(1, i, 0);
    CHECK(draw(latency, chance) == 300ms);
  }
}

TEST_CASE("no delay is more than a duration can hold") {
  const auto latency = *parse_latency("24h,sigma=1000");
  for (std::uint64_t i = 0; i < 100; ++i) {
    Chance chance(1, i, 0);
    CHECK(draw(latency, chance) >= 0s);
    CHECK(draw(latency, chance) <= 24h * 10'000);
  }
}

TEST_CASE("a bad latency or duration is refused with a reason") {
  for (const char* text : {"", "20", "ms", "-1s", "20ms,tail=5s", "20ms,tail=2=5s", "20 ms x",
                           "20ms,sigma=wide", "99999h", "1e3s", "25h"}) {
    CAPTURE(text);
    const auto latency = parse_latency(text);
    REQUIRE_FALSE(latency.has_value());
    CHECK_FALSE(latency.error().message.empty());
  }
  CHECK(parse_latency("off")->median == 0s);
  CHECK(*parse_duration("250us") == 250us);
  CHECK(*parse_duration("1.5s") == 1500ms);
  CHECK(*parse_duration("2m") == 120s);
  CHECK(*parse_duration("1h") == 3600s);
}

TEST_CASE("a mode is read and written, a bad one refused") {
  for (const char* text : {"up", "down", "refuse", "blackhole", "flap:3000ms/2000ms"}) {
    CHECK(to_text(*parse_mode(text)) == text);
  }
  CHECK(parse_mode("flap:3s/2s")->down == 2s);
  for (const char* text : {"", "sideways", "flap", "flap:3s", "flap:3s/", "flap:0/1s"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_mode(text).has_value());
  }
}

TEST_CASE("the rate limit allows N in any second, wherever the second begins") {
  RateLimit limit;
  limit.set(3);
  const base::SteadyTime start{1000s};
  CHECK(limit.allow(start));
  CHECK(limit.allow(start + 900ms));
  CHECK(limit.allow(start + 900ms));
  CHECK_FALSE(limit.allow(start + 999ms));
  CHECK(limit.allow(start + 1000ms));
  CHECK_FALSE(limit.allow(start + 1899ms));
  CHECK(limit.allow(start + 1900ms));
  limit.set(0);
  CHECK(limit.allow(start + 1900ms));
}

TEST_CASE("the window counts the requests of the last second") {
  SecondWindow window;
  const base::SteadyTime start{1000s};
  for (int i = 0; i < 10; ++i) window.add(start + i * 50ms);
  CHECK(window.in_last_second(start + 500ms) == 10);
  CHECK(window.in_last_second(start + 1200ms) < 10);
  CHECK(window.in_last_second(start + 1200ms) > 0);
  CHECK(window.in_last_second(start + 3s) == 0);
  CHECK(window.peak() == 10);
}
