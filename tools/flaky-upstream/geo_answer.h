// What flaky-upstream says about an address: a pure function of the address, so
// that a test can work out every byte of the body it must have received.
// Any thread; nothing blocks.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace holdfast::flaky {

// An IP address. An IPv4-mapped IPv6 address counts as the IPv4 address.
struct Address {
  std::array<std::uint8_t, 16> bytes{};  // network order; IPv4 as ::ffff:a.b.c.d
  bool is_v4 = false;
  std::string text;  // canonical: dotted quad, or RFC 5952 as inet_ntop writes it
};

// None unless inet_pton takes `text` as an IPv4 or IPv6 address (no zone, no
// prefix length, no leading zeros in IPv4).
std::optional<Address> parse_address(std::string_view text);

// Another address, always the same one and of the same family: what a mixed-up
// upstream would speak of instead.
Address neighbour(const Address& address);

// The body of a 200: JSON in one line with the fields ip, location, postal_code,
// network_name, domain, latitude, longitude. `edition` stands for a new release
// of the data: other values for the same address. Places are real, networks
// are invented, under the AS numbers RFC 5398 reserves for documentation.
std::string geo_answer(const Address& address, std::uint64_t edition = 0);

// A body from values that are known already. Empty latitude or longitude
// becomes null; both must be JSON numbers otherwise.
struct GeoFields {
  std::string location, postal_code, network_name, domain, latitude, longitude;
};
std::string geo_body(std::string_view ip, const GeoFields& fields);

}  // namespace holdfast::flaky
