// A snapshot of what we know of the upstream, for /healthz, `explain` and the
// status page.
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "upstream/addresses.h"
#include "upstream/breaker.h"
#include "upstream/token_state.h"

namespace holdfast::upstream {

// One time a breaker opened or closed; probes in between are not told.
struct BreakerChange {
  base::WallTime at;
  Breaker::State to = Breaker::State::Closed;
  std::string last_error;  // when it happened; as below
};

struct OriginStatus {
  std::string name;
  Breaker::State breaker = Breaker::State::Closed;
  bool forced = false;                       // by an operator
  base::WallTime breaker_since;              // as Breaker::since()
  std::optional<base::Duration> next_probe;  // while open
  std::optional<base::WallTime> last_success;
  std::optional<base::WallTime> last_error_at;
  std::string last_error;       // outcome and detail; never holds a secret
  int last_error_status = 0;    // its status: it does answer. 0: no answer came
  std::string redirect;         // it redirects us, and nothing else: status and Location
  std::string answers_refused;  // all it says is refused by the routes' rules: why
  std::optional<std::chrono::seconds> clock_ahead;  // of ours, where they differ; see ClockWatch
  // Over the breaker's window. Nothing where no attempts are known of: while it is open only
  // probes are sent, which do not count.
  std::optional<double> error_rate;
  std::uint64_t volume = 0;  // attempts in that window
  int in_flight = 0;
  int concurrency_limit = 0;
  double pace = 0;                 // requests/s; infinite when not limited
  base::Duration suspect_after{};  // an attempt slower than this is raced by another
  base::Duration median{};         // of recent answers; zero: none yet
  bool certificate_refused = false;
  TokenState::State token = TokenState::State::Unknown;
  std::optional<double> missing_share;         // of keys without an entry, if that is a fault
  bool has_address = true;                     // else its name is not known yet
  std::string name_trouble;                    // the latest look-up's; empty: none
  std::vector<Addresses::View> addresses;      // one without a text, where the URL has it
  std::vector<BreakerChange> breaker_history;  // the latest 32, oldest first
};

struct Status {
  std::vector<OriginStatus> origins;
  int in_flight = 0;
  std::size_t fetches = 0;
  std::size_t queued = 0;  // wait for a slot, the pace or a backoff
  std::size_t parked = 0;
  double retry_budget = 0;
  TokenState::State token = TokenState::State::Unknown;  // Refused: by all origins
};

}  // namespace holdfast::upstream
