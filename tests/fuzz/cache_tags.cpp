// What an upstream may write into Cache-Tag, Surrogate-Key and Cache-Groups. Lines: "t ", "s " or
// "g " and the value of a line of that field.
//
// Promises: what is kept is within the bounds, each tag once, and reads back from its text; what is
// not kept is counted, and then the answer says that it has more; a list of strings that is written
// from what was read says the same again.
#include "proxy/cache_tags.h"

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "cache/stored_response.h"
#include "require.h"

using namespace holdfast;
using namespace holdfast::proxy;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 16'384) return 0;
  std::string_view input(reinterpret_cast<const char*>(data), size);
  upstream::Fields fields;
  while (!input.empty()) {
    const std::string_view line = input.substr(0, input.find('\n'));
    input.remove_prefix(std::min(input.size(), line.size() + 1));
    if (line.size() < 2 || line[1] != ' ') continue;
    const char* const name = line[0] == 't'   ? "Cache-Tag"
                             : line[0] == 's' ? "Surrogate-Key"
                             : line[0] == 'g' ? "Cache-Groups"
                                              : nullptr;
    if (name != nullptr) fields.push_back({name, std::string(line.substr(2))});
  }
  CacheTags tags = cache_tags_of(fields, {});
  const std::size_t left_out = tags.left_out();
  const std::string text = tags.take();
  REQUIRE_HOLDS(cache::has_more_tags(text) == (left_out > 0));
  std::vector<std::string> kept;
  cache::for_each_tag(text, [&](std::string_view tag) {
    REQUIRE_HOLDS(cache::is_kept_tag(tag));
    REQUIRE_HOLDS(std::find(kept.begin(), kept.end(), tag) == kept.end());
    kept.emplace_back(tag);
  });
  REQUIRE_HOLDS(kept.size() <= cache::kMostTags);
  REQUIRE_HOLDS(!kept.empty() || left_out > 0 || text.empty());
  std::string list;
  std::string joined = left_out > 0 ? "\n" : "";
  for (const std::string& tag : kept) {
    list += list.empty() ? "\"" : ", \"";
    for (const char c : tag) {
      if (c == '"' || c == '\\') list += '\\';
      list += c;
    }
    list += '"';
    joined += (joined.size() > (left_out > 0 ? 1U : 0U) ? "\n" : "") + tag;
  }
  REQUIRE_HOLDS(joined == text);
  CacheTags again;
  again.add_cache_groups(list);
  REQUIRE_HOLDS(again.left_out() == 0);
  REQUIRE_HOLDS(again.take() == text.substr(left_out > 0 ? 1 : 0));
  return 0;
}
