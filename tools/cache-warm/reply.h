// What an answer of the daemon's says about the address that was asked for.
// Pure functions; any thread.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

namespace holdfast::warm {

// An answer as it came over the wire.
struct Reply {
  int status = 0;  // 0: none came
  bool unreachable = false;
  std::string error;         // why none came
  std::string cache_status;  // the field's value; several lines joined by ", "
  std::chrono::seconds retry_after{0};
};

struct Verdict {
  enum class Kind {
    Fresh,      // stored, fresh as wanted or at least fresh
    Stale,      // stored, but too old, and not refreshed
    Kept,       // stored, but too old, and nobody will be asked: its route is offline
    Fetched,    // just stored
    NotFound,   // the upstream says there is nothing, and that is stored
    NotStored,  // the answer to "only if stored": no
    TryAgain,   // something failed that may succeed later
    Pause,      // the daemon, or what it needs, cannot take more now
    Hopeless,   // asking again cannot help
  };
  Kind kind = Kind::TryAgain;
  int status = 0;
  std::string reason;                   // for people, where it is not stored
  std::chrono::seconds retry_after{0};  // at least; 0: nothing was said
  bool unreachable = false;             // Pause: there is no daemon
};

Verdict judge(const Reply& reply);

}  // namespace holdfast::warm
