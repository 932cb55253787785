#include "config/routing_file.h"

#include <algorithm>

#include "base/suggest.h"
#include "config/section_reader.h"

namespace holdfast::config {
namespace {

using Kind = FileValue::Kind;

constexpr std::string_view kBuiltIn = "the built-in configuration";

const FileValue* find(const FileValue& file, std::string_view key) {
  for (const FileMember& member : file.members) {
    if (member.key == key) return &member.value;
  }
  return nullptr;
}

SectionPlace place_at(const std::string& file, int line, std::string title) {
  SectionPlace place;
  place.file = file;
  place.line = line;
  place.title = std::move(title);
  return place;
}

// The settings of the whole program, as a section starts with them.
Settings inherited(const Settings& global) {
  Settings settings = global;
  settings.routing = nullptr;
  settings.warnings.clear();
  return settings;
}

void read_upstreams(const FileValue& value, const std::string& file, const Settings& global,
                    const TokenReader& read_token, Routing& routing, FirstProblem& problems) {
  constexpr std::string_view kExpected = "; expected [upstream.NAME], as [upstream.geo]";
  if (value.kind == Kind::Array) {
    return problems.add(value.line, "[[upstream]] is no section" + std::string(kExpected));
  }
  if (value.kind != Kind::Table) {
    return problems.add(
        value.line, "upstream is " + std::string(in_words(value.kind)) + std::string(kExpected));
  }
  if (value.members.empty()) {
    return problems.add(value.line, "[upstream] has no name" + std::string(kExpected));
  }
  for (const FileMember& member : value.members) {
    const FileValue& section = member.value;
    const std::string& name = member.key;
    const bool array_of_tables = section.kind == Kind::Array && !section.elements.empty() &&
                                 section.elements.front().kind == Kind::Table;
    if (array_of_tables) {
      problems.add(section.line, "[[upstream." + shown_in_error(name) +
                                     "]] is no section; expected single brackets");
      continue;
    }
    if (section.kind != Kind::Table) {
      problems.add(section.line, "[upstream] has no name" + std::string(kExpected));
      continue;
    }
    UpstreamConfig upstream;
    upstream.name = name;
    upstream.settings = inherited(global);
    const bool good = is_section_name(name);
    upstream.place =
        place_at(file, section.line, "[upstream." + (good ? name : shown_in_error(name)) + "]");
    SectionReader reader(upstream.place, problems);
    if (!good) {
      reader.wrong(section.line, "", "is no name; " + std::string(kSectionNameExpected));
    }
    read_upstream(section, reader, upstream, read_token);
    routing.upstreams.push_back(std::move(upstream));
  }
}

// Which of the upstreams a route means.
void choose_upstream(SectionReader& reader, const std::string& name, const Routing& routing,
                     RouteConfig& route) {
  const auto& all = routing.upstreams;
  const auto line = route.place.lines.find("upstream");
  if (line == route.place.lines.end()) {
    if (all.size() == 1) return;
    return reader.wrong(route.place.line, "upstream",
                        all.empty() ? "is missing, as are all; expected an [upstream.NAME]"
                                    : "is missing; expected the name of one of the " +
                                          std::to_string(all.size()) + " [upstream.NAME]");
  }
  if (name.empty()) return;  // not a name, which is said already
  std::vector<std::string> names;
  for (const UpstreamConfig& upstream : all) names.push_back(upstream.name);
  const auto found = std::find(names.begin(), names.end(), name);
  if (found != names.end()) {
    route.upstream = static_cast<std::size_t>(found - names.begin());
    return;
  }
  const std::string near = base::nearest(name, names);
  reader.wrong(
      line->second, "upstream",
      shown_in_error(name) + " is no upstream" +
          (near.empty() ? "; expected the name of an [upstream.NAME]" : did_you_mean(near)));
}

// A route may not touch the field that carries the token.
void check_credential(SectionReader& reader, const UpstreamConfig& upstream,
                      const RouteConfig& route) {
  if (upstream.token_in != TokenIn::Field) return;
  const auto check = [&](const std::string& key, const std::string& field) {
    if (!same_field(field, upstream.token_name)) return;
    const auto line = route.place.lines.find(key + "." + field);
    reader.wrong(line == route.place.lines.end() ? route.place.line : line->second, key,
                 shown_in_error(field) + " carries the token of " + upstream.place.title +
                     "; expected any other field");
  };
  for (const std::string& field : route.key_fields) check("key_fields", field);
  for (const auto& field : route.request_set) check("request_set", field.first);
  for (const std::string& field : route.request_remove) check("request_remove", field);
}

void read_routes(const FileValue& value, const std::string& file, const Settings& global,
                 Routing& routing, FirstProblem& problems) {
  if (value.kind == Kind::Table) {
    return problems.add(value.line, "[route] is no section; expected [[route]]");
  }
  if (value.kind != Kind::Array || value.elements.empty()) {
    const std::string what =
        value.kind == Kind::Array ? "empty" : std::string(in_words(value.kind));
    return problems.add(value.line, "route is " + what + "; expected [[route]]");
  }
  for (const FileValue& section : value.elements) {
    if (section.kind != Kind::Table) {
      problems.add(section.line, "route has " + std::string(in_words(section.kind)) +
                                     " in it; expected [[route]]");
      continue;
    }
    RouteConfig route;
    route.settings = inherited(global);
    route.place = place_at(file, section.line, "[[route]]");
    // So that whatever is wrong before the name has it too.
    const FileValue* const name = find(section, "name");
    if (name != nullptr && name->kind == Kind::Text && is_section_name(name->text)) {
      route.place.title += " " + toml_string(name->text);
    }
    SectionReader reader(route.place, problems);
    const std::string upstream = read_route(section, reader, route);
    for (const RouteConfig& other : routing.routes) {
      if (route.name.empty() || other.name != route.name) continue;
      reader.wrong(route.place.lines.at("name"), "name",
                   "is that of the route in line " + std::to_string(other.place.line) +
                       " too; expected one of its own");
    }
    choose_upstream(reader, upstream, routing, route);
    if (route.upstream < routing.upstreams.size()) {
      check_credential(reader, routing.upstreams[route.upstream], route);
    }
    routing.routes.push_back(std::move(route));
  }
}

Routing read_sections_of(const FileValue& root, const std::string& file, const Settings& global,
                         const TokenReader& read_token, FirstProblem& problems) {
  Routing routing;
  const FileValue* const upstreams = find(root, "upstream");
  const FileValue* const routes = find(root, "route");
  if (upstreams != nullptr) {
    read_upstreams(*upstreams, file, global, read_token, routing, problems);
  }
  if (routes != nullptr) read_routes(*routes, file, global, routing, problems);
  // A wrong line elsewhere may be why nobody does.
  if (problems.found()) return routing;
  for (std::size_t i = 0; i < routing.upstreams.size(); ++i) {
    const bool used = std::any_of(routing.routes.begin(), routing.routes.end(),
                                  [&](const RouteConfig& route) { return route.upstream == i; });
    if (used) continue;
    SectionReader reader(routing.upstreams[i].place, problems);
    reader.wrong(routing.upstreams[i].place.line, "",
                 "is not used; expected a [[route]] with upstream = " +
                     toml_string(routing.upstreams[i].name));
  }
  return routing;
}

}  // namespace

Routing read_sections(const FileValue& file, const Settings& global, const TokenReader& read_token,
                      FirstProblem& problems) {
  return read_sections_of(file, global.config_file, global, read_token, problems);
}

base::Result<Routing> read_routing(const FileValue& file, const Settings& global,
                                   const TokenReader& read_token) {
  FirstProblem problems(global.config_file);
  Routing routing = read_sections(file, global, read_token, problems);
  if (problems.found()) return problems.error();
  if (!routing.routes.empty()) return routing;

  const std::string name(kBuiltIn);
  const auto parsed = parse_settings_file(built_in_routing());
  if (!parsed) return base::invalid_input(name + ":" + parsed.error().message);
  FirstProblem ours(name);
  routing = read_sections_of(*parsed, name, global, read_token, ours);
  if (ours.found()) return ours.error();
  for (RouteConfig& route : routing.routes) route.built_in = true;
  for (UpstreamConfig& upstream : routing.upstreams) upstream.built_in = true;
  return routing;
}

bool says(const SectionPlace& place, std::string_view key) {
  return place.lines.find(key) != place.lines.end();
}

}  // namespace holdfast::config
