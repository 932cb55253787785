#include "rfc9111/fields.h"

#include <algorithm>
#include <array>

#include "base/ascii.h"
#include "base/http_date.h"
#include "http/field_syntax.h"

namespace holdfast::rfc9111 {
namespace {

bool is_called(std::string_view name, std::string_view other) {
  return std::equal(name.begin(), name.end(), other.begin(), other.end(),
                    [](char a, char b) { return base::ascii_lower(a) == base::ascii_lower(b); });
}

template <typename Names>
bool is_among(const Names& names, std::string_view name) {
  return std::any_of(names.begin(), names.end(),
                     [name](std::string_view one) { return is_called(one, name); });
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

void append_line(std::string_view name, std::string_view value, std::string& lines) {
  lines.append(name).append(": ").append(value).append("\r\n");
}

// Calls each(name, value, line) for every line; the line with its end.
template <typename Each>
void for_each_line(std::string_view lines, Each each) {
  while (!lines.empty()) {
    const std::size_t end = std::min(lines.find("\r\n"), lines.size());
    const std::string_view line = lines.substr(0, end);
    const std::size_t colon = std::min(line.find(": "), line.size());
    each(line.substr(0, colon), line.substr(std::min(colon + 2, line.size())),
         lines.substr(0, std::min(end + 2, lines.size())));
    lines.remove_prefix(std::min(end + 2, lines.size()));
  }
}

// Calls each(field) for every one that may be stored.
template <typename Each>
void for_each_storable(const upstream::Fields& fields, std::span<const std::string> left_out,
                       Each each) {
  const std::vector<std::string> nominated = named_by_connection(fields);
  for (const upstream::Field& field : fields) {
    if (is_called(field.name, "content-length") || is_called(field.name, "age") ||
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
    if (!is_called(field.name, "connection")) continue;
    http::for_each_token(field.value, [&names](std::string_view option) {
      std::string lower(option);
      std::transform(lower.begin(), lower.end(), lower.begin(), base::ascii_lower);
      names.push_back(std::move(lower));
    });
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
  for_each_line(lines, [&fields](std::string_view name, std::string_view value, std::string_view) {
    fields.push_back({std::string(name), std::string(value)});
  });
  return fields;
}

std::optional<std::string_view> find_line(std::string_view lines, std::string_view name) {
  std::optional<std::string_view> found;
  for_each_line(lines, [&](std::string_view one, std::string_view value, std::string_view) {
    if (!found && is_called(one, name)) found = value;
  });
  return found;
}

std::optional<std::string> joined_lines(std::string_view lines, std::string_view name) {
  std::optional<std::string> joined;
  for_each_line(lines, [&](std::string_view one, std::string_view value, std::string_view) {
    if (is_called(one, name)) join(value, joined);
  });
  return joined;
}

std::optional<std::string> joined_lines(const upstream::Fields& fields, std::string_view name) {
  std::optional<std::string> joined;
  for (const upstream::Field& field : fields) {
    if (is_called(field.name, name)) join(field.value, joined);
  }
  return joined;
}

std::string merged(std::string_view stored_lines, const upstream::Fields& update,
                   std::span<const std::string> left_out) {
  const bool has_etag = find_line(stored_lines, "etag").has_value();
  std::vector<std::string_view> replaced;
  std::string newer;
  for_each_storable(update, left_out, [&](const upstream::Field& field) {
    if (is_of_content(field.name) || (has_etag && is_called(field.name, "etag"))) return;
    replaced.emplace_back(field.name);
    append_line(field.name, field.value, newer);
  });
  std::string lines;
  for_each_line(stored_lines, [&](std::string_view name, std::string_view, std::string_view line) {
    if (!is_among(replaced, name)) lines.append(line);
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
  for_each_line(stored_lines, [&](std::string_view name, std::string_view, std::string_view line) {
    const bool targeted = name.size() > kTargeted.size() &&
                          is_called(name.substr(name.size() - kTargeted.size()), kTargeted);
    const bool modified = !has_etag && is_called(name, "last-modified");
    if (is_among(kKept, name) || targeted || modified) lines.append(line);
  });
  return lines;
}

}  // namespace holdfast::rfc9111
