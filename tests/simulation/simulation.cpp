#include "simulation.h"

#include <algorithm>

#include "cache/freshness.h"
#include "lookup_route.h"

namespace holdfast::simulation {
namespace {

using namespace std::chrono_literals;
using proxy::Rung;
using upstream::Breaker;

// Far more than any schedule takes; past it something spins.
constexpr std::uint64_t kMostSteps = 1'000'000;
// Ages are in whole seconds, and rounded more than once on the way.
constexpr base::Duration kRounding = 2s;
constexpr auto kLongestDeadline = 30s;
// Until an upstream that is back is known to be.
constexpr auto kNoticed = Health::kNoticed;
// Beyond what answers take: for timers, slots, and the way to the client.
constexpr auto kSlack = 250ms;
// What is left of ten seconds then.
constexpr auto kTimeEnough = 7s;

// Nobody looks at them, and making them takes longer than a schedule.
observe::Metrics& metrics() {
  static observe::Metrics all;
  return all;
}
observe::Shard& shard() {
  static observe::Shard& one = metrics().shard();
  return one;
}

std::string key_of(const std::string& ip) {
  return "lookup/" + ip;
}
std::string target_of(std::string_view key) {
  return "/geoip/" + std::string(key.substr(key.find('/') + 1));
}

const char* name_of(Rung rung) {
  switch (rung) {
    case Rung::Fresh:
      return "fresh";
    case Rung::StaleWhileRevalidate:
      return "stale-while-revalidate";
    case Rung::Fetched:
      return "fetched";
    case Rung::StaleIfError:
      return "stale-if-error";
    case Rung::Offline:
      return "offline";
    case Rung::Pass:
      return "pass";
    case Rung::NotStored:
      return "not-stored";
    case Rung::Error:
      break;
  }
  return "error";
}

}  // namespace

struct Simulation::Process {
  Process(Simulation& world, std::uint64_t seed)
      : memory({world.memory_bytes_, 1}),
        random(seed),
        policy(world.scheduler_, random, world.transport_, world.upstream_settings_, metrics(),
               shard(), log),
        fetcher(policy, world.watch_),
        flights({world.scheduler_, fetcher, memory, world.store_, log, metrics(), shard()},
                world.flights_settings_, seed) {}

  observe::Log log;
  cache::MemoryCache memory;
  base::Random random;
  upstream::PolicyFetcher policy;
  WatchedFetcher fetcher;
  proxy::Flights flights;
};

Simulation::Simulation(std::uint64_t seed, bool traced, Tally& tally, Others others)
    : tally_(tally),
      seed_(seed),
      random_(seed),
      begun_(scheduler_.now()),
      trace_(scheduler_, traced),
      well_(chance(0.4)),
      upstream_settings_(draw_upstream_settings(random_, well_)),
      storing_(draw_storing_policy(random_)),
      flights_settings_(draw_flights_settings(random_, well_)),
      memory_bytes_(one_of<std::size_t>({64U << 20, 64U << 20, 4096})),
      patience_(one_of<base::Duration>({10s, 10s, 2s, kLongestDeadline})),
      upstream_(scheduler_, random_.next(), storing_),
      store_(scheduler_, random_.next()),
      health_(scheduler_),
      watch_(
          scheduler_, trace_, upstream_settings_,
          [this](base::SteadyTime from, base::SteadyTime to) { return store_.stalled(from, to); },
          [this](const std::string& target) { return upstream_.forbade_storing(target); }),
      transport_(upstream_, watch_),
      route_(proxy::test::lookup_route(storing_)),
      names_(upstream_settings_.origins.size()),
      told_(upstream_settings_.origins.size()),
      others_(others),
      others_luck_(seed) {
  store_.on_put = [this](std::string_view key, const cache::StoredResponse& stored) {
    check_stored(key, stored);
  };
}

Simulation::~Simulation() {
  for (Client& client : clients_)
    client.gone = true;  // of a schedule that was not played to its end
  process_.reset();
}

void Simulation::run() {
  trace_.line(upstream_settings_.origins.size(), " origins, concurrency ",
              upstream_settings_.concurrency, ", waiting ", upstream_settings_.max_waiting,
              ", parked ", upstream_settings_.max_parked, ", waiters ",
              flights_settings_.max_waiters, ", budget ", upstream_settings_.retry_budget.per_fetch,
              " a fetch and ", upstream_settings_.retry_budget.reserve_per_second, "/s, deadline ",
              text(patience_), ", ttl ", storing_.ttl.count(), "s, memory ", memory_bytes_);
  plan();
  boot();
  run_until(begun_ + horizon_);
  if (over()) return;
  recover();
  // What was on its way then may still be as bad as before.
  run_until(now() + kNoticed);
  if (over()) return;
  expect_answers();
  run_until(now() + kLongestDeadline + flights_settings_.refresh_deadline);
  if (over()) return;
  check_drained();
  // Certificates are looked at again once a minute at least.
  if (distrusted()) run_until(now() + 61s);
  check_serves_again();
  tally_.attempts += static_cast<std::uint64_t>(watch_.counts().attempts);
  tally_.retries += static_cast<std::uint64_t>(watch_.counts().retries);
  tally_.well += well_;
  tally_.local += static_cast<std::uint64_t>(watch_.counts().local);
  tally_.beside += static_cast<std::uint64_t>(watch_.counts().beside);
  tally_.hedges += static_cast<std::uint64_t>(watch_.counts().hedges);
  tally_.probes += static_cast<std::uint64_t>(watch_.counts().probes);
  tally_.bare_probes += static_cast<std::uint64_t>(watch_.counts().bare_probes);
}

void Simulation::run_until(base::SteadyTime when) {
  bool reached = false;
  scheduler_.call_at(when, [&reached] { reached = true; });
  while (!reached && !over()) {
    if (++steps_ > kMostSteps) watch_.fail("the loop spins");
    ++tally_.steps;
    scheduler_.step();
    check_step();
  }
}

// ---- What happens ----

void Simulation::boot() {
  ++generation_;
  booted_at_ = now();
  process_ = std::make_unique<Process>(*this, random_.next());
  watch_.process(&process_->policy);
  look_names_up();
  if (chance(0.5)) {
    store_.load_recent([this](std::string_view key, cache::StoredPtr stored) {
      process_->memory.put_if_absent(key, std::move(stored));
      return true;
    });
  }
}

void Simulation::give_addresses(std::size_t origin) {
  process_->policy.addresses(origin, told_[origin]);
}

void Simulation::restart(bool killed) {
  ++tally_.restarts;
  if (!killed) {
    stopping_ = true;
    process_->flights.abandon_all();
    stopping_ = false;
    if (joined_ != 0) watch_.fail("a stop left a client without an answer");
    store_.flush();
  }
  for (Client& client : clients_) {
    if (client.answered || client.gone) continue;
    client.gone = true;
    ++tally_.gone;
  }
  joined_ = 0;
  process_.reset();
  transport_.cancel_all();
  upstream_.network.forget_connections();
  watch_.process(nullptr);
  if (killed) {
    store_.crash();
    purged_.clear();  // what was not committed yet is lost
  }
  boot();
}

// As Admin does it: `ip`, or everything if that is empty.
void Simulation::purge(const std::string& ip) {
  ++tally_.purges;
  proxy::Flights& flights = process_->flights;
  if (ip.empty()) {
    watch_.purged_all();
    flights.purge_all();
  } else {
    watch_.purged(target_of(key_of(ip)));
    flights.purge(key_of(ip));
  }
  for (const std::string& one : ips_) {
    if (ip.empty() || ip == one) purged_[one] = now();
  }
}

void Simulation::force_breaker(std::size_t origin, Breaker::Forced forced) {
  process_->policy.force_breaker(origin, forced);
}

// A client's request as a worker handles it: from memory if it can, else it goes
// to the origin loop.
void Simulation::ask(const std::string& ip, base::Duration patience, bool must_succeed,
                     bool planned) {
  const std::size_t number = clients_.size();
  clients_.push_back({ip, now() + patience, now()});
  clients_.back().must_succeed = must_succeed;
  clients_.back().patience = patience;
  clients_.back().planned = planned;
  ++tally_.clients;
  trace_.line("client ", number, " asks for ", ip, " within ", text(patience));
  const std::string key = key_of(ip);
  base::Random& luck = luck_of(clients_.back());
  // Now and then what memory has to say comes a moment after the worker looked.
  const cache::StoredPtr stored = luck.uniform() < 0.1 ? nullptr : process_->memory.find(key);
  clients_.back().had_stored =
      stored &&
      cache::freshness(*stored, scheduler_.clock().wall() +
                                    std::chrono::ceil<std::chrono::milliseconds>(patience))
              .use != cache::Use::Unusable;
  if (stored) {
    const cache::Use use = cache::freshness(*stored, scheduler_.clock().wall()).use;
    if (use == cache::Use::Fresh || use == cache::Use::StaleWhileRevalidate) {
      proxy::Answer answer;
      answer.rung = use == cache::Use::Fresh ? Rung::Fresh : Rung::StaleWhileRevalidate;
      answer.content = stored;
      if (use == cache::Use::StaleWhileRevalidate) {
        scheduler_.post([this, key, generation = generation_] {
          if (generation == generation_) process_->flights.refresh(*route_, key);
        });
      }
      return answered(number, answer);
    }
  }
  const base::SteadyTime when = now() + luck.up_to(luck.uniform() < 0.5 ? 0ms : 2ms);
  scheduler_.call_at(when, [this, number, generation = generation_] {
    if (generation == generation_) join(number);
  });
}

void Simulation::join(std::size_t number) {
  clients_[number].waits_in_flights = true;
  ++joined_;
  const std::string key = key_of(clients_[number].ip);
  process_->flights.join(*route_, key, clients_[number].deadline, std::chrono::seconds(0),
                         [this, number](const proxy::Answer& answer) {
                           if (!clients_[number].gone) --joined_;
                           answered(number, answer);
                         });
}

// The upstream, the network and the disk are well from now on.
void Simulation::recover() {
  trace_.line("* everything recovers");
  lack({});
  upstream_.network.paths.clear();
  upstream_.network.loss = 0;
  // With next to no connections, what waits on a dead one cannot be raced.
  if (upstream_settings_.concurrency < 4) upstream_.network.forget_connections();
  for (std::size_t origin = 0; origin < names_.size(); ++origin) tell(origin);
  upstream_.faults.clear();
  upstream_.faults_of.clear();
  upstream_.always.clear();
  upstream_.rate_limit = 0;
  upstream_.congestion = {};
  upstream_.median = 20ms;
  upstream_.sigma = 0.3;
  network_changed();
  recovered_ = true;
}

bool Simulation::distrusted() {
  const auto origins = process_->policy.status().origins;
  return std::any_of(origins.begin(), origins.end(),
                     [](const auto& origin) { return origin.certificate_refused; });
}

// Where nothing else is scarce, whoever still waits and has time gets an answer.
void Simulation::expect_answers() {
  process_->policy.token_changed();
  const upstream::Status status = process_->policy.status();
  const bool roomy = upstream_settings_.concurrency >= 4 && status.queued + status.parked <= 10 &&
                     status.retry_budget >= 20 && upstream_settings_.max_waiting > 1000 &&
                     upstream_settings_.max_parked > 1000 && flights_settings_.max_waiters > 1000 &&
                     !distrusted();
  if (!roomy) return;
  // Who wants no race waits for what hangs.
  const bool raced = upstream_settings_.hedge.mode != upstream::HedgePolicy::Mode::Off;
  for (Client& client : clients_) {
    client.must_succeed = raced && !always_fails(client) && client.waits_in_flights &&
                          client.deadline - now() >= kTimeEnough;
    if (client.must_succeed && !client.answered && !client.gone) ++tally_.waited_it_out;
  }
  if (patience_ >= 10s) ask("198.51.100.1", patience_, true);
}

// ---- What must hold ----

void Simulation::answered(std::size_t number, const proxy::Answer& answer) {
  Client& client = clients_[number];
  if (client.gone) return;  // said to a connection that is no more
  trace_.line("client ", number, " gets ", name_of(answer.rung), " ",
              answer.content ? answer.content->status : answer.status,
              answer.collapsed ? " (collapsed) " : " ",
              answer.content ? answer.content->body : answer.detail);
  if (std::exchange(client.answered, true)) return watch_.fail("a client got two answers");
  // The flights aim half their margin before the deadline; only a disk that blocks
  // the loop from then on makes them miss it.
  const base::SteadyTime aimed = client.deadline - flights_settings_.answer_margin / 2;
  if (now() > client.deadline && now() - client.deadline > store_.stalled(aimed, now())) {
    watch_.fail("a client got its answer " + text(now() - client.deadline) + " late");
  }
  if (answer.collapsed) ++tally_.collapsed;
  if (always_fails(client)) ++tally_.bad_keys;
  note_fate(client, answer);
  if (well_ && !stopping_) check_wait(client, answer);
  if (!stopping_) check_served_in_lack(client, answer);
  if (answer.content) {
    check_content(client, answer);
  } else {
    check_error(client, answer);
  }
  // As a keep-alive client may, on the loop and inside the callback.
  if (number % 16 == 7 && !recovered_) ask(client.ip, patience_, false, false);
}

void Simulation::check_content(const Client& client, const proxy::Answer& answer) {
  const cache::StoredResponse& content = *answer.content;
  const std::string target = target_of(key_of(client.ip));
  std::optional<base::SteadyTime> said_at;
  std::chrono::seconds fresh_for{}, usable_for{};
  bool may_store = true;
  if (content.status == 200) {
    const Version* version = upstream_.said(target, content.body);
    if (!version) return watch_.fail("a body the upstream never gave for that key");
    said_at = version->said_at;
    fresh_for = version->fresh_for;
    usable_for = version->usable_for;
    may_store = version->may_store;
    const auto purged = purged_.find(client.ip);
    if (purged != purged_.end() && client.asked_at > purged->second) {
      ++tally_.asked_since_purge;
      if (version->changed_at && *version->changed_at <= purged->second) {
        watch_.fail("an answer from before a purge, which came before the question");
      }
    }
  } else {
    ++tally_.negative;
    said_at = upstream_.said_missing(target);
    if (!said_at || (content.status != 404 && content.status != 410)) {
      return watch_.fail("a status the upstream never gave for that key");
    }
    const auto& policy = storing_;
    fresh_for = usable_for = std::chrono::seconds(static_cast<std::chrono::seconds::rep>(
        static_cast<double>(policy.negative_ttl.count()) * (1 + policy.jitter)));
    // It was held while another origin was asked.
    if (names_.size() > 1)
      usable_for = fresh_for += std::chrono::ceil<std::chrono::seconds>(patience_);
  }
  const base::Duration age = now() - *said_at;
  const base::Duration leeway = kRounding + jumped_back_;
  switch (answer.rung) {
    case Rung::Fetched:
      ++tally_.fetched;
      // A 404 is held while another origin is asked.
      if (age > store_.stalled(*said_at, now()) && (content.status == 200 || names_.size() == 1)) {
        watch_.fail("fetched, but not just now");
      }
      if (answer.stored && !store_.full && answer.content->status == 200) {
        const cache::StoredPtr kept = store_.peek(key_of(client.ip));
        if (!kept || kept->body != content.body) watch_.fail("said to be stored and is not");
      }
      if (!may_store && answer.collapsed) {
        watch_.fail("what may not be stored went to who had not asked for it");
      }
      if (answer.upstream_status == 304) ++tally_.freshened;
      return;
    case Rung::Fresh:
      ++tally_.fresh;
      if (age > fresh_for + leeway) watch_.fail("served as fresh after " + text(age));
      break;
    case Rung::StaleWhileRevalidate:
    case Rung::StaleIfError:
      ++(answer.rung == Rung::StaleIfError ? tally_.stale_if_error : tally_.stale_while_revalidate);
      if (age > usable_for + leeway) watch_.fail("served stale after " + text(age));
      break;
    case Rung::Offline:
    case Rung::Pass:
    case Rung::NotStored:
    case Rung::Error:
      return watch_.fail("content on the wrong rung");
  }
  if (!may_store) watch_.fail("served from a cache that was not to keep it");
}

void Simulation::check_error(const Client& client, const proxy::Answer& answer) {
  ++tally_.errors;
  if (answer.rung != Rung::Error || answer.detail.empty()) {
    watch_.fail("an answer without content or reason");
  }
  if (answer.status < 502 || answer.status > 504) watch_.fail("an error with a strange status");
  if (answer.retry_after < 1s) watch_.fail("an error without Retry-After");
  if (client.must_succeed) watch_.fail("an error although the upstream is back: " + answer.detail);
  const cache::StoredPtr stored = process_ ? process_->memory.find(key_of(client.ip)) : nullptr;
  if (stored && cache::freshness(*stored, scheduler_.clock().wall()).use != cache::Use::Unusable) {
    watch_.fail("an error although something usable is stored");
  }
}

bool Simulation::always_fails(const Client& client) const {
  return upstream_.always_to.contains(target_of(key_of(client.ip)));
}

// Who wants no race has none where an answer is lost with its connection.
bool Simulation::may_lose_answers(const Client& client) const {
  return upstream_settings_.hedge.mode == upstream::HedgePolicy::Mode::Off &&
         !health_.calm_since(client.asked_at - patience_);  // of what it joined
}

// With an upstream that is well, whatever the network does.
void Simulation::check_wait(const Client& client, const proxy::Answer& answer) {
  if (always_fails(client)) return;
  const bool calm = health_.calm_since(client.asked_at);
  if (may_lose_answers(client) || crowded_since(client.asked_at)) return;
  if (paced_at_ >= client.asked_at) return;
  const bool answered = answer.content && answer.content->status == 200;
  // What is told of a key that rests was said to somebody before.
  if (!answered && !answer.forwarded && paced_at_ >= client.asked_at - 1min) return;
  // It may have waited for another's answer that was not for it, and only then for its own.
  if (upstream_.forbade_storing(target_of(key_of(client.ip)))) return;
  // What it joined may have begun long before; and what was learned when answers took longer
  // says for a while when something is wrong.
  base::Duration natural = health_.natural_since(calm ? client.asked_at - patience_ : booted_at_);
  if (const auto slow = upstream_.slow.find(target_of(key_of(client.ip)));
      slow != upstream_.slow.end()) {
    natural += slow->second;
  }
  // The right origin is asked when the wrong one has spoken, and retries have their backoff.
  if (wrong_origin_) natural = 2 * natural;
  const base::Duration waited = now() - client.asked_at;
  // What was stored then, or the right origin is not waited for where it could not be asked.
  if (answer.content && !answered && answer.rung != Rung::Fetched) return;
  if (wrong_origin_ && !answered &&
      (!calm || health_.lost(client.asked_at - Health::kNoticed, now()) > base::Duration::zero())) {
    return;
  }
  if (!answered) {
    const base::Duration had = health_.of_use(client.asked_at, client.deadline);
    // What it began on may be dead, and the next one as well.
    if (had >= (calm ? 2 : 3) * natural + kSlack) {
      watch_.fail("no answer, though one takes " + text(natural) + " and there were " + text(had));
    }
    return;
  }
  ++(calm ? tally_.calm : tally_.disturbed);
  tally_.beside_bad_keys += !upstream_.always_to.empty();
  tally_.other_origin += wrong_origin_.has_value();
  base::Duration most = 3 * natural + kSlack + health_.lost(client.asked_at, now());
  // Retries of what always fails leave kept connections at all origins; that those are dead
  // each finds out for itself.
  const auto places = static_cast<int>(upstream_.always_to.empty() ? 1 : names_.size());
  if (!calm) most += places * Health::kFoundOut;
  if (waited > most) {
    watch_.fail("an answer after " + text(waited) + ", though one takes " + text(natural));
  }
}

void Simulation::check_stored(std::string_view key, const cache::StoredResponse& stored) {
  const std::string target = target_of(key);
  if (stored.status == 404 || stored.status == 410) {
    if (!upstream_.said_missing(target)) watch_.fail("a 404 stored that never came");
    return;
  }
  const Version* version = upstream_.said(target, stored.body);
  if (stored.status != 200 || !version) return watch_.fail("something invalid stored");
  if (!version->may_store) watch_.fail("stored what must not be stored");
  // A validator of another content would let a later 304 confirm the wrong one.
  if (stored.upstream_etag != version->etag ||
      stored.upstream_last_modified != version->last_modified) {
    watch_.fail("stored under the validator of something else: " + stored.upstream_etag);
  }
}

void Simulation::check_step() {
  if (!process_) return;
  const proxy::Flights::Stats flights = process_->flights.stats();
  if (flights.waiters != joined_) {
    watch_.fail(std::to_string(flights.waiters) + " waiters for " + std::to_string(joined_) +
                " clients");
  }
  if (flights.flights != watch_.fetches())
    watch_.fail("flights and fetches are not the same number");
  const upstream::Status status = process_->policy.status();
  if (status.fetches != watch_.fetches()) watch_.fail("the fetcher lost count of its fetches");
  if (status.in_flight != watch_.in_flight()) watch_.fail("the fetcher lost count of its attempts");
  if (upstream_.in_flight != watch_.in_flight())
    watch_.fail("the transport and the fetcher differ");
  check_lack(status);
  note_scarcity(status);
  if (status.parked > upstream_settings_.max_parked) watch_.fail("more parked than allowed");
  if (upstream_.network.any_mute() || !upstream_.network.paths.empty()) health_.disturbed();
  // Of several addresses, each is probed in its turn.
  std::size_t addresses = 1;
  for (const auto& list : told_) addresses = std::max(addresses, list.size());
  const auto turns = static_cast<int>(addresses - 1) * 1200ms;
  if (watch_.beside_others() > 0 &&
      2 * static_cast<int>(watch_.fetches()) > upstream_settings_.concurrency) {
    crowded_at_ = now();
  }
  // Where nothing but broken connections is asked for, that cannot be told from an outage.
  if (well_ && !breaks_some_ && !crowded_since(now() - Health::kFoundOut) &&
      health_.must_be_known(turns + (upstream_.slow.empty() ? 0s : 1s))) {
    const bool ill =
        std::none_of(status.origins.begin(), status.origins.end(),
                     [](const auto& origin) { return origin.breaker == Breaker::State::Closed; });
    if (ill) watch_.fail("a healthy upstream is called ill");
  }
  if (status.parked > 0) {
    ++tally_.parked;
    for (const auto& origin : status.origins) {
      if (origin.breaker == Breaker::State::Closed &&
          origin.token != upstream::TokenState::State::Refused) {
        watch_.fail("parked before a closed breaker");
      }
    }
  }
}

void Simulation::check_drained() {
  const proxy::Flights::Stats flights = process_->flights.stats();
  const upstream::Status status = process_->policy.status();
  if (flights.flights + flights.waiters != 0) watch_.fail("a flight is left");
  if (status.fetches + status.queued + status.parked != 0) watch_.fail("a fetch is left");
  // Probes of our own go on for ever, if they are switched on or an origin is set aside.
  if (watch_.in_flight_for_fetches() != 0) {
    watch_.fail("an attempt is left");
  }
  for (std::size_t i = 0; i < clients_.size(); ++i) {
    if (!clients_[i].answered && !clients_[i].gone) {
      watch_.fail("client " + std::to_string(i) + " got no answer");
    }
  }
  process_->memory.for_each(
      [this](std::string_view key, const cache::StoredPtr& stored) { check_stored(key, *stored); });
}

// And it works: what nobody has asked for before is answered.
void Simulation::check_serves_again() {
  // Who wants no race, or has no time for one as far as is known from slower days, may have to
  // find out, with one after the other, that what is kept is dead.
  const bool raced =
      upstream_settings_.hedge.mode != upstream::HedgePolicy::Mode::Off && patience_ >= 10s;
  for (int i = 2; i < 5 && !over(); ++i) {
    const std::size_t number = clients_.size();
    ++tally_.canaries;
    ask("198.51.100." + std::to_string(i), patience_, raced);
    run_until(now() + patience_);
    if (!clients_[number].answered) watch_.fail("no answer after the recovery");
  }
}

}  // namespace holdfast::simulation
