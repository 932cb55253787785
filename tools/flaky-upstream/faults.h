// The faults flaky-upstream can play, how they are asked for ("500=0.1,reset=0.05"),
// and which one a request meets. README.md lists each beside its production cause.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "chance.h"

namespace holdfast::flaky {

enum class Fault : std::uint8_t {
  None,           // answers as asked
  Status500,      // JSON error
  Status502,      // JSON error
  Status503,      // JSON error
  Status429,      // JSON error with Retry-After
  Reset,          // RST before the head
  ResetBody,      // RST in the middle of the body
  ShortBody,      // Content-Length larger than the body, then FIN
  Malformed,      // 200, the body is not JSON
  Html,           // 200, an HTML page
  OtherIp,        // 200, valid JSON about another address
  Empty,          // 200, Content-Length: 0
  Hang,           // reads the request, never answers
  Drip,           // a byte of the body at a time
  Slow,           // the right answer, late
  Status401,      // as if the token had been withdrawn
  Status403,      // as if the account were suspended
  Status404,      // as if nothing were known about the address
  Close,          // FIN instead of an answer
  Garbage,        // bytes that are not HTTP, then FIN
  ShortChunked,   // chunked, FIN before the last chunk
  MissingFields,  // 200, a JSON object without the fields
  NotAnObject,    // 200, a JSON array
  Oversized,      // 200, the right members and megabytes of padding
  Redirect,       // 301 to another host
  Bom,            // 200, the right answer behind a byte order mark
  Html404,        // 404, an HTML page: a balancer's, not the API's
  RedirectEcho,   // 301 to another host, with all that the request said
};
inline constexpr std::size_t kFaultCount = static_cast<std::size_t>(Fault::RedirectEcho) + 1;

struct FaultInfo {
  Fault fault;
  std::string_view name;     // in specifications and counters
  bool in_mixed;             // belongs to "mixed"
  std::string_view summary;  // for --help
};
// Every fault but None, in the order of the enumeration.
std::span<const FaultInfo> all_faults();
std::string_view name_of(Fault fault);  // "ok" for None

// The share of requests that meets each fault; at most 1 in all.
class FaultMix {
 public:
  Fault draw(Chance& chance) const;
  double fraction(Fault fault) const { return fractions_[static_cast<std::size_t>(fault)]; }
  std::string to_text() const;  // what parse() takes

  // "500=0.1,reset=0.1": name=fraction, separated by commas. "mixed=F" spreads F
  // evenly over the faults marked so, "5xx=F" over 500, 502 and 503. Nothing, or
  // "none": no faults. Errors: InvalidInput, naming the piece that is wrong.
  static base::Result<FaultMix> parse(std::string_view text);

 private:
  std::array<double, kFaultCount> fractions_{};
};

// FaultScript gives the next requests named outcomes, before chance has its say:
// "the first attempt fails, its retry succeeds". One thread.
class FaultScript {
 public:
  // "500,reset,ok": the outcomes of the next requests, in order; for one address
  // if `ip` is given, else for whatever comes. Replaces what was left of that
  // script; empty clears it. Errors: InvalidInput, and then nothing changes.
  base::Result<std::size_t> set(std::string_view ip, std::string_view outcomes);

  // True if a script names the outcome of this request; the step is then used up.
  bool next(const std::string& ip, Fault& fault);

  void clear() { by_ip_.clear(); }
  std::size_t steps_left() const;

 private:
  std::map<std::string, std::deque<Fault>, std::less<>> by_ip_;  // "" for any
};

}  // namespace holdfast::flaky
