#include "api.h"

#include <algorithm>

#include "chance.h"
#include "text.h"

namespace holdfast::flaky {

const std::vector<std::string>& api_names() {
  static const std::vector<std::string> names{"weather", "registry", "search"};
  return names;
}

base::Result<std::unique_ptr<Api>> make_api(std::string_view name) {
  if (name == "weather") return make_weather_api();
  if (name == "registry") return make_registry_api();
  if (name == "search") return make_search_api();
  std::string known;
  for (const std::string& each : api_names()) known += " " + each;
  return base::invalid_input("\"" + std::string(name) + "\" is none of" + known);
}

void append_raw_member(std::string& object, std::string_view name, std::string_view json) {
  if (object.empty()) {
    object = "{";
  } else {
    object.back() = ',';  // the brace that ends it
  }
  append_json_string(object, name);
  object.append(":").append(json).append("}");
}

void append_member(std::string& object, std::string_view name, std::string_view text) {
  std::string json;
  append_json_string(json, text);
  append_raw_member(object, name, json);
}

std::uint64_t number_of(std::string_view text, std::uint64_t edition) {
  return Chance(edition, fnv1a(text), 0).next();
}

}  // namespace holdfast::flaky
