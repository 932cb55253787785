// A round asks each family that is not being asked already. An answer settles the round
// when both are in, or when waiting on is not worth it; only then are the families
// compared, since what one says bears on the other: that a name does not exist, beside an
// address of the other family, means that it has none of this one.
//
// The order is kept where nothing speaks against it: name servers turn theirs at each
// answer, and following that would move all connections every few seconds.
#include "upstream/names.h"

#include <algorithm>
#include <array>
#include <utility>

namespace holdfast::upstream {
namespace {

using Kind = NameAnswer::Kind;

constexpr std::array kFamilies{AddressFamily::V4, AddressFamily::V6};

std::string joined(const std::vector<std::string>& texts) {
  std::string all;
  for (const std::string& text : texts) all += (all.empty() ? "" : " ") + text;
  return all;
}

}  // namespace

struct Names::FamilyState {
  bool asking = false;
  std::optional<Kind> last;            // how the last answer was
  std::vector<std::string> addresses;  // of the last that had any
  std::optional<base::Duration> ttl;   // its own, clamped
  base::SteadyTime found_at{};
  base::SteadyTime answered_at{};
  int failures = 0;  // answers without an address, one after another
  std::string error;

  bool found() const { return last == Kind::Found; }
};

struct Names::Host {
  std::string name;
  std::vector<std::size_t> origins;
  std::array<FamilyState, kFamilies.size()> families;
  std::vector<std::string> addresses;
  base::SteadyTime asked_at{};
  base::SteadyTime wanted_until{};  // somebody may be waiting for it
  std::string trouble;              // as last logged; empty: none
  base::Timer again;                // the next round
  base::Timer delay;                // RFC 8305's resolution delay

  FamilyState& of(AddressFamily family) { return families[static_cast<std::size_t>(family)]; }
  bool any_found() const {
    return std::any_of(families.begin(), families.end(),
                       [](const FamilyState& each) { return each.found(); });
  }
  bool asking() const {
    return std::any_of(families.begin(), families.end(),
                       [](const FamilyState& each) { return each.asking; });
  }
  // "NXDOMAIN", or "IPv4: no address; IPv6: SERVFAIL".
  std::string error() const {
    const auto& v4 = families[0].error;
    const auto& v6 = families[1].error;
    if (v4 == v6) return v4;
    std::string text = v4.empty() ? "" : "IPv4: " + v4;
    if (!v6.empty()) text += (text.empty() ? "IPv6: " : "; IPv6: ") + v6;
    return text;
  }
};

Names::Names(base::Scheduler& scheduler, std::unique_ptr<NameSource> source, SourceOf source_of,
             Settings settings, std::vector<std::string> hosts, Changed changed, observe::Log& log)
    : scheduler_(scheduler),
      source_of_(std::move(source_of)),
      settings_(settings),
      changed_(std::move(changed)),
      log_(log),
      source_(std::move(source)) {
  for (std::size_t origin = 0; origin < hosts.size(); ++origin) {
    std::string& name = hosts[origin];
    of_origin_.push_back(nullptr);
    if (name.empty()) continue;
    auto host = std::find_if(hosts_.begin(), hosts_.end(),
                             [&](const auto& each) { return each->name == name; });
    if (host == hosts_.end()) {
      host = hosts_.insert(hosts_.end(), std::make_unique<Host>());
      (*host)->name = std::move(name);
    }
    (*host)->origins.push_back(origin);
    of_origin_.back() = host->get();
  }
  for (const auto& host : hosts_) ask(*host);
}

Names::~Names() {
  source_.reset();  // first: nothing it has under way may find us half gone
}

const std::vector<std::string>& Names::addresses(std::size_t origin) const {
  static const std::vector<std::string> kNone;
  const Host* const host = of_origin_.at(origin);
  return host == nullptr ? kNone : host->addresses;
}

void Names::urgent(std::size_t origin) {
  Host* const host = of_origin_.at(origin);
  if (host == nullptr) return;
  host->wanted_until = scheduler_.now() + settings_.wanted_for;
  const base::SteadyTime earliest = host->asked_at + settings_.urgent_interval;
  if (earliest <= scheduler_.now()) {
    ask(*host);
  } else {
    set_timer(*host, earliest);
  }
}

Names::State Names::state(std::size_t origin) const {
  const Host* const host = of_origin_.at(origin);
  State state;
  if (host == nullptr) return state;
  const base::SteadyTime now = scheduler_.now();
  state.error = host->error();
  if (host->addresses.empty()) {
    const bool answered =
        std::all_of(host->families.begin(), host->families.end(),
                    [](const FamilyState& each) { return each.last.has_value(); });
    state.kind = answered ? State::Kind::Failed : State::Kind::Resolving;
    return state;
  }
  // The family whose word holds longest stands for the name.
  const FamilyState* best = nullptr;
  for (const FamilyState& family : host->families) {
    if (family.addresses.empty()) continue;
    if (best == nullptr || lapses(family) > lapses(*best)) best = &family;
  }
  state.age = now - best->found_at;
  state.ttl = best->ttl;
  state.kind = State::Kind::Resolved;
  // One that lapses while its successor is on the way is not called stale for that.
  const base::Duration late = now - lapses(*best);
  if (late > (best->found() ? settings_.ttl_min : base::Duration::zero())) {
    state.kind = State::Kind::Stale;
    state.stale_for = late;
  }
  return state;
}

void Names::ask(Host& host) {
  host.again.cancel();
  host.asked_at = scheduler_.now();
  for (const AddressFamily family : kFamilies) {
    FamilyState& state = host.of(family);
    if (state.asking) continue;  // silence; its tries go on by themselves
    state.asking = true;
    source_->ask(host.name, family, [this, &host, family](NameAnswer answer) {
      answered(host, family, std::move(answer));
    });
  }
}

void Names::answered(Host& host, AddressFamily family, NameAnswer answer) {
  FamilyState& state = host.of(family);
  if (answer.kind == Kind::Found && answer.addresses.empty()) {
    answer.kind = Kind::NoData;
    answer.error = "no address";
  }
  state.asking = false;
  state.last = answer.kind;
  state.answered_at = scheduler_.now();
  if (answer.kind == Kind::Found) {
    state.addresses = std::move(answer.addresses);
    state.ttl = answer.ttl;
    if (state.ttl) state.ttl = std::clamp(*state.ttl, settings_.ttl_min, settings_.ttl_max);
    state.found_at = state.answered_at;
    state.failures = 0;
    state.error.clear();
  } else {
    ++state.failures;
    state.error = std::move(answer.error);
  }

  // A host asked of while the other family is silent must not wait for it.
  if (!host.asking() || (family == AddressFamily::V6 && state.found())) {
    settle(host);
  } else if (state.found() && !host.delay.pending()) {
    schedule(host);
    host.delay.set_after(scheduler_, settings_.resolution_delay, [this, &host] { settle(host); });
  } else {
    schedule(host);
  }
}

void Names::settle(Host& host) {
  host.delay.cancel();
  if (host.any_found()) {
    for (FamilyState& family : host.families) {
      if (family.asking || family.found() || family.last == Kind::Failed) continue;
      // Denied by a name server that is in its right mind: it gave us the other family.
      family.addresses.clear();
      family.failures = 0;
      family.error.clear();
    }
    note_recovery(host);
  } else if (!host.asking()) {
    note_trouble(host, host.error());
  }
  schedule(host);
  publish(host);
}

void Names::schedule(Host& host) {
  base::SteadyTime next = base::SteadyTime::max();
  for (const FamilyState& family : host.families) {
    if (family.asking || !family.last) continue;
    if (family.found()) {
      const base::Duration after =
          family.ttl ? base::Duration(static_cast<base::Duration::rep>(
                           settings_.refresh_at * static_cast<double>(family.ttl->count())))
                     : settings_.reread;
      next = std::min(next, family.found_at + after);
    } else if (family.failures > 0) {
      next = std::min(next, family.answered_at + back_off(host, family.failures));
    }
  }
  if (next == base::SteadyTime::max()) {
    host.again.cancel();  // all are being asked, and each will answer
  } else {
    set_timer(host, next);
  }
}

void Names::set_timer(Host& host, base::SteadyTime when) {
  host.again.set_at(scheduler_, when, [this, &host] { ask(host); });
}

void Names::publish(Host& host) {
  // Those we have first, in their order; then what is new, in the answer's.
  std::vector<std::string> now;
  for (const FamilyState& family : host.families) {
    now.insert(now.end(), family.addresses.begin(), family.addresses.end());
  }
  if (now.empty()) return;
  std::vector<std::string> kept;
  for (const std::string& address : host.addresses) {
    const auto found = std::find(now.begin(), now.end(), address);
    if (found == now.end()) continue;
    kept.push_back(address);
    now.erase(found);
  }
  kept.insert(kept.end(), now.begin(), now.end());
  std::vector<std::string> ordered = in_order(kept, source_of_);
  if (ordered.empty() || ordered == host.addresses) return;
  // Name servers that hand out a few of many at a time would fill the log.
  const bool moved = std::none_of(ordered.begin(), ordered.end(), [&](const std::string& address) {
    return std::find(host.addresses.begin(), host.addresses.end(), address) != host.addresses.end();
  });
  host.addresses = std::move(ordered);
  log_.event(moved ? observe::Level::Info : observe::Level::Debug, "name_resolved",
             {{"host", host.name}, {"addresses", joined(host.addresses)}});
  for (const std::size_t origin : host.origins) changed_(origin, host.addresses);
}

void Names::note_trouble(Host& host, const std::string& error) {
  if (host.trouble == error) return;
  host.trouble = error;
  log_.event(observe::Level::Warn, "name_lookup_failed",
             {{"host", host.name}, {"error", error}, {"still_using", joined(host.addresses)}});
}

void Names::note_recovery(Host& host) {
  if (host.trouble.empty()) return;
  host.trouble.clear();
  log_.event(observe::Level::Info, "name_lookup_recovered", {{"host", host.name}});
}

base::Duration Names::back_off(const Host& host, int failures) const {
  if (scheduler_.now() < host.wanted_until) return settings_.urgent_interval;
  const base::Duration cap =
      host.addresses.empty() ? settings_.retry_cap_unknown : settings_.retry_cap;
  base::Duration wait = settings_.retry_base;
  for (int i = 1; i < failures && wait < cap; ++i) wait *= 2;
  return std::min(wait, cap);
}

base::SteadyTime Names::lapses(const FamilyState& family) const {
  if (family.ttl) return family.found_at + *family.ttl;
  // The hosts file says nothing of time: it holds until it says something else.
  return family.found() ? base::SteadyTime::max() : family.found_at + settings_.reread;
}

std::string_view to_string(Names::State::Kind kind) {
  switch (kind) {
    case Names::State::Kind::Unnamed:
      return "unnamed";
    case Names::State::Kind::Resolving:
      return "resolving";
    case Names::State::Kind::Resolved:
      return "resolved";
    case Names::State::Kind::Stale:
      return "stale";
    case Names::State::Kind::Failed:
      return "failed";
  }
  return "unknown";
}

}  // namespace holdfast::upstream
