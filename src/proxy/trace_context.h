// W3C Trace Context (https://www.w3.org/TR/trace-context/): reading what a client
// sent, and continuing its trace towards the upstream. Pure functions; any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/random.h"
#include "upstream/message.h"

namespace holdfast::proxy {

// Views into the field's value.
struct TraceParent {
  std::string_view trace_id;   // 32 hexadecimal digits
  std::string_view parent_id;  // 16
  bool sampled = false;
};

// How long a traceparent of the version we know is.
inline constexpr std::size_t kTraceParentSize = 55;

// None for anything the specification calls invalid: that is as if none was sent.
std::optional<TraceParent> parse_traceparent(std::string_view value);

// The trace id of a traceparent, or "".
std::string_view trace_id_of(std::string_view traceparent);

// The fields that make a request upstream part of the client's trace: the same
// trace id, a parent id of our own, and tracestate as it came. None without a
// valid traceparent: starting traces is for whoever samples them.
upstream::Fields continued_trace(std::string_view traceparent, std::string_view tracestate,
                                 base::Random& random);

}  // namespace holdfast::proxy
