// Transport makes single attempts: one request to one origin, one reply. It
// knows nothing of retries, limits or meaning. CurlTransport is the real one;
// tests and the simulation have their own. Origin loop only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

#include "upstream/message.h"

namespace holdfast::upstream {

class Transport {
 public:
  using AttemptId = std::uint64_t;
  using Callback = std::function<void(Reply)>;

  virtual ~Transport() = default;

  // Sends `request` to origin number `origin` at once; the caller has made sure
  // that a slot is free. `callback` runs exactly once, on the loop, never inside
  // start(), with a transport outcome of Timeout after `timeout` at the latest;
  // unless cancel() comes first.
  virtual AttemptId start(std::size_t origin, const Request& request, base::Duration timeout,
                          Callback callback) = 0;

  // Drops the attempt and its connection. The callback does not run.
  virtual void cancel(AttemptId id) = 0;
};

}  // namespace holdfast::upstream
