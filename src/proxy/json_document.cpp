// The DOM, not the on-demand parser: on-demand checks only what it touches, and all of
// the text goes to clients.
//
// To RFC 8259 an integer is a number however long it is (6), to the parser one of 64 bits. So
// where a text is refused, its integers of more than 18 digits are put aside, and in a
// copy the n-th has 10^18 + n in its place: an integer with the same sign, that fits, and that says
// which it stands for. No other integer of the copy is as long.
#include "proxy/json_document.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <system_error>

namespace holdfast::proxy {
namespace {

// Tape, strings and structure take 14 bytes of memory for each byte of text.
constexpr std::size_t kKeptBytes = 256U << 10;
constexpr std::size_t kFirstBytes = 1U << 10;
constexpr std::size_t kFitDigits = 18;
constexpr std::size_t kFiniteDigits = 308;  // of an integer that is a double for sure
constexpr std::uint64_t kFirstPlace = 1'000'000'000'000'000'000;

const char* byte_order_mark(std::string_view text) {
  if (text.starts_with('{')) return nullptr;
  if (text.starts_with("\xEF\xBB\xBF")) return "it begins with a byte order mark";
  if (text.starts_with("\xFF\xFE") || text.starts_with("\xFE\xFF")) {
    return "it is UTF-16, by its byte order mark";
  }
  return nullptr;
}

std::optional<double> to_double(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return {};
  return value;
}

// Whether the digits before `end` belong to a fraction or an exponent, or have one.
bool is_part(std::string_view text, std::size_t at, std::size_t end) {
  const auto exponent = [](char c) { return c == 'e' || c == 'E'; };
  const char next = end < text.size() ? text[end] : '\0';
  const char before = at > 0 ? text[at - 1] : '\0';
  const char sign = at > 1 ? text[at - 2] : '\0';
  return next == '.' || exponent(next) || before == '.' || before == '+' || exponent(before) ||
         (before == '-' && exponent(sign));
}

// `text` with others in the place of its long integers, which go to `aside`. What is wrong with
// it is so in the copy too.
std::string with_long_integers_aside(std::string_view text, std::vector<std::string_view>& aside) {
  std::string out;
  out.reserve(text.size());
  std::size_t copied = 0;
  bool quoted = false;
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (quoted && text[at] == '\\') {
      ++at;
    } else if (text[at] == '"') {
      quoted = !quoted;
    } else if (!quoted && text[at] >= '0' && text[at] <= '9') {
      const std::size_t end = std::min(text.find_first_not_of("0123456789", at), text.size());
      const std::string_view digits = text.substr(at, end - at);
      // A leading zero is an error, and so is what others read as an infinity.
      if (digits.size() > kFitDigits && digits.front() != '0' && !is_part(text, at, end) &&
          (digits.size() <= kFiniteDigits || to_double(digits))) {
        out.append(text.substr(copied, at - copied));
        out.append(std::to_string(kFirstPlace + aside.size()));
        aside.push_back(digits);
        copied = end;
      }
      at = end - 1;
    }
  }
  return out.append(text.substr(copied));
}

// Whether a string has an escaped half of a character without its other half.
bool has_lone_surrogate(std::string_view text) {
  const auto unit = [text](std::size_t at) -> unsigned {
    unsigned value = 0;
    if (text.substr(at, 2) != "\\u" || text.size() - at < 6) return 0;
    const char* const first = text.data() + at + 2;
    return std::from_chars(first, first + 4, value, 16).ptr == first + 4 ? value : 0;
  };
  for (std::size_t at = text.find('\\'); at < text.size(); at = text.find('\\', at)) {
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

std::string in_words(simdjson::error_code error, std::string_view text) {
  if (error == simdjson::UTF8_ERROR) return "it is not in UTF-8 (Latin-1, maybe)";
  if (error == simdjson::STRING_ERROR && has_lone_surrogate(text)) {
    return "half of a surrogate pair in a string";
  }
  return simdjson::error_message(error);
}

}  // namespace

JsonDocument::JsonDocument(unsigned max_depth) : max_depth_(max_depth) {
  make_parser();
}

void JsonDocument::make_parser() {
  parser_ = simdjson::dom::parser();
  // The parser's own limit is that of the first depth that is refused.
  ready_ = parser_.allocate(kFirstBytes, std::size_t{max_depth_} + 1);
}

simdjson::error_code JsonDocument::read(std::string_view text) {
  if (ready_) return ready_;
  // Copies the text to where it has the padding that the parser reads over.
  return parser_.parse(text.data(), text.size(), true).get(root_);
}

std::string JsonDocument::parse(std::string_view text) {
  long_integers_.clear();
  // Newer parsers skip it (RFC 8259, 8.1), but in the middle of a batch nobody would.
  if (const char* mark = byte_order_mark(text)) return std::string("not JSON: ") + mark;
  const bool too_large = parser_.capacity() > kKeptBytes && text.size() <= kKeptBytes;
  if (ready_ || too_large) make_parser();
  auto error = read(text);
  if (error) {
    const std::string narrow = with_long_integers_aside(text, long_integers_);
    if (!long_integers_.empty()) error = read(narrow);
  }
  if (!error) return {};
  if (error == simdjson::DEPTH_ERROR) {
    return "JSON nested more than " + std::to_string(max_depth_) + " deep";
  }
  return "not JSON: " + in_words(error, text);
}

std::optional<std::string> JsonDocument::integer_text(const simdjson::dom::element& value) const {
  std::int64_t number = 0;
  std::uint64_t large = 0;
  if (value.is_int64()) {
    number = value.get_int64().value_unsafe();
    large =
        number < 0 ? 0 - static_cast<std::uint64_t>(number) : static_cast<std::uint64_t>(number);
  } else if (value.is_uint64()) {
    large = value.get_uint64().value_unsafe();
  } else {
    return {};
  }
  std::string out = number < 0 ? "-" : "";
  if (!long_integers_.empty() && large >= kFirstPlace) {
    return out.append(long_integers_[large - kFirstPlace]);
  }
  return out + std::to_string(large);
}

std::optional<double> JsonDocument::number(const simdjson::dom::element& value) const {
  if (const auto text = integer_text(value)) return to_double(*text);
  double number = 0;
  if (value.get(number) != simdjson::SUCCESS) return {};
  return number;
}

}  // namespace holdfast::proxy
