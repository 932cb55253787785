// The tables and files that people read, all made from the one table.
#include <algorithm>

#include "config/built_in_routing.h"
#include "config/config.h"
#include "config/in_force.h"
#include "config/routing_file.h"
#include "config/setting_table.h"
#include "config/settings_file.h"

namespace holdfast::config {
namespace {

constexpr std::size_t kSourceColumn = 48;

// `text`, as the setting's value is written in the file.
std::string file_value(const Setting& setting, std::string_view text) {
  if (setting.value.plain && !text.empty()) {
    if (text == "on" || text == "off") return text == "on" ? "true" : "false";
    return std::string(text);
  }
  if (!setting.value.list) return toml_string(text);
  std::string out = "[";
  while (!text.empty()) {
    const auto comma = text.find(',');
    if (out.size() > 1) out += ", ";
    out += toml_string(text.substr(0, comma));
    text.remove_prefix(comma == std::string_view::npos ? text.size() : comma + 1);
  }
  return out + "]";
}

void append_heading(std::string& out, std::string_view& group, const Setting& setting) {
  if (setting.group == group) return;
  if (!out.empty()) out += '\n';
  group = setting.group;
  out += "# ";
  out += group;
  out += '\n';
}

// Plain text for a man page: a hyphen that can be copied, no escapes of its own.
// Never at the start of a line with a dot.
std::string roff(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '-' || c == '\\') out += '\\';
    out += c == '\\' ? 'e' : c;
  }
  return out;
}

// A control character in a file's name must not end the comment it stands in.
std::string printable(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](char c) { return (c >= 0 && c < ' ') || c == '\x7f'; }, '?');
  return text;
}

void append_sections(std::string& out, const Routing& routing) {
  out += "\n# Upstreams and routes\n";
  // Not "line 0 of the built-in configuration": who reads this has no such file.
  const auto from = [](const SectionPlace& place, bool built_in) {
    return "\n# " +
           (built_in ? place.file : printable(place.file + ":" + std::to_string(place.line))) +
           '\n';
  };
  const bool built_in = routing.routes.front().built_in;
  for (const UpstreamConfig& upstream : routing.upstreams) {
    out += from(upstream.place, built_in) + section_text(upstream, Secrets::Masked);
  }
  for (const RouteConfig& route : routing.routes) {
    out += from(route.place, built_in) + section_text(route, routing, Secrets::Masked);
  }
}

// Lines that are comments stay such: uncommented once, it is the text again.
void append_commented_out(std::string& out, std::string_view text) {
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    if (!line.empty() && line.front() != '#') out += '#';
    out.append(line).append("\n");
    text.remove_prefix(std::min(line.size() + 1, text.size()));
  }
}

}  // namespace

std::string print_config(const Settings& settings) {
  std::string out;
  std::string_view group;
  for (const Setting& setting : setting_table()) {
    append_heading(out, group, setting);
    const std::string value = setting.value.text(settings);
    const std::string shown = setting.shown(value);
    std::string line = std::string(setting.key) + " = ";
    if (value.empty()) {
      line = "# " + line + "none";
    } else if (shown != value) {
      // No settings file may take it for the value.
      line = "# " + line + shown;
    } else {
      line += file_value(setting, value);
    }
    line.resize(std::max(line.size() + 2, kSourceColumn), ' ');
    out += line + "# " + printable(source_text(setting, settings)) + '\n';
  }
  if (settings.routing) append_sections(out, *settings.routing);
  for (const std::string& warning : settings.warnings) {
    out += "\n# warning: " + printable(warning);
  }
  if (!settings.warnings.empty()) out += '\n';
  return out;
}

std::string example_config() {
  std::string out =
      "# Settings of Holdfast: TOML. Every value here is the default or an example.\n"
      "# A flag wins over the environment, which wins over this file.\n"
      "# Durations: 250ms 2s 5m 24h 30d. Sizes: 64MiB. The manual is holdfast.toml(5).\n";
  std::string_view group;
  for (const Setting& setting : setting_table()) {
    append_heading(out, group, setting);
    out += "\n# ";
    out += setting.help;
    if (setting.initial.text.empty()) {
      out += "\n# Default: ";
      out += setting.initial.note;
    }
    out += "\n#";
    out += setting.key;
    out += " = ";
    const std::string_view value =
        setting.initial.text.empty() ? setting.initial.example : setting.initial.text;
    out += file_value(setting, value);
    out += '\n';
  }
  out +=
      "\n# Upstreams and routes\n"
      "# Below all of the above. The settings of upstreams (attempt_timeout to probe_interval, "
      "and\n"
      "# api_ca_file, api_client_cert_file, api_client_key_file) may stand in an [upstream.NAME]\n"
      "# too, those of freshness (cache_ttl to stale_if_error) in a [[route]]: each wins there "
      "over\n"
      "# what is set for the whole program. A file with a [[route]] says all that there is;\n"
      "# without one, this holds:\n\n";
  append_commented_out(out, built_in_routing());
  out += "\n# Another API, beside that one or instead of it:\n\n";
  append_commented_out(out, another_routing());
  out +=
      "\n# What says of itself how it may be stored (HTTP caching, RFC 9111), a web site for "
      "one:\n\n";
  append_commented_out(out, http_routing());
  return out;
}

std::string settings_man() {
  std::string out;
  std::string_view group;
  for (const Setting& setting : setting_table()) {
    if (setting.group != group) {
      group = setting.group;
      out += ".SS " + roff(group) + '\n';
    }
    out += ".TP\n\\fB" + roff(setting.flag()) + "\\fR \\fI" + roff(setting.value.type) +
           "\\fR, \\fB" + setting.environment_variable() + "\\fR\n" + roff(setting.help) + '\n';
    out += setting.initial.text.empty() ? "Default: " + roff(setting.initial.note)
                                        : "Default: \\fB" + roff(setting.initial.text) + "\\fR";
    out += setting.reload == Reload::Now ? ". A reload takes it at once.\n"
                                         : ". A change needs a restart.\n";
  }
  return out;
}

std::string settings_markdown() {
  std::string out =
      "| variable | flag | default | after a reload | meaning |\n"
      "| --- | --- | --- | --- | --- |\n";
  for (const Setting& setting : setting_table()) {
    const std::string initial = setting.initial.text.empty()
                                    ? std::string(setting.initial.note)
                                    : "`" + std::string(setting.initial.text) + "`";
    out += "| `" + setting.environment_variable() + "` | `" + setting.flag() + "` | " + initial +
           " | " + (setting.reload == Reload::Now ? "at once" : "restart") + " | " +
           std::string(setting.help) + " |\n";
  }
  return out;
}

}  // namespace holdfast::config
