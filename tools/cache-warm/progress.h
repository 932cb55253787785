// Progress tells people how a run gets on: one line that is redrawn on a
// terminal, a line now and then elsewhere (a log, a pipe). One thread.
#pragma once

#include <cstdio>
#include <deque>
#include <optional>
#include <string>

#include "base/clock.h"
#include "plan.h"

namespace holdfast::warm {

// What a line of progress is made of.
struct Snapshot {
  Counts counts;
  std::size_t total = 0;
  double per_second = 0;  // settled addresses, lately
  std::string pause_reason;
};

// "[=====>    ] 512/1000  51 %  230/s  ETA 2s  fetched 400, there 112", at most
// `width` characters; and the same without a bar.
std::string bar_line(const Snapshot& snapshot, std::size_t width);
std::string plain_line(const Snapshot& snapshot);

// Settled addresses a second over the last ten seconds.
class RateMeter {
 public:
  void note(std::size_t settled, base::SteadyTime now);
  double per_second() const;

 private:
  struct Sample {
    base::SteadyTime at;
    std::size_t settled;
  };
  std::deque<Sample> samples_;
};

class Progress {
 public:
  enum class Style { None, Plain, Bar };

  // `out` outlives it.
  Progress(std::FILE* out, Style style) : out_(out), style_(style) {}

  // Draws if it is time for that.
  void update(const Plan& plan, base::SteadyTime now);
  // Leaves the last state in sight, and the cursor on a line of its own.
  void finish(const Plan& plan, base::SteadyTime now);

  static Style style_for(std::FILE* out, bool quiet);

 private:
  Snapshot snapshot(const Plan& plan, base::SteadyTime now) const;
  void draw(const Snapshot& snapshot);

  std::FILE* out_;
  Style style_;
  RateMeter rate_;
  std::optional<base::SteadyTime> next_;
};

}  // namespace holdfast::warm
