#include "proxy/geoip_body.h"

#include <simdjson.h>

#include <array>

#include "proxy/ip_address.h"

namespace holdfast::proxy {
namespace {

using upstream::Outcome;
using upstream::Verdict;

enum class Kind { Text, Coordinate };

struct Member {
  std::string_view name;
  Kind kind;
};

constexpr std::array<Member, 7> kMembers{{
    {"ip", Kind::Text},
    {"location", Kind::Text},
    {"postal_code", Kind::Text},
    {"network_name", Kind::Text},
    {"domain", Kind::Text},
    {"latitude", Kind::Coordinate},
    {"longitude", Kind::Coordinate},
}};

Verdict invalid(std::string reason) {
  return {Outcome::InvalidBody, std::move(reason)};
}

bool has_kind(const simdjson::dom::element& value, Kind kind) {
  if (value.is_null()) return true;
  return kind == Kind::Text ? value.is_string() : value.is_number();
}

std::size_t index_of(std::string_view name) {
  std::size_t i = 0;
  while (i < kMembers.size() && kMembers[i].name != name) ++i;
  return i;
}

}  // namespace

// The DOM, not the on-demand parser: on-demand checks only what it touches, and
// all of the body goes to clients.
struct GeoipBodyValidator::Parser {
  explicit Parser(std::size_t max_bytes) : dom(max_bytes) {}
  simdjson::dom::parser dom;
};

GeoipBodyValidator::GeoipBodyValidator(std::size_t max_body_bytes)
    : parser_(std::make_unique<Parser>(max_body_bytes)) {}

GeoipBodyValidator::~GeoipBodyValidator() = default;

Verdict GeoipBodyValidator::validate(std::string_view ip, std::string_view body) {
  simdjson::dom::element document;
  // Copies the body to where it has the padding that the parser reads over.
  if (const auto error = parser_->dom.parse(body.data(), body.size(), true).get(document)) {
    return invalid(std::string("not JSON: ") + simdjson::error_message(error));
  }
  simdjson::dom::object object;
  if (document.get(object) != simdjson::SUCCESS) return invalid("not a JSON object");

  std::array<bool, kMembers.size()> seen{};
  std::string_view answered_ip;
  for (const auto [name, value] : object) {
    const std::size_t i = index_of(name);
    if (i == kMembers.size()) continue;
    // Which of two would a client's parser take? Nobody knows.
    if (seen[i]) return invalid("member " + std::string(name) + " occurs twice");
    seen[i] = true;
    if (!has_kind(value, kMembers[i].kind)) {
      return invalid("member " + std::string(name) + " has the wrong type");
    }
    if (i == 0 && value.get(answered_ip) != simdjson::SUCCESS) return invalid("ip is null");
  }
  for (std::size_t i = 0; i < kMembers.size(); ++i) {
    if (!seen[i]) return invalid("member " + std::string(kMembers[i].name) + " is missing");
  }
  const auto canonical = canonical_ip(answered_ip);
  if (!canonical) return invalid("ip is not an address");
  if (canonical->view() != ip) {
    return {Outcome::WrongContent, "speaks of " + std::string(canonical->view())};
  }
  return {};
}

}  // namespace holdfast::proxy
