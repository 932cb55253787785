#include "strict_response.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <optional>

namespace holdfast::fuzz {
namespace {

constexpr std::string_view kSpace = " \t";

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// RFC 9110, 5.6.2.
bool is_token(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
         std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

std::string lower(std::string_view text) {
  std::string all(text);
  for (char& c : all) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return all;
}

std::string_view trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(kSpace);
  if (first == text.npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

// Takes a line off `rest`, without its end; null if there is none.
std::optional<std::string_view> take_line(std::string_view& rest) {
  const std::size_t end = rest.find('\n');
  if (end == rest.npos) return std::nullopt;
  std::string_view line = rest.substr(0, end);
  rest.remove_prefix(end + 1);
  if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
  return line;
}

bool is_control(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return (byte < 0x20 && c != '\t') || byte == 0x7f;
}

// A recipient may put a space for each, or leave those that do no harm (RFC 9110, 5.5).
std::string without_controls(std::string_view value) {
  std::string text(value);
  std::replace_if(text.begin(), text.end(), is_control, ' ');
  return std::string(trimmed(text));
}

bool read_status(std::string_view line, StrictResponse& response) {
  if (!line.starts_with("HTTP/1.") || line.size() < 12) return false;
  if ((line[7] != '0' && line[7] != '1') || line[8] != ' ') return false;
  if (!std::all_of(line.begin() + 9, line.begin() + 12, is_digit)) return false;
  if (line.size() > 12 && line[12] != ' ') return false;
  if (std::any_of(line.begin(), line.end(), is_control)) return false;
  response.status = (line[9] - '0') * 100 + (line[10] - '0') * 10 + (line[11] - '0');
  return response.status >= 100;
}

// Field lines up to the empty one. False: not whole. A line that is none, and what is folded
// below it, says nothing.
bool read_fields(std::string_view& rest, StrictResponse& response) {
  bool foldable = false;
  for (;;) {
    const auto line = take_line(rest);
    if (!line) return false;
    if (line->empty()) return true;
    if (kSpace.find(line->front()) != std::string_view::npos) {
      if (!foldable) continue;
      std::string& value = response.fields.back().second;
      value = trimmed(value + " " + without_controls(*line));
      continue;
    }
    const std::size_t colon = std::min(line->find(':'), line->size());
    const std::string_view name = trimmed(line->substr(0, colon));
    foldable =
        colon < line->size() && !name.empty() && std::all_of(name.begin(), name.end(), is_token);
    if (!foldable) continue;
    response.fields.emplace_back(lower(name), without_controls(line->substr(colon + 1)));
  }
}

// All values of a list field, each of its elements.
std::vector<std::string> elements(const StrictResponse& response, std::string_view name) {
  std::vector<std::string> all;
  for (const auto& [its_name, value] : response.fields) {
    if (its_name != name) continue;
    for (std::size_t at = 0; at <= value.size();) {
      const std::size_t end = std::min(value.find(',', at), value.size());
      all.push_back(lower(trimmed(std::string_view(value).substr(at, end - at))));
      at = end + 1;
    }
  }
  return all;
}

template <typename Number>
bool read_number(std::string_view digits, int base, Number& number) {
  const char* const last = digits.data() + digits.size();
  const auto [end, error] = std::from_chars(digits.data(), last, number, base);
  return error == std::errc{} && end == last && !digits.empty() && digits.front() != '-';
}

// RFC 9112, 7.1. Whole once the last chunk, of no size, has come (8): trailers may be missing.
bool read_chunked(std::string_view& rest, std::string& body) {
  for (;;) {
    const auto line = take_line(rest);
    if (!line) return false;
    std::uint64_t size = 0;
    if (!read_number(trimmed(line->substr(0, line->find(';'))), 16, size)) return false;
    if (size == 0) break;
    if (size > rest.size()) return false;
    body.append(rest.substr(0, size));
    rest.remove_prefix(size);
    const auto end = take_line(rest);
    if (!end || !end->empty()) return false;
  }
  StrictResponse trailers;
  if (!read_fields(rest, trailers)) rest = {};
  return true;
}

// RFC 9112, 6.3.
bool read_content(std::string_view& rest, StrictResponse& response) {
  if (response.status == 204 || response.status == 304) return true;
  const auto codings = elements(response, "transfer-encoding");
  if (!codings.empty()) {
    return codings == std::vector<std::string>{"chunked"} && read_chunked(rest, response.body);
  }
  const auto lengths = elements(response, "content-length");
  if (lengths.empty()) {
    response.body = rest;
    rest = {};
    return true;
  }
  std::uint64_t length = 0;
  for (const std::string& one : lengths) {
    if (one != lengths.front() || !read_number(one, 10, length)) return false;
  }
  if (length > rest.size()) return false;
  response.body = rest.substr(0, length);
  rest.remove_prefix(length);
  return true;
}

// Without the arguments in quotes; those whose quotes do not end stay.
std::string without_quoted(std::string_view value) {
  std::string rest;
  while (!value.empty()) {
    const std::size_t begin = value.find("=\"");
    rest += value.substr(0, begin);
    if (begin == value.npos) break;
    std::size_t end = begin + 2;
    while (end < value.size() && value[end] != '"') end += value[end] == '\\' ? 2 : 1;
    if (end >= value.size()) {
      rest += value.substr(begin);
      break;
    }
    value.remove_prefix(end + 1);
  }
  return rest;
}

}  // namespace

std::vector<StrictResponse> strict_responses(std::string_view said) {
  std::vector<StrictResponse> all;
  while (!said.empty()) {
    StrictResponse response;
    const auto line = take_line(said);
    if (!line || !read_status(*line, response) || !read_fields(said, response)) break;
    if (response.status < 200 && response.status != 101) continue;
    if (!read_content(said, response)) break;
    all.push_back(std::move(response));
  }
  return all;
}

bool says(const StrictResponse& response, std::string_view name, std::string_view word) {
  return std::any_of(response.fields.begin(), response.fields.end(), [&](const auto& field) {
    if (field.first != name) return false;
    const std::string value = lower(without_quoted(field.second));
    for (std::size_t at = value.find(word); at != value.npos; at = value.find(word, at + 1)) {
      const std::size_t end = at + word.size();
      if ((at == 0 || !is_token(value[at - 1])) && (end == value.size() || !is_token(value[end]))) {
        return true;
      }
    }
    return false;
  });
}

}  // namespace holdfast::fuzz
