// Which value of a setting is in force, for people, and where it came from. Secrets are "(secret)",
// what is not set is "none". Pure; any thread.
#pragma once

#include <string>
#include <vector>

#include "config/routing.h"
#include "config/setting_table.h"
#include "config/settings.h"

namespace holdfast::config {

struct InForce {
  std::string key;
  std::string value;
  std::string source;  // "default", "environment PORT", "flag --port", "holdfast.toml:12", ...
};

std::string source_text(const Setting& setting, const Settings& settings);

// All of the table, in its order.
std::vector<InForce> settings_in_force(const Settings& settings);
// Those of a section: what it says itself, then what it takes from the whole program.
std::vector<InForce> settings_in_force(const UpstreamConfig& upstream);
// Of a route those that apply to what is passed through, or to what is read from what is stored.
enum class Way { Stored, Passed };
std::vector<InForce> settings_in_force(const RouteConfig& route, const Routing& routing, Way way);

}  // namespace holdfast::config
