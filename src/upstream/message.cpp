#include "upstream/message.h"

#include <algorithm>
#include <charconv>

#include "base/ascii.h"

namespace holdfast::upstream {
namespace {

bool same_ignoring_case(std::string_view one, std::string_view other) {
  const auto same = [](char a, char b) { return base::ascii_lower(a) == base::ascii_lower(b); };
  return std::equal(one.begin(), one.end(), other.begin(), other.end(), same);
}

}  // namespace

bool is_field(const Field& field, std::string_view name) {
  return same_ignoring_case(field.name, name);
}

const std::string* find_field(const Fields& fields, std::string_view name) {
  const auto found = std::find_if(fields.begin(), fields.end(),
                                  [&](const Field& field) { return is_field(field, name); });
  return found == fields.end() ? nullptr : &found->value;
}

std::optional<std::uint64_t> stated_length(const Fields& fields) {
  const std::string* const length = find_field(fields, "Content-Length");
  if (length == nullptr || find_field(fields, "Transfer-Encoding") != nullptr) return std::nullopt;
  // Several that agree are one.
  std::uint64_t bytes = 0;
  const auto read = std::from_chars(length->data(), length->data() + length->size(), bytes);
  return read.ec == std::errc() ? std::optional(bytes) : std::nullopt;
}

bool is_control(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return (byte < 0x20 && c != '\t') || byte == 0x7f;
}

bool Reply::ended_connection() const {
  if (transport != Outcome::Ok) return phase == Phase::Answer && !own_lack;
  const auto says_close = [](const Field& field) {
    if (!is_field(field, "Connection")) return false;
    std::string_view options = field.value;
    while (!options.empty()) {
      const std::size_t comma = std::min(options.find(','), options.size());
      std::string_view option = options.substr(0, comma);
      options.remove_prefix(std::min(comma + 1, options.size()));
      const auto blank = [](char c) { return c == ' ' || c == '\t'; };
      while (!option.empty() && blank(option.front())) option.remove_prefix(1);
      while (!option.empty() && blank(option.back())) option.remove_suffix(1);
      if (same_ignoring_case(option, "close")) return true;
    }
    return false;
  };
  return std::any_of(fields.begin(), fields.end(), says_close);
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
    case Outcome::Redirected:
      return "redirect";
    case Outcome::Unexpected:
      return "unexpected";
    case Outcome::Local:
      return "local";
    case Outcome::Cancelled:
      return "cancelled";
  }
  return "unknown";
}

}  // namespace holdfast::upstream
