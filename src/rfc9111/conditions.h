// Conditional requests (RFC 9111, 4.3; RFC 9110, 13): a client's against what is stored, and what
// another answer says of what is stored. `stored_lines` as in fields.h. Pure
// functions; any thread.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/clock.h"
#include "upstream/message.h"

namespace holdfast::rfc9111 {

// A request's fields; empty: absent. Lines of one name joined by ", ".
struct Conditions {
  std::string_view if_none_match;
  std::string_view if_modified_since;
};

enum class Precondition {
  None,         // there is none, or it asks for the content
  NotModified,  // the client has it: 304
};

// Of a GET or HEAD. If-None-Match is a list or "*", compared weakly, and counts alone where it is
// there (RFC 9110, 13.1.2). If-Modified-Since must be one date, and is compared with Last-Modified,
// or, without a valid one, with Date, or with when it came (RFC 9111, 4.3.2). Preconditions are
// ignored unless `status` is a 2xx (RFC 9110, 13.2.1). If-Match and If-Unmodified-Since are the
// origin's alone: requests with those are to be sent on.
//
// Tags without quotes, which are none, are compared as if they had some; what is no tag by any
// reading (W"x", without the slash) is only like itself.
Precondition evaluate(const Conditions& conditions, int status, std::string_view stored_lines,
                      base::WallTime response_time);

// Whether a 200 to a HEAD is that of what is stored (RFC 9111, 4.3.5): each validator that it has
// is the stored one, and so is its Content-Length. If Changed the stored response is stale from now
// on; if Same, merged() updates it.
enum class HeadVerdict { Same, Changed };
HeadVerdict compare_head(std::string_view stored_lines, std::uint64_t content_bytes,
                         const upstream::Fields& of_head);

// Quoted, and not weak (RFC 9110, 8.8.3).
bool is_strong_tag(std::string_view tag);

// The same ETag, and a strong one; or, where neither has any, the same Last-Modified, and a strong
// one: Date is at least a second later (RFC 9110, 8.8.2.2). Content of two answers may be combined
// only then (RFC 9111, 3.4).
bool share_strong_validator(std::string_view stored_lines, std::string_view other_lines);

// Whether what a client has part of is what is stored (RFC 9110, 13.1.5): the strong ETag, or the
// date that is Last-Modified to the letter and strong. Without If-Range (empty): yes. If not, Range
// is to be ignored.
bool if_range_holds(std::string_view if_range, std::string_view stored_lines);

}  // namespace holdfast::rfc9111
