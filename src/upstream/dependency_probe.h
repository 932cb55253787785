// DependencyProbe decides when to ask an origin something on our own account: so
// that an outage is noticed before the first client runs into it, and its end
// while nobody asks. Asking costs quota, so an idle origin is probed only if a
// target is set. For an open breaker, whose probes must not depend on traffic, it is a
// witness: what was answered lately, since a key that always fails would say of the
// upstream what is true of itself. If nothing has been, the last target a client asked for
// will do. One origin; one thread.
#pragma once

#include <algorithm>
#include <cstddef>
#include <deque>
#include <functional>
#include <string>
#include <utility>

#include "base/clock.h"
#include "upstream/fetcher.h"

namespace holdfast::upstream {

class DependencyProbe {
 public:
  struct Settings {
    std::string target;  // path and query; empty: idle origins are not probed
    base::Duration interval = std::chrono::seconds(30);       // without other traffic
    base::Duration retry_interval = std::chrono::seconds(2);  // after a failure
    int failures_to_trip = 3;                                 // in a row, of ours
  };

  DependencyProbe(const Settings& settings, base::SteadyTime now)
      : settings_(settings), next_(now + settings.interval) {}

  bool probes_when_idle() const { return !settings_.target.empty(); }
  base::SteadyTime next() const { return next_; }

  // An attempt ended, whoever's it was: the next is due an interval from now. One that
  // succeeded ends a row of failures; those that fail are the breaker's to count.
  void traffic(base::SteadyTime now, bool success) {
    next_ = now + settings_.interval;
    if (success) failures_ = 0;
  }
  // One of ours did.
  // True: so many failed that the breaker should open.
  bool ended(base::SteadyTime now, bool success) {
    failures_ = success ? 0 : failures_ + 1;
    next_ = now + (success ? settings_.interval : settings_.retry_interval);
    return failures_ >= settings_.failures_to_trip;
  }

  // What can be asked, and what an answer to it must be.
  struct Question {
    Request request;
    std::function<Verdict(const Reply&)> validate;             // empty: whatever is a success
    std::size_t key = 0;                                       // a hash of the target
    bool any_status = false;                                   // as the fetch's
    std::function<Verdict(const Reply&)> validate_large = {};  // likewise
  };

  void remember(const FetchRequest& fetch) {
    last_target_ = fetch.request.target;
    last_any_status_ = fetch.any_status;
    last_takes_large_ = static_cast<bool>(fetch.validate_large);
  }
  // It was answered just now. Of its fields, only what is asked for counts.
  void answered(const FetchRequest& fetch, std::size_t key) {
    const Request& request = fetch.request;
    const auto same = [key](const Question& witness) { return witness.key == key; };
    if (std::any_of(witnesses_.begin(), witnesses_.end(), same)) return;
    if (witnesses_.size() == kWitnesses) witnesses_.pop_back();
    Question witness{
        {request.target, {}}, fetch.validate, key, fetch.any_status, fetch.validate_large};
    witness.request.verbatim = request.verbatim;
    witness.request.body_limit_bytes = request.body_limit_bytes;
    const auto copy = [&](const char* name) {
      if (const std::string* value = find_field(request.fields, name)) {
        witness.request.fields.push_back({name, *value});
      }
    };
    copy("Accept");
    // Of its own a verbatim one has none, and some refuse to answer without.
    if (request.verbatim) copy("User-Agent");
    witnesses_.push_front(std::move(witness));
  }
  // It is nothing to ask for any more; what was set to be asked stays.
  void forget(const std::string& target) {
    std::erase_if(witnesses_, [&](const Question& one) { return one.request.target == target; });
    if (last_target_ == target) last_target_.clear();
  }
  void forget_all() {
    witnesses_.clear();
    last_target_.clear();
  }
  // Something else than `key` that was answered lately, or null.
  const Question* witness(std::size_t key) const {
    const auto other = [key](const Question& witness) { return witness.key != key; };
    const auto found = std::find_if(witnesses_.begin(), witnesses_.end(), other);
    return found == witnesses_.end() ? nullptr : &*found;
  }
  bool has_witness() const { return !witnesses_.empty(); }
  // It failed: the others come before it next time, since it may fail for ever now.
  void doubt(std::size_t key) {
    const auto found = std::find_if(witnesses_.begin(), witnesses_.end(),
                                    [key](const Question& witness) { return witness.key == key; });
    if (found != witnesses_.end()) std::rotate(found, found + 1, witnesses_.end());
  }
  // What to ask of an open or idle origin; without a target there is nothing.
  Question question() const {
    if (settings_.target.empty() && has_witness()) return witnesses_.front();
    const std::string& target = settings_.target.empty() ? last_target_ : settings_.target;
    const bool any_status = settings_.target.empty() && last_any_status_;
    Question question{{target, {}}, {}, std::hash<std::string>{}(target), any_status};
    // A whole head is as good a sign as a whole answer, where that is too large to be held.
    if (settings_.target.empty() && last_takes_large_) {
      question.validate_large = [](const Reply&) { return Verdict{}; };
    }
    return question;
  }

 private:
  // Enough that not all of them are gone from the upstream's data by tomorrow.
  static constexpr std::size_t kWitnesses = 4;

  Settings settings_;
  base::SteadyTime next_;
  std::deque<Question> witnesses_;
  std::string last_target_;
  bool last_any_status_ = false;
  bool last_takes_large_ = false;
  int failures_ = 0;
};

}  // namespace holdfast::upstream
