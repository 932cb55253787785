#include "config/reload.h"

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <string_view>
#include <utility>

#include "config/routing_file.h"
#include "config/setting_table.h"

namespace holdfast::config {
namespace {

// More would make a line of the log that nobody reads.
constexpr std::size_t kNamesShown = 20;

void append_names(std::string& out, std::string_view what, const std::vector<std::string>& names) {
  if (names.empty()) return;
  if (!out.empty()) out += "; ";
  out += what;
  const std::size_t shown = std::min(names.size(), kNamesShown);
  for (std::size_t i = 0; i < shown; ++i) out.append(i == 0 ? " " : ", ").append(names[i]);
  if (shown < names.size()) out += " and " + std::to_string(names.size() - shown) + " more";
}

// What a section takes from the whole program, where that waits for a restart.
void keep_what_waits(Settings& settings, const Settings& before) {
  for (const Setting& setting : setting_table()) {
    if (setting.reload == Reload::Restart) setting.value.copy(settings, before);
  }
}

template <typename Section, typename Meaning>
SectionChanges section_changes(const std::vector<Section>& before,
                               const std::vector<Section>& after, const Meaning& meaning) {
  std::map<std::string_view, const Section*> old;
  for (const Section& section : before) old.emplace(section.name, &section);
  SectionChanges all;
  for (const Section& section : after) {
    const auto found = old.find(section.name);
    if (found == old.end()) {
      all.added.push_back(section.name);
      continue;
    }
    if (meaning(*found->second, false) != meaning(section, true)) {
      all.changed.push_back(section.name);
    }
    old.erase(found);
  }
  for (const Section& section : before) {
    if (old.contains(section.name)) all.removed.push_back(section.name);
  }
  return all;
}

}  // namespace

std::string SectionChanges::text() const {
  std::string out;
  append_names(out, "added", added);
  append_names(out, "removed", removed);
  append_names(out, "changed", changed);
  return out;
}

Settings in_force_after(const Settings& before, Settings read) {
  keep_what_waits(read, before);
  for (const Setting& setting : setting_table()) {
    if (setting.reload == Reload::Now) continue;
    const auto source = before.sources.find(setting.key);
    if (source != before.sources.end()) read.sources[source->first] = source->second;
  }
  if (!read.routing) return read;
  Routing routing = *read.routing;
  for (UpstreamConfig& upstream : routing.upstreams) keep_what_waits(upstream.settings, before);
  for (RouteConfig& route : routing.routes) keep_what_waits(route.settings, before);
  read.routing = std::make_shared<const Routing>(std::move(routing));
  return read;
}

Changes changes(const Settings& before, const Settings& after, const Settings& read) {
  Changes all;
  for (const Setting& setting : setting_table()) {
    const std::string was = setting.value.text(before);
    if (setting.reload == Reload::Now) {
      if (was != setting.value.text(after)) all.now.emplace_back(setting.key);
    } else if (was != setting.value.text(read)) {
      all.needs_restart.emplace_back(setting.key);
    }
  }
  all.upstreams = upstream_changes(*before.routing, *after.routing);
  all.routes = route_changes(*before.routing, *after.routing);
  return all;
}

SectionChanges upstream_changes(const Routing& before, const Routing& after) {
  return section_changes(before.upstreams, after.upstreams,
                         [](const UpstreamConfig& upstream, bool) { return meaning_of(upstream); });
}

SectionChanges route_changes(const Routing& before, const Routing& after) {
  return section_changes(before.routes, after.routes, [&](const RouteConfig& route, bool now) {
    return meaning_of(route, now ? after : before);
  });
}

}  // namespace holdfast::config
