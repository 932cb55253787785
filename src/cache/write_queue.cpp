#include "cache/write_queue.h"

#include <algorithm>
#include <utility>

namespace holdfast::cache {

std::size_t WriteQueue::bytes_of(const Write& write) {
  return sizeof(Write) + write.key.size() +
         (write.stored ? cost_bytes(write.key, *write.stored) : 0);
}

bool WriteQueue::has_room(const Write& write, std::size_t entries, std::size_t bytes) const {
  return writes_.size() < entries && bytes_ + bytes_of(write) <= bytes;
}

void WriteQueue::push(Write write) {
  write.sequence = next_sequence_++;
  write.queued = std::chrono::steady_clock::now();
  bytes_ += bytes_of(write);
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
    case Write::Kind::Purges:
      break;
  }
  // The writer wakes for the first write and for a full batch, not for each.
  if (writes_.size() == 1 || writes_.size() == limits_.batch_entries) changed_.notify_all();
}

// All but what the writing thread may be reading.
void WriteQueue::forget() {
  while (writes_.size() > taken_) {
    const Write& write = writes_.back();
    bytes_ -= bytes_of(write);
    const auto latest = latest_.find(write.key);
    if (latest != latest_.end() && latest->second == &write) latest_.erase(latest);
    if (write.kind == Write::Kind::Put) ++dropped_;
    writes_.pop_back();
  }
}

bool WriteQueue::put(std::string_view key, StoredPtr stored) {
  Write write{.kind = Write::Kind::Put, .key = std::string(key), .stored = std::move(stored)};
  const std::lock_guard lock(mutex_);
  if (!has_room(write, limits_.entries, limits_.bytes)) {
    ++dropped_;
    return false;
  }
  push(std::move(write));
  return true;
}

bool WriteQueue::drop_damaged(std::int64_t row_id) {
  Write write{.kind = Write::Kind::DropDamaged, .row_id = row_id};
  const std::lock_guard lock(mutex_);
  if (!has_room(write, limits_.entries, limits_.bytes)) return false;
  push(std::move(write));
  return true;
}

bool WriteQueue::erase(std::string_view key) {
  Write write{.kind = Write::Kind::Erase, .key = std::string(key)};
  const std::lock_guard lock(mutex_);
  // Erased, and not put since.
  const auto latest = latest_.find(key);
  if (latest == latest_.end() ? erase_all_sequence_ != 0
                              : latest->second->kind == Write::Kind::Erase) {
    return true;
  }
  if (has_room(write, limits_.entries + limits_.erasures, limits_.bytes * 2)) {
    push(std::move(write));
    return true;
  }
  forget();
  push({.kind = Write::Kind::EraseAll});
  return false;
}

void WriteQueue::erase_all() {
  Write write{.kind = Write::Kind::EraseAll};
  const std::lock_guard lock(mutex_);
  if (!has_room(write, limits_.entries + limits_.erasures, limits_.bytes * 2)) forget();
  push(std::move(write));
}

void WriteQueue::purges() {
  Write write{.kind = Write::Kind::Purges};
  const std::lock_guard lock(mutex_);
  if (!has_room(write, limits_.entries + limits_.erasures, limits_.bytes * 2)) return;
  push(std::move(write));
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

WriteQueue::Batch WriteQueue::peek(std::size_t max_bytes) {
  Batch batch;
  std::size_t bytes = 0;
  const std::lock_guard lock(mutex_);
  for (const Write& write : writes_) {
    bytes += bytes_of(write);
    if (batch.taken == limits_.batch_entries || (batch.taken > 0 && bytes > max_bytes)) break;
    ++batch.taken;
    batch.last_sequence = write.sequence;
  }
  taken_ = batch.taken;
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
  taken_ = 0;
}

}  // namespace holdfast::cache
