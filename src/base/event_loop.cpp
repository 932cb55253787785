// One eventfd wakes the loop, written only when the mailbox was empty; what its own thread
// posts needs neither that nor a lock, as the loop looks before it waits. One
// timerfd stands for the whole TimerQueue, set to its earliest entry. libevent's
// own precise timers would set theirs before every wait: 4 to 5 % of a cache
// hit's time under load.
#include "base/event_loop.h"

#include <event2/event.h>
#include <event2/thread.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>

#include <algorithm>
#include <stdexcept>

namespace holdfast::base {
namespace {

// So late, a timer's due time says more of the loop than of what it waits for.
constexpr Duration kHeldUp = std::chrono::milliseconds(10);

event_base* new_base() {
  event_config* config = event_config_new();
  if (config == nullptr) throw std::runtime_error("libevent: out of memory");
  // A loop's libevent state is touched by its own thread only; the mailbox is
  // how others reach it. So libevent needs no locks.
  event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
  // It has no timers to look at a clock for either.
  event_config_set_flag(config, EVENT_BASE_FLAG_NO_CACHE_TIME);
  event_base* base = event_base_new_with_config(config);
  event_config_free(config);
  if (base == nullptr) throw std::runtime_error("libevent: cannot make an event loop");
  return base;
}

}  // namespace

FdWatch::FdWatch(EventLoop& loop, int fd, Function function, void* context)
    : loop_(loop), function_(function), context_(context), fd_(fd) {
  event_ = event_new(loop.base_, fd, 0, &FdWatch::dispatch, this);
  if (event_ == nullptr) throw std::bad_alloc();
}

FdWatch::~FdWatch() {
  event_free(event_);
}

void FdWatch::want(unsigned events) {
  if (events == wanted_) return;
  if (wanted_ != kFdNone) event_del(event_);
  wanted_ = events;
  if (events == kFdNone) return;
  const short what = static_cast<short>(((events & kFdReadable) ? EV_READ : 0) |
                                        ((events & kFdWritable) ? EV_WRITE : 0) | EV_PERSIST);
  event_assign(event_, loop_.base_, fd_, what, &FdWatch::dispatch, this);
  event_add(event_, nullptr);
}

void FdWatch::dispatch(int, short what, void* self) {
  auto& watch = *static_cast<FdWatch*>(self);
  const unsigned events =
      ((what & EV_READ) ? kFdReadable : 0U) | ((what & EV_WRITE) ? kFdWritable : 0U);
  CallWatch* const calls = watch.loop_.calls_;
  if (calls == nullptr) [[likely]]
    return watch.function_(watch.context_, events);
  calls->begins();
  watch.function_(watch.context_, events);  // may be its end
  calls->ended("descriptor");
}

EventLoop::EventLoop(std::string name, const Clock& clock)
    : name_(std::move(name)), clock_(clock), base_(new_base()) {
  wake_fd_.reset(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  timer_fd_.reset(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
  if (!wake_fd_ || !timer_fd_) {
    event_base_free(base_);
    throw std::runtime_error("cannot make an eventfd or timerfd: out of descriptors?");
  }
  wake_watch_ = std::make_unique<FdWatch>(*this, wake_fd_.get(), &EventLoop::on_wake, this);
  wake_watch_->want(kFdReadable);
  timer_watch_ = std::make_unique<FdWatch>(*this, timer_fd_.get(), &EventLoop::on_timer, this);
  timer_watch_->want(kFdReadable);
}

EventLoop::~EventLoop() {
  timer_watch_.reset();
  wake_watch_.reset();
  event_base_free(base_);
}

void EventLoop::run() {
  pthread_setname_np(pthread_self(), name_.substr(0, 15).c_str());
  thread_.store(pthread_self(), std::memory_order_relaxed);
  while (!stopping_.load(std::memory_order_acquire)) {
    woken_.reset();
    // Descriptors have their turn between what was posted here and what that posts in turn.
    if (event_base_loop(base_, own_.empty() ? EVLOOP_ONCE : EVLOOP_NONBLOCK) < 0) break;
    woken_.reset();
    run_batch(own_);
  }
  woken_.reset();
  drain_mailbox();
  run_batch(own_);
  thread_.store(0, std::memory_order_relaxed);
}

void EventLoop::stop() {
  stopping_.store(true, std::memory_order_release);
  post([] {});
}

bool EventLoop::in_loop_thread() const {
  return pthread_equal(thread_.load(std::memory_order_relaxed), pthread_self()) != 0;
}

SteadyTime EventLoop::woken() {
  if (!woken_) woken_ = clock_.now();
  return *woken_;
}

Scheduler::TimerId EventLoop::call_at(SteadyTime when, Callback callback) {
  const auto id = timers_.add(when, std::move(callback));
  if (when < armed_for_) arm_timer();
  return id;
}

// The timerfd stays as it is: waking once for nothing is cheaper than setting it
// again for every cancelled deadline.
void EventLoop::cancel(TimerId id) {
  timers_.cancel(id);
}

void EventLoop::arm_timer() {
  const auto next = timers_.next();
  armed_for_ = next.value_or(SteadyTime::max());
  itimerspec setting{};  // all zero: never
  if (next) {
    // Relative, as the clock need not be the kernel's.
    const auto delay = std::max(Duration(1), *next - clock_.now());
    const auto seconds = std::chrono::floor<std::chrono::seconds>(delay);
    setting.it_value = {static_cast<time_t>(seconds.count()),
                        static_cast<long>((delay - seconds).count())};
  }
  // Also makes a timerfd that has fired unreadable again.
  ::timerfd_settime(timer_fd_.get(), 0, &setting, nullptr);
}

void EventLoop::on_timer(void* self, unsigned) {
  auto& loop = *static_cast<EventLoop*>(self);
  if (loop.was_held_up()) return loop.arm_timer();
  // What the callbacks add is covered by the arming behind them.
  loop.armed_for_ = SteadyTime::min();
  loop.timers_.run_due(loop.clock_.now(), loop.calls_);
  loop.arm_timer();
}

// A loop that stood still finds its timers due and its descriptors ready at once. What came in
// time goes first, or a deadline would be said to have passed in silence.
bool EventLoop::was_held_up() {
  const auto next = timers_.next();
  const bool late = next && clock_.now() - *next > kHeldUp;
  looked_first_ = late && !looked_first_;
  return looked_first_;
}

void EventLoop::post(Callback callback) {
  if (in_loop_thread()) return own_.push_back(std::move(callback));
  bool was_empty;
  {
    const std::lock_guard lock(mailbox_mutex_);
    was_empty = mailbox_.empty();
    mailbox_.push_back(std::move(callback));
  }
  // A full counter (EAGAIN) means that a wake-up is already on its way.
  if (was_empty) (void)!::eventfd_write(wake_fd_.get(), 1);
}

void EventLoop::on_wake(void* self, unsigned) {
  auto& loop = *static_cast<EventLoop*>(self);
  eventfd_t count;
  (void)!::eventfd_read(loop.wake_fd_.get(), &count);
  loop.drain_mailbox();
}

void EventLoop::drain_mailbox() {
  std::vector<Callback> batch;
  {
    const std::lock_guard lock(mailbox_mutex_);
    batch.swap(mailbox_);
  }
  run_batch(batch);
}

// What they post meanwhile is for the next time.
void EventLoop::run_batch(std::vector<Callback>& posted) {
  if (posted.empty()) return;
  std::vector<Callback> batch;
  batch.swap(posted);
  for (auto& callback : batch) {
    callback();
    if (calls_ != nullptr) calls_->ended("mailbox");
  }
}

}  // namespace holdfast::base
