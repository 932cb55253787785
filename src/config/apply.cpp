#include "config/apply.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/suggest.h"
#include "config/section_reader.h"
#include "config/values.h"

namespace holdfast::config {
namespace {

using base::invalid_input;

constexpr std::size_t kLongestShown = 80;

// An error continues what names the place.
base::Result<void> set_value(Settings& settings, const Setting& setting, std::string_view text,
                             Source source) {
  text = trimmed(text);
  if (text.empty()) return invalid_input(": is blank; give it a value or leave it out");
  if (auto set = setting.value.set(settings, text); !set) {
    return invalid_input("=" + shown_in_error(setting, text) + ": " + set.error().message);
  }
  settings.sources[std::string(setting.key)] = source;
  return {};
}

// What stands where only settings of the whole program may, and is none of them.
std::string not_a_setting(const FileMember& member) {
  using Kind = FileValue::Kind;
  const std::string key = shown_in_error(member.key);
  const bool sections = member.value.kind == Kind::Array && !member.value.elements.empty() &&
                        member.value.elements.front().kind == Kind::Table;
  if (member.value.kind != Kind::Table && !sections) {
    const auto is_one_of = [&](const std::vector<std::string>& all) {
      return std::find(all.begin(), all.end(), member.key) != all.end();
    };
    const bool of_upstreams = is_one_of(keys_of_upstreams());
    const bool of_routes = is_one_of(keys_of_routes());
    if (of_upstreams && of_routes) {
      return member.key + " is a key of sections; expected it in an [upstream.NAME] or a [[route]]";
    }
    if (of_upstreams) {
      return member.key + " is a key of upstreams; expected it in an [upstream.NAME]";
    }
    if (of_routes) return member.key + " is a key of routes; expected it in a [[route]]";
    std::vector<std::string> keys;
    for (const Setting& known : setting_table()) keys.emplace_back(known.key);
    return "unknown key " + key + did_you_mean(base::nearest(member.key, keys));
  }
  if (find_setting(member.key) != nullptr) {
    return key + " is a setting and no section; expected a value, as " + member.key + " = ...";
  }
  const std::string near = base::nearest(member.key, {"upstream", "upstreams", "route", "routes"});
  const std::string hint = near.starts_with("upstream") ? "[upstream.NAME]"
                           : near.empty()               ? ""
                                                        : "[[route]]";
  return "unknown section " + key +
         (hint.empty() ? "; expected [upstream.NAME] or [[route]]" : did_you_mean(hint));
}

}  // namespace

void FirstProblem::add(int line, std::string_view what) {
  if (found() && line_ <= line) return;
  line_ = line;
  what_ = what;
}

tl::unexpected<base::Error> FirstProblem::error() const {
  return invalid_input(file_ + ":" + std::to_string(line_) + ": " + what_);
}

std::string place_of(const Setting& setting, const Settings& settings, Source source) {
  switch (source.kind) {
    case Source::Kind::Default:
      return std::string(setting.key);
    case Source::Kind::File:
      return settings.config_file + ":" + std::to_string(source.line) + ": " +
             std::string(setting.key);
    case Source::Kind::Environment:
      return setting.environment_variable();
    case Source::Kind::Flag:
      return setting.flag();
  }
  return std::string(setting.key);
}

std::string shown_in_error(std::string_view text) {
  if (text.size() <= kLongestShown) return toml_string(text);
  return toml_string(std::string(text.substr(0, kLongestShown)) + "...");
}

std::string shown_in_error(const Setting& setting, std::string_view text) {
  // What has an @ may be a URL with a password in it.
  if (setting.secrecy == Secrecy::Secret || text.find('@') != std::string_view::npos) {
    return "(not shown)";
  }
  return shown_in_error(setting.shown(text));
}

std::string did_you_mean(const std::string& name) {
  return name.empty() ? std::string() : "; did you mean " + name + "?";
}

base::Result<void> apply(Settings& settings, const Setting& setting, std::string_view text,
                         Source source) {
  auto set = set_value(settings, setting, text, source);
  if (set) return {};
  return invalid_input(place_of(setting, settings, source) + set.error().message);
}

void work_out_attempt_timeout(Settings& settings) {
  if (!settings.is_default("attempt_timeout")) return;
  settings.attempt_timeout = settings.request_deadline * 9 / 10;
}

void apply_flat_part(Settings& settings, const FileValue& file, FirstProblem& problems) {
  for (const FileMember& member : file.members) {
    if (member.key == "upstream" || member.key == "route") continue;
    const int line = member.value.line;
    const Setting* setting = find_setting(member.key);
    if (setting == nullptr || member.value.kind == FileValue::Kind::Table) {
      problems.add(line, not_a_setting(member));
      continue;
    }
    const Source& earlier = settings.sources[std::string(setting->key)];
    if (earlier.kind == Source::Kind::File) {
      problems.add(line, std::string(setting->key) + " is already set in line " +
                             std::to_string(earlier.line));
      continue;
    }
    const auto text = flat_value(member.value);
    if (!text) {
      problems.add(text.error().line, text.error().what);
      continue;
    }
    auto set = set_value(settings, *setting, *text, {Source::Kind::File, line});
    if (!set) problems.add(line, std::string(setting->key) + set.error().message);
  }
}

}  // namespace holdfast::config
