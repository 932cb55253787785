#include "proxy/geoip_body.h"

#include <simdjson.h>

#include <algorithm>
#include <array>
#include <charconv>

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

const char* byte_order_mark(std::string_view body) {
  if (body.starts_with("\xEF\xBB\xBF")) return "it begins with a byte order mark";
  if (body.starts_with("\xFF\xFE") || body.starts_with("\xFE\xFF")) {
    return "it is UTF-16, by its byte order mark";
  }
  return nullptr;
}

// To RFC 8259 an integer is a number however long it is (6), to the parser one of 64 bits.
// Of longer ones the last two digits become an exponent: as long, as large, and a number
// to both. For judging alone, where no value of theirs is looked at. False: there are none.
bool shorten_integers(std::string& body) {
  constexpr std::size_t kFitDigits = 18;
  bool any = false;
  bool quoted = false;
  for (std::size_t at = 0; at < body.size(); ++at) {
    if (quoted && body[at] == '\\') {
      ++at;
    } else if (body[at] == '"') {
      quoted = !quoted;
    } else if (!quoted && body[at] >= '0' && body[at] <= '9') {
      const std::size_t end = std::min(body.find_first_not_of("0123456789", at), body.size());
      const char next = end < body.size() ? body[end] : '\0';
      const char before = at > 0 ? body[at - 1] : '\0';
      const bool part = next == '.' || next == 'e' || next == 'E' || before == '.' ||
                        before == '+' || before == 'e' || before == 'E';
      if (!part && end - at > kFitDigits) {
        body.replace(end - 2, 2, "e2");
        any = true;
      }
      at = end - 1;
    }
  }
  return any;
}

// Whether a string has an escaped half of a character without its other half.
bool has_lone_surrogate(std::string_view body) {
  const auto unit = [body](std::size_t at) -> unsigned {
    unsigned value = 0;
    if (body.substr(at, 2) != "\\u" || body.size() - at < 6) return 0;
    const char* const first = body.data() + at + 2;
    return std::from_chars(first, first + 4, value, 16).ptr == first + 4 ? value : 0;
  };
  for (std::size_t at = body.find('\\'); at < body.size(); at = body.find('\\', at)) {
    const unsigned one = unit(at);
    const bool high = one >= 0xD800 && one < 0xDC00;
    const bool low = one >= 0xDC00 && one < 0xE000;
    if (low) return true;
    const unsigned other = high ? unit(at + 6) : 0;
    if (high && (other < 0xDC00 || other >= 0xE000)) return true;
    at += high ? 12 : 2;
  }
  return false;
}

std::string in_words(simdjson::error_code error, std::string_view body) {
  if (error == simdjson::UTF8_ERROR) return "it is not in UTF-8 (Latin-1, maybe)";
  if (error == simdjson::STRING_ERROR && has_lone_surrogate(body)) {
    return "half of a surrogate pair in a string";
  }
  return simdjson::error_message(error);
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
  // Newer parsers skip it (RFC 8259, 8.1), but in the middle of a batch nobody would.
  if (const char* mark = byte_order_mark(body)) return invalid(std::string("not JSON: ") + mark);
  // Copies the body to where it has the padding that the parser reads over.
  auto error = parser_->dom.parse(body.data(), body.size(), true).get(document);
  if (error) {
    std::string narrow(body);
    if (shorten_integers(narrow)) {
      error = parser_->dom.parse(narrow.data(), narrow.size(), true).get(document);
    }
  }
  if (error) return invalid("not JSON: " + in_words(error, body));
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
