// Lists of addresses and paths, which people and scripts write, and sitemaps. Promises: whatever
// the bytes and however they arrive, the limit holds, nothing is kept twice, each address is a key
// of the daemon's, each path what it makes of it, and a list of what was read is read the same.
#include "request_list.h"

#include <algorithm>
#include <cstdint>
#include <sstream>
#include <string>
#include <vector>

#include "proxy/ip_address.h"
#include "require.h"

using namespace holdfast;
using namespace holdfast::warm;

namespace {

constexpr std::size_t kMost = 600;

RequestList new_list(const Pattern& pattern) {
  return {kMost, pattern, Site("http://127.0.0.1:3000", "example.com")};
}

std::vector<std::string> targets(const RequestList& list) {
  std::vector<std::string> all;
  for (std::size_t i = 0; i < list.size(); ++i) all.push_back(list.target(i));
  return all;
}

void check(const std::string& text, const Pattern& pattern) {
  std::istringstream in(text);
  RequestList list = new_list(pattern);
  const bool ok = list.read(in, "input");
  REQUIRE_HOLDS(ok != list.too_many());
  REQUIRE_HOLDS(list.size() <= kMost);
  REQUIRE_HOLDS(list.problems().size() <= list.problem_count());
  REQUIRE_HOLDS(ok || !list.problems().empty());

  std::string written;
  for (std::size_t i = 0; i < list.size(); ++i) {
    const std::string name = list.name(i);
    if (list.is_address(i)) {
      const auto key = proxy::canonical_ip(name);
      REQUIRE_HOLDS(key && key->view() == name);
    } else {
      const auto same = canonical_target(name);
      REQUIRE_HOLDS(same && *same == name);
    }
    written += name + "\n";
  }
  auto sorted = targets(list);
  std::sort(sorted.begin(), sorted.end());
  // A path may be that of an address too.
  REQUIRE_HOLDS(list.paths() > 0 ||
                std::adjacent_find(sorted.begin(), sorted.end()) == sorted.end());

  std::istringstream again(written);
  RequestList same = new_list(pattern);
  REQUIRE_HOLDS(same.read(again, "again"));
  REQUIRE_HOLDS(targets(same) == targets(list));
  REQUIRE_HOLDS(same.duplicates() == 0 && same.problem_count() == 0);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 65536) return 0;
  const std::string text(reinterpret_cast<const char*>(data), size);
  check(text, {});
  check(text, *Pattern::parse("/v1/users/{}?x=1"));
  return 0;
}
