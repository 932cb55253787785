// Answer is what the ladder found for one request: which rung answered, with
// what, or which error. Plain data, handed from the origin loop to a worker.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "cache/stored_response.h"
#include "rfc9111/reasons.h"

namespace holdfast::proxy {

// What Cache-Status says of an answer that is larger than what is kept.
inline constexpr std::string_view kTooLarge = rfc9111::word(rfc9111::Reason::TooLarge);

enum class Rung {
  Fresh,                 // stored, within its freshness lifetime
  StaleWhileRevalidate,  // stored, refreshed behind
  Fetched,               // the upstream's own answer, just now
  StaleIfError,          // stored, because the upstream failed or was slow
  Offline,               // from our own source
  Pass,                  // too large to keep: the client's own request is passed through
  NotStored,             // nothing to use at once, and no more is wanted, by client or route
  Error,                 // nobody had an answer
};

// Why a request goes upstream as it came, for Cache-Status (RFC 9211, 2.2): "method", "bypass",
// "uri-miss", ...; and what it was of a bypass, a word of src/rfc9111/reasons.h.
struct Forward {
  std::string_view reason;
  std::string_view word;
};

// In Cache-Status.
inline constexpr std::string_view kInvalidBody = rfc9111::word(rfc9111::Reason::InvalidBody);

struct Answer {
  Rung rung = Rung::Error;
  cache::StoredPtr content;  // null for Pass, NotStored and Error

  // What the upstream did for it, for Cache-Status, log and metrics.
  bool forwarded = false;  // a request to the upstream was tried for this answer
  bool collapsed = false;  // somebody else's request served this one too
  bool may_store = false;  // the upstream allows it, and no purge came in between
  bool stored = false;     // memory has it, or the store took it to be written
  bool was_stale = false;  // something was stored, too old to answer from at once
  bool was_fresh = false;  // something fresh was stored, but not as fresh as the client wanted
  // In words of src/rfc9111/reasons.h: why nothing is kept of it, and why what is stored did not
  // do; both may be empty.
  std::string_view not_stored;
  std::string_view not_reused;
  bool stored_only = false;  // nobody was asked, and nobody will be behind it: its route is offline
  bool other_variant = false;  // there were stored responses, but of other variants alone
  int upstream_status = 0;     // of the attempt that decided; 0 if none came
  int attempts = 0;
  std::string cause;  // the chain of failures, for people; empty if none

  Forward pass;  // of Pass

  // The route's rules refuse the content, and there is nothing better. `status` and `detail` say
  // what it is to whoever takes no such content.
  bool invalid() const { return not_stored == kInvalidBody; }

  // Without content.
  int status = 0;
  std::string detail;
  std::chrono::seconds retry_after{0};  // 0: waiting does not help
};

}  // namespace holdfast::proxy
