#include "proxy/ip_address.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstring>

#include "proxy/percent_encoding.h"

namespace holdfast::proxy {
namespace {

constexpr std::size_t kMaxText = INET6_ADDRSTRLEN - 1;

struct Run {
  int first = -1;
  int length = 0;
};

// The longest run of at least two zero groups, the first of equals (RFC 5952, 4.2).
Run longest_zero_run(const std::array<unsigned, 8>& groups) {
  Run best;
  Run current;
  for (int i = 0; i < 8; ++i) {
    if (groups[static_cast<std::size_t>(i)] != 0) {
      current = {};
      continue;
    }
    if (current.length++ == 0) current.first = i;
    if (current.length > best.length) best = current;
  }
  return best.length >= 2 ? best : Run{};
}

// inet_ntop is not used: it writes ::1:2 as "::0.1.0.2", where RFC 5952, section
// 5 keeps the mixed form for prefixes known to embed IPv4.
std::size_t write_ipv6(const in6_addr& address, char* out) {
  std::array<unsigned, 8> groups{};
  for (std::size_t i = 0; i < 8; ++i) {
    groups[i] = (static_cast<unsigned>(address.s6_addr[2 * i]) << 8) | address.s6_addr[2 * i + 1];
  }
  const Run zeros = longest_zero_run(groups);
  char* end = out;
  for (int i = 0; i < 8;) {
    if (i == zeros.first) {
      *end++ = ':';
      *end++ = ':';
      i += zeros.length;
      continue;
    }
    if (i > 0 && end[-1] != ':') *end++ = ':';
    end = std::to_chars(end, end + 4, groups[static_cast<std::size_t>(i)], 16).ptr;
    ++i;
  }
  return static_cast<std::size_t>(end - out);
}

std::size_t write_ipv4(const unsigned char* bytes, char* out) {
  char* end = out;
  for (int i = 0; i < 4; ++i) {
    if (i > 0) *end++ = '.';
    end = std::to_chars(end, end + 3, static_cast<unsigned>(bytes[i])).ptr;
  }
  return static_cast<std::size_t>(end - out);
}

}  // namespace

bool is_canonical_ipv4(std::string_view text) {
  const char* at = text.data();
  const char* const end = at + text.size();
  const auto digit = [&] {  // more than 9 if there is none
    return at == end ? 10U : static_cast<unsigned char>(*at) - unsigned{'0'};
  };
  for (int i = 0; i < 4; ++i) {
    if (i > 0 && (at == end || *at++ != '.')) return false;
    unsigned octet = digit();
    if (octet > 9) return false;
    ++at;
    if (octet == 0) continue;  // no other digit follows a zero
    for (unsigned next = digit(); octet <= 25 && next <= 9; next = digit()) {
      octet = octet * 10 + next;
      ++at;
    }
    if (octet > 255) return false;
  }
  return at == end;
}

std::optional<IpText> canonical_ip(std::string_view text) {
  // inet_pton stops at a NUL, so one inside must be refused here.
  if (text.empty() || text.size() > kMaxText || text.find('\0') != text.npos) return std::nullopt;
  std::array<char, kMaxText + 1> terminated{};
  std::memcpy(terminated.data(), text.data(), text.size());

  IpText result;
  in_addr v4{};
  if (inet_pton(AF_INET, terminated.data(), &v4) == 1) {
    result.size_ = write_ipv4(reinterpret_cast<const unsigned char*>(&v4), result.text_.data());
    return result;
  }
  in6_addr v6{};
  if (inet_pton(AF_INET6, terminated.data(), &v6) != 1) return std::nullopt;
  result.size_ = IN6_IS_ADDR_V4MAPPED(&v6) ? write_ipv4(v6.s6_addr + 12, result.text_.data())
                                           : write_ipv6(v6, result.text_.data());
  return result;
}

std::optional<IpText> canonical_ip_from_path(std::string_view encoded) {
  if (encoded.find('%') == encoded.npos) return canonical_ip(encoded);
  if (encoded.size() > 3 * kMaxText) return std::nullopt;
  std::array<char, 3 * kMaxText> decoded{};
  std::size_t size = 0;
  for (std::size_t i = 0; i < encoded.size(); ++i) {
    if (encoded[i] != '%') {
      decoded[size++] = encoded[i];
      continue;
    }
    const int byte = escaped_byte(encoded.substr(i));
    if (byte < 0) return std::nullopt;
    decoded[size++] = static_cast<char>(byte);
    i += kEscapeSize - 1;
  }
  return canonical_ip({decoded.data(), size});
}

}  // namespace holdfast::proxy
