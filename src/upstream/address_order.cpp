// IPv4 is treated as IPv6's mapped addresses (RFC 6724, 2.1), so one table and one
// comparison do for both.
#include "upstream/address_order.h"

#include <arpa/inet.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>

#include "base/unique_fd.h"

namespace holdfast::upstream {
namespace {

using Bytes = std::array<std::uint8_t, 16>;

std::optional<Bytes> bytes_of(const std::string& text) {
  Bytes bytes{};
  if (text.find('\0') != std::string::npos) return std::nullopt;
  if (::inet_pton(AF_INET6, text.c_str(), bytes.data()) == 1) return bytes;
  bytes = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  if (::inet_pton(AF_INET, text.c_str(), bytes.data() + 12) == 1) return bytes;
  return std::nullopt;
}

int common_bits(const Bytes& a, const Bytes& b, int most) {
  int bits = 0;
  while (bits < most) {
    const auto index = static_cast<std::size_t>(bits / 8);
    const int mask = 0x80 >> (bits % 8);
    if (((a[index] ^ b[index]) & mask) != 0) break;
    ++bits;
  }
  return bits;
}

bool is_v4(const Bytes& address) {
  static constexpr Bytes kMapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  return common_bits(address, kMapped, 96) == 96;
}

// RFC 4291, 2.7, for multicast; RFC 6724, 3.1 and 3.2, for the rest.
int scope_of(const Bytes& address) {
  constexpr int kLinkLocal = 2;
  constexpr int kSiteLocal = 5;
  constexpr int kGlobal = 14;
  if (is_v4(address)) {
    const bool local = address[12] == 127 || (address[12] == 169 && address[13] == 254);
    return local ? kLinkLocal : kGlobal;
  }
  if (address[0] == 0xff) return address[1] & 0x0f;
  if (address[0] == 0xfe && (address[1] & 0xc0) == 0x80) return kLinkLocal;
  if (address[0] == 0xfe && (address[1] & 0xc0) == 0xc0) return kSiteLocal;
  static constexpr Bytes kLoopback{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
  return address == kLoopback ? kLinkLocal : kGlobal;
}

struct Policy {
  Bytes prefix;
  int bits;
  int precedence;
  int label;
};

const Policy& policy_of(const Bytes& address) {
  // RFC 6724, 2.1; the longest prefix first.
  static constexpr std::array<Policy, 9> kTable{{
      {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, 128, 50, 0},
      {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}, 96, 35, 4},
      {{}, 96, 1, 3},
      {{0x20, 0x01}, 32, 5, 5},
      {{0x20, 0x02}, 16, 30, 2},
      {{0x3f, 0xfe}, 16, 1, 12},
      {{0xfe, 0xc0}, 10, 1, 11},
      {{0xfc}, 7, 3, 13},
      {{}, 0, 40, 1},
  }};
  return *std::find_if(kTable.begin(), kTable.end(), [&](const Policy& policy) {
    return common_bits(address, policy.prefix, policy.bits) == policy.bits;
  });
}

struct Candidate {
  std::string text;
  Bytes address;
  std::optional<Bytes> source;
};

// Whether `a` is to be tried before `b`; the numbers are RFC 6724's rules, section 6.
bool preferred(const Candidate& a, const Candidate& b) {
  if (a.source.has_value() != b.source.has_value()) return a.source.has_value();  // 1
  const int scope_a = scope_of(a.address);
  const int scope_b = scope_of(b.address);
  const Policy& policy_a = policy_of(a.address);
  const Policy& policy_b = policy_of(b.address);
  if (a.source) {
    const bool same_a = scope_of(*a.source) == scope_a;
    const bool same_b = scope_of(*b.source) == scope_b;
    if (same_a != same_b) return same_a;  // 2
    const bool label_a = policy_of(*a.source).label == policy_a.label;
    const bool label_b = policy_of(*b.source).label == policy_b.label;
    if (label_a != label_b) return label_a;  // 5
  }
  if (policy_a.precedence != policy_b.precedence) {
    return policy_a.precedence > policy_b.precedence;  // 6
  }
  if (scope_a != scope_b) return scope_a < scope_b;  // 8
  if (a.source && !is_v4(a.address) && !is_v4(b.address)) {
    // 9, of the part of an address that says where a network is.
    const int common_a = common_bits(a.address, *a.source, 64);
    const int common_b = common_bits(b.address, *b.source, 64);
    if (common_a != common_b) return common_a > common_b;
  }
  return false;  // 10
}

}  // namespace

std::vector<std::string> in_order(const std::vector<std::string>& addresses,
                                  const SourceOf& source_of) {
  std::vector<Candidate> all;
  for (const std::string& text : addresses) {
    const auto bytes = bytes_of(text);
    const auto same = [&](const Candidate& other) { return other.address == *bytes; };
    if (!bytes || std::any_of(all.begin(), all.end(), same)) continue;
    const auto source = source_of(text);
    all.push_back({text, *bytes, source ? bytes_of(*source) : std::nullopt});
  }
  std::stable_sort(all.begin(), all.end(), preferred);

  // RFC 8305, 4: after the first, the families take turns, as long as both last.
  std::vector<std::string> first;
  std::vector<std::string> second;
  std::vector<std::string> unusable;
  for (Candidate& each : all) {
    auto& list = !each.source                                        ? unusable
                 : is_v4(each.address) == is_v4(all.front().address) ? first
                                                                     : second;
    list.push_back(std::move(each.text));
  }
  std::vector<std::string> ordered;
  for (std::size_t i = 0; i < std::max(first.size(), second.size()); ++i) {
    if (i < first.size()) ordered.push_back(std::move(first[i]));
    if (i < second.size()) ordered.push_back(std::move(second[i]));
  }
  return ordered.empty() ? unusable : ordered;
}

std::optional<std::string> system_source_of(const std::string& address) {
  sockaddr_storage storage{};
  socklen_t size = 0;
  auto* const v4 = reinterpret_cast<sockaddr_in*>(&storage);
  auto* const v6 = reinterpret_cast<sockaddr_in6*>(&storage);
  if (::inet_pton(AF_INET, address.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(80);
    size = sizeof *v4;
  } else if (::inet_pton(AF_INET6, address.c_str(), &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(80);
    size = sizeof *v6;
  } else {
    return std::nullopt;
  }
  const base::UniqueFd fd(::socket(storage.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd || ::connect(fd.get(), reinterpret_cast<sockaddr*>(&storage), size) != 0 ||
      ::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&storage), &size) != 0) {
    return std::nullopt;
  }
  char text[INET6_ADDRSTRLEN];
  const void* const bytes = storage.ss_family == AF_INET ? static_cast<void*>(&v4->sin_addr)
                                                         : static_cast<void*>(&v6->sin6_addr);
  if (::inet_ntop(storage.ss_family, bytes, text, sizeof text) == nullptr) return std::nullopt;
  return text;
}

}  // namespace holdfast::upstream
