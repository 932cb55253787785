// Fetcher gets one answer out of an unreliable upstream: it makes as many
// attempts as the deadline, the retry budget, the breaker and the pace allow, in
// sequence or beside each other, and hands over the first valid one. It knows nothing of
// routes: what is valid, the caller says. Origin loop only; never blocks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/random.h"
#include "base/scheduler.h"
#include "upstream/message.h"
#include "upstream/transport.h"

namespace holdfast::upstream {

// Client misses go before background refreshes wherever something is scarce.
enum class Priority { Miss, Refresh };

// What the caller's validator says of a complete 200 (or 404, 410: anything the
// fetcher would hand over): Ok, InvalidBody or WrongContent, with a reason; Local if we had not the
// memory to look, which says nothing of what came.
struct Verdict {
  Outcome outcome = Outcome::Ok;
  std::string reason;
};

struct FetchRequest {
  Request request;
  // Called for every 2xx, 404 and 410; also after the fetch's end, for a probe that asks the
  // same again. Its status says what is to be proved.
  std::function<Verdict(const Reply&)> validate;
  // Called for every whole final answer instead, but a 304 and, where our own token went along, 401
  // and 403. Ok makes it the fetch's answer, whatever its status; anything else is what came of the
  // attempt: retried, paced and counted as that is. A 304 that confirms nothing is Unexpected. What
  // is longer than it may be ends the fetch with FetchEnd::TooLarge, and speaks well of the
  // upstream.
  bool any_status = false;
  // Not of any_status: called for a 2xx with more content than it may have, with its head. Ok ends
  // the fetch with FetchEnd::TooLarge, and speaks well of the upstream. Null: such an answer is a
  // failure, as one is that this does not find Ok.
  std::function<Verdict(const Reply&)> validate_large = {};
  // Told of each interim answer (103, say) that an attempt gets before its final one, on the loop,
  // and never behind the callback: of each of several attempts. May be null.
  std::function<void(int status, const Fields& fields)> on_interim = {};
  // Whether the result is to have `last_invalid`, which may be a large one.
  bool keeps_invalid = false;
  base::SteadyTime deadline;
  Priority priority = Priority::Miss;
  // Most that are sent, those beside others among them; 0: as many as all else allows.
  int max_attempts = 0;
  // While no origin may be asked, wait for the next probe's outcome. False for
  // whoever has something else to answer with: BreakerOpen, at once.
  bool may_park = true;
};

// One attempt's story, for logs and for `explain`.
struct AttemptRecord {
  std::size_t origin = 0;
  Outcome outcome = Outcome::Ok;
  int status = 0;
  bool hedge = false;  // beside another: a hedge, or a race
  base::Duration duration{};
  std::string detail;
};

// Why a fetch ended.
enum class FetchEnd {
  Answered,  // `reply` is a valid 2xx, a 304, or a final 4xx; of any_status, what was found Ok
  TooLarge,  // there is an answer, too large to be held, and the caller takes such; `reply` is its
             // head
  Deadline,  // attempts were made or waited for, time ran out
  StayedDown,   // time ran out while it was known to be down, and waited for
  BreakerOpen,  // refused: the upstream is known to be down, and waiting is not wanted or hopeless
  CrowdedOut,   // refused: it is known to be down, and too many wait for it already
  Overloaded,   // refused: too many wait for their turn already
  Refused,      // 401 or 403, or a certificate that is not theirs: asking again cannot help
  KeyFails,     // others are answered, and this one got the same bad answer again and again
  GaveUp,       // a refresh that failed (they give up early and quietly), or all of max_attempts
};

struct FetchResult {
  FetchEnd end = FetchEnd::Deadline;
  Reply reply;  // of the attempt that decided, if any
  // Of any_status: the last whole message that `validate` refused. Its content is here alone.
  std::shared_ptr<const Reply> last_refused;
  // Where the request keeps_invalid: the last 2xx whose content, all of which came, `validate`
  // found to be none. Of any_status it is `last_refused` too, until something else is refused.
  std::shared_ptr<const Reply> last_invalid;
  Outcome outcome = Outcome::Timeout;   // of that attempt
  std::vector<AttemptRecord> attempts;  // those sent; the oldest dropped past 32
  int attempts_sent = 0;
  // What one origin said, for want of time to ask another one that could have been.
  bool cut_short = false;
  bool token_refused = false;  // Refused, and it is about us: our token counts as refused
  // Where the upstream is not asked (BreakerOpen, CrowdedOut, StayedDown): what it failed with
  // last, and with which status; 0: it did not answer.
  std::string last_error;
  int last_error_status = 0;
  // When asking again could help, for Retry-After. Never zero for a failure.
  std::chrono::seconds retry_after{1};
};

class Fetcher {
 public:
  using FetchId = std::uint64_t;
  using Callback = std::function<void(FetchResult)>;

  virtual ~Fetcher() = default;

  // `callback` runs exactly once, on the loop, never inside start(), and not
  // after the deadline plus one timer tick; unless cancel() comes first.
  virtual FetchId start(FetchRequest request, Callback callback) = 0;

  // A later client joined: never shortens, and a Miss is never lowered to a Refresh.
  virtual void extend(FetchId id, base::SteadyTime deadline, Priority priority) = 0;

  virtual void cancel(FetchId id) = 0;

  // What the fetch would end with if its time were up now, but for the content; for
  // who cannot wait for its end. Answered or TooLarge: it has ended, and the callback comes in the
  // loop's next turn. Nothing once that has run.
  virtual FetchResult so_far(FetchId id) = 0;

  // Nothing that was asked for by that target, or by any, is asked for again on the fetcher's own
  // account (probes, questions to a witness), until another fetch asks for it.
  virtual void forget(const std::string& /*target*/) {}
  virtual void forget_all() {}
};

}  // namespace holdfast::upstream
