// The manual, holdfast.toml(5), has every key of a section, and no other.
#include <doctest/doctest.h>

#include <cstdlib>
#include <fstream>
#include <set>
#include <string>

#include "config/section_reader.h"
#include "config/setting_table.h"

using namespace holdfast::config;

namespace {

// The words between backquotes in the first cells of the table below "<!-- keys of WHAT -->".
std::set<std::string> keys_in_page(const std::string& what) {
  const char* const path = std::getenv("PAGE");
  REQUIRE(path != nullptr);
  std::ifstream page(path);
  std::string line;
  while (std::getline(page, line) && line != "<!-- keys of " + what + " -->") {
  }
  std::set<std::string> keys;
  while (std::getline(page, line) && line != "<!-- end -->") {
    if (!line.starts_with("| `")) continue;
    line.resize(line.find(" | "));
    for (std::size_t at = 0; (at = line.find('`', at)) != std::string::npos;) {
      const std::size_t end = line.find('`', ++at);
      const std::string key = line.substr(at, end - at);
      INFO(key << " is there twice");
      CHECK(keys.insert(key).second);
      at = end + 1;
    }
  }
  return keys;
}

std::set<std::string> with_settings(const std::vector<std::string>& own, Scope scope) {
  std::set<std::string> keys(own.begin(), own.end());
  for (const Setting& setting : setting_table()) {
    if (setting.scope() == scope) keys.emplace(setting.key);
  }
  return keys;
}

void check_same(const std::set<std::string>& in_page, const std::set<std::string>& in_program) {
  for (const std::string& key : in_program) {
    INFO(key << " is not in the manual");
    CHECK(in_page.contains(key));
  }
  for (const std::string& key : in_page) {
    INFO(key << " is in the manual alone");
    CHECK(in_program.contains(key));
  }
}

}  // namespace

TEST_CASE("the manual has the keys of an upstream") {
  check_same(keys_in_page("upstreams"), with_settings(keys_of_upstreams(), Scope::Upstream));
}

TEST_CASE("the manual has the keys of a route, and of what it asks of an answer") {
  check_same(keys_in_page("routes"), with_settings(keys_of_routes(), Scope::Route));
  const std::vector<std::string> rules = keys_of_validate();
  check_same(keys_in_page("validate"), {rules.begin(), rules.end()});
}
