// Whether a shared cache may store an answer, how long it is fresh, and how long it may be used
// after that: RFC 9111, sections 3, 4.2 and 5.2, RFC 5861. Pure functions; any thread.
// Why something is not stored is a word of reasons.h.
#pragma once

#include <chrono>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "upstream/message.h"

namespace holdfast::rfc9111 {

// What of the request counts.
struct RequestFacts {
  std::string_view method = "GET";
  bool authorization = false;  // it had an Authorization
  bool no_store = false;       // its Cache-Control said so
  // Of a POST: its answer's Content-Location is the target itself (see locates_target()).
  bool content_is_target = false;
};

struct Policy {
  std::span<const std::string> targeted;  // see response_directives()
  // On errors, where the answer neither says how long nor forbids it.
  std::chrono::seconds stale_if_error{0};
  enum class SetCookie {
    Pass,   // to the one who asked: such an answer is not stored
    Strip,  // stored without it
    Store,  // stored with it
  };
  SetCookie set_cookie = SetCookie::Pass;
};

struct Judged {
  // A word of reasons.h; empty: it may be stored. The rest says what was found all the same.
  std::string_view not_stored;
  std::chrono::seconds initial_age{0};         // corrected_initial_age (4.2.3)
  std::chrono::seconds freshness_lifetime{0};  // 0: to be validated before each use
  // How long after that it may be used: at once, and where the upstream fails.
  std::chrono::seconds stale_while_revalidate{0};
  std::chrono::seconds stale_if_error{0};
  bool explicit_lifetime = false;  // the answer states it: s-maxage, max-age or Expires
  // Field names in lower case that must not be stored with it: those of no-cache="x" and
  // private="x", and set-cookie if that is stripped.
  std::vector<std::string> withheld;
};

// `received`: when the answer's head came; `response_delay`: how long after the request was sent.
//
// Where an answer states no lifetime, it is a tenth of the time from Last-Modified to Date, at most
// a day, if its status allows to guess or it is public (4.2.2). Where that does not help either, or
// no-cache, or max-age=0, it is stored only if something can still come of it: a validator it can
// be asked again with, or, of a stated lifetime, a window in which it may be used stale. Anything
// else would take room and be of no use to anybody ("no-lifetime"), and whoever waits for the same
// answer is better sent on at once. A 206 needs a stated lifetime; whether its content can be used
// is for ranges.h to say.
//
// no-cache, must-revalidate and proxy-revalidate leave no stale windows, whatever else is said
// (4.2.4); s-maxage leaves those that are stated beside it (5.2.2.10: who states one must mean it).
// A response delay, and the time since Date, are rounded down to seconds: rounded up, a max-age=1
// would never be fresh. A Date ahead of `received` adds no age; an Age counts by its first member,
// and not at all if that is no number (5.1).
Judged judge(int status, const upstream::Fields& fields, const RequestFacts& request,
             const Policy& policy, base::WallTime received, base::Duration response_delay);

// Statuses whose answers may be reused without a stated lifetime (RFC 9110, 15.1).
bool is_heuristically_cacheable(int status);

}  // namespace holdfast::rfc9111
