// Health is what /healthz and /readyz know: what we depend on, how each of those
// is doing, and what that means for our clients. It decides nothing about
// traffic; the breaker and the store do, and tell it.
//
// Threads: set_cache_answers(), and fact() of what is there already, before the loops start;
// everything else at any time, by any thread, under a short lock.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/clock.h"

namespace holdfast::observe {

enum class HealthState {
  Ok,
  Degraded,  // works, but not as it should
  Down,      // of no use now
};
std::string_view to_string(HealthState state);

// One thing we depend on. Lives as long as its Health, or until that removes it.
class Dependency {
 public:
  enum class Role {
    Origin,     // can answer what is not stored; several stand in for each other
    Supporting  // makes us better: the store, the offline database
  };
  using Fact = std::variant<bool, std::int64_t, double, std::string>;
  using Facts = std::vector<std::pair<std::string, std::function<Fact()>>>;

  Dependency(std::string name, Role role, const base::Clock& clock, Facts facts = {});
  Dependency(const Dependency&) = delete;
  Dependency& operator=(const Dependency&) = delete;

  // An extra member of this dependency's JSON, read when asked for: "breaker",
  // "queue". `read` runs on the asking thread: what it touches must be safe
  // there, and it must not block. Not named as one of ours ("state", ...).
  void fact(std::string key, std::function<Fact()> read);

  // The owner's judgement. "since" moves only when the state does. `reason` is
  // for people and never holds a secret.
  void set_state(HealthState state, std::string_view reason = {});
  // What happened, whatever the state: "last_success" and "last_error".
  void succeeded() { succeeded(clock_.wall()); }
  void succeeded(base::WallTime at);
  void failed(std::string_view error) { failed(error, clock_.wall()); }
  void failed(std::string_view error, base::WallTime at);

  const std::string& name() const { return name_; }
  Role role() const { return role_; }
  HealthState state() const;
  std::string reason() const;
  void append_json(std::string& out) const;

 private:
  struct Failure {
    base::WallTime at;
    std::string error;
  };

  const std::string name_;
  const Role role_;
  const base::Clock& clock_;
  Facts facts_;

  mutable std::mutex mutex_;  // guards what follows
  HealthState state_ = HealthState::Ok;
  std::string reason_;
  base::WallTime since_;
  std::optional<base::WallTime> last_success_;
  std::optional<Failure> last_error_;
};

class Health {
 public:
  explicit Health(const base::Clock& clock);
  Health(const Health&) = delete;
  Health& operator=(const Health&) = delete;

  Dependency& add(std::string name, Dependency::Role role, Dependency::Facts facts = {});
  // When it returns, none of its facts is being read, and none ever will be.
  void remove(const Dependency& dependency);
  // True while something is stored, so that clients can get answers without the
  // upstream. Same rule as for a fact's `read`.
  void set_cache_answers(std::function<bool()> read);

  void set_listening(bool listening) { listening_.store(listening); }
  void set_draining() { draining_.store(true); }
  bool draining() const { return draining_.load(); }
  // Clients are being turned away for want of room.
  void set_overloaded(bool overloaded) { overloaded_.store(overloaded); }
  bool overloaded() const { return overloaded_.load(); }

  // The best state of any dependency in this role; Ok if there is none.
  HealthState best(Dependency::Role role) const;

  // For /readyz: listening and not draining. Deliberately not tied to the
  // upstream: the cache answers without it.
  bool ready() const { return listening_.load() && !draining_.load(); }

  // Down: clients get no answers. That is when we do not listen, or when every
  // origin is down and nothing is stored; while the cache can answer, an outage
  // is Degraded. Degraded also: draining, overloaded, or any dependency that is not Ok.
  HealthState overall() const;

  // {"status":"degraded","ready":true,"draining":false,"overloaded":false,"cache_answers":true,
  //  "dependencies":[{"name":…,"state":…,"since":…,"reason":…,
  //    "last_success":…,"last_error":{"at":…,"error":…},<facts>},…]}
  // Members without a value are null. Moments are RFC 3339.
  std::string json() const;

 private:
  bool cache_answers() const { return cache_answers_ && cache_answers_(); }
  // With the lock.
  HealthState judge(bool cache_can_answer) const;

  const base::Clock& clock_;
  mutable std::mutex mutex_;                               // taken before any dependency's own
  std::vector<std::unique_ptr<Dependency>> dependencies_;  // guarded by mutex_
  std::function<bool()> cache_answers_;
  std::atomic<bool> listening_{false};
  std::atomic<bool> draining_{false};
  std::atomic<bool> overloaded_{false};
};

}  // namespace holdfast::observe
