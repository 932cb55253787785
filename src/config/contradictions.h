// Settings that are each valid but make no sense together. Pure; any thread.
#pragma once

#include <string>
#include <vector>

#include "config/settings.h"

namespace holdfast::config {

// One sentence each, naming the settings; no secrets.
std::vector<std::string> contradictions(const Settings& settings);

}  // namespace holdfast::config
