// A binary heap, each entry of which knows its slot, and each slot its entry: most timers are
// deadlines that are cancelled long before they are due, so that to set one and to take it back is
// what must be cheap, without an allocation.
#include "base/timer_queue.h"

#include <utility>

namespace holdfast::base {
namespace {

constexpr unsigned kSlotBits = 32;

std::size_t parent_of(std::size_t position) {
  return (position - 1) / 2;
}

}  // namespace

Scheduler::TimerId TimerQueue::add(SteadyTime when, Scheduler::Callback callback) {
  if (free_.empty()) {
    // So that nothing fails half way, now or when this one is given back.
    heap_.reserve(slots_.size() + 1);
    free_.reserve(slots_.size() + 1);
    free_.push_back(static_cast<std::uint32_t>(slots_.size()));
    slots_.emplace_back();
  }
  const std::uint32_t index = free_.back();
  free_.pop_back();
  Slot& slot = slots_[index];
  slot.callback = std::move(callback);
  slot.pending = true;
  if (++slot.times_used == 0) ++slot.times_used;  // of which an id that is none could be made
  heap_.push_back({});
  place({when, ++last_order_, index}, heap_.size() - 1);
  sift(heap_.size() - 1);
  return (Scheduler::TimerId{slot.times_used} << kSlotBits) | index;
}

void TimerQueue::cancel(Scheduler::TimerId id) {
  const auto index = static_cast<std::uint32_t>(id);
  if (index >= slots_.size()) return;
  Slot& slot = slots_[index];
  if (!slot.pending || slot.times_used != id >> kSlotBits) return;
  const Scheduler::Callback dropped = std::move(slot.callback);  // what it holds may be us
  erase(slot.position);
}

std::optional<SteadyTime> TimerQueue::next() const {
  if (heap_.empty()) return std::nullopt;
  return heap_.front().when;
}

bool TimerQueue::run_one(SteadyTime now) {
  if (heap_.empty() || heap_.front().when > now) return false;
  take_first()();
  return true;
}

void TimerQueue::run_due(SteadyTime now, CallWatch* calls) {
  const std::uint64_t newest = last_order_;
  // Added while running, and due already: those wait at the end of time meanwhile.
  std::vector<Entry> put_off;
  while (!heap_.empty() && heap_.front().when <= now) {
    if (const Entry first = heap_.front(); first.order > newest) {
      put_off.push_back(first);
      place({SteadyTime::max(), first.order, first.slot}, 0);
      sift(0);
      continue;
    }
    take_first()();
    if (calls != nullptr) calls->ended("timer");
  }
  for (const Entry& entry : put_off) {
    const Slot& slot = slots_[entry.slot];
    const std::size_t position = slot.position;
    if (!slot.pending || heap_[position].order != entry.order) continue;  // cancelled meanwhile
    place(entry, position);
    sift(position);
  }
}

// Taken out before it runs: it may cancel itself or destroy its owner.
Scheduler::Callback TimerQueue::take_first() {
  Scheduler::Callback callback = std::move(slots_[heap_.front().slot].callback);
  erase(0);
  return callback;
}

void TimerQueue::erase(std::size_t position) {
  Slot& slot = slots_[heap_[position].slot];
  slot.callback = nullptr;
  slot.pending = false;
  free_.push_back(heap_[position].slot);
  const Entry last = heap_.back();
  heap_.pop_back();
  if (position == heap_.size()) return;
  place(last, position);
  sift(position);
}

void TimerQueue::place(const Entry& entry, std::size_t position) {
  heap_[position] = entry;
  slots_[entry.slot].position = static_cast<std::uint32_t>(position);
}

// To where it belongs, up or down.
void TimerQueue::sift(std::size_t position) {
  const Entry entry = heap_[position];
  while (position > 0 && entry < heap_[parent_of(position)]) {
    place(heap_[parent_of(position)], position);
    position = parent_of(position);
  }
  for (;;) {
    std::size_t child = position * 2 + 1;
    if (child >= heap_.size()) break;
    if (child + 1 < heap_.size() && heap_[child + 1] < heap_[child]) ++child;
    if (!(heap_[child] < entry)) break;
    place(heap_[child], position);
    position = child;
  }
  place(entry, position);
}

}  // namespace holdfast::base
