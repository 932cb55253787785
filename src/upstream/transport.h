// Transport makes single attempts: one request to one address of one origin, one
// reply. It knows nothing of retries, races, limits or meaning. CurlTransport is the
// real one; tests and the simulation have their own. Origin loop only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "upstream/message.h"

namespace holdfast::upstream {

// Where an attempt goes, and for how long.
struct Sending {
  std::size_t origin = 0;
  // A numeric address of the origin, "192.0.2.1" or "2001:db8::1"; the name in the
  // origin's URL still goes into Host, SNI and the certificate's check. Empty where the
  // origin's URL has an address for a host.
  std::string address;
  // Not on a kept connection: somebody doubts those.
  bool new_connection = false;
  base::Duration timeout{};
  // Told of each interim answer (103, say) before the final one, a few at most, in the middle of
  // the transfer: must not call the transport. No name and no value can split a message. May be
  // null.
  std::function<void(int status, const Fields& fields)> on_interim = {};
};

// How far an attempt has come.
struct Progress {
  Phase phase = Phase::Connect;
  base::SteadyTime since{};  // when that phase began
  bool kept = false;         // on a connection that had been used before
  // The request was sent again and again, and has never arrived as far as can be known: nobody
  // is at the other end of that connection any more.
  bool unacknowledged = false;
};

class Streaming;

class Transport {
 public:
  using AttemptId = std::uint64_t;
  using Callback = std::function<void(Reply)>;

  virtual ~Transport() = default;

  // Sends `request` at once; the caller has made sure that a slot is free. `callback`
  // runs exactly once, on the loop, never inside start(), with an outcome of the
  // transport's after `sending.timeout` at the latest; unless cancel() comes first.
  virtual AttemptId start(const Sending& sending, const Request& request, Callback callback) = 0;

  // Drops the attempt and its connection. The callback does not run.
  virtual void cancel(AttemptId id) = 0;

  // Nothing of an attempt that has ended.
  virtual std::optional<Progress> progress(AttemptId id) const = 0;

  // Sets up a connection to the address, asks nothing on it and drops it: whether
  // somebody is there. `callback` as for start(); Ok if so. Not to be cancelled.
  virtual void knock(std::size_t origin, const std::string& address, base::Duration timeout,
                     Callback callback) = 0;

  // New attempts mostly go there: a spare connection may be kept ready. Empty: nowhere.
  virtual void prefer(std::size_t /*origin*/, const std::string& /*address*/) {}

  // For what goes through in pieces. Null: this one has no way for it.
  virtual Streaming* streaming() { return nullptr; }

  // Connections to that address that exist now are not used for further attempts:
  // they are mute. What is under way on them goes on.
  virtual void distrust(std::size_t origin, const std::string& address) = 0;
};

}  // namespace holdfast::upstream
