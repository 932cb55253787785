#include "cache/write_queue.h"

#include <algorithm>
#include <utility>

namespace holdfast::cache {

std::size_t WriteQueue::bytes_of(const Write& write) {
  return sizeof(Write) + write.key.size() +
         (write.stored ? cost_bytes(write.key, *write.stored) : 0);
}

bool WriteQueue::push(Write write) {
  const std::size_t bytes = bytes_of(write);
  if (writes_.size() >= limits_.entries || bytes_ + bytes > limits_.bytes) return false;
  write.sequence = next_sequence_++;
  write.queued = std::chrono::steady_clock::now();
  bytes_ += bytes;
  const Write& queued = writes_.emplace_back(std::move(write));
  switch (queued.kind) {
    case Write::Kind::Put:
    case Write::Kind::Erase: {
      // The view must be of the write that it leads to, so the old one goes.
      latest_.erase(queued.key);
      latest_.emplace(queued.key, &queued);
      break;
    }
    case Write::Kind::EraseAll:
      latest_.clear();
      erase_all_sequence_ = queued.sequence;
      break;
    case Write::Kind::DropDamaged:
      break;
  }
  // The writer wakes for the first write and for a full batch, not for each.
  if (writes_.size() == 1 || writes_.size() == limits_.batch_entries) changed_.notify_all();
  return true;
}

bool WriteQueue::put(std::string_view key, StoredPtr stored) {
  Write write{.kind = Write::Kind::Put, .key = std::string(key), .stored = std::move(stored)};
  const std::lock_guard lock(mutex_);
  const bool queued = push(std::move(write));
  if (!queued) ++dropped_;
  return queued;
}

bool WriteQueue::erase(std::string_view key) {
  const std::lock_guard lock(mutex_);
  return push({.kind = Write::Kind::Erase, .key = std::string(key)});
}

bool WriteQueue::erase_all() {
  const std::lock_guard lock(mutex_);
  return push({.kind = Write::Kind::EraseAll});
}

bool WriteQueue::drop_damaged(std::int64_t row_id) {
  const std::lock_guard lock(mutex_);
  return push({.kind = Write::Kind::DropDamaged, .row_id = row_id});
}

WriteQueue::Pending WriteQueue::find(std::string_view key, StoredPtr& stored) const {
  const std::lock_guard lock(mutex_);
  const auto found = latest_.find(key);
  if (found == latest_.end()) return erase_all_sequence_ ? Pending::Erased : Pending::No;
  if (found->second->kind == Write::Kind::Erase) return Pending::Erased;
  stored = found->second->stored;
  return Pending::Put;
}

std::size_t WriteQueue::size() const {
  const std::lock_guard lock(mutex_);
  return writes_.size();
}

std::uint64_t WriteQueue::dropped() const {
  const std::lock_guard lock(mutex_);
  return dropped_;
}

std::uint64_t WriteQueue::last_sequence() const {
  const std::lock_guard lock(mutex_);
  return next_sequence_ - 1;
}

void WriteQueue::wait(std::chrono::steady_clock::time_point until,
                      std::chrono::milliseconds window) {
  std::unique_lock lock(mutex_);
  while (!woken_ && writes_.size() < limits_.batch_entries) {
    const auto end = writes_.empty() ? until : std::min(until, writes_.front().queued + window);
    if (std::chrono::steady_clock::now() >= end) break;
    changed_.wait_until(lock, end);
  }
  woken_ = false;
}

void WriteQueue::pause(std::chrono::steady_clock::time_point until) {
  std::unique_lock lock(mutex_);
  changed_.wait_until(lock, until, [this] { return woken_; });
  woken_ = false;
}

void WriteQueue::wake() {
  const std::lock_guard lock(mutex_);
  woken_ = true;
  changed_.notify_all();
}

WriteQueue::Batch WriteQueue::peek(std::size_t max_bytes) const {
  Batch batch;
  std::size_t bytes = 0;
  const std::lock_guard lock(mutex_);
  for (const Write& write : writes_) {
    bytes += bytes_of(write);
    if (batch.taken == limits_.batch_entries || (batch.taken > 0 && bytes > max_bytes)) break;
    ++batch.taken;
    batch.last_sequence = write.sequence;
  }
  // Only a write of the same batch makes an earlier one pointless: with one that
  // is still to be committed, neither might survive a crash.
  for (std::size_t i = 0; i < batch.taken; ++i) {
    const Write& write = writes_[i];
    const auto latest = latest_.find(write.key);
    const bool keyed = write.kind == Write::Kind::Put || write.kind == Write::Kind::Erase;
    const bool replaced = keyed && latest != latest_.end() && latest->second != &write &&
                          latest->second->sequence <= batch.last_sequence;
    const bool erased =
        write.sequence < erase_all_sequence_ && erase_all_sequence_ <= batch.last_sequence;
    if (!replaced && !erased) batch.writes.push_back(&write);
  }
  return batch;
}

void WriteQueue::done(const Batch& batch) {
  std::deque<Write> finished;  // freed without the lock
  const std::lock_guard lock(mutex_);
  for (std::size_t i = 0; i < batch.taken; ++i) {
    Write& write = writes_.front();
    bytes_ -= bytes_of(write);
    const auto latest = latest_.find(write.key);
    if (latest != latest_.end() && latest->second == &write) latest_.erase(latest);
    if (write.sequence == erase_all_sequence_) erase_all_sequence_ = 0;
    finished.push_back(std::move(write));
    writes_.pop_front();
  }
}

}  // namespace holdfast::cache
