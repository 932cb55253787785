#include "upstream/message.h"

#include <algorithm>

namespace holdfast::upstream {
namespace {

// Field names are ASCII (RFC 9110, 5.1), so the locale has no say in this.
char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

}  // namespace

bool is_field(const Field& field, std::string_view name) {
  const auto same = [](char a, char b) { return lower(a) == lower(b); };
  return std::equal(field.name.begin(), field.name.end(), name.begin(), name.end(), same);
}

const std::string* find_field(const Fields& fields, std::string_view name) {
  const auto found = std::find_if(fields.begin(), fields.end(),
                                  [&](const Field& field) { return is_field(field, name); });
  return found == fields.end() ? nullptr : &found->value;
}

std::string_view to_string(Phase phase) {
  switch (phase) {
    case Phase::Connect:
      return "connect";
    case Phase::Tls:
      return "tls";
    case Phase::Answer:
      return "answer";
  }
  return "unknown";
}

std::string_view to_string(Outcome outcome) {
  switch (outcome) {
    case Outcome::Ok:
      return "ok";
    case Outcome::NotModified:
      return "not_modified";
    case Outcome::ServerError:
      return "5xx";
    case Outcome::RateLimited:
      return "rate_limited";
    case Outcome::ClientError:
      return "4xx";
    case Outcome::Unauthorized:
      return "unauthorized";
    case Outcome::Timeout:
      return "timeout";
    case Outcome::Connect:
      return "connect";
    case Outcome::ConnectTimeout:
      return "connect_timeout";
    case Outcome::Reset:
      return "reset";
    case Outcome::Dns:
      return "dns";
    case Outcome::Tls:
      return "tls";
    case Outcome::TlsTimeout:
      return "tls_timeout";
    case Outcome::Certificate:
      return "certificate";
    case Outcome::Truncated:
      return "truncated";
    case Outcome::TooLarge:
      return "too_large";
    case Outcome::InvalidBody:
      return "invalid_body";
    case Outcome::WrongContent:
      return "wrong_content";
    case Outcome::Unexpected:
      return "unexpected";
    case Outcome::Cancelled:
      return "cancelled";
  }
  return "unknown";
}

}  // namespace holdfast::upstream
