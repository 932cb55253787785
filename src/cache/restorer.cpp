#include "cache/restorer.h"

#include <pthread.h>

#include <algorithm>
#include <utility>

namespace holdfast::cache {
namespace {

constexpr std::size_t kItems = 1024;
// So many erasures while a job runs are a purge in all but name.
constexpr std::size_t kErased = 100'000;

}  // namespace

Restorer::Restorer(std::function<void()> wake) : wake_(std::move(wake)) {}

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
    return queued.kind == kind && queued.era == era_;
  });
  if (waits && kind == Kind::WriteBack) return;
  jobs_.push_back({kind, std::move(job), era_});
  if (!thread_.joinable()) thread_ = std::thread([this] { run(); });
  changed_.notify_all();
}

void Restorer::note_erase(std::string_view key) {
  const std::lock_guard lock(mutex_);
  if (jobs_.empty() && !running_ && items_.empty()) return;
  erased_[std::string(key)] = write_backs_;
  if (erased_.size() <= kErased) return;
  ++era_;
  items_.clear();
  erased_.clear();
  changed_.notify_all();
}

void Restorer::note_erase_all() {
  const std::lock_guard lock(mutex_);
  ++era_;
  items_.clear();
  erased_.clear();
  changed_.notify_all();
}

std::vector<Restorer::Item> Restorer::next(std::size_t most) {
  const std::lock_guard lock(mutex_);
  offered_era_ = era_;
  if (!erased_.empty()) {
    std::erase_if(items_, [this](const Item& item) {
      const auto erased = erased_.find(item.key);
      return erased != erased_.end() && item.job <= erased->second;
    });
    made_room();
  }
  const auto end = items_.begin() + static_cast<std::ptrdiff_t>(std::min(most, items_.size()));
  return {items_.begin(), end};
}

void Restorer::done(std::size_t count) {
  const std::lock_guard lock(mutex_);
  // Erased meanwhile, and with it what came after.
  if (offered_era_ != era_) return;
  items_.erase(items_.begin(), items_.begin() + static_cast<std::ptrdiff_t>(count));
  made_room();
}

// There is room for more; and with nothing left to bring back, nothing to keep away.
void Restorer::made_room() {
  if (items_.empty() && !running_ && jobs_.empty()) erased_.clear();
  changed_.notify_all();
}

bool Restorer::push(std::uint64_t era, std::uint64_t job, std::string_view key, StoredPtr stored) {
  bool first = false;
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return stopping_ || era != era_ || items_.size() < kItems; });
    if (stopping_ || era != era_) return false;
    first = items_.empty();
    items_.push_back({std::string(key), std::move(stored), job});
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
    if (next.era != era_) continue;
    running_ = true;
    // What a salvage finds is older than any erasure.
    const std::uint64_t number = next.kind == Kind::WriteBack ? ++write_backs_ : 0;
    lock.unlock();
    next.job([&](std::string_view key, StoredPtr stored) {
      return push(next.era, number, key, std::move(stored));
    });
    lock.lock();
    running_ = false;
    if (items_.empty() && jobs_.empty()) erased_.clear();
  }
}

}  // namespace holdfast::cache
