// Time as Holdfast uses it: a steady clock for deadlines and a wall clock for
// ages, both behind one interface so that every policy can be tested without
// sleeping. Policies take `now` as an argument; only loops ask a Clock.
#pragma once

#include <chrono>

namespace holdfast::base {

using Duration = std::chrono::nanoseconds;
using SteadyTime = std::chrono::time_point<std::chrono::steady_clock, Duration>;
// Milliseconds since the Unix epoch: what a stored response is dated with.
using WallTime = std::chrono::time_point<std::chrono::system_clock, std::chrono::milliseconds>;

// To whole nanoseconds.
constexpr Duration scaled(Duration duration, double factor) {
  return std::chrono::duration_cast<Duration>(duration * factor);
}

// Any thread.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual SteadyTime now() const = 0;
  virtual WallTime wall() const = 0;
};

// The machine's clocks. `wall_offset` shifts the wall clock only: a rehearsal
// ("what would we answer in 25 hours?") runs on today's store.
class SystemClock final : public Clock {
 public:
  explicit SystemClock(std::chrono::milliseconds wall_offset = {}) : wall_offset_(wall_offset) {}

  SteadyTime now() const override { return std::chrono::steady_clock::now(); }
  WallTime wall() const override {
    return std::chrono::time_point_cast<std::chrono::milliseconds>(
               std::chrono::system_clock::now()) +
           wall_offset_;
  }

 private:
  std::chrono::milliseconds wall_offset_;
};

// A clock that moves when told to. One thread.
class ManualClock final : public Clock {
 public:
  SteadyTime now() const override { return now_; }
  WallTime wall() const override {
    return std::chrono::time_point_cast<std::chrono::milliseconds>(wall_);
  }

  // Both clocks move.
  void advance(Duration by) {
    now_ += by;
    wall_ += by;
  }
  // The wall clock jumps, as NTP or a suspended VM makes it.
  void jump_wall(std::chrono::milliseconds by) { wall_ += by; }

 private:
  SteadyTime now_{std::chrono::hours(1)};
  // To the nanosecond, or many short steps would leave it behind.
  std::chrono::time_point<std::chrono::system_clock, Duration> wall_{
      std::chrono::sys_days{std::chrono::year{2026} / 1 / 1}};
};

}  // namespace holdfast::base
