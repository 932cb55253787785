// LineBuffer is where lines of the log wait to be written: bounded, and when it is
// full the older half of it goes, whole lines, counted. Any thread; the lock is
// held for a copy of one line, and once in a while for moving half of the bytes.
#pragma once

#include <algorithm>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>

namespace holdfast::observe {

class LineBuffer {
 public:
  struct Batch {
    std::uint64_t lines = 0;
    std::uint64_t lost = 0;  // before the first of them
  };

  explicit LineBuffer(std::size_t limit_bytes) : limit_bytes_(limit_bytes) {}

  // `line` ends with the only newline in it. True if the buffer was empty: somebody
  // has to be told to take() it.
  bool append(std::string_view line) {
    const std::lock_guard lock(mutex_);
    const bool first = lines_ == 0;
    if (!first && bytes_.size() + line.size() > limit_bytes_) drop_older_half();
    bytes_ += line;
    ++lines_;
    ++appended_;
    return first;
  }

  // Swaps the waiting lines into `out`, which gives its memory for the next ones; but
  // not what it took for a burst, which would be held for good.
  Batch take(std::string& out) {
    if (out.capacity() > kKeptBytes) std::string().swap(out);
    out.clear();
    const std::lock_guard lock(mutex_);
    out.swap(bytes_);
    const Batch batch{lines_, lost_ - reported_};
    lines_ = 0;
    reported_ = lost_;
    return batch;
  }

  std::uint64_t appended() const {
    const std::lock_guard lock(mutex_);
    return appended_;
  }
  std::uint64_t lost() const {
    const std::lock_guard lock(mutex_);
    return lost_;
  }

 private:
  static constexpr std::size_t kKeptBytes = 256U << 10;

  void drop_older_half() {
    const std::size_t half = bytes_.find('\n', bytes_.size() / 2) + 1;
    const auto end = bytes_.begin() + static_cast<std::ptrdiff_t>(half);
    const auto dropped = static_cast<std::uint64_t>(std::count(bytes_.begin(), end, '\n'));
    bytes_.erase(0, half);
    lines_ -= dropped;
    lost_ += dropped;
  }

  const std::size_t limit_bytes_;
  mutable std::mutex mutex_;
  // All guarded by mutex_.
  std::string bytes_;
  std::uint64_t lines_ = 0;  // in bytes_
  std::uint64_t appended_ = 0;
  std::uint64_t lost_ = 0;
  std::uint64_t reported_ = 0;  // of lost_
};

}  // namespace holdfast::observe
