#include "cache/restorer.h"

#include <pthread.h>

#include <algorithm>
#include <system_error>
#include <utility>

namespace holdfast::cache {
namespace {

constexpr std::size_t kItems = 1024;
// So many erasures are no longer remembered one by one.
constexpr std::size_t kErased = 100'000;

}  // namespace

Restorer::Restorer(std::function<void()> wake, std::function<std::uint64_t()> last_queued)
    : wake_(std::move(wake)), last_queued_(std::move(last_queued)) {}

Restorer::~Restorer() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

void Restorer::start(Kind kind, Job job) {
  const std::lock_guard lock(mutex_);
  if (stopping_) return;
  const bool waits = std::any_of(jobs_.begin(), jobs_.end(), [&](const Queued& queued) {
    return queued.kind == kind && queued.era == era_of(kind);
  });
  if (waits && kind == Kind::WriteBack) return;
  if (kind == Kind::WriteBack) write_back_ = job;
  jobs_.push_back({kind, std::move(job), era_of(kind)});
  try {
    if (!thread_.joinable()) thread_ = std::thread([this] { run(); });
  } catch (const std::system_error&) {
    // The machine is short of threads. The store does without what this would have brought.
    if (kind == Kind::WriteBack) write_back_ = {};
    jobs_.pop_back();
    return;
  }
  changed_.notify_all();
}

bool Restorer::writing_back() {
  const std::lock_guard lock(mutex_);
  return has_write_back();
}

bool Restorer::has_write_back() const {
  const auto is_one = [this](const auto& job) {
    return job.kind == Kind::WriteBack && job.era == write_back_era_;
  };
  return (running_ && is_one(*running_)) || std::any_of(jobs_.begin(), jobs_.end(), is_one) ||
         std::any_of(items_.begin(), items_.end(), [](const Item& item) { return item.job != 0; });
}

void Restorer::note_erase(std::string_view key) {
  const std::lock_guard lock(mutex_);
  keep_away(key, write_backs_);
}

void Restorer::note_written_erase(std::string_view key) {
  const std::lock_guard lock(mutex_);
  keep_away(key, 0);
}

void Restorer::keep_away(std::string_view key, std::uint64_t write_backs) {
  if (jobs_.empty() && !running_ && items_.empty()) return;
  std::uint64_t& noted = erased_[std::string(key)];
  noted = std::max(noted, write_backs);
  if (erased_.size() <= kErased) return;
  // Whatever is under way may bring one of them. Memory holds none of them, so another
  // look at it finds all that is to be written.
  const bool again = has_write_back();
  void_all();
  if (again) jobs_.push_back({Kind::WriteBack, write_back_, write_back_era_});
}

void Restorer::note_erase_all() {
  const std::lock_guard lock(mutex_);
  void_all();
}

void Restorer::note_written_erase_all() {
  const std::lock_guard lock(mutex_);
  ++salvage_era_;
  std::erase_if(items_, [](const Item& item) { return item.job == 0; });
  changed_.notify_all();
}

void Restorer::void_all() {
  ++write_back_era_;
  ++salvage_era_;
  items_.clear();
  erased_.clear();
  changed_.notify_all();
}

std::vector<Restorer::Item> Restorer::next(std::size_t most, std::uint64_t written) {
  const std::lock_guard lock(mutex_);
  offered_era_ = write_back_era_;
  if (!erased_.empty()) {
    std::erase_if(items_, [this](const Item& item) {
      const auto erased = erased_.find(item.key);
      return erased != erased_.end() && item.job <= erased->second;
    });
    made_room();
  }
  const auto last = items_.begin() + static_cast<std::ptrdiff_t>(std::min(most, items_.size()));
  const auto end =
      std::find_if(items_.begin(), last, [&](const Item& item) { return item.after > written; });
  return {items_.begin(), end};
}

void Restorer::done(std::size_t count) {
  const std::lock_guard lock(mutex_);
  // Erased meanwhile, and with it what came after.
  if (offered_era_ != write_back_era_) return;
  items_.erase(items_.begin(), items_.begin() + static_cast<std::ptrdiff_t>(count));
  made_room();
}

// There is room for more; and with nothing left to bring back, nothing to keep away.
void Restorer::made_room() {
  if (items_.empty() && !running_ && jobs_.empty()) erased_.clear();
  changed_.notify_all();
}

bool Restorer::push(const Running& job, std::uint64_t number, std::string_view key,
                    StoredPtr stored) {
  bool first = false;
  const std::uint64_t after = last_queued_();
  {
    std::unique_lock lock(mutex_);
    const auto unwanted = [&] { return stopping_ || job.era != era_of(job.kind); };
    changed_.wait(lock, [&] { return unwanted() || items_.size() < kItems; });
    if (unwanted()) return false;
    first = items_.empty();
    items_.push_back({std::string(key), std::move(stored), number, after});
  }
  if (first) wake_();
  return true;
}

void Restorer::run() {
  pthread_setname_np(pthread_self(), "restorer");
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return stopping_ || !jobs_.empty(); });
    if (stopping_) return;
    const Queued next = std::move(jobs_.front());
    jobs_.pop_front();
    if (next.era != era_of(next.kind)) continue;
    const Running job{next.kind, next.era};
    running_ = job;
    // What a salvage finds is older than any erasure.
    const std::uint64_t number = next.kind == Kind::WriteBack ? ++write_backs_ : 0;
    lock.unlock();
    next.job([&](std::string_view key, StoredPtr stored) {
      return push(job, number, key, std::move(stored));
    });
    lock.lock();
    running_.reset();
    if (items_.empty() && jobs_.empty()) erased_.clear();
    lock.unlock();
    wake_();
    lock.lock();
  }
}

}  // namespace holdfast::cache
