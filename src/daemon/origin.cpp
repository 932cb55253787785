#include "daemon/origin.h"

#include <algorithm>
#include <limits>

#include "daemon/parts_settings.h"
#include "proxy/geoip_route.h"
#include "upstream/cares_source.h"

namespace holdfast::daemon {
namespace {

// How far health may be behind what happens.
constexpr base::Duration kHealthInterval = std::chrono::milliseconds(100);

}  // namespace

Origin::Origin(Parts parts, const config::Settings& settings)
    : parts_(parts),
      stall_watch_("origin", times_, [this](const auto& stall) { tell_stall(stall); }),
      loop_("origin", parts.clock),
      random_(base::Random::entropy()),
      shard_(parts.metrics.shard()),
      heartbeat_(parts.liveness.add("origin", parts.clock.now())),
      route_(proxy::make_geoip_route(nullptr)),
      transport_(loop_, transport_settings(settings), settings.api_token),
      fetcher_(loop_, random_, transport_, upstream_settings(settings), parts.metrics, shard_,
               parts.log),
      flights_({loop_, fetcher_, parts.memory, parts.store, parts.log, parts.metrics, shard_},
               flights_settings(settings), base::Random::entropy()) {
  look_up_names(settings);
  for (const base::Resource resource : base::kResources) {
    shortages_[static_cast<std::size_t>(resource)] = parts_.metrics.counter(
        observe::Family::ResourceShortages, {{"resource", std::string(to_string(resource))}});
  }
  transport_.on_lack([this](base::Resource resource) {
    shard_.add(shortages_[static_cast<std::size_t>(resource)]);
    if (on_lack_) on_lack_(resource);
  });
  stall_watch_.export_to(parts_.metrics);
  loop_.watch_calls(stall_watch_);
  const bool alone = settings.api_urls.size() == 1;
  for (const std::string& name : origin_names(settings.api_urls)) {
    health_.push_back(&parts.health.add(alone ? "upstream" : "upstream " + name,
                                        observe::Dependency::Role::Origin));
    add_facts(*health_.back(), health_.size() - 1);
  }
  status_ = fetcher_.status();
}

Origin::~Origin() {
  stop();
}

void Origin::look_up_names(const config::Settings& settings) {
  std::vector<std::string> hosts;
  for (const std::string& url : settings.api_urls) {
    hosts.push_back(host_to_look_up(url));
    if (hosts.back().empty()) fetcher_.addresses(hosts.size() - 1, {address_in(url)});
  }
  if (std::all_of(hosts.begin(), hosts.end(), [](const auto& host) { return host.empty(); })) {
    return;
  }
  names_ = std::make_unique<upstream::Names>(
      loop_, upstream::make_name_source(loop_, {}), upstream::system_source_of,
      upstream::Names::Settings{}, std::move(hosts),
      [this](std::size_t origin, const std::vector<std::string>& addresses) {
        fetcher_.addresses(origin, addresses);
      },
      parts_.log);
  fetcher_.on_unreachable([this](std::size_t origin) { names_->urgent(origin); });
}

void Origin::start() {
  loop_.post([this] {
    heartbeat_.start(loop_);
    report_health();
  });
  thread_.start(loop_);
}

void Origin::stop() {
  if (!thread_.runs()) return;
  loop_.post([this] {
    heartbeat_.stop();
    health_timer_.cancel();
    flights_.abandon_all();
    loop_.stop();
  });
}

void Origin::tell_stall(const observe::Stall& stall) {
  const auto suppressed = stalls_told_.admit(loop_.now());
  if (!suppressed) return;
  const auto seconds = [](base::Duration time) {
    return std::chrono::duration<double>(time).count();
  };
  parts_.log.event(observe::Level::Warn, "loop_stalled",
                   {{"loop", loop_.name()},
                    {"call", stall.call},
                    {"busy_seconds", seconds(stall.busy)},
                    {"blocked_seconds", seconds(stall.blocked)},
                    {"disk_seconds", seconds(stall.disk)},
                    {"suppressed", *suppressed}});
}

void Origin::set_token(std::string token) {
  loop_.post([this, token = std::move(token)]() mutable {
    if (!transport_.set_token(std::move(token))) return;
    fetcher_.token_changed();
    flights_.forget_rests();
  });
}

upstream::Status Origin::status() const {
  const std::lock_guard lock(status_mutex_);
  return status_;
}

std::optional<double> Origin::forbidden_share() const {
  const std::lock_guard lock(status_mutex_);
  return forbidden_share_;
}

void Origin::add_facts(observe::Dependency& dependency, std::size_t i) {
  using Fact = observe::Dependency::Fact;
  const auto fact = [&](const char* key, auto read) {
    dependency.fact(key, [this, i, read] { return Fact(read(status().origins[i])); });
  };
  fact("breaker", [](const auto& origin) { return std::string(to_string(origin.breaker)); });
  // JSON has no such number, so it becomes null.
  fact("error_rate", [](const auto& origin) {
    return origin.error_rate.value_or(std::numeric_limits<double>::quiet_NaN());
  });
  fact("attempts_lately",
       [](const auto& origin) { return static_cast<std::int64_t>(origin.volume); });
  fact("in_flight", [](const auto& origin) { return std::int64_t{origin.in_flight}; });
}

void Origin::report_health() {
  health_timer_.set_after(loop_, kHealthInterval, [this] { report_health(); });
  for (std::size_t i = 0; names_ && i < health_.size(); ++i) {
    fetcher_.name_trouble(i, names_->state(i).error);
  }
  const upstream::Status status = fetcher_.status();
  {
    const std::lock_guard lock(status_mutex_);
    status_ = status;
    forbidden_share_ = flights_.stats().forbidden_share;
  }
  for (std::size_t i = 0; i < health_.size(); ++i) {
    const upstream::OriginStatus& origin = status.origins[i];
    observe::Dependency& dependency = *health_[i];
    if (origin.last_success) dependency.succeeded(*origin.last_success);
    if (origin.last_error_at) dependency.failed(origin.last_error, *origin.last_error_at);
    if (origin.token == upstream::TokenState::State::Refused) {
      dependency.set_state(observe::HealthState::Down, "the upstream refuses our token");
    } else if (origin.certificate_refused) {
      dependency.set_state(observe::HealthState::Down,
                           "the upstream's certificate is not accepted: " + origin.last_error);
    } else if (!origin.redirect.empty()) {
      dependency.set_state(observe::HealthState::Down,
                           "the upstream is not at API_URL: it redirects, " + origin.redirect);
    } else if (!origin.has_address) {
      dependency.set_state(observe::HealthState::Down,
                           "the upstream's name is not known" +
                               (origin.name_trouble.empty() ? "" : ": " + origin.name_trouble));
    } else if (origin.breaker != upstream::Breaker::State::Closed) {
      dependency.set_state(
          observe::HealthState::Down,
          "breaker " + std::string(upstream::to_string(origin.breaker)) + ": " + origin.last_error);
    } else if (origin.volume >= 10 && origin.error_rate.value_or(0) >= 0.1) {
      dependency.set_state(observe::HealthState::Degraded,
                           std::to_string(static_cast<int>(*origin.error_rate * 100)) +
                               " % of recent attempts failed");
    } else if (origin.missing_share) {
      dependency.set_state(observe::HealthState::Degraded,
                           "it has no entry for " +
                               std::to_string(static_cast<int>(*origin.missing_share * 100)) +
                               " % of the latest keys; is the path in API_URL right?");
    } else if (!origin.name_trouble.empty()) {
      dependency.set_state(
          observe::HealthState::Degraded,
          "its name cannot be looked up, its last addresses are used: " + origin.name_trouble);
    } else {
      dependency.set_state(observe::HealthState::Ok);
    }
  }
}

}  // namespace holdfast::daemon
