// Passer sends a client's request through to the upstream, content and answer in pieces: one
// attempt, once a slot and the pace allow it, and never a second one, whatever becomes of it. What
// comes of it counts for the upstream as any attempt's does. Origin loop only; never blocks.
#pragma once

#include <cstdint>
#include <functional>

#include "upstream/fetcher.h"
#include "upstream/streaming.h"

namespace holdfast::upstream {

class Passer {
 public:
  using PassId = std::uint64_t;
  using Ended = std::function<void(FetchResult)>;

  virtual ~Passer() = default;

  // `request.patience` and `head_by` are the passer's to set. By `deadline` it is sent, and where
  // it has no content the head of its answer has come; what goes on moving may take longer. While
  // the upstream is known to be down it ends at once, with FetchEnd::BreakerOpen.
  //
  // `ended` runs exactly once, on the loop, never inside a call, unless end_pass() comes first:
  // Answered after the whole answer has gone to the peer. Else, if its reply has a status, the
  // answer broke off. The peer outlives either.
  virtual PassId pass(StreamRequest request, base::SteadyTime deadline, StreamPeer& peer,
                      Ended ended) = 0;

  // The peer has content again, or room. Not from inside its own calls, nor the next one.
  virtual void go_on(PassId id) = 0;

  // Breaks it off: its client has gone. Whether it was being sent, or had been.
  virtual bool end_pass(PassId id) = 0;
};

}  // namespace holdfast::upstream
