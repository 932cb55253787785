// What clients may write behind the "?" of a path. The first line is the rule: "all", "none",
// "keep a b*" or "ignore a", with "sort " before it or not; then the query.
//
// Promises: the form is what the plainest reading of the rules makes, holds nothing that does not
// belong into a query, is its own form, and what is refused leaves nothing behind. A wrong rule has
// a reason.
#include "proxy/query_rules.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "../unit/proxy/naive_query.h"
#include "require.h"

using namespace holdfast::proxy;

namespace {

std::string_view take_until(std::string_view& text, char end) {
  const std::string_view taken = text.substr(0, text.find(end));
  text.remove_prefix(std::min(text.size(), taken.size() + 1));
  return taken;
}

QuerySettings settings_of(std::string_view line) {
  QuerySettings settings;
  std::string_view word = take_until(line, ' ');
  if (word == "sort") {
    settings.sort = true;
    word = take_until(line, ' ');
  }
  using Which = QuerySettings::Which;
  settings.which = word == "none"     ? Which::None
                   : word == "keep"   ? Which::Keep
                   : word == "ignore" ? Which::Ignore
                                      : Which::All;
  while (!line.empty()) settings.names.emplace_back(take_until(line, ' '));
  return settings;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 4'096) return 0;
  std::string_view query(reinterpret_cast<const char*>(data), size);
  const QuerySettings settings = settings_of(take_until(query, '\n'));
  const auto rules = QueryRules::parse(settings);
  if (!rules) {
    REQUIRE_HOLDS(!rules.error().message.empty());
    return 0;
  }
  std::string form = "before";
  const char* const objection = rules->append(query, form);
  const std::optional<std::string> naive = test::naive_query(settings, query);
  REQUIRE_HOLDS((objection != nullptr) == !naive.has_value());
  REQUIRE_HOLDS(form.starts_with("before"));
  form.erase(0, 6);
  if (objection != nullptr) {
    REQUIRE_HOLDS(form.empty() && *objection != '\0');
    return 0;
  }
  REQUIRE_HOLDS(form == *naive);
  REQUIRE_HOLDS(form.empty() || form[0] == '?');
  for (const char c : form) {
    REQUIRE_HOLDS(c > 0x20 && c < 0x7f &&
                  std::string_view("\"#<>[\\]^`{|}").find(c) == std::string_view::npos);
  }
  if (form.empty()) return 0;
  std::string again;
  REQUIRE_HOLDS(rules->append(std::string_view(form).substr(1), again) == nullptr);
  REQUIRE_HOLDS(again == form);
  return 0;
}
