// The head of an upstream's answer, in lines as libcurl hands them over. Promises: a whole
// head that is not refused states one length at most, names and values have no space around
// them and no line end in them, what is kept is bounded, and trailers change nothing. Its
// fields are those that another reading finds, folded or with space before the colon (RFC
// 9112, 5.1 and 5.2); none of those that libcurl acts on is in such a form, or it is told.
#include "upstream/reply_head.h"

#include <algorithm>
#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "require.h"

using namespace holdfast::upstream;

namespace {

constexpr std::size_t kLimitBytes = 2048;

bool is_trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  return text.empty() || (kSpace.find(text.front()) == std::string_view::npos &&
                          kSpace.find(text.back()) == std::string_view::npos);
}

// Folding leaves one space where there may have been several.
std::string without_blanks(std::string text) {
  std::erase_if(text, [](char c) { return c == ' ' || c == '\t'; });
  return text;
}

std::string trimmed(const std::string& text) {
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  if (first == std::string::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r\n") + 1 - first);
}

// The other reading: first all lines are unfolded, then each is split.
struct OtherField {
  std::string name;
  std::string value;
  bool plain = true;
};

std::vector<OtherField> read_otherwise(const std::vector<std::string>& lines) {
  struct Unfolded {
    std::string text;
    std::size_t first_line = 0;  // its length
    bool folded = false;
  };
  std::vector<Unfolded> unfolded{{}};  // what goes on with the status line is no field
  for (const std::string& line : lines) {
    if (line[0] == ' ' || line[0] == '\t') {
      unfolded.back().text += " " + trimmed(line);
      unfolded.back().folded = true;
    } else {
      const std::string text = trimmed(line);
      unfolded.push_back({text, text.size()});
    }
  }
  std::vector<OtherField> fields;
  for (std::size_t i = 1; i < unfolded.size(); ++i) {
    const std::string& text = unfolded[i].text;
    const std::size_t colon = text.find(':');
    // A name is all on the first line.
    if (colon == std::string::npos || colon >= unfolded[i].first_line) continue;
    const std::string name = text.substr(0, colon);
    fields.push_back({trimmed(name), trimmed(text.substr(colon + 1)),
                      !unfolded[i].folded && trimmed(name) == name});
  }
  return fields;
}

bool same(const std::string& name, const char* other) {
  return is_field({name, {}}, other);
}

void check_reading(const Fields& fields, long status, const std::vector<std::string>& lines) {
  const std::vector<OtherField> other = read_otherwise(lines);
  REQUIRE_HOLDS(other.size() == fields.size());
  for (std::size_t i = 0; i < fields.size(); ++i) {
    REQUIRE_HOLDS(other[i].name == fields[i].name);
    REQUIRE_HOLDS(without_blanks(other[i].value) == without_blanks(fields[i].value));
    const bool frames =
        same(other[i].name, "Content-Length") || same(other[i].name, "Transfer-Encoding");
    REQUIRE_HOLDS(!frames || other[i].plain || status == 204 || status == 304);
  }
}

// Decimals, as numbers: without zeros in front.
std::set<std::string> stated_lengths(const Fields& fields) {
  std::set<std::string> lengths;
  for (const Field& field : fields) {
    if (!is_field(field, "Content-Length")) continue;
    std::string digits;
    for (const char c : field.value + ',') {
      if (c == ',') {
        digits.erase(0, std::min(digits.find_first_not_of('0'), digits.size()));
        lengths.insert(digits);
        digits.clear();
      } else if (c >= '0' && c <= '9') {
        digits += c;
      } else {
        REQUIRE_HOLDS(c == ' ' || c == '\t' || c == '\r');
      }
    }
  }
  return lengths;
}

void check_whole(const Fields& fields, bool chunked, long status) {
  std::size_t bytes = 0;
  for (const Field& field : fields) {
    bytes += field.name.size() + field.value.size();
    REQUIRE_HOLDS(is_trimmed(field.name) && is_trimmed(field.value));
    REQUIRE_HOLDS(field.name.find('\n') == std::string::npos);
    REQUIRE_HOLDS(field.value.find('\n') == std::string::npos);
  }
  REQUIRE_HOLDS(bytes <= kLimitBytes);
  if (status == 204 || status == 304) return;
  std::string codings;
  for (const Field& field : fields) {
    if (is_field(field, "Transfer-Encoding")) codings += field.value + ',';
  }
  REQUIRE_HOLDS(chunked == !codings.empty());
  if (chunked) {
    std::erase_if(codings, [](char c) { return c == ',' || c == ' ' || c == '\t' || c == '\r'; });
    REQUIRE_HOLDS(same(codings, "chunked"));
    return;
  }
  REQUIRE_HOLDS(stated_lengths(fields).size() <= 1);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  // The first two bytes are the status of the last head; those before it are interim.
  if (size < 2 || size > 8192) return 0;
  const long status = 200 + (data[0] * 256 + data[1]) % 400;
  std::string_view input(reinterpret_cast<const char*>(data + 2), size - 2);
  ReplyHead head(kLimitBytes);
  Fields whole;
  std::vector<std::string> lines;  // of the last head, between its first and last
  bool inside = false;
  bool interim = input.starts_with("HTTP/1.1 1");
  while (!input.empty()) {
    const std::size_t end = std::min(input.find('\n'), input.size() - 1) + 1;
    const std::string_view line = input.substr(0, end);
    input.remove_prefix(end);
    const bool had_whole = head.whole();
    const bool taken = head.take(line, interim ? 100 : status);
    REQUIRE_HOLDS(taken == (!head.too_large() && head.problem().empty() && !head.switched()));
    if (!taken) return 0;
    if (!had_whole && !inside) {
      lines.clear();
      inside = true;
    } else if (line[0] == '\r' || line[0] == '\n') {
      inside = false;
    } else if (!had_whole) {
      lines.emplace_back(line);
    }
    if (interim && (line[0] == '\r' || line[0] == '\n')) {
      interim = input.starts_with("HTTP/1.1 1");
      REQUIRE_HOLDS(!head.whole());
    }
    if (!head.whole()) continue;
    if (!had_whole) {
      check_whole(head.fields(), head.chunked(), status);
      check_reading(head.fields(), status, lines);
      whole = head.fields();
    }
    REQUIRE_HOLDS(std::equal(
        whole.begin(), whole.end(), head.fields().begin(), head.fields().end(),
        [](const Field& a, const Field& b) { return a.name == b.name && a.value == b.value; }));
  }
  return 0;
}
