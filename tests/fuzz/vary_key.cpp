// What an upstream may write into Vary, and a client into the fields that it names. Lines: "v " and
// a line of Vary, "n " and a field that is a list of preferences, "f name value" for a request's
// field.
//
// Promises: a name is a token in lower case, once, and they are few; the text of a selection reads
// back as what the request says of each name, so no other selection has it; it is what a key may
// hold; and a request with the fields that the text says has the same text.
#include "proxy/vary_key.h"

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "http/field_syntax.h"
#include "proxy/percent_encoding.h"
#include "proxy/variants.h"
#include "require.h"

using namespace holdfast;
using namespace holdfast::proxy;

namespace {

std::string_view take_until(std::string_view& text, char end) {
  const std::string_view taken = text.substr(0, text.find(end));
  text.remove_prefix(std::min(text.size(), taken.size() + 1));
  return taken;
}

std::string plain(std::string_view value) {
  std::string out;
  while (!value.empty()) {
    const int byte = escaped_byte(value);
    out += byte < 0 ? value.front() : static_cast<char>(byte);
    value.remove_prefix(byte < 0 ? 1 : kEscapeSize);
  }
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 4'096) return 0;
  std::string_view input(reinterpret_cast<const char*>(data), size);
  VaryNames names;
  bool star = false;
  std::vector<std::string> preferences;
  std::vector<http::FieldLine> fields;
  while (!input.empty()) {
    std::string_view line = take_until(input, '\n');
    const std::string_view kind = take_until(line, ' ');
    if (kind == "v") {
      names.add(line);
      star = star || line.find('*') != line.npos;
      REQUIRE_HOLDS(!star || names.any());
    } else if (kind == "n") {
      preferences.emplace_back(line);
    } else if (kind == "f") {
      const std::string_view name = take_until(line, ' ');
      fields.push_back({name, line});
    }
  }
  if (names.any()) {
    REQUIRE_HOLDS(names.list().empty());
    return 0;
  }
  REQUIRE_HOLDS(names.names().size() <= VaryNames::kMost);
  std::string text;
  append_selection(names.list(), fields, preferences, text);
  REQUIRE_HOLDS(is_variant_part(" (0123456789abcdef)" + text));

  std::vector<std::string> said;
  std::vector<std::string_view> said_names;
  std::string_view left = text;
  std::string before;
  for (const std::string& name : names.names()) {
    REQUIRE_HOLDS(http::is_token(name) && before < name);
    for (const char c : name) REQUIRE_HOLDS(c < 'A' || c > 'Z');
    before = name;
    REQUIRE_HOLDS(left.starts_with(' '));
    left.remove_prefix(1);
    std::string_view field = take_until(left, ' ');
    if (left.data() != nullptr && !left.empty()) left = {left.data() - 1, left.size() + 1};
    REQUIRE_HOLDS(take_until(field, '=') == name);
    bool present = false;
    for (const http::FieldLine& line : fields) {
      present = present || http::equals_ignoring_case(line.name, name);
    }
    if (!present) {
      REQUIRE_HOLDS(field.empty());
      continue;
    }
    said_names.push_back(name);
    said.push_back(plain(field));
  }
  REQUIRE_HOLDS(left.empty());

  std::vector<http::FieldLine> again;
  for (std::size_t i = 0; i < said.size(); ++i) again.push_back({said_names[i], said[i]});
  std::string same;
  append_selection(names.list(), again, preferences, same);
  REQUIRE_HOLDS(same == text);
  return 0;
}
