// What marks an address dark is one failed set-up: with another at hand it costs nothing
// to leave it out for a second, and the knock finds out whether it was a lost packet or a
// dead path. Failures of clients' own attempts do not move the knocks: a busy origin
// would drive their interval to the cap within a blink.
#include "upstream/addresses.h"

#include <algorithm>
#include <utility>

namespace holdfast::upstream {
namespace {

constexpr base::Duration kTlsUnknownPatience = std::chrono::seconds(3);

// Only these speak of the address; the rest of the work, or of us.
bool is_setup_failure(Outcome outcome) {
  switch (outcome) {
    case Outcome::Connect:
    case Outcome::ConnectTimeout:
    case Outcome::Tls:
    case Outcome::TlsTimeout:
    case Outcome::Certificate:
      return true;
    default:
      return false;
  }
}

bool among(std::span<const std::string> texts, const std::string& text) {
  return std::find(texts.begin(), texts.end(), text) != texts.end();
}

// A name may change with each answer.
constexpr std::size_t kMostFormer = 4;

base::Duration times(double factor, base::Duration duration) {
  return base::Duration(
      static_cast<base::Duration::rep>(factor * static_cast<double>(duration.count())));
}

}  // namespace

void Addresses::set(const std::vector<std::string>& addresses) {
  std::vector<Address> next;
  next.reserve(addresses.size());
  for (const std::string& text : addresses) {
    const auto same = [&](const Address& address) { return address.text == text; };
    if (std::any_of(next.begin(), next.end(), same)) continue;
    const auto old = std::find_if(all_.begin(), all_.end(), same);
    if (old == all_.end()) {
      next.emplace_back();
    } else {
      next.push_back(std::move(*old));
      all_.erase(old);
    }
    next.back().text = text;
    next.back().former = false;
  }
  // Who has answered may be all there is, should none of the new ones; a set-up that failed just
  // now may have been bad luck.
  std::size_t former = 0;
  for (Address& left : all_) {
    if (next.empty() || left.connect.count() == 0 || ++former > kMostFormer) continue;
    left.former = true;
    next.push_back(std::move(left));
  }
  all_ = std::move(next);
}

const std::string& Addresses::choose(std::span<const std::string> avoided) const {
  const Address* good = nullptr;
  for (const Address& address : all_) {
    if (address.dark) continue;
    if (!among(avoided, address.text)) return address.text;
    if (good == nullptr) good = &address;
  }
  if (good != nullptr) return good->text;
  const auto older = [&](const Address& a, const Address& b) {
    return std::pair(among(avoided, a.text), a.failed_at) <
           std::pair(among(avoided, b.text), b.failed_at);
  };
  return std::min_element(all_.begin(), all_.end(), older)->text;
}

bool Addresses::has_other(const std::string& address) const {
  return std::any_of(all_.begin(), all_.end(),
                     [&](const Address& other) { return !other.dark && other.text != address; });
}

void Addresses::connected(const std::string& address, base::Duration connect, base::Duration tls) {
  Address* const found = find(address);
  if (found == nullptr) return;
  if (connect > base::Duration::zero()) found->connect.add(connect);
  if (tls > base::Duration::zero()) found->tls.add(tls);
  brighten(*found);
  if (!found->former) forget_former();
}

void Addresses::forget_former() {
  std::erase_if(all_, [](const Address& address) { return address.former; });
}

void Addresses::failed(base::SteadyTime now, const std::string& address, Outcome outcome) {
  if (!is_setup_failure(outcome)) return;
  Address* const found = find(address);
  if (found == nullptr) return;
  darken(*found, now, outcome);
}

void Addresses::overtaken(base::SteadyTime now, const std::string& address) {
  failed(now, address, Outcome::ConnectTimeout);
}

bool Addresses::all_failed() const {
  return known() &&
         std::all_of(all_.begin(), all_.end(), [](const Address& each) { return each.dark; });
}

base::Duration Addresses::patience(const std::string& address, Phase phase) const {
  if (phase == Phase::Answer) return base::Duration::max();
  const Address* const found = find(address);
  if (found != nullptr) {
    const LatencyWindow& window = phase == Phase::Connect ? found->connect : found->tls;
    if (window.count() >= settings_.min_samples && window.count() > 0) {
      const base::Duration usual = std::min(
          *window.percentile(0.95), times(settings_.most_of_median, *window.percentile(0.5)));
      return std::max(settings_.head_start, times(settings_.headroom, usual) + settings_.slack);
    }
  }
  if (has_other(address)) return settings_.head_start;
  return phase == Phase::Connect ? settings_.patience_unknown : kTlsUnknownPatience;
}

base::Duration Addresses::round_trip(const std::string& address) const {
  const Address* const found = find(address);
  if (found == nullptr) return {};
  return found->connect.percentile(0.1).value_or(base::Duration::zero());
}

const std::string* Addresses::due(base::SteadyTime now) const {
  const Address* first = nullptr;
  for (const Address& address : all_) {
    if (!address.dark || address.knocking || address.knock_at > now) continue;
    if (first == nullptr || address.knock_at < first->knock_at) first = &address;
  }
  return first == nullptr ? nullptr : &first->text;
}

base::SteadyTime Addresses::next_knock() const {
  base::SteadyTime next = base::SteadyTime::max();
  for (const Address& address : all_) {
    if (address.dark && !address.knocking) next = std::min(next, address.knock_at);
  }
  return next;
}

void Addresses::knocking(const std::string& address) {
  if (Address* const found = find(address)) found->knocking = true;
}

void Addresses::knocked(base::SteadyTime now, const std::string& address, Outcome outcome) {
  Address* const found = find(address);
  if (found == nullptr) return;
  found->knocking = false;
  if (outcome == Outcome::Ok) {
    const bool former = found->former;
    brighten(*found);
    if (!former) forget_former();
  } else if (!found->dark) {  // somebody's request got through meanwhile, and says more
    return;
  } else {
    if (is_setup_failure(outcome)) {
      darken(*found, now, outcome);
      found->knock_interval = std::min(2 * found->knock_interval, settings_.knock_cap);
    }
    found->knock_at = now + found->knock_interval;
  }
}

std::vector<Addresses::View> Addresses::view() const {
  std::vector<View> views;
  views.reserve(all_.size());
  for (const Address& address : all_) {
    View view{address.text, address.dark, {}, {}, {}};
    if (address.last != Outcome::Ok) view.last_error = to_string(address.last);
    view.connect = address.connect.percentile(0.5).value_or(base::Duration::zero());
    view.tls = address.tls.percentile(0.5).value_or(base::Duration::zero());
    views.push_back(std::move(view));
  }
  return views;
}

Addresses::Address* Addresses::find(const std::string& address) {
  const auto found = std::find_if(all_.begin(), all_.end(),
                                  [&](const Address& each) { return each.text == address; });
  return found == all_.end() ? nullptr : &*found;
}

const Addresses::Address* Addresses::find(const std::string& address) const {
  const auto found = std::find_if(all_.begin(), all_.end(),
                                  [&](const Address& each) { return each.text == address; });
  return found == all_.end() ? nullptr : &*found;
}

void Addresses::darken(Address& address, base::SteadyTime now, Outcome outcome) {
  address.last = outcome;
  address.failed_at = now;
  if (address.dark) return;
  address.dark = true;
  address.knock_interval = std::min(settings_.knock_base, settings_.knock_cap);
  address.knock_at = now + address.knock_interval;
}

void Addresses::brighten(Address& address) {
  address.dark = false;
  address.last = Outcome::Ok;
  address.knock_at = base::SteadyTime::max();
}

}  // namespace holdfast::upstream
