// The settings file ('f' and its text), sections and all, and the value of one setting ('v', its
// key on the first line, then the value). Promises: a file that is understood says the same when
// its sections are written anew; a value that is accepted is accepted again in the form it is
// printed in, and means the same; errors of a file name a line that it has, and are one line.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>

#include "config/apply.h"
#include "config/contradictions.h"
#include "config/reload.h"
#include "config/routing_file.h"
#include "config/setting_table.h"
#include "config/settings_file.h"
#include "require.h"

using namespace holdfast::config;

namespace {

// "12: …", or "h.toml:12: …" where a file's name leads.
void check_error(std::string_view message, std::string_view lead, std::string_view text) {
  REQUIRE_HOLDS(message.starts_with(lead));
  const auto lines = 1 + std::count(text.begin(), text.end(), '\n');
  const long line = std::strtol(std::string(message.substr(lead.size())).c_str(), nullptr, 10);
  REQUIRE_HOLDS(line >= 1 && line <= lines);
  REQUIRE_HOLDS(message.find(": ") != message.npos);
  REQUIRE_HOLDS(message.find('\n') == message.npos);
}

Settings defaults() {
  Settings settings;
  settings.config_file = "h.toml";
  for (const Setting& setting : setting_table()) {
    if (!setting.initial.text.empty()) {
      REQUIRE_HOLDS(setting.value.set(settings, setting.initial.text).has_value());
    }
  }
  return settings;
}

// No file is opened: tokens are not what this is about.
holdfast::base::Result<std::string> token_of(const std::string& path) {
  if (path.size() % 2 == 1) return holdfast::base::invalid_input("No such file");
  return "token";
}

std::string sections_of(const Routing& routing, Secrets secrets) {
  std::string text;
  for (const UpstreamConfig& upstream : routing.upstreams) text += section_text(upstream, secrets);
  for (const RouteConfig& route : routing.routes) text += section_text(route, routing, secrets);
  return text;
}

void check_lines(const FileValue& value, long lines) {
  REQUIRE_HOLDS(value.line >= 1 && value.line <= lines);
  for (const FileValue& element : value.elements) check_lines(element, lines);
  for (const FileMember& member : value.members) check_lines(member.value, lines);
}

void check_file(std::string_view text) {
  const auto file = parse_settings_file(text);
  if (!file) return check_error(file.error().message, "", text);
  check_lines(*file, 1 + std::count(text.begin(), text.end(), '\n'));

  Settings settings = defaults();
  FirstProblem problems(settings.config_file);
  apply_flat_part(settings, *file, problems);
  const bool flat_part_is_wrong = problems.found();
  Routing routing = read_sections(*file, settings, token_of, problems);
  if (problems.found()) {
    const holdfast::base::Result<void> failed = problems.error();
    check_error(failed.error().message, "h.toml:", text);
    REQUIRE_HOLDS(flat_part_is_wrong || !read_routing(*file, settings, token_of));
    return;
  }
  for (const RouteConfig& route : routing.routes) {
    REQUIRE_HOLDS(route.upstream < routing.upstreams.size());
    REQUIRE_HOLDS(!route.name.empty() && !route.match.empty());
    const UpstreamConfig& upstream = routing.upstreams[route.upstream];
    REQUIRE_HOLDS(!upstream.settings.api_urls.empty());
    sections_of(routing, Secrets::Masked);
  }
  const std::string printed = sections_of(routing, Secrets::Shown);
  const auto again = parse_settings_file(printed);
  REQUIRE_HOLDS(again.has_value());
  const Routing routing_again = read_sections(*again, settings, token_of, problems);
  REQUIRE_HOLDS(!problems.found());
  REQUIRE_HOLDS(sections_of(routing_again, Secrets::Shown) == printed);
  REQUIRE_HOLDS(upstream_changes(routing, routing_again).none());
  REQUIRE_HOLDS(route_changes(routing, routing_again).none());
  settings.routing = std::make_shared<const Routing>(std::move(routing));
  contradictions(settings);
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
