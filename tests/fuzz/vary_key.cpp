// What an upstream may write into Vary, and a client into the fields that it names. Lines: "v " and
// a line of Vary, "n " and a field whose value is normalised, "f name value" for a request's field.
//
// Promises: a name is a token in lower case, once, and they are few; the text of a selection reads
// back as what the request says of each name, so no other selection has it; what is normalised is
// the same when it is read again.
#include "proxy/vary_key.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "http/field_syntax.h"
#include "require.h"

using namespace holdfast;
using namespace holdfast::proxy;

namespace {

std::string_view take_until(std::string_view& text, char end) {
  const std::string_view taken = text.substr(0, text.find(end));
  text.remove_prefix(std::min(text.size(), taken.size() + 1));
  return taken;
}

// A length, ":", and so many bytes.
std::string_view take_counted(std::string_view& text) {
  const std::string size(take_until(text, ':'));
  REQUIRE_HOLDS(!size.empty() && size.find_first_not_of("0123456789") == size.npos);
  const std::size_t bytes = std::strtoul(size.c_str(), nullptr, 10);
  REQUIRE_HOLDS(bytes <= text.size());
  const std::string_view taken = text.substr(0, bytes);
  text.remove_prefix(bytes);
  return taken;
}

std::optional<std::string> combined(const std::vector<RequestField>& fields,
                                    const std::string& name) {
  std::optional<std::string> out;
  for (const RequestField& field : fields) {
    std::string lower(field.name);
    for (char& c : lower) {
      if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    }
    if (lower != name) continue;
    out = (out ? *out + ", " : "") + std::string(http::trim(field.value));
  }
  return out;
}

std::string letters(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == ' ' || c == '\t' || c == ',') continue;
    out += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  }
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 4'096) return 0;
  std::string_view input(reinterpret_cast<const char*>(data), size);
  VaryNames names;
  bool star = false;
  std::vector<std::string> normalise;
  std::vector<RequestField> fields;
  while (!input.empty()) {
    std::string_view line = take_until(input, '\n');
    const std::string_view kind = take_until(line, ' ');
    if (kind == "v") {
      names.add(line);
      star = star || line.find('*') != line.npos;
      REQUIRE_HOLDS(!star || names.any());
    } else if (kind == "n") {
      normalise.emplace_back(line);
    } else if (kind == "f") {
      const std::string_view name = take_until(line, ' ');
      fields.push_back({name, line});
    }
  }
  std::string text;
  REQUIRE_HOLDS(names.append_key(fields, normalise, text) == !names.any());
  if (names.any()) {
    REQUIRE_HOLDS(text.empty() && names.names().empty());
    return 0;
  }
  REQUIRE_HOLDS(names.names().size() <= VaryNames::kMost);
  std::string_view left = text;
  std::string before;
  for (const std::string& name : names.names()) {
    REQUIRE_HOLDS(http::is_token(name) && before < name);
    for (const char c : name) REQUIRE_HOLDS(c < 'A' || c > 'Z');
    before = name;
    REQUIRE_HOLDS(take_counted(left) == name);
    const std::optional<std::string> wanted = combined(fields, name);
    REQUIRE_HOLDS(left.starts_with(wanted ? '+' : '-'));
    left.remove_prefix(1);
    if (!wanted) continue;
    const std::string value(take_counted(left));
    if (std::find(normalise.begin(), normalise.end(), name) == normalise.end()) {
      REQUIRE_HOLDS(value == *wanted);
      continue;
    }
    REQUIRE_HOLDS(letters(value) == letters(*wanted));
    VaryNames one;
    one.add(name);
    const RequestField field{name, value};
    std::string again;
    REQUIRE_HOLDS(one.append_key({&field, 1}, normalise, again));
    REQUIRE_HOLDS(again.ends_with("+" + std::to_string(value.size()) + ":" + value));
  }
  REQUIRE_HOLDS(left.empty());
  return 0;
}
