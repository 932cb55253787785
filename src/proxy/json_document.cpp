// The DOM, not the on-demand parser: on-demand checks only what it touches, and all of
// the text goes to clients.
//
// To RFC 8259 a number may be of any size (6), to the parser an integer has 64 bits and any other
// is a finite double. So where a text is refused because of a number, those that do not fit are put
// aside, and in a copy the n-th has 10^18 + n in its place: an integer with the same sign, that
// fits, and that says which it stands for. No other integer of the copy is as long.
#include "proxy/json_document.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <new>
#include <system_error>

#include "proxy/json_number.h"

namespace holdfast::proxy {
namespace {

// Tape, strings and structure take 14 bytes of memory for each byte of text.
constexpr std::size_t kKeptBytes = 256U << 10;
constexpr std::size_t kFirstBytes = 1U << 10;
constexpr std::size_t kFitDigits = 18;
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

bool is_number_char(char c) {
  return (c >= '0' && c <= '9') || c == '-' || c == '+' || c == '.' || c == 'e' || c == 'E';
}

// Whether the parser refuses what is a number all the same, without its sign. What is none, as for
// a leading zero or a second sign, stays where it is and is refused there.
bool does_not_fit(std::string_view text) {
  if (text.starts_with('-') || !is_json_number(text)) return false;
  return is_written_as_integer(text) ? text.size() > kFitDigits : is_beyond_double(text);
}

// `text` with others in the place of its numbers that do not fit, which go to `aside` without
// their sign. What is wrong with it is so in the copy too.
std::string with_numbers_aside(std::string_view text, std::vector<std::string_view>& aside) {
  std::string out;
  out.reserve(text.size());
  std::size_t copied = 0;
  bool quoted = false;
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (quoted && text[at] == '\\') {
      ++at;
    } else if (text[at] == '"') {
      quoted = !quoted;
    } else if (!quoted && is_number_char(text[at]) && text[at] != 'e' && text[at] != 'E') {
      const std::size_t start = at + (text[at] == '-' ? 1 : 0);
      std::size_t end = start;
      while (end < text.size() && is_number_char(text[end])) ++end;
      if (const auto number = text.substr(start, end - start); does_not_fit(number)) {
        out.append(text.substr(copied, start - copied));
        out.append(std::to_string(kFirstPlace + aside.size()));
        aside.push_back(number);
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

// Newer parsers tell an integer beyond 64 bits from what is no number at all. Their version is no
// macro, so the error itself is looked for.
template <typename Error>
bool is_about_a_number(Error error) {
  if constexpr (requires { Error::BIGINT_ERROR; }) {
    if (error == Error::BIGINT_ERROR) return true;
  }
  return error == Error::NUMBER_ERROR;
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

simdjson::error_code JsonDocument::read_with_numbers_aside(std::string_view text,
                                                           simdjson::error_code refused) {
  try {
    const std::string narrow = with_numbers_aside(text, numbers_);
    return numbers_.empty() ? refused : read(narrow);
  } catch (const std::bad_alloc&) {
    return simdjson::MEMALLOC;
  }
}

std::string JsonDocument::parse(std::string_view text) {
  numbers_.clear();
  lacked_memory_ = false;
  // Newer parsers skip it (RFC 8259, 8.1), but in the middle of a batch nobody would.
  if (const char* mark = byte_order_mark(text)) return std::string("not JSON: ") + mark;
  const bool too_large = parser_.capacity() > kKeptBytes && text.size() <= kKeptBytes;
  if (ready_ || too_large) make_parser();
  auto error = read(text);
  if (is_about_a_number(error)) error = read_with_numbers_aside(text, error);
  if (!error) return {};
  if (error == simdjson::MEMALLOC) {
    lacked_memory_ = true;
    ready_ = error;  // the next text finds a new parser, and this one's state does not matter
    return "no memory to read it";
  }
  if (error == simdjson::DEPTH_ERROR) {
    return "JSON nested more than " + std::to_string(max_depth_) + " deep";
  }
  return "not JSON: " + in_words(error, text);
}

std::optional<std::string> JsonDocument::own_text(const simdjson::dom::element& value) const {
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
  if (!numbers_.empty() && large >= kFirstPlace) return out.append(numbers_[large - kFirstPlace]);
  return out + std::to_string(large);
}

bool JsonDocument::stands_for_integer(const simdjson::dom::element& value) const {
  const auto text = own_text(value);
  return text && is_written_as_integer(*text);
}

std::optional<std::string> JsonDocument::integer_text(const simdjson::dom::element& value) const {
  auto text = own_text(value);
  if (text && !is_written_as_integer(*text)) text.reset();
  return text;
}

bool JsonDocument::same_number(const simdjson::dom::element& value, std::string_view text) const {
  const auto own = own_text(value);
  if (own && is_json_number(text) && (is_beyond_double(*own) || is_beyond_double(text))) {
    return same_json_number(*own, text);
  }
  const auto wanted = to_double(text);
  return wanted && number(value) == wanted;
}

std::optional<double> JsonDocument::number(const simdjson::dom::element& value) const {
  if (const auto text = own_text(value)) return to_double(*text);
  double number = 0;
  if (value.get(number) != simdjson::SUCCESS) return {};
  return number;
}

}  // namespace holdfast::proxy
