#include "cache/restorer.h"

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

void Restorer::start(Job job) {
  const std::lock_guard lock(mutex_);
  if (stopping_) return;
  jobs_.push_back({std::move(job), era_});
  if (!thread_.joinable()) thread_ = std::thread([this] { run(); });
  changed_.notify_all();
}

void Restorer::note_erase(std::string_view key) {
  const std::lock_guard lock(mutex_);
  if (jobs_.empty() && !running_ && items_.empty()) return;
  erased_.emplace(key);
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

std::vector<Restorer::Item> Restorer::take(std::size_t most) {
  std::vector<Item> taken;
  const std::lock_guard lock(mutex_);
  while (!items_.empty() && taken.size() < most) {
    if (!erased_.contains(items_.front().key)) taken.push_back(std::move(items_.front()));
    items_.pop_front();
  }
  if (items_.empty() && !running_ && jobs_.empty()) erased_.clear();
  changed_.notify_all();
  return taken;
}

bool Restorer::has_items() const {
  const std::lock_guard lock(mutex_);
  return !items_.empty();
}

bool Restorer::push(std::uint64_t era, std::string_view key, StoredPtr stored) {
  bool first = false;
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return stopping_ || era != era_ || items_.size() < kItems; });
    if (stopping_ || era != era_) return false;
    first = items_.empty();
    items_.push_back({std::string(key), std::move(stored)});
  }
  if (first) wake_();
  return true;
}

void Restorer::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return stopping_ || !jobs_.empty(); });
    if (stopping_) return;
    const Queued next = std::move(jobs_.front());
    jobs_.pop_front();
    if (next.era != era_) continue;
    running_ = true;
    lock.unlock();
    next.job([&](std::string_view key, StoredPtr stored) {
      return push(next.era, key, std::move(stored));
    });
    lock.lock();
    running_ = false;
    if (items_.empty() && jobs_.empty()) erased_.clear();
  }
}

}  // namespace holdfast::cache
