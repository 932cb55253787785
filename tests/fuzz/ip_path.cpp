// An address out of a path. Promises: what is accepted is what inet_pton accepts,
// and means the same; the canonical form is its own canonical form, and safe in a
// path, a key and a header; percent-encoding changes nothing.
#include <arpa/inet.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

#include "lookup_route.h"
#include "proxy/ip_address.h"
#include "require.h"

using namespace holdfast::proxy;

namespace {

using Address = std::array<unsigned char, 16>;  // IPv4 as IPv4-mapped

std::optional<Address> by_inet_pton(const std::string& text) {
  if (text.find('\0') != text.npos) return std::nullopt;
  Address address{};
  in_addr v4{};
  if (inet_pton(AF_INET, text.c_str(), &v4) == 1) {
    address[10] = address[11] = 0xff;
    std::memcpy(&address[12], &v4, 4);
    return address;
  }
  if (inet_pton(AF_INET6, text.c_str(), address.data()) == 1) return address;
  return std::nullopt;
}

std::string percent_encoded(std::string_view text) {
  constexpr char kHex[] = "0123456789aBCdEf";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    out += '%';
    out += kHex[byte >> 4];
    out += kHex[byte & 15];
  }
  return out;
}

void check_canonical(std::string_view text, const Address& meant) {
  const std::string canonical(text);
  REQUIRE_HOLDS(canonical.size() >= 2 && canonical.size() <= 39);
  for (const char c : canonical) {
    REQUIRE_HOLDS((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || c == ':' || c == '.');
  }
  REQUIRE_HOLDS(by_inet_pton(canonical) == meant);
  const auto again = canonical_ip(canonical);
  REQUIRE_HOLDS(again && again->view() == canonical);
  // inet_ntop agrees but where it prefers the mixed form.
  std::array<char, INET6_ADDRSTRLEN> theirs{};
  const bool is_v4 = canonical.find(':') == canonical.npos;
  inet_ntop(is_v4 ? AF_INET : AF_INET6, is_v4 ? &meant[12] : meant.data(), theirs.data(),
            theirs.size());
  REQUIRE_HOLDS(canonical == theirs.data() ||
                (!is_v4 && std::strchr(theirs.data(), '.') != nullptr));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 256) return 0;
  static const auto route = holdfast::proxy::test::lookup_route();
  const std::string text(reinterpret_cast<const char*>(data), size);

  const auto plain = canonical_ip(text);
  const auto meant = by_inet_pton(text);
  REQUIRE_HOLDS(plain.has_value() == meant.has_value());
  if (plain) check_canonical(plain->view(), *meant);

  const auto encoded = canonical_ip_from_path(percent_encoded(text));
  REQUIRE_HOLDS(encoded.has_value() == plain.has_value());
  REQUIRE_HOLDS(!plain || encoded->view() == plain->view());

  // The route's key is the same for all spellings, and the upstream sees only it.
  const auto from_path = canonical_ip_from_path(text);
  Parameters parameters;
  std::string key, subject_key;
  const bool taken = parameters.take(ParameterType::Ip, text);
  REQUIRE_HOLDS(taken == from_path.has_value());
  if (!taken) return 0;
  REQUIRE_HOLDS(route->key(parameters, std::string_view(), key) == nullptr);
  REQUIRE_HOLDS(route->is_key(key));
  REQUIRE_HOLDS(route->subject(key) == from_path->view());
  REQUIRE_HOLDS(route->key_of_subject(from_path->view(), subject_key) == nullptr);
  REQUIRE_HOLDS(key == subject_key);
  REQUIRE_HOLDS(route->upstream_request(key).target == "/geoip/" + std::string(from_path->view()));
  check_canonical(from_path->view(), *by_inet_pton(std::string(from_path->view())));
  return 0;
}
