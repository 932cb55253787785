// How long an answer takes: lognormal around a median, as real services look,
// plus a tail of requests that take a fixed long time (a garbage collection, a
// lost packet, a cold disk). Any thread.
#pragma once

#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"
#include "chance.h"

namespace holdfast::flaky {

struct Latency {
  base::Duration median{0};  // 0: no delay
  double sigma = 0.3;        // of the logarithm; 0 makes every delay the median
  double tail_fraction = 0;  // this share of requests ...
  base::Duration tail{0};    // ... takes this long instead
};

// A median, of a day at most: what the lognormal makes of a longer one could be more
// than a duration can hold. Errors: InvalidInput.
base::Result<base::Duration> parse_median(std::string_view text);

base::Duration draw(const Latency& latency, Chance& chance);

// "20ms", "20ms,sigma=0.5,tail=0.05=5s", "off". Every call starts from the
// defaults above. Errors: InvalidInput.
base::Result<Latency> parse_latency(std::string_view text);

// "0.05=5s": into the two tail members. Errors: InvalidInput.
base::Result<Latency> with_tail(Latency latency, std::string_view text);

std::string to_text(const Latency& latency);

}  // namespace holdfast::flaky
