#include "rfc9111/fields.h"

#include <algorithm>
#include <array>

#include "base/http_date.h"
#include "http/field_syntax.h"
#include "rfc9111/letters.h"
#include "rfc9111/lines.h"

namespace holdfast::rfc9111 {
namespace {

template <typename Names>
bool is_among(const Names& names, std::string_view name) {
  return std::any_of(names.begin(), names.end(),
                     [name](std::string_view one) { return is_same_text(one, name); });
}

// Neither could end its line and begin another.
bool is_sendable(const upstream::Field& field) {
  return http::is_token(field.name) &&
         std::none_of(field.value.begin(), field.value.end(), http::is_forbidden_control);
}

// What describes the stored bytes, of which an update brings none.
bool is_of_content(std::string_view name) {
  static constexpr std::array<std::string_view, 6> kNames{"content-encoding", "content-range",
                                                          "content-md5",      "content-digest",
                                                          "digest",           "repr-digest"};
  return is_among(kNames, name);
}

// Calls each(field) for every one that may be stored.
template <typename Each>
void for_each_storable(const upstream::Fields& fields, std::span<const std::string> left_out,
                       Each each) {
  const std::vector<std::string> nominated = named_by_connection(fields);
  for (const upstream::Field& field : fields) {
    if (is_same_text(field.name, "content-length") || is_same_text(field.name, "age") ||
        is_of_connection(field.name) || is_among(nominated, field.name) ||
        is_among(left_out, field.name) || !is_sendable(field)) {
      continue;
    }
    each(field);
  }
}

void join(std::string_view value, std::optional<std::string>& joined) {
  if (joined) {
    joined->append(", ").append(value);
  } else {
    joined.emplace(value);
  }
}

}  // namespace

bool is_of_connection(std::string_view name) {
  static constexpr std::array<std::string_view, 10> kNames{"connection",
                                                           "keep-alive",
                                                           "te",
                                                           "trailer",
                                                           "transfer-encoding",
                                                           "upgrade",
                                                           "proxy-connection",
                                                           "proxy-authenticate",
                                                           "proxy-authentication-info",
                                                           "proxy-authorization"};
  return is_among(kNames, name);
}

std::vector<std::string> named_by_connection(const upstream::Fields& fields) {
  std::vector<std::string> names;
  for (const upstream::Field& field : fields) {
    if (!is_same_text(field.name, "connection")) continue;
    http::for_each_token(
        field.value, [&names](std::string_view option) { names.push_back(in_lower_case(option)); });
  }
  return names;
}

std::string end_to_end_lines(const upstream::Fields& fields,
                             std::span<const std::string> left_out) {
  std::string lines;
  for_each_storable(fields, left_out, [&lines](const upstream::Field& field) {
    append_line(field.name, field.value, lines);
  });
  return lines;
}

void add_date_if_absent(std::string& lines, base::WallTime received) {
  if (!find_line(lines, "date")) append_line("Date", base::format_http_date(received), lines);
}

upstream::Fields fields_of(std::string_view lines) {
  upstream::Fields fields;
  for_each_line(lines, [&fields](const FieldLine& one) {
    fields.push_back({std::string(one.name), std::string(one.value)});
  });
  return fields;
}

std::optional<std::string_view> find_line(std::string_view lines, std::string_view name) {
  while (!lines.empty()) {
    const FieldLine first = first_line(lines);
    if (is_same_text(first.name, name)) return first.value;
    lines.remove_prefix(first.line.size());
  }
  return std::nullopt;
}

std::optional<std::string> joined_lines(std::string_view lines, std::string_view name) {
  std::optional<std::string> joined;
  for_each_line(lines, [&](const FieldLine& one) {
    if (is_same_text(one.name, name)) join(one.value, joined);
  });
  return joined;
}

std::optional<std::string> joined_lines(const upstream::Fields& fields, std::string_view name) {
  std::optional<std::string> joined;
  for (const upstream::Field& field : fields) {
    if (is_same_text(field.name, name)) join(field.value, joined);
  }
  return joined;
}

std::string merged(std::string_view stored_lines, const upstream::Fields& update,
                   std::span<const std::string> left_out) {
  const bool has_etag = find_line(stored_lines, "etag").has_value();
  std::vector<std::string_view> replaced;
  std::string newer;
  for_each_storable(update, left_out, [&](const upstream::Field& field) {
    if (is_of_content(field.name) || (has_etag && is_same_text(field.name, "etag"))) return;
    replaced.emplace_back(field.name);
    append_line(field.name, field.value, newer);
  });
  std::string lines;
  for_each_line(stored_lines, [&](const FieldLine& one) {
    if (!is_among(replaced, one.name)) lines.append(one.line);
  });
  return lines.append(newer);
}

std::string lines_for_304(std::string_view stored_lines) {
  static constexpr std::array<std::string_view, 8> kKept{
      "cache-control", "content-location", "date", "etag", "expires", "vary",
      "via",           "cache-status"};
  constexpr std::string_view kTargeted = "-cache-control";  // RFC 9213, 3: CDN-Cache-Control
  const bool has_etag = find_line(stored_lines, "etag").has_value();
  std::string lines;
  for_each_line(stored_lines, [&](const FieldLine& one) {
    const bool targeted =
        one.name.size() > kTargeted.size() &&
        is_same_text(one.name.substr(one.name.size() - kTargeted.size()), kTargeted);
    const bool modified = !has_etag && is_same_text(one.name, "last-modified");
    if (is_among(kKept, one.name) || targeted || modified) lines.append(one.line);
  });
  return lines;
}

}  // namespace holdfast::rfc9111
