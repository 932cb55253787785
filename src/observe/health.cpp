#include "observe/health.h"

#include <algorithm>

#include "observe/json_writer.h"

namespace holdfast::observe {

std::string_view to_string(HealthState state) {
  switch (state) {
    case HealthState::Ok:
      return "ok";
    case HealthState::Degraded:
      return "degraded";
    case HealthState::Down:
      return "down";
  }
  return "down";
}

Dependency::Dependency(std::string name, Role role, const base::Clock& clock, Facts facts)
    : name_(std::move(name)),
      role_(role),
      clock_(clock),
      facts_(std::move(facts)),
      since_(clock.wall()) {}

void Dependency::fact(std::string key, std::function<Fact()> read) {
  facts_.emplace_back(std::move(key), std::move(read));
}

void Dependency::set_state(HealthState state, std::string_view reason) {
  std::lock_guard lock(mutex_);
  if (state != state_) since_ = clock_.wall();
  state_ = state;
  reason_ = reason;
}

void Dependency::succeeded(base::WallTime at) {
  std::lock_guard lock(mutex_);
  last_success_ = at;
}

void Dependency::failed(std::string_view error, base::WallTime at) {
  std::lock_guard lock(mutex_);
  last_error_ = Failure{at, std::string(error)};
}

HealthState Dependency::state() const {
  std::lock_guard lock(mutex_);
  return state_;
}

std::string Dependency::reason() const {
  std::lock_guard lock(mutex_);
  return reason_;
}

void Dependency::append_json(std::string& out) const {
  JsonWriter json(out);
  json.open('{').member("name", name_);
  {
    std::lock_guard lock(mutex_);
    json.member("state", to_string(state_)).member("since", since_).key("reason");
    reason_.empty() ? json.null() : json.value(reason_);
    json.member("last_success", last_success_).key("last_error");
    if (last_error_) {
      json.open('{').member("at", last_error_->at).member("error", last_error_->error).close('}');
    } else {
      json.null();
    }
  }
  // Outside the lock: a fact may be the owner's, and the owner may be telling us.
  for (const auto& [key, read] : facts_) {
    json.key(key);
    std::visit([&json](const auto& fact) { json.value(fact); }, read());
  }
  json.close('}');
}

Health::Health(const base::Clock& clock) : clock_(clock) {}

Dependency& Health::add(std::string name, Dependency::Role role, Dependency::Facts facts) {
  auto added = std::make_unique<Dependency>(std::move(name), role, clock_, std::move(facts));
  std::lock_guard lock(mutex_);
  return *dependencies_.emplace_back(std::move(added));
}

void Health::remove(const Dependency& dependency) {
  std::lock_guard lock(mutex_);
  std::erase_if(dependencies_, [&](const auto& each) { return each.get() == &dependency; });
}

void Health::set_cache_answers(std::function<bool()> read) {
  cache_answers_ = std::move(read);
}

HealthState Health::best(Dependency::Role role) const {
  HealthState best = HealthState::Down;
  bool any = false;
  std::lock_guard lock(mutex_);
  for (const auto& dependency : dependencies_) {
    if (dependency->role() != role) continue;
    any = true;
    best = std::min(best, dependency->state());
  }
  return any ? best : HealthState::Ok;
}

HealthState Health::judge(bool cache_can_answer) const {
  bool all_ok = true;
  bool has_origin = false;
  bool origin_works = false;
  for (const auto& dependency : dependencies_) {
    const HealthState state = dependency->state();
    all_ok = all_ok && state == HealthState::Ok;
    if (dependency->role() == Dependency::Role::Origin) {
      has_origin = true;
      origin_works = origin_works || state != HealthState::Down;
    }
  }
  if (!listening_.load()) return HealthState::Down;
  if (has_origin && !origin_works && !cache_can_answer) return HealthState::Down;
  all_ok = all_ok && !draining_.load() && !overloaded_.load();
  return all_ok ? HealthState::Ok : HealthState::Degraded;
}

HealthState Health::overall() const {
  const bool cache_can_answer = cache_answers();
  std::lock_guard lock(mutex_);
  return judge(cache_can_answer);
}

std::string Health::json() const {
  const bool cache_can_answer = cache_answers();
  std::lock_guard lock(mutex_);
  std::string out;
  JsonWriter json(out);
  json.open('{').member("status", to_string(judge(cache_can_answer)));
  json.member("ready", ready()).member("draining", draining());
  json.member("overloaded", overloaded()).member("cache_answers", cache_can_answer);
  json.key("dependencies").open('[');
  for (const auto& dependency : dependencies_) {
    std::string one;
    dependency->append_json(one);
    json.raw(one);
  }
  json.close(']').close('}');
  out += '\n';
  return out;
}

}  // namespace holdfast::observe
