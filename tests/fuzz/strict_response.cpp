#include "strict_response.h"

#include <zlib.h>

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

// RFC 9112, 4.
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

bool has(const StrictResponse& response, std::string_view name) {
  return std::any_of(response.fields.begin(), response.fields.end(),
                     [name](const auto& field) { return field.first == name; });
}

// RFC 9112, 6.3. Nobody asks for another transfer coding than chunked, so there is none (RFC
// 9110, 10.1.4); one in HTTP/1.0 is a fault of framing (6.1). `ended`: with the connection.
bool read_content(std::string_view& rest, bool ended, bool version_1_0, StrictResponse& response) {
  if (response.status == 204 || response.status == 304) return true;
  if (has(response, "transfer-encoding")) {
    auto codings = elements(response, "transfer-encoding");
    // A list may have elements with nothing in them (RFC 9110, 5.6.1).
    std::erase(codings, "");
    return !version_1_0 && codings == std::vector<std::string>{"chunked"} &&
           read_chunked(rest, response.body);
  }
  const auto lengths = elements(response, "content-length");
  if (lengths.empty()) {
    response.body = rest;
    rest = {};
    return ended;
  }
  // Several that are one number are one (RFC 9110, 8.6).
  std::uint64_t length = 0, other = 0;
  if (!read_number(lengths.front(), 10, length)) return false;
  for (const std::string& one : lengths) {
    if (!read_number(one, 10, other) || other != length) return false;
  }
  if (length > rest.size()) return false;
  response.body = rest.substr(0, length);
  rest.remove_prefix(length);
  return true;
}

// A zlib stream, or one without a wrapper (RFC 9110, 8.4.1.2), or the members of gzip (RFC 1952,
// 2.2), each by itself, and nothing else.
bool inflate_whole(std::string coded, int window_bits, bool members, std::string& plain) {
  plain.clear();
  while (!coded.empty()) {
    z_stream stream{};
    if (inflateInit2(&stream, window_bits) != Z_OK) return false;
    std::string part(1U << 16, '\0');
    stream.next_in = reinterpret_cast<Bytef*>(coded.data());
    stream.avail_in = static_cast<uInt>(coded.size());
    stream.next_out = reinterpret_cast<Bytef*>(part.data());
    stream.avail_out = static_cast<uInt>(part.size());
    const bool ended = ::inflate(&stream, Z_FINISH) == Z_STREAM_END;
    plain.append(part, 0, stream.total_out);
    const std::size_t taken = stream.total_in;
    inflateEnd(&stream);
    if (!ended || (!members && taken < coded.size())) return false;
    coded.erase(0, taken);
  }
  return true;
}

// RFC 9110, 8.4: in the order in which they were applied. False: not one that is known here,
// or not whole.
bool undo_codings(StrictResponse& response) {
  // There it is said of a content that another response had (RFC 9110, 15.4.5).
  if (response.status == 304) return true;
  auto codings = elements(response, "content-encoding");
  std::erase_if(codings, [](const std::string& coding) {
    return coding.empty() || coding == "identity" || coding == "none";
  });
  if (response.body.empty() && !codings.empty()) {
    return elements(response, "content-length") == std::vector<std::string>{"0"};
  }
  for (; !codings.empty(); codings.pop_back()) {
    const std::string& coding = codings.back();
    std::string plain;
    const bool gzip = coding == "gzip" || coding == "x-gzip";
    if (!(gzip && inflate_whole(response.body, 15 + 16, true, plain)) &&
        !(coding == "deflate" && (inflate_whole(response.body, 15, false, plain) ||
                                  inflate_whole(response.body, -15, false, plain)))) {
      return false;
    }
    response.body = plain;
  }
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

// Without what is an argument by the letter, `token=token`, in quotes or not (RFC 9111, 5.2).
std::string without_arguments(std::string_view value) {
  const std::string unquoted = without_quoted(value);
  const auto is_name = [](std::string_view text) {
    return !text.empty() && std::all_of(text.begin(), text.end(), is_token);
  };
  std::string rest;
  for (std::size_t at = 0; at <= unquoted.size();) {
    const std::size_t end = std::min(unquoted.find(',', at), unquoted.size());
    const std::string_view element = std::string_view(unquoted).substr(at, end - at);
    const std::size_t equals = std::min(element.find('='), element.size());
    const bool argument = equals < element.size() && is_name(trimmed(element.substr(0, equals))) &&
                          is_name(trimmed(element.substr(equals + 1)));
    rest += element.substr(0, argument ? equals : element.npos);
    rest += ',';
    at = end + 1;
  }
  return rest;
}

}  // namespace

std::vector<StrictResponse> strict_responses(const Said& said) {
  std::vector<StrictResponse> all;
  std::string_view rest = said.bytes;
  for (const Said::Asked& asked : said.asked) {
    const std::size_t read = said.bytes.size() - rest.size();
    // What was said before is no response (RFC 9112, 9.2). If the one before went on, this
    // connection was not to be asked again.
    if (read > asked.at) break;
    rest = std::string_view(said.bytes).substr(asked.at);
    StrictResponse response;
    bool version_1_0 = false;
    do {
      response = {.attempt = asked.attempt};
      const auto line = take_line(rest);
      if (!line || !read_status(*line, response) || !read_fields(rest, response)) return all;
      version_1_0 = (*line)[7] == '0';
    } while (response.status < 200 && response.status != 101);
    if (!read_content(rest, said.ended, version_1_0, response)) break;
    // How it is coded says nothing of where it ends.
    if (undo_codings(response)) all.push_back(std::move(response));
  }
  return all;
}

bool says(const StrictResponse& response, std::string_view name, std::string_view word) {
  return std::any_of(response.fields.begin(), response.fields.end(), [&](const auto& field) {
    if (field.first != name) return false;
    const bool with_argument = word.find('=') != word.npos;
    const std::string value =
        lower(with_argument ? without_quoted(field.second) : without_arguments(field.second));
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
