// NegativeShare notices that an origin says "no such entry" of far more keys than it used to:
// a wrong path, or data that went missing. Each of them is an answer; all together are a fault.
// Of the last so many different keys; what was usual is learned while nothing is wrong. One
// thread.
#pragma once

#include <algorithm>
#include <cstddef>
#include <deque>

namespace holdfast::upstream {

class NegativeShare {
 public:
  struct Settings {
    std::size_t keys = 50;
    std::size_t least = 20;      // fewer say nothing
    double fault = 0.5;          // this share, at least
    double times_usual = 2;      // and so much more than usual
    double while_unknown = 0.9;  // as long as it is not known what is usual
    double learns = 0.005;       // of each answer, once as many as `keys` are known
  };

  explicit NegativeShare(Settings settings) : settings_(settings) {}

  // True: it has just become a fault.
  bool answered(std::size_t key, bool negative) {
    const auto same = [key](const Answer& answer) { return answer.key == key; };
    const auto found = std::find_if(answers_.begin(), answers_.end(), same);
    const bool known = found != answers_.end();
    if (known) answers_.erase(found);
    answers_.push_back({key, negative});
    if (answers_.size() > settings_.keys) answers_.pop_front();
    const double now = share();
    const bool was_fault = fault_;
    if (answers_.size() < settings_.least) return false;
    const double limit = usual_ < 0
                             ? settings_.while_unknown
                             : std::min(settings_.while_unknown,
                                        std::max(settings_.fault, usual_ * settings_.times_usual));
    fault_ = now >= (was_fault ? limit / 2 : limit);
    if (fault_ || known) return fault_ && !was_fault;
    if (usual_ >= 0) {
      usual_ += settings_.learns * ((negative ? 1.0 : 0.0) - usual_);
    } else if (answers_.size() == settings_.keys) {
      usual_ = now;
    }
    return false;
  }

  bool fault() const { return fault_; }
  double share() const {
    const auto negative = std::count_if(answers_.begin(), answers_.end(),
                                        [](const Answer& answer) { return answer.negative; });
    return answers_.empty() ? 0
                            : static_cast<double>(negative) / static_cast<double>(answers_.size());
  }

 private:
  struct Answer {
    std::size_t key = 0;
    bool negative = false;
  };
  Settings settings_;
  std::deque<Answer> answers_;
  double usual_ = -1;  // not known
  bool fault_ = false;
};

}  // namespace holdfast::upstream
