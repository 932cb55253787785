// StoreHealth keeps what status() reports, and logs each change of state once.
// Any thread.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "cache/store.h"
#include "observe/log.h"

namespace holdfast::cache {

class StoreHealth {
 public:
  enum class Part { Reading, Writing };

  StoreHealth(const base::Clock& clock, observe::Log& log, std::string path)
      : clock_(clock), log_(log), path_(std::move(path)) {}

  // The store is as well as its worse part. A reason that changes while the
  // state stays is kept, and not logged.
  void ok(Part part) { set(part, StoreStatus::State::Ok, {}); }
  void degraded(Part part, std::string_view reason) {
    set(part, StoreStatus::State::Degraded, reason);
  }
  void off(std::string_view reason) { set(Part::Writing, StoreStatus::State::Off, reason); }

  bool is_ok(Part part) const;
  // Without the queue's numbers, which are the queue's.
  StoreStatus status() const;

  std::atomic<bool> locked{true};  // against another daemon
  std::atomic<std::uint64_t> entries{0};
  std::atomic<std::uint64_t> size_bytes{0};
  std::atomic<std::int64_t> oldest_ms{0};  // since the Unix epoch; 0: nothing is stored
  std::atomic<std::int64_t> newest_ms{0};
  std::atomic<std::uint64_t> committed{0};
  std::atomic<std::uint64_t> evicted{0};
  std::atomic<std::uint64_t> read_errors{0};
  std::atomic<std::uint64_t> write_errors{0};
  std::atomic<std::uint64_t> corrupt_rows{0};
  std::atomic<double> last_commit_seconds{0};

 private:
  struct PartState {
    StoreStatus::State state = StoreStatus::State::Ok;
    std::string reason;
  };
  void set(Part part, StoreStatus::State state, std::string_view reason);
  const PartState& worse() const;  // mutex held

  const base::Clock& clock_;
  observe::Log& log_;
  const std::string path_;
  mutable std::mutex mutex_;
  std::array<PartState, 2> parts_;  // guarded by mutex_, as is the rest
  base::WallTime since_{clock_.wall()};
};

}  // namespace holdfast::cache
