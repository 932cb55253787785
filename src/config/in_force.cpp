#include "config/in_force.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "config/caching_mode.h"
#include "config/routing_file.h"
#include "config/values.h"

namespace holdfast::config {
namespace {

InForce in_force(const Setting& setting, const Settings& settings) {
  std::string value = setting.value.text(settings);
  value = value.empty() ? "none" : setting.shown(value);
  return {std::string(setting.key), std::move(value), source_text(setting, settings)};
}

std::string place_of_key(const SectionPlace& place, std::string_view key, bool built_in) {
  if (built_in) return place.file;
  const auto line = place.lines.find(key);
  return place.file + ":" + std::to_string(line == place.lines.end() ? place.line : line->second);
}

// What the section says, as a file has it.
void append_said(std::vector<InForce>& all, const std::vector<SectionRow>& rows,
                 const SectionPlace& place, bool built_in, Scope scope, const Settings& settings) {
  for (const SectionRow& row : rows) {
    const Setting* const setting = find_setting(row.key);
    // As those that it takes from the whole program.
    const bool of_table = setting != nullptr && setting->scope() == scope;
    all.push_back({row.key, of_table ? in_force(*setting, settings).value : row.value,
                   place_of_key(place, row.key, built_in)});
  }
}

void append_default(std::vector<InForce>& all, const char* key, std::string value) {
  const bool said =
      std::any_of(all.begin(), all.end(), [&](const InForce& one) { return one.key == key; });
  if (!said) all.push_back({key, std::move(value), "default"});
}

// Those of the table that a section of this kind may say and this one does not.
void append_rest(std::vector<InForce>& all, Scope scope, const SectionPlace& place,
                 const Settings& settings) {
  for (const Setting& setting : setting_table()) {
    if (setting.scope() == scope && !says(place, setting.key)) {
      all.push_back(in_force(setting, settings));
    }
  }
}

// Says nothing of what is passed through: that is sent once, answered by anything, and not stored,
// but in mode "rfc9111" the answer to a POST may be (RFC 9110, 9.3.3).
bool is_of_what_is_fetched(RouteConfig::Mode mode, std::string_view key) {
  if (mode == RouteConfig::Mode::Rfc9111) {
    return key == "attempts" || key == "on_invalid" || key == "stale_if_error" || key == "validate";
  }
  constexpr std::array<std::string_view, 10> kKeys = {
      "attempts",   "batch",      "client_errors", "max_body",      "mode",
      "on_invalid", "set_cookie", "tags",          "ttl_by_status", "validate"};
  const Setting* const setting = find_setting(key);
  return (setting != nullptr && setting->scope() == Scope::Route) ||
         std::find(kKeys.begin(), kKeys.end(), key) != kKeys.end();
}

}  // namespace

std::string source_text(const Setting& setting, const Settings& settings) {
  const auto found = settings.sources.find(setting.key);
  if (found == settings.sources.end()) return "default";
  switch (found->second.kind) {
    case Source::Kind::Default:
      return "default";
    case Source::Kind::File:
      return settings.config_file + ":" + std::to_string(found->second.line);
    case Source::Kind::Environment:
      return "environment " + setting.environment_variable();
    case Source::Kind::Flag:
      return "flag " + setting.flag();
  }
  return "default";
}

std::vector<InForce> settings_in_force(const Settings& settings) {
  std::vector<InForce> all;
  for (const Setting& setting : setting_table()) all.push_back(in_force(setting, settings));
  return all;
}

std::vector<InForce> settings_in_force(const UpstreamConfig& upstream) {
  const Settings& settings = upstream.settings;
  std::vector<InForce> all;
  append_said(all, section_rows(upstream), upstream.place, upstream.built_in, Scope::Upstream,
              settings);
  if (!says(upstream.place, "urls")) {
    all.push_back(in_force(*find_setting("api_url"), settings));
    // With URLs of its own it has no token but its own.
    if (!says(upstream.place, "token_file")) {
      all.push_back(in_force(*find_setting("api_token"), settings));
    }
  }
  append_default(all, "host", toml_string(upstream.host));
  append_rest(all, Scope::Upstream, upstream.place, settings);
  return all;
}

std::vector<InForce> settings_in_force(const RouteConfig& route, const Routing& routing, Way way) {
  const RouteConfig defaults;
  std::vector<InForce> all;
  append_said(all, section_rows(route, routing), route.place, route.built_in, Scope::Route,
              route.settings);
  append_default(all, "methods", "[\"GET\", \"HEAD\"]");
  append_default(all, "query", "\"all\"");
  append_default(all, "mode", "\"resilient\"");
  append_default(all, "on_invalid", "\"refuse\"");
  append_default(all, "set_cookie", "\"pass\"");
  append_default(all, "offline", "false");
  append_default(all, "max_variants", std::to_string(defaults.http.max_variants));
  append_default(all, "vary_normalise", "[]");
  append_default(all, "ranges", "\"strict\"");
  append_default(all, "transfer_coding", "\"strict\"");
  append_default(all, "targeted", "[" + toml_string(defaults.http.targeted.front()) + "]");
  append_default(all, "max_body", toml_string(format_size(defaults.max_body)));
  append_default(all, "max_request_body", toml_string(format_size(defaults.max_request_body)));
  append_rest(all, Scope::Route, route.place, route.settings);
  const bool passed = way == Way::Passed;
  all.erase(std::remove_if(all.begin(), all.end(),
                           [&](const InForce& one) {
                             if (!counts_in(route.mode, one.key)) return true;
                             return passed ? is_of_what_is_fetched(route.mode, one.key)
                                           : one.key == "max_request_body";
                           }),
            all.end());
  all.push_back(in_force(*find_setting("request_deadline"), route.settings));
  return all;
}

}  // namespace holdfast::config
