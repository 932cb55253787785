#include "request_list.h"

#include <arpa/inet.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <optional>
#include <utility>

#include "base/masked_url.h"
#include "proxy/ip_address.h"
#include "sitemap.h"

namespace holdfast::warm {
namespace {

// Beyond any path that the daemon takes; a longer line is some other kind of file.
constexpr std::size_t kMaxLine = 8192;
// Beyond any sitemap (sitemaps.org: 50 MB).
constexpr std::size_t kLargestSitemap = 64U << 20;
constexpr std::size_t kProblemsKept = 100;
constexpr std::size_t kShownText = 60;
constexpr std::string_view kBlank = " \t\r\f\v";

std::string_view trim(std::string_view text) {
  const auto first = text.find_first_not_of(kBlank);
  if (first == text.npos) return {};
  return text.substr(first, text.find_last_not_of(kBlank) - first + 1);
}

std::string shown(std::string_view text) {
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string out;
  for (const char c : text.substr(0, kShownText)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte < 0x7f) {
      out += c;
    } else {
      out += "\\x";
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    }
  }
  return text.size() > kShownText ? out + "..." : out;
}

std::optional<Address> parse_address(std::string_view text) {
  const auto canonical = proxy::canonical_ip(text);
  if (!canonical) return std::nullopt;
  const std::string terminated(canonical->view());
  Address address{};
  if (terminated.find(':') != terminated.npos) {
    if (inet_pton(AF_INET6, terminated.c_str(), address.data()) != 1) return std::nullopt;
    return address;
  }
  address[10] = address[11] = 0xff;
  if (inet_pton(AF_INET, terminated.c_str(), &address[12]) != 1) return std::nullopt;
  return address;
}

// The address with its last `bits` bits cleared.
Address network_of(Address address, unsigned bits) {
  for (std::size_t i = address.size(); bits > 0; bits -= bits < 8 ? bits : 8) {
    --i;
    address[i] = bits >= 8 ? 0 : static_cast<std::uint8_t>(address[i] & (0xff << bits));
  }
  return address;
}

// What the first bytes of a list say that it is instead of UTF-8 text; null if nothing.
// Else each of its lines would be a problem, and none would say what is wrong.
const char* other_kind(std::string_view start) {
  constexpr const char* kUtf16 = "UTF-16 or UTF-32, where UTF-8 is expected";
  if (start.starts_with("\xff\xfe") || start.starts_with("\xfe\xff")) return kUtf16;
  // Without a byte order mark every other byte of such a list is NUL.
  if (start.substr(0, 2).find('\0') != start.npos) return kUtf16;
  if (start.starts_with("\x1f\x8b")) return "compressed, where text is expected";
  return nullptr;
}

std::string why_unread() {
  return std::string("cannot be read: ") +
         (errno != 0 ? std::strerror(errno) : "reading it failed");
}

bool is_path(std::string_view text) {
  return text.starts_with('/') || is_url(text);
}

// A text may have a "#" in it.
std::string_view without_comment(std::string_view text) {
  for (std::size_t at = text.find('#'); at != text.npos; at = text.find('#', at + 1)) {
    if (at == 0 || kBlank.find(text[at - 1]) != kBlank.npos) return trim(text.substr(0, at));
  }
  return text;
}

void increment(Address& address) {
  for (std::size_t i = address.size(); i-- > 0;) {
    if (++address[i] != 0) return;
  }
}

}  // namespace

std::string to_text(const Address& address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  inet_ntop(AF_INET6, address.data(), text.data(), text.size());
  const auto canonical = proxy::canonical_ip(text.data());
  return std::string(canonical->view());
}

std::string RequestList::target(std::size_t item) const {
  const Item& asked = items_[item];
  return asked.path ? paths_[*asked.path] : pattern_.of_address(to_text(asked.address));
}

std::string RequestList::name(std::size_t item) const {
  const Item& asked = items_[item];
  return asked.path ? paths_[*asked.path] : to_text(asked.address);
}

bool RequestList::read(std::istream& in, const std::string& name) {
  std::array<char, 65536> chunk;
  std::string partial;  // of the current line; never much longer than kMaxLine
  std::size_t line = 1;
  bool unfinished = false;  // something follows the last line end
  const auto append = [&](std::string_view text) {
    if (partial.size() <= kMaxLine) partial += text.substr(0, kMaxLine + 1 - partial.size());
    unfinished = true;
  };
  bool at_start = true;
  errno = 0;
  while (in.read(chunk.data(), chunk.size()), in.gcount() > 0) {
    std::string_view rest(chunk.data(), static_cast<std::size_t>(in.gcount()));
    if (std::exchange(at_start, false)) {
      if (const char* const kind = other_kind(rest)) {
        skip(name, kind);
        return true;
      }
      if (is_xml(rest)) return take_sitemap(in, std::string(rest), name);
    }
    while (!rest.empty()) {
      const std::size_t end = rest.find('\n');
      append(rest.substr(0, end));
      if (end == rest.npos) break;
      rest.remove_prefix(end + 1);
      if (!take_line(partial, {name, line})) return false;
      ++line;
      partial.clear();
      unfinished = false;
    }
  }
  // The rest of a line may change what it says.
  if (in.bad()) {
    skip(name, why_unread());
    return true;
  }
  return !unfinished || take_line(partial, {name, line});
}

void RequestList::skip(const std::string& name, std::string reason) {
  unread_.push_back({name, std::move(reason)});
}

bool RequestList::take_line(std::string_view line, Place place) {
  if (line.size() > kMaxLine) {
    problem(line, place, "the line is too long");
    return true;
  }
  // Also further down: so it is where lists were put together.
  if (line.starts_with("\xef\xbb\xbf")) line.remove_prefix(3);
  const std::string_view text = trim(line);
  // A fragment is as little of a request as a comment is.
  const std::string_view uncommented = trim(text.substr(0, text.find('#')));
  if (uncommented.empty()) return true;
  if (is_path(uncommented)) return take_path(uncommented, place);
  if (!pattern_.takes_addresses()) return take_text(without_comment(text), place);
  if (uncommented.find('/') != uncommented.npos) return take_block(uncommented, place);
  return take_address(uncommented, place);
}

// Nothing of it counts before all of it was read, as the end may be missing.
bool RequestList::take_sitemap(std::istream& in, std::string start, const std::string& name) {
  std::string xml = std::move(start);
  std::array<char, 65536> chunk;
  while (xml.size() <= kLargestSitemap && (in.read(chunk.data(), chunk.size()), in.gcount() > 0)) {
    xml.append(chunk.data(), static_cast<std::size_t>(in.gcount()));
  }
  if (in.bad() || xml.size() > kLargestSitemap) {
    skip(name, in.bad() ? why_unread() : "a sitemap of more than 64 MiB");
    return true;
  }
  const auto locations = read_sitemap(xml);
  if (!locations) {
    skip(name, "XML, but no sitemap: " + locations.error().message);
    return true;
  }
  for (const Location& location : *locations) {
    const Place place{name, location.line};
    if (!is_path(location.text)) {
      problem(location.text, place, "<loc> has no http or https URL");
    } else if (!take_path(location.text, place)) {
      return false;
    }
  }
  return true;
}

bool RequestList::take_path(std::string_view text, Place place) {
  if (text.find_first_of(kBlank) != text.npos) {
    problem(text, place, "has a blank in it, which is %20 in a path");
    return true;
  }
  if (text.starts_with('/')) return take_target(text, place, canonical_target(text));
  auto target = site_.target_of(text);
  if (target) target = canonical_target(*target);
  // It may have a password in it.
  if (text.find('@') == text.npos) return take_target(text, place, std::move(target));
  return take_target(base::masked_url(text), place, std::move(target));
}

bool RequestList::take_text(std::string_view text, Place place) {
  return take_target(text, place, pattern_.of_text(text));
}

bool RequestList::take_target(std::string_view text, Place place,
                              base::Result<std::string> target) {
  if (!target) {
    problem(text, place, target.error().message);
    return true;
  }
  if (seen_paths_.contains(*target)) {
    ++duplicates_;
    return true;
  }
  if (items_.size() >= most_) return refuse_too_many(text, place, "1");
  items_.push_back({{}, static_cast<std::uint32_t>(paths_.size())});
  paths_.push_back(*std::move(target));
  seen_paths_.insert(paths_.back());
  return true;
}

bool RequestList::take_address(std::string_view text, Place place) {
  const auto address = parse_address(text);
  if (!address) {
    problem(text, place, "not an IP address");
    return true;
  }
  if (items_.size() >= most_ && !seen_.contains(*address)) {
    return refuse_too_many(text, place, "1");
  }
  add(*address);
  return true;
}

bool RequestList::take_block(std::string_view text, Place place) {
  const std::size_t slash = text.find('/');
  const std::string_view base = text.substr(0, slash);
  const std::string_view digits = text.substr(slash + 1);
  const auto address = parse_address(base);
  if (!address) {
    problem(text, place, "not a block: what stands before the slash is no IP address");
    return true;
  }
  const bool v6 = base.find(':') != base.npos;
  const unsigned longest = v6 ? 128 : 32;
  unsigned length = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), length);
  if (digits.empty() || error != std::errc() || end != digits.data() + digits.size() ||
      length > longest) {
    problem(
        text, place,
        "not a block: expected a number from 0 to " + std::to_string(longest) + " after the slash");
    return true;
  }
  const unsigned host_bits = longest - length;
  const Address network = network_of(*address, host_bits);
  if (network != *address) {
    // Rather than guess which of the two is meant.
    problem(text, place,
            "the address has bits beyond the block's; the block is " + to_text(network) + "/" +
                std::string(digits));
    return true;
  }
  // Those already there do not count against the limit, but which they are is
  // known only for a block that is small enough to look at.
  if (host_bits >= 32 || (std::size_t{1} << host_bits) > most_) {
    return refuse_too_many(text, place, "2^" + std::to_string(host_bits));
  }
  Address next = network;
  for (std::size_t i = 0; i < std::size_t{1} << host_bits; ++i, increment(next)) {
    if (items_.size() >= most_ && !seen_.contains(next)) {
      return refuse_too_many(text, place, std::to_string(std::size_t{1} << host_bits));
    }
    add(next);
  }
  return true;
}

bool RequestList::refuse_too_many(std::string_view text, Place place, std::string count) {
  too_many_ = true;
  // The one problem that must be told, however many came before.
  if (problems_.size() >= kProblemsKept) problems_.pop_back();
  problem(text, place,
          count + " more, and the limit for all lists is " + std::to_string(most_) +
              " (--max-addresses)");
  return false;
}

void RequestList::add(const Address& address) {
  if (seen_.insert(address).second) {
    items_.push_back({address, std::nullopt});
  } else {
    ++duplicates_;
  }
}

void RequestList::problem(std::string_view text, Place place, std::string reason) {
  ++problem_count_;
  if (problems_.size() >= kProblemsKept) return;
  problems_.push_back(
      {place.name + ":" + std::to_string(place.line), shown(text), std::move(reason)});
}

}  // namespace holdfast::warm
