// What goes to the upstream and what comes back, free of libcurl and of routes.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/resource.h"

namespace holdfast::upstream {

struct Field {
  std::string name;
  std::string value;
};
using Fields = std::vector<Field>;

// Whether it has that name (case-insensitive).
bool is_field(const Field& field, std::string_view name);
// The first field of that name, or null.
const std::string* find_field(const Fields& fields, std::string_view name);

// Of the content behind a head with those fields; none: it comes in chunks, or up to the
// connection's end, or what is said is no length.
std::optional<std::uint64_t> stated_length(const Fields& fields);

// What may not stand in a line: all controls but the tab (RFC 9110, 5.5).
bool is_control(char c);

// "No such entry": the statuses that say so of a key.
constexpr bool is_negative(int status) {
  return status == 404 || status == 410;
}

struct Request {
  std::string target;  // path and query, appended to an origin's base URL
  Fields fields;       // besides what the transport adds itself: Host, Authorization
  // Fields and content go through as they are, both ways: what of `fields` can stand in a line is
  // sent, and nothing but Host and the credential beside it, but that who names no content coding
  // wants none (Accept-Encoding: identity); a content that is coded stays so. Else nothing is
  // asked for in a coding, and what comes in one all the same is decoded.
  bool verbatim = false;
  // An answer in a transfer coding that nobody here knows is taken as it comes, up to the end of
  // its connection, and not refused. (RFC 9112, 6.3 allows it; where it is cut off nobody can
  // tell.)
  bool lenient_transfer_coding = false;
  // Of the content; a longer one is TooLarge, at the answer's head where that tells. 0, or beyond
  // the transport's own limit: that one.
  std::size_t body_limit_bytes = 0;
};

// What an attempt is doing. Each has its own usual time and its own failures: only the
// answer's time says anything of the upstream's work.
enum class Phase { Connect, Tls, Answer };  // the name is known before an attempt begins
inline constexpr int kPhases = static_cast<int>(Phase::Answer) + 1;

std::string_view to_string(Phase phase);  // "connect", "tls", "answer"

// How one attempt ended, as metrics and logs name it.
enum class Outcome {
  Ok,              // a valid answer
  NotModified,     // 304 to a conditional request
  ServerError,     // 5xx
  RateLimited,     // 429
  ClientError,     // another 4xx: an answer about the request itself, not retried
  Unauthorized,    // 401 or 403: our token, or that we may not ask for this
  Timeout,         // connected and asked, but no answer
  Connect,         // refused or unreachable
  ConnectTimeout,  // nobody said anything to our SYN
  Reset,           // closed before the whole head came
  Dns,
  Tls,           // the handshake failed
  TlsTimeout,    // it did not end
  Certificate,   // it is not the origin's, or not trusted, or expired
  Truncated,     // closed before the whole content came
  TooLarge,      // content over the limit
  InvalidBody,   // a 200, 404 or 410 whose content is not what it must be
  WrongContent,  // a 200 that speaks of something else (another ip)
  Redirected,    // to somewhere else, where our token does not go: a configuration fault
  Unexpected,    // a status with no meaning here (1xx, 204)
  Local,         // we lack a descriptor, a port or memory: nobody's failure
  Cancelled,     // by us: another attempt won
};
inline constexpr int kOutcomes = static_cast<int>(Outcome::Cancelled) + 1;

std::string_view to_string(Outcome outcome);  // "5xx", "invalid_body", ...

// A whole answer, or why there is none.
struct Reply {
  // Transport failures only (Timeout to Certificate, Truncated, TooLarge, InvalidBody where its
  // coding cannot be undone, Local), or Ok for "a complete message came"; its meaning is judged
  // later.
  Outcome transport = Outcome::Ok;
  std::string detail;  // the transport's words, for logs; never holds a secret
  int status = 0;      // 0 if no head came
  Fields fields;
  std::string body;
  // Retry-After in seconds from its arrival, from either form; see wait_told().
  std::optional<std::chrono::seconds> retry_after;
  // How far its sender's clock is ahead of ours, as far as it tells; see clock_ahead().
  std::optional<std::chrono::seconds> clock_ahead;
  base::Duration duration{};  // from the attempt's start to its end
  // What each phase took, as far as it was reached; connect and TLS are zero on a kept
  // connection. The answer: from the request being sent to the content's last byte.
  std::array<base::Duration, kPhases> phases{};
  Phase phase = Phase::Connect;  // where it ended
  bool kept = false;             // it went out on a connection that had been used before
  bool with_token = false;       // and our credential with it
  // What came is no HTTP, or contradicts itself: whoever wrote it meant to end it like that, or did
  // not know how to. Of what merely broke off nobody can tell. Always with a failure.
  bool unreadable = false;
  // Nothing but the end of its connection says where its content ends, so nobody can tell whether
  // all of it came.
  bool open_ended = false;
  // It failed for want of something here, or of the authorities to check a certificate with.
  // Nothing of the upstream's.
  bool own_lack = false;
  std::optional<base::Resource> lack;  // which; of Local

  // A connection that stood ended with it: it broke, or this was its last answer by its own word.
  // False of a set-up that failed, and of what we had no means for: those used none up.
  bool ended_connection() const;

  base::Duration took(Phase which) const { return phases[static_cast<std::size_t>(which)]; }
};

}  // namespace holdfast::upstream
