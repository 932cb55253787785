#include "observe/health.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "observe/log.h"
#include "observe/timestamp.h"

namespace holdfast::observe {
namespace {

void append_string(std::string& out, std::string_view text) {
  out += '"';
  append_json_escaped(out, text);
  out += '"';
}

void append_key(std::string& out, std::string_view key) {
  append_string(out, key);
  out += ':';
}

void append_moment(std::string& out, const std::optional<base::WallTime>& when) {
  if (!when) {
    out += "null";
    return;
  }
  out += '"';
  append_timestamp(out, *when);
  out += '"';
}

struct AppendFact {
  std::string& out;

  void operator()(bool value) const { out += value ? "true" : "false"; }
  void operator()(std::int64_t value) const { out += std::to_string(value); }
  void operator()(double value) const {
    if (!std::isfinite(value)) {
      out += "null";
      return;
    }
    char text[32];
    const auto end = std::to_chars(text, text + sizeof text, value).ptr;
    out.append(text, static_cast<std::size_t>(end - text));
  }
  void operator()(const std::string& value) const { append_string(out, value); }
};

}  // namespace

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

Dependency::Dependency(std::string name, Role role, const base::Clock& clock)
    : name_(std::move(name)), role_(role), clock_(clock), since_(clock.wall()) {}

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
  out += '{';
  append_key(out, "name");
  append_string(out, name_);
  {
    std::lock_guard lock(mutex_);
    out += ',';
    append_key(out, "state");
    append_string(out, to_string(state_));
    out += ',';
    append_key(out, "since");
    append_moment(out, since_);
    out += ',';
    append_key(out, "reason");
    if (reason_.empty()) {
      out += "null";
    } else {
      append_string(out, reason_);
    }
    out += ',';
    append_key(out, "last_success");
    append_moment(out, last_success_);
    out += ',';
    append_key(out, "last_error");
    if (last_error_) {
      out += R"({"at":)";
      append_moment(out, last_error_->at);
      out += R"(,"error":)";
      append_string(out, last_error_->error);
      out += '}';
    } else {
      out += "null";
    }
  }
  // Outside the lock: a fact may be the owner's, and the owner may be telling us.
  for (const auto& [key, read] : facts_) {
    out += ',';
    append_key(out, key);
    std::visit(AppendFact{out}, read());
  }
  out += '}';
}

Health::Health(const base::Clock& clock) : clock_(clock) {}

Dependency& Health::add(std::string name, Dependency::Role role) {
  return *dependencies_.emplace_back(std::make_unique<Dependency>(std::move(name), role, clock_));
}

void Health::set_cache_answers(std::function<bool()> read) {
  cache_answers_ = std::move(read);
}

HealthState Health::best(Dependency::Role role) const {
  HealthState best = HealthState::Down;
  bool any = false;
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
  return all_ok && !draining_.load() ? HealthState::Ok : HealthState::Degraded;
}

HealthState Health::overall() const {
  return judge(cache_answers());
}

std::string Health::json() const {
  const bool cache_can_answer = cache_answers();
  std::string out = R"({"status":)";
  append_string(out, to_string(judge(cache_can_answer)));
  out += R"(,"ready":)";
  out += ready() ? "true" : "false";
  out += R"(,"draining":)";
  out += draining() ? "true" : "false";
  out += R"(,"cache_answers":)";
  out += cache_can_answer ? "true" : "false";
  out += R"(,"dependencies":[)";
  const char* between = "";
  for (const auto& dependency : dependencies_) {
    out += between;
    between = ",";
    dependency->append_json(out);
  }
  out += "]}\n";
  return out;
}

}  // namespace holdfast::observe
