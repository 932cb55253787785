// version "-" trace-id "-" parent-id "-" trace-flags, all in lower-case hexadecimal
// (section 3.2). A version above 00 may go on after a further "-"; what it says
// before that is read as 00 is, and we answer with 00 (section 4.3). Of the flags
// only "sampled" is defined; the others must be sent as zero.
#include "proxy/trace_context.h"

#include <algorithm>

namespace holdfast::proxy {
namespace {

constexpr std::size_t kMostTraceState = 512;  // what everybody must be able to pass on
constexpr std::string_view kDigits = "0123456789abcdef";

bool is_hex(std::string_view text) {
  return text.find_first_not_of(kDigits) == text.npos;
}

bool is_zero(std::string_view text) {
  return text.find_first_not_of('0') == text.npos;
}

// Not a check of its grammar: those who take part in the trace know better. Only
// what could not stand in a field is kept out.
bool may_be_passed_on(std::string_view tracestate) {
  return !tracestate.empty() && tracestate.size() <= kMostTraceState &&
         std::all_of(tracestate.begin(), tracestate.end(),
                     [](char c) { return (c >= ' ' && c <= '~') || c == '\t'; });
}

std::string make_parent_id(base::Random& random) {
  std::uint64_t bits = random.next();
  if (bits == 0) bits = 1;  // all zeros is invalid
  std::string id(16, '0');
  for (char& digit : id) {
    digit = kDigits[bits & 15];
    bits >>= 4;
  }
  return id;
}

}  // namespace

std::optional<TraceParent> parse_traceparent(std::string_view value) {
  if (value.size() < kTraceParentSize) return std::nullopt;
  const std::string_view version = value.substr(0, 2);
  const std::string_view flags = value.substr(53, 2);
  const TraceParent parsed{value.substr(3, 32), value.substr(36, 16),
                           kDigits.find(flags[1]) % 2 == 1};
  const bool well_formed = value[2] == '-' && value[35] == '-' && value[52] == '-' &&
                           is_hex(version) && is_hex(parsed.trace_id) && is_hex(parsed.parent_id) &&
                           is_hex(flags);
  if (!well_formed || version == "ff") return std::nullopt;
  if (is_zero(parsed.trace_id) || is_zero(parsed.parent_id)) return std::nullopt;
  if (value.size() > kTraceParentSize && (version == "00" || value[kTraceParentSize] != '-')) {
    return std::nullopt;
  }
  return parsed;
}

std::string_view trace_id_of(std::string_view traceparent) {
  const auto parsed = parse_traceparent(traceparent);
  return parsed ? parsed->trace_id : std::string_view();
}

upstream::Fields continued_trace(std::string_view traceparent, std::string_view tracestate,
                                 base::Random& random) {
  const auto parsed = parse_traceparent(traceparent);
  if (!parsed) return {};
  std::string value = "00-";
  value.append(parsed->trace_id).append("-").append(make_parent_id(random));
  value += parsed->sampled ? "-01" : "-00";
  upstream::Fields fields{{"traceparent", std::move(value)}};
  if (may_be_passed_on(tracestate)) fields.push_back({"tracestate", std::string(tracestate)});
  return fields;
}

}  // namespace holdfast::proxy
