#include "daemon/origin_group.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "daemon/parts_settings.h"
#include "upstream/cares_source.h"

namespace holdfast::daemon {

OriginGroup::OriginGroup(const Parts& parts, base::EventLoop& loop, base::Random& random,
                         observe::Shard& shard, const config::UpstreamConfig& upstream,
                         std::size_t largest_body, std::vector<std::string> names,
                         std::function<void(base::Resource)> on_lack, proxy::StoredJudge& judge)
    : parts_(parts),
      loop_(loop),
      name_(upstream.built_in ? "" : upstream.name),
      origin_names_(std::move(names)),
      transport_(loop, transport_settings(upstream, largest_body), upstream.settings.api_token),
      fetcher_(loop, random, transport_, upstream_settings(upstream, origin_names_), parts.metrics,
               shard, parts.log),
      flights_(
          {loop, fetcher_, parts.memory, parts.store, parts.log, parts.metrics, shard,
           [&judge](std::string_view key, const auto& stored) { return judge.takes(key, stored); }},
          flights_settings(upstream), base::Random::entropy()) {
  look_up_names(upstream.settings.api_urls);
  transport_.on_lack(std::move(on_lack));
  status_ = fetcher_.status();
  // Last: from now on it is asked for what it knows.
  enter_health();
}

void OriginGroup::enter_health() {
  const std::string label = name_.empty() ? "upstream" : "upstream " + name_;
  const bool alone = origin_names_.size() == 1;
  for (std::size_t i = 0; i < origin_names_.size(); ++i) {
    health_.push_back(&parts_.health.add(alone ? label : label + " " + origin_names_[i],
                                         observe::Dependency::Role::Origin, facts_of(i)));
  }
}

OriginGroup::~OriginGroup() {
  leave_health();
}

void OriginGroup::leave_health() {
  for (const observe::Dependency* const dependency : health_) parts_.health.remove(*dependency);
  health_.clear();
}

void OriginGroup::set_idle(bool idle) {
  fetcher_.set_idle(idle);
  if (idle) {
    leave_health();
  } else if (health_.empty()) {
    enter_health();
  }
}

void OriginGroup::retire() {
  leave_health();
  fetcher_.retire();
  flights_.retire();
}

bool OriginGroup::wind_down() {
  return flights_.stats().flights == 0 && transport_.wind_down();
}

void OriginGroup::look_up_names(const std::vector<std::string>& urls) {
  std::vector<std::string> hosts;
  for (const std::string& url : urls) {
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

void OriginGroup::take(const config::UpstreamConfig& upstream) {
  flights_.take(flights_settings(upstream));
}

void OriginGroup::set_token(std::string token) {
  if (!transport_.set_token(std::move(token))) return;
  fetcher_.token_changed();
  flights_.forget_rests();
}

upstream::Status OriginGroup::status() const {
  const std::lock_guard lock(mutex_);
  return status_;
}

std::optional<double> OriginGroup::forbidden_share() const {
  const std::lock_guard lock(mutex_);
  return forbidden_share_;
}

observe::Dependency::Facts OriginGroup::facts_of(std::size_t i) {
  using Fact = observe::Dependency::Fact;
  observe::Dependency::Facts facts;
  const auto fact = [&](const char* key, auto read) {
    facts.emplace_back(key, [this, i, read] { return Fact(read(status().origins[i])); });
  };
  fact("breaker", [](const auto& origin) { return std::string(to_string(origin.breaker)); });
  // JSON has no such number, so it becomes null.
  fact("error_rate", [](const auto& origin) {
    return origin.error_rate.value_or(std::numeric_limits<double>::quiet_NaN());
  });
  fact("attempts_lately",
       [](const auto& origin) { return static_cast<std::int64_t>(origin.volume); });
  fact("in_flight", [](const auto& origin) { return std::int64_t{origin.in_flight}; });
  return facts;
}

void OriginGroup::report() {
  const std::string url_words = name_.empty() ? "API_URL" : "its URL";
  for (std::size_t i = 0; names_ && i < health_.size(); ++i) {
    fetcher_.name_trouble(i, names_->state(i).error);
  }
  const upstream::Status status = fetcher_.status();
  {
    const std::lock_guard lock(mutex_);
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
      dependency.set_state(observe::HealthState::Down, "the upstream is not at " + url_words +
                                                           ": it redirects, " + origin.redirect);
    } else if (!origin.has_address) {
      dependency.set_state(observe::HealthState::Down,
                           "the upstream's name is not known" +
                               (origin.name_trouble.empty() ? "" : ": " + origin.name_trouble));
    } else if (!origin.answers_refused.empty()) {
      dependency.set_state(observe::HealthState::Down,
                           "answers refused: " + origin.answers_refused);
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
                               " % of the latest keys; is the path in " + url_words + " right?");
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
