// Which methods a route takes. A value of eight bytes; any thread; no allocation but in text().
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace holdfast::proxy {

class MethodSet {
 public:
  // Those of RFC 9110 and 5789, QUERY, and the extensions that llhttp reads. CONNECT is not
  // among them: the server refuses it.
  static constexpr std::array<std::string_view, 34> kNames = {
      "GET",         "HEAD",       "POST",       "PUT",   "DELETE",   "PATCH",  "OPTIONS",
      "TRACE",       "QUERY",      "COPY",       "LOCK",  "MKCOL",    "MOVE",   "PROPFIND",
      "PROPPATCH",   "SEARCH",     "UNLOCK",     "BIND",  "REBIND",   "UNBIND", "ACL",
      "REPORT",      "MKACTIVITY", "CHECKOUT",   "MERGE", "M-SEARCH", "NOTIFY", "SUBSCRIBE",
      "UNSUBSCRIBE", "PURGE",      "MKCALENDAR", "LINK",  "UNLINK",   "SOURCE"};

  constexpr MethodSet() = default;

  // Every method there is, also those of no known name: "*".
  static constexpr MethodSet all() { return MethodSet(~std::uint64_t{0}); }

  constexpr MethodSet without(MethodSet other) const { return MethodSet(bits_ & ~other.bits_); }

  // The set of that method alone; null for a name that is not known. Names have a case.
  static constexpr std::optional<MethodSet> named(std::string_view name) {
    for (std::size_t i = 0; i < kNames.size(); ++i) {
      if (kNames[i] == name) return MethodSet(std::uint64_t{1} << i);
    }
    return std::nullopt;
  }
  // The same for a request: a method that is not known is in all() alone.
  static constexpr MethodSet of_request(std::string_view name) {
    return named(name).value_or(MethodSet(std::uint64_t{1} << kNames.size()));
  }

  constexpr bool empty() const { return bits_ == 0; }
  constexpr bool intersects(MethodSet other) const { return (bits_ & other.bits_) != 0; }
  constexpr MethodSet& operator|=(MethodSet other) {
    bits_ |= other.bits_;
    return *this;
  }
  friend constexpr bool operator==(MethodSet, MethodSet) = default;

  // For an Allow field: "GET, HEAD".
  std::string text() const {
    std::string out;
    for (std::size_t i = 0; i < kNames.size(); ++i) {
      if ((bits_ >> i & 1U) == 0) continue;
      if (!out.empty()) out += ", ";
      out += kNames[i];
    }
    return out;
  }

 private:
  explicit constexpr MethodSet(std::uint64_t bits) : bits_(bits) {}
  std::uint64_t bits_ = 0;
};
static_assert(MethodSet::kNames.size() < 64);

}  // namespace holdfast::proxy
