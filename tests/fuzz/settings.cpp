// The settings file ('f' and its text) and the value of one setting ('v', its key
// on the first line, then the value). Promises: a file that is understood says the
// same when written anew; a value that is accepted is accepted again in the form it
// is printed in, and means the same; errors of a file name a line that it has.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "config/setting_table.h"
#include "config/settings_file.h"
#include "require.h"

using namespace holdfast::config;

namespace {

void check_file(std::string_view text) {
  const auto entries = parse_settings_file(text);
  const auto lines = 1 + std::count(text.begin(), text.end(), '\n');
  if (!entries) {
    const std::string& message = entries.error().message;
    const long line = std::strtol(message.c_str(), nullptr, 10);
    REQUIRE_HOLDS(line >= 1 && line <= lines);
    REQUIRE_HOLDS(message.find(": ") != message.npos);
    REQUIRE_HOLDS(message.find('\n') == message.npos);
    return;
  }
  std::string anew;
  int line = 0;
  for (const FileEntry& entry : *entries) {
    REQUIRE_HOLDS(entry.line > line && entry.line <= lines);
    line = entry.line;
    anew.append(toml_string(entry.key)).append(" = ");
    anew.append(toml_string(entry.value)).append("\n");
  }
  const auto again = parse_settings_file(anew);
  REQUIRE_HOLDS(again && again->size() == entries->size());
  for (std::size_t i = 0; i < entries->size(); ++i) {
    REQUIRE_HOLDS((*again)[i].key == (*entries)[i].key);
    REQUIRE_HOLDS((*again)[i].value == (*entries)[i].value);
  }
}

void check_value(std::string_view key, std::string_view text) {
  const Setting* setting = find_setting(key);
  if (!setting) return;
  Settings settings;
  if (const auto set = setting->value.set(settings, text); !set) {
    REQUIRE_HOLDS(!set.error().message.empty());
    REQUIRE_HOLDS(set.error().message.find('\n') == std::string::npos);
    return;
  }
  const std::string printed = setting->value.text(settings);
  Settings again;
  REQUIRE_HOLDS(setting->value.set(again, printed).has_value());
  REQUIRE_HOLDS(setting->value.text(again) == printed);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0 || size > 8192) return 0;
  const std::string_view input(reinterpret_cast<const char*>(data + 1), size - 1);
  if (data[0] == 'f') {
    check_file(input);
  } else if (data[0] == 'v') {
    const std::size_t line_end = input.find('\n');
    if (line_end == input.npos) return 0;
    check_value(input.substr(0, line_end), input.substr(line_end + 1));
  }
  return 0;
}
