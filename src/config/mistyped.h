// Variables of the environment whose names are nearly a setting's. Nothing can refuse them, as an
// environment is full of what is for others; but a slip of the pen must not pass in silence.
// Pure; any thread.
#pragma once

#include <string>
#include <vector>

namespace holdfast::config {

// Names the settings file.
inline constexpr const char* kFileVariable = "HOLDFAST_CONFIG";

// One sentence for each of `names`, in their order, that was most likely to be a setting. Of what
// others call their variables (PATH, APP_URL, NPM_TOKEN, READ_TIMEOUT, and what Kubernetes makes of
// a service named holdfast) it says nothing.
std::vector<std::string> mistyped_variables(const std::vector<std::string>& names);

}  // namespace holdfast::config
