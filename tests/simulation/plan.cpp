// What a schedule is made of: the settings, and the list of what happens when.
#include "simulation.h"

namespace holdfast::simulation {
namespace {

using namespace std::chrono_literals;
using upstream::test::Fault;

// A wrong answer of every kind, and every kind of no answer.
constexpr auto kFaults = static_cast<std::uint64_t>(Fault::kCount) - 1;

Fault any_fault(base::Random& random) {
  return static_cast<Fault>(1 + random.below(kFaults));
}

std::map<Fault, double> draw_mix(base::Random& random) {
  std::map<Fault, double> mix;
  const std::uint64_t kinds = 1 + random.below(6);
  const double share = random.below(4) == 0 ? 1.0 : random.uniform();
  for (std::uint64_t i = 0; i < kinds; ++i) {
    mix[any_fault(random)] += share / static_cast<double>(kinds);
  }
  return mix;
}

// The ways an origin fails as a whole.
Fault draw_outage(base::Random& random) {
  constexpr Fault kinds[] = {
      Fault::Refused,      Fault::Hang,        Fault::Error500,        Fault::Reset, Fault::Dns,
      Fault::Tls,          Fault::Unavailable, Fault::QuotaUsedUp,     Fault::Html,  Fault::Wrong,
      Fault::Unauthorized, Fault::Drip,        Fault::BalancerNotFound};
  return kinds[random.below(std::size(kinds))];
}

std::string describe(const std::map<Fault, double>& mix) {
  std::string text;
  for (const auto& [fault, share] : mix) {
    text += " " + std::to_string(static_cast<int>(fault)) + ":" +
            std::to_string(static_cast<int>(share * 100)) + "%";
  }
  return text;
}

}  // namespace

upstream::Settings Simulation::draw_upstream_settings(base::Random& random, bool well) {
  const auto pick = [&](auto... values) {
    const std::common_type_t<decltype(values)...> all[] = {values...};
    return all[random.below(sizeof...(values))];
  };
  upstream::Settings settings;
  settings.origins.clear();
  for (int i = pick(1, 1, 2, 3); i > 0; --i) {
    settings.origins.push_back("origin" + std::to_string(settings.origins.size()));
  }
  for (std::size_t i = 0; i < settings.origins.size(); ++i) {
    settings.named.push_back(random.below(2) == 0);
  }
  settings.concurrency = well ? pick(64, 16) : pick(64, 64, 16, 4, 2, 1);
  if (!well) {
    settings.max_waiting = pick(std::size_t{4096}, std::size_t{4096}, std::size_t{5});
    settings.max_parked = pick(std::size_t{4096}, std::size_t{1024}, std::size_t{3});
  }
  if (!well && random.below(3) == 0) {
    settings.retry_budget.per_fetch = pick(0.0, 0.2, 2.0);
    settings.retry_budget.reserve_per_second = pick(0.2, 1.0, 10.0);
  }
  using Mode = upstream::HedgePolicy::Mode;
  settings.hedge.mode = pick(Mode::Percentile, Mode::Percentile, Mode::Fixed, Mode::Off);
  settings.hedge.delay = pick(100ms, 5ms);
  if (random.below(4) == 0) {
    settings.probe.target = "/health";
    settings.probe.interval = pick(1s, 5s, 30s);
  }
  if (random.below(4) == 0) settings.refresh.per_second = pick(1.0, 5.0);
  return settings;
}

proxy::StoringPolicy Simulation::draw_storing_policy(base::Random& random) {
  const auto pick = [&](auto... values) {
    const std::common_type_t<decltype(values)...> all[] = {values...};
    return all[random.below(sizeof...(values))];
  };
  proxy::StoringPolicy storing;
  storing.ttl = pick(0s, 2s, 10s, 60s);
  storing.ttl_override = random.below(6) == 0;
  storing.negative_ttl = pick(0s, 3s, 20s);
  storing.stale_while_revalidate = pick(0s, 5s, 60s);
  storing.stale_if_error = pick(0s, 20s, 300s);
  return storing;
}

proxy::Flights::Settings Simulation::draw_flights_settings(base::Random& random, bool well) {
  const auto pick = [&](auto... values) {
    const std::common_type_t<decltype(values)...> all[] = {values...};
    return all[random.below(sizeof...(values))];
  };
  proxy::Flights::Settings settings;
  if (!well) settings.max_waiters = pick(std::size_t{20'000}, std::size_t{20'000}, std::size_t{4});
  settings.refresh_deadline = pick(10s, 2s);
  return settings;
}

void Simulation::at(base::Duration when, std::string what, std::function<void()> act) {
  horizon_ = std::max(horizon_, when);
  scheduler_.call_at(begun_ + when, [this, what = std::move(what), act = std::move(act)] {
    if (!what.empty()) trace_.line("* ", what);
    act();
  });
}

void Simulation::plan() {
  // One address, a handful, or more than a small memory holds; v4 and v6.
  // With an upstream that is well none of them has to wait for a slot.
  const std::uint64_t most = well_ && upstream_settings_.concurrency < 60 ? 8 : 60;
  const std::uint64_t keys = one_of<std::uint64_t>({1, 3, 8, most});
  for (std::uint64_t i = 0; i < keys; ++i) {
    ips_.push_back(i % 4 == 3 ? "2001:db8::" + std::to_string(i + 1)
                              : "192.0.2." + std::to_string(i + 1));
  }
  upstream_.median = one_of<base::Duration>({2ms, 20ms, 20ms, 150ms, 600ms});
  if (well_) {
    upstream_.sigma = one_of<double>({0, 0.05, 0.3});
  } else if (chance(0.2)) {
    upstream_.sigma = 1.5;
  }
  if (well_ || chance(0.5)) {
    plan_network();
  } else {
    for (std::size_t i = 0; i < names_.size(); ++i) names_[i] = {new_address(i)};
  }
  if (!well_ && chance(0.5)) {
    const auto mix = draw_mix(random_);
    note_mix(mix);
    at({}, "faults:" + describe(mix), [this, mix] { upstream_.faults = mix; });
  }
  plan_bad_keys();
  plan_wrong_origin();
  base::Duration time{};
  const std::uint64_t events = 2 + random_.below(12);
  for (std::uint64_t i = 0; i < events; ++i) {
    if (i == 0 || chance(0.55)) {
      plan_requests(time);
    } else {
      plan_event(time);
    }
    // Now and then a long quiet, in which all goes stale and probes are alone.
    time +=
        chance(0.08) ? between(30s, 5min) : random_.up_to(one_of<base::Duration>({50ms, 1s, 5s}));
  }
  if (!well_ && chance(0.3)) plan_end_in_outage(std::max(time, horizon_));
  plan_lacks();
  look_for_what_is_scarce();
}

// Addresses that the API cannot answer, whatever it says of them: for good.
void Simulation::plan_bad_keys() {
  if (ips_.size() < 3 || !chance(0.4)) return;
  for (std::uint64_t bad = 1 + random_.below(ips_.size() / 2); bad > 0; --bad) {
    const Fault fault = one_of(
        {Fault::Error500, Fault::Error500, Fault::NoContent, Fault::Malformed, Fault::CutShort,
         Fault::Forbidden, Fault::BadRequest, Fault::BalancerNotFound, Fault::Unavailable,
         Fault::Unavailable, Fault::TooMany, Fault::Garbled, Fault::Reset, Fault::Truncated});
    const std::string& ip = ips_[random_.below(ips_.size())];
    trace_.line(ip, " always fails: fault ", static_cast<int>(fault));
    bad_targets_.insert(upstream_target(ip));
    breaks_some_ = breaks_some_ || fault == Fault::Reset || fault == Fault::Truncated ||
                   fault == Fault::Garbled;
    refuses_some_ = refuses_some_ || fault == Fault::Unavailable || fault == Fault::TooMany;
    if (others_ == Others::AsDrawn) upstream_.always_to[upstream_target(ip)] = fault;
  }
  upstream_.luck_by_key(seed_);
}

// What is scarce here, or said by chance and for good, may be others' doing, and rightly so.
void Simulation::look_for_what_is_scarce() {
  const upstream::Settings usual;
  comparable_ = comparable_ && patience_ >= 10s && memory_bytes_ > (1U << 20) &&
                upstream_settings_.concurrency >= 16 &&
                upstream_settings_.max_waiting == usual.max_waiting &&
                upstream_settings_.max_parked > 1000 && flights_settings_.max_waiters > 1000 &&
                upstream_settings_.retry_budget.per_fetch == usual.retry_budget.per_fetch &&
                upstream_.network.loss == 0;
}

void Simulation::note_mix(const std::map<Fault, double>& mix) {
  double share = 0;
  for (const auto& [fault, part] : mix) {
    share += part;
    note_outage(fault);
  }
  // Where more goes wrong, it takes others' luck to see that the upstream is not down.
  if (share > 0.5) comparable_ = false;
}

void Simulation::note_outage(Fault fault) {
  switch (fault) {
    case Fault::NotFound:
    case Fault::Gone:
    case Fault::BadRequest:
    case Fault::Unauthorized:
    case Fault::Forbidden:
    case Fault::Redirect:
    case Fault::TooMany:
    case Fault::Unavailable:
    case Fault::QuotaUsedUp:
      comparable_ = false;
      return;
    default:
      return;
  }
}

// One of several origins that has a final word for everything, and is wrong.
void Simulation::plan_wrong_origin() {
  const std::size_t origins = upstream_settings_.origins.size();
  if (origins < 2 || !well_ || !chance(0.5)) return;
  const std::size_t origin = random_.below(origins);
  const Fault fault = one_of({Fault::Unauthorized, Fault::Forbidden, Fault::NotFound, Fault::Gone,
                              Fault::BadRequest, Fault::BalancerNotFound});
  const base::Duration from = one_of<base::Duration>({0ms, 0ms, 1s});
  wrong_origin_ = origin;
  at(from,
     "an origin has the wrong answer to all: fault " + std::to_string(static_cast<int>(fault)),
     [this, origin, fault] { upstream_.always[origin] = fault; });
}

// The recovery finds clients waiting, and all that an outage leaves behind.
void Simulation::plan_end_in_outage(base::Duration time) {
  const Fault fault = draw_outage(random_);
  note_outage(fault);
  const base::Duration length = one_of<base::Duration>({100ms, 3s, 60s});
  at(time, "outage to the end: fault " + std::to_string(static_cast<int>(fault)), [this, fault] {
    for (std::size_t i = 0; i < upstream_settings_.origins.size(); ++i) upstream_.always[i] = fault;
  });
  for (const base::Duration when : {time, time + length}) {
    const std::uint64_t count = random_.below(12);
    for (std::uint64_t i = 0; i < count; ++i) {
      const std::string ip = "198.51.100." + std::to_string(100 + random_.below(8));
      at(when + random_.up_to(900ms), {}, [this, ip] { ask(ip, patience_); });
    }
  }
}

void Simulation::plan_requests(base::Duration time) {
  const std::uint64_t count = 1 + random_.below(one_of<std::uint64_t>({3, 20, 60}));
  const base::Duration over = one_of<base::Duration>({0ms, 30ms, 1s, 8s});
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::string& ip = ips_[random_.below(ips_.size())];
    // A few have spent nearly all their time in a mailbox.
    const base::Duration patience = chance(0.03) ? between(5ms, 200ms) : patience_;
    at(time + random_.up_to(over), {}, [this, ip, patience] { ask(ip, patience); });
  }
}

void Simulation::plan_event(base::Duration time) {
  const std::uint64_t kind = random_.below(16);
  const bool spoils = kind == 3 || kind == 4 || kind == 6 || kind >= 9;
  if (kind >= 14 || (well_ && spoils)) return plan_network_event(time);
  switch (kind) {
    case 0:
    case 1: {
      const bool killed = chance(0.5);
      return at(time, killed ? "kill" : "restart", [this, killed] { restart(killed); });
    }
    case 2: {
      const auto by = std::chrono::milliseconds(static_cast<std::int64_t>(
          one_of<double>({1, 50, 5'000, 100'000, 90'000'000}) * random_.uniform()));
      const bool back = chance(0.4);
      return at(time, "wall clock jumps", [this, by, back] {
        trace_.line("by ", back ? "-" : "+", by.count(), "ms");
        scheduler_.manual_clock().jump_wall(back ? -by : by);
        if (back) jumped_back_ += by;
      });
    }
    case 3:
    case 4:
      return plan_disk_event(time);
    case 5: {
      const bool all = chance(0.3);
      const std::string ip = ips_[random_.below(ips_.size())];
      return at(time, "the data change", [this, all, ip] {
        all ? upstream_.change_all() : upstream_.change("/geoip/" + ip);
      });
    }
    case 6: {
      const auto forced =
          one_of({upstream::Breaker::Forced::Open, upstream::Breaker::Forced::Closed});
      const std::size_t origin = random_.below(upstream_settings_.origins.size());
      const auto move = [this, origin](upstream::Breaker::Forced to) {
        if (!process_) return;
        watch_.breaker_moved();
        force_breaker(origin, to);
      };
      at(time, "a breaker is forced", [move, forced] { move(forced); });
      return at(time + random_.up_to(6s), "a breaker is left alone",
                [move] { move(upstream::Breaker::Forced::No); });
    }
    case 7:
    case 8: {
      // Mostly because the data are others, and mostly while they are asked for.
      const bool all = chance(0.3);
      const bool changed = chance(0.8);
      const std::string ip = ips_[random_.below(ips_.size())];
      at(time, "a purge", [this, all, changed, ip] {
        if (changed) all ? upstream_.change_all() : upstream_.change("/geoip/" + ip);
        purge(all ? "" : ip);
      });
      for (std::uint64_t i = random_.below(4); i > 0; --i) {
        at(time - std::min(time, random_.up_to(300ms)), {}, [this, ip] { ask(ip, patience_); });
        at(time + random_.up_to(300ms), {}, [this, ip] { ask(ip, patience_); });
      }
      return;
    }
    default:
      return plan_upstream_event(time);
  }
}

void Simulation::plan_upstream_event(base::Duration time) {
  const std::size_t origin = random_.below(upstream_settings_.origins.size());
  switch (random_.below(8)) {
    case 0:
    case 1:
    case 2: {
      const Fault fault = draw_outage(random_);
      note_outage(fault);
      const bool everywhere = chance(0.6);
      const std::size_t origins = upstream_settings_.origins.size();
      const auto each = [=](auto act) {
        for (std::size_t i = 0; i < origins; ++i) {
          if (everywhere || i == origin) act(i);
        }
      };
      at(time,
         "outage: fault " + std::to_string(static_cast<int>(fault)) +
             (everywhere ? " everywhere" : " at one origin"),
         [this, each, fault] { each([&](std::size_t i) { upstream_.always[i] = fault; }); });
      return at(time + random_.up_to(one_of<base::Duration>({300ms, 5s, 30s})), "outage over",
                [this, each] { each([&](std::size_t i) { upstream_.always.erase(i); }); });
    }
    case 3: {
      comparable_ = false;
      const double limit = one_of<double>({2, 20, 50});
      const double burst = one_of<double>({1, 10, 50});
      return at(time, "a rate limit nobody told us", [this, limit, burst] {
        upstream_.rate_limit = limit;
        upstream_.rate_burst = burst;
      });
    }
    case 4: {
      const auto median = one_of<base::Duration>({1ms, 30ms, 400ms, 1500ms});
      const auto congestion = one_of<base::Duration>({0ms, 0ms, 5ms});
      if (congestion > 0ms) comparable_ = false;
      return at(time, "another latency", [this, median, congestion] {
        upstream_.median = median;
        upstream_.congestion = congestion;
      });
    }
    case 5: {
      const auto mix = draw_mix(random_);
      note_mix(mix);
      return at(time, "faults of one origin:" + describe(mix),
                [this, origin, mix] { upstream_.faults_of[origin] = mix; });
    }
    case 6:
      return at(time, "no faults", [this] {
        upstream_.faults.clear();
        upstream_.faults_of.clear();
      });
    default: {
      const auto mix = draw_mix(random_);
      note_mix(mix);
      return at(time, "faults:" + describe(mix), [this, mix] { upstream_.faults = mix; });
    }
  }
}

void Simulation::plan_disk_event(base::Duration time) {
  comparable_ = false;  // a disk that is slow is so for all
  const auto reads = one_of(
      {SimulatedStore::Reads::Well, SimulatedStore::Reads::Fail, SimulatedStore::Reads::Corrupt});
  const bool full = chance(0.3);
  const auto slowest = one_of<base::Duration>({0ms, 1ms, 30ms, 300ms});
  at(time, "the disk is another", [this, reads, full, slowest] {
    trace_.line("reads ", static_cast<int>(reads), full ? ", full, " : ", ", text(slowest));
    store_.reads = reads;
    store_.full = full;
    store_.slowest = slowest;
  });
  at(time + random_.up_to(10s), "the disk is well", [this] {
    store_.reads = SimulatedStore::Reads::Well;
    store_.full = false;
    store_.slowest = {};
  });
}

}  // namespace holdfast::simulation
