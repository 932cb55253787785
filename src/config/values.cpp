#include "config/values.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <limits>

#include "base/ascii.h"

namespace holdfast::config {
namespace {

using base::invalid_input;

struct Unit {
  std::string_view name;
  std::uint64_t size;
};
// Largest first, as formatting wants them.
constexpr std::array kTimeUnits = {Unit{"d", 86'400'000}, Unit{"h", 3'600'000}, Unit{"m", 60'000},
                                   Unit{"s", 1'000}, Unit{"ms", 1}};
constexpr std::array kSizeUnits = {Unit{"TiB", 1ULL << 40}, Unit{"GiB", 1ULL << 30},
                                   Unit{"MiB", 1ULL << 20}, Unit{"KiB", 1ULL << 10}, Unit{"B", 1}};

constexpr std::string_view kDurationExpected =
    "expected a duration such as 250ms, 2s, 5m, 24h or 30d";
constexpr std::string_view kSizeExpected = "expected a size such as 512KiB, 64MiB or 2GiB";

auto expected(std::string_view what) {
  return invalid_input(std::string(what));
}

bool is_alpha(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), base::ascii_lower);
  return out;
}

// Takes the digits at the front of `text`; false if there are none or they do
// not fit.
bool take_number(std::string_view& text, std::uint64_t& number) {
  if (text.empty() || !is_digit(text.front())) return false;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc()) return false;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return true;
}

bool valid_host_name(std::string_view host) {
  if (host.empty() || host.size() > 253) return false;
  char before = '.';
  for (const char c : host) {
    if (!is_alpha(c) && !is_digit(c) && c != '-' && c != '.' && c != '_') return false;
    if (before == '.' && (c == '.' || c == '-')) return false;
    before = c;
  }
  return before != '-';
}

// RFC 3986, 3.3: pchar and slashes. An escape must be whole.
bool valid_path(std::string_view path) {
  constexpr std::string_view kMarks = "-._~!$&'()*+,;=:@/";
  const auto is_hex = [](char c) {
    return is_digit(c) || (base::ascii_lower(c) >= 'a' && base::ascii_lower(c) <= 'f');
  };
  for (std::size_t i = 0; i < path.size(); ++i) {
    if (path[i] == '%') {
      if (i + 2 >= path.size() || !is_hex(path[i + 1]) || !is_hex(path[i + 2])) return false;
      i += 2;
    } else if (!is_alpha(path[i]) && !is_digit(path[i]) &&
               kMarks.find(path[i]) == std::string_view::npos) {
      return false;
    }
  }
  return true;
}

bool has_dot_segment(std::string_view path) {
  while (!path.empty()) {
    path.remove_prefix(1);  // the slash
    const std::string_view segment = path.substr(0, path.find('/'));
    if (segment == "." || segment == "..") return true;
    path.remove_prefix(segment.size());
  }
  return false;
}

}  // namespace

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r\n";
  const auto first = text.find_first_not_of(kBlank);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlank) - first + 1);
}

base::Result<base::Duration> parse_duration(std::string_view text) {
  if (text == "0") return base::Duration::zero();
  std::chrono::milliseconds total{0};
  std::size_t next_unit = 0;  // units get smaller: 1h30m, not 30m1h
  if (text.empty()) return expected(kDurationExpected);
  while (!text.empty()) {
    std::uint64_t number = 0;
    if (!take_number(text, number)) return expected(kDurationExpected);
    const std::string_view name = text.substr(
        0,
        static_cast<std::size_t>(std::find_if(text.begin(), text.end(), is_digit) - text.begin()));
    const auto unit = std::find_if(kTimeUnits.begin() + next_unit, kTimeUnits.end(),
                                   [&](const Unit& u) { return u.name == name; });
    if (unit == kTimeUnits.end()) return expected(kDurationExpected);
    const auto most = static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::milliseconds>(kLongestDuration).count());
    if (number > most / unit->size) return expected("expected at most 3650d");
    total += std::chrono::milliseconds(number * unit->size);
    next_unit = static_cast<std::size_t>(unit - kTimeUnits.begin()) + 1;
    text.remove_prefix(name.size());
  }
  if (total > kLongestDuration) return expected("expected at most 3650d");
  return total;
}

base::Result<base::Duration> parse_signed_duration(std::string_view text) {
  const bool negative = !text.empty() && text.front() == '-';
  if (negative || (!text.empty() && text.front() == '+')) text.remove_prefix(1);
  auto duration = parse_duration(text);
  if (duration && negative) *duration = -*duration;
  return duration;
}

std::string format_duration(base::Duration duration) {
  const auto signed_ms = std::chrono::duration_cast<std::chrono::milliseconds>(duration).count();
  const auto ms = static_cast<std::uint64_t>(signed_ms < 0 ? -signed_ms : signed_ms);
  if (ms == 0) return "0s";
  // "24h" reads better than "1d", and so on; the largest unit that is exact wins
  // from two of it on.
  const auto unit = std::find_if(kTimeUnits.begin(), kTimeUnits.end(), [&](const Unit& u) {
    return ms % u.size == 0 && (ms / u.size > 1 || u.size <= 60'000);
  });
  return (signed_ms < 0 ? "-" : "") + std::to_string(ms / unit->size) + std::string(unit->name);
}

base::Result<std::uint64_t> parse_size(std::string_view text) {
  std::uint64_t number = 0;
  if (!take_number(text, number)) return expected(kSizeExpected);
  const std::string name = text.empty() ? "b" : lower(text);
  const auto unit = std::find_if(kSizeUnits.begin(), kSizeUnits.end(),
                                 [&](const Unit& u) { return lower(u.name) == name; });
  if (unit == kSizeUnits.end()) return expected(kSizeExpected);
  // Sizes end up in off_t and sqlite3_int64, which are signed.
  constexpr auto kMost = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  if (number > kMost / unit->size) return expected("expected less than 8388608TiB");
  return number * unit->size;
}

std::string format_size(std::uint64_t bytes) {
  const auto unit = std::find_if(kSizeUnits.begin(), kSizeUnits.end(), [&](const Unit& u) {
    return bytes % u.size == 0 && bytes >= u.size;
  });
  return unit == kSizeUnits.end() ? "0B"
                                  : std::to_string(bytes / unit->size) + std::string(unit->name);
}

base::Result<std::uint64_t> parse_count(std::string_view text, std::uint64_t least,
                                        std::uint64_t most) {
  std::uint64_t number = 0;
  if (!take_number(text, number) || !text.empty() || number < least || number > most) {
    return invalid_input("expected a whole number from " + std::to_string(least) + " to " +
                         std::to_string(most));
  }
  return number;
}

bool same_word(std::string_view one, std::string_view other) {
  return one.size() == other.size() &&
         std::equal(one.begin(), one.end(), other.begin(),
                    [](char a, char b) { return base::ascii_lower(a) == base::ascii_lower(b); });
}

base::Result<bool> parse_switch(std::string_view text) {
  const std::string word = lower(text);
  for (const char* yes : {"on", "true", "yes", "1"}) {
    if (word == yes) return true;
  }
  for (const char* no : {"off", "false", "no", "0"}) {
    if (word == no) return false;
  }
  return expected("expected on or off");
}

base::Result<std::string> parse_base_url(std::string_view text) {
  const auto scheme_end = text.find("://");
  const std::string scheme = lower(text.substr(0, scheme_end));
  if (scheme_end == std::string_view::npos) {
    return expected("expected a URL with its scheme, such as https://api.example.com");
  }
  if (scheme != "http" && scheme != "https") {
    return expected("expected a URL such as https://api.example.com");
  }
  const std::string_view rest = text.substr(scheme_end + 3);
  const std::string_view authority = rest.substr(0, rest.find_first_of("/?#"));
  std::string_view path = rest.substr(authority.size());

  if (authority.find('@') != std::string_view::npos) {
    return expected(
        "expected a URL without credentials; a token belongs in a file, API_TOKEN_FILE or "
        "token_file");
  }
  if (path.find_first_of("?#") != std::string_view::npos) {
    return expected("expected a URL without a query or a fragment");
  }
  if (!valid_path(path) || has_dot_segment(path)) {
    return expected("expected a URL whose path has no dot segments and only escaped oddities");
  }

  std::string host;
  std::string_view port;
  if (!authority.empty() && authority.front() == '[') {
    const auto close = authority.find(']');
    const auto address =
        parse_address(authority.substr(0, close == std::string_view::npos ? 0 : close + 1));
    if (!address || address->find(':') == std::string::npos) {
      return expected("expected an IPv6 address between the URL's brackets");
    }
    host = "[" + *address + "]";
    port = authority.substr(close + 1);
  } else {
    const std::string_view name = authority.substr(0, authority.find(':'));
    if (!valid_host_name(name)) return expected("expected a URL with a valid host name");
    host = lower(name);
    port = authority.substr(name.size());
  }
  if (!port.empty()) {
    if (port.front() != ':' || !parse_count(port.substr(1), 1, 65535)) {
      return expected("expected a URL with a port from 1 to 65535");
    }
  }
  while (!path.empty() && path.back() == '/') path.remove_suffix(1);
  return scheme + "://" + host + std::string(port) + std::string(path);
}

base::Result<std::string> parse_address(std::string_view text) {
  if (text.size() > 2 && text.front() == '[' && text.back() == ']') {
    text = text.substr(1, text.size() - 2);
  }
  const std::string address(text);
  char canonical[INET6_ADDRSTRLEN];
  // An embedded NUL would end the C string early and let anything follow it.
  if (address.find('\0') == std::string::npos) {
    for (const int family : {AF_INET, AF_INET6}) {
      in6_addr bytes;
      if (::inet_pton(family, address.c_str(), &bytes) == 1 &&
          ::inet_ntop(family, &bytes, canonical, sizeof canonical) != nullptr) {
        return std::string(canonical);
      }
    }
  }
  return expected("expected an IP address such as 127.0.0.1 or ::1");
}

std::string overlap_of(const std::vector<std::string>& addresses) {
  for (const std::string& all : addresses) {
    if (all != "0.0.0.0" && all != "::") continue;
    for (const std::string& one : addresses) {
      const bool same_family =
          (one.find(':') == std::string::npos) == (all.find(':') == std::string::npos);
      if (one != all && same_family) return all + " includes " + one;
    }
  }
  return {};
}

base::Result<std::string> parse_token(std::string_view text) {
  text = trimmed(text);
  if (text.empty()) return expected("expected a token, found nothing");
  if (!std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c <= '~'; })) {
    return expected("expected a token of visible ASCII characters on one line");
  }
  return std::string(text);
}

base::Result<Hedge> parse_hedge(std::string_view text) {
  if (same_word(text, "off")) return Hedge{Hedge::Kind::Off, {}, 0};
  if (!text.empty() && base::ascii_lower(text.front()) == 'p') {
    if (const auto percentile = parse_count(text.substr(1), 1, 99)) {
      return Hedge{Hedge::Kind::Percentile, {}, static_cast<unsigned>(*percentile)};
    }
  } else if (const auto after = parse_duration(text); after && *after > base::Duration::zero()) {
    return Hedge{Hedge::Kind::After, *after, 0};
  }
  return expected("expected off, a delay such as 100ms, or a percentile from p1 to p99");
}

std::string format_hedge(const Hedge& hedge) {
  switch (hedge.kind) {
    case Hedge::Kind::Off:
      return "off";
    case Hedge::Kind::After:
      return format_duration(hedge.after);
    case Hedge::Kind::Percentile:
      return "p" + std::to_string(hedge.percentile);
  }
  return "off";
}

base::Result<std::vector<std::string>> split_list(std::string_view text) {
  std::vector<std::string> parts;
  for (;;) {
    const auto comma = text.find(',');
    const std::string_view part = trimmed(text.substr(0, comma));
    if (part.empty()) return expected("expected a comma-separated list without empty parts");
    parts.emplace_back(part);
    if (comma == std::string_view::npos) return parts;
    text.remove_prefix(comma + 1);
  }
}

}  // namespace holdfast::config
