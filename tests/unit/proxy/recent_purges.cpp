#include "proxy/recent_purges.h"

#include <doctest/doctest.h>

#include <map>
#include <string>

#include "base/random.h"

using holdfast::proxy::RecentPurges;

TEST_CASE("a purge counts for its URL, and for who began before it") {
  RecentPurges purges;
  const auto before = purges.count();
  purges.add("a");
  const auto between = purges.count();
  purges.add("b");
  CHECK(purges.since(before, "a"));
  CHECK(purges.since(before, "b"));
  CHECK_FALSE(purges.since(before, "c"));
  CHECK_FALSE(purges.since(between, "a"));
  CHECK(purges.since(between, "b"));
  CHECK_FALSE(purges.since(purges.count(), "b"));
  purges.add_all();
  CHECK(purges.since(between, "a"));
  CHECK(purges.since(before, "c"));
  CHECK_FALSE(purges.since(purges.count(), "a"));
  const auto after = purges.count();
  purges.add("a");
  CHECK(purges.since(after, "a"));
  CHECK_FALSE(purges.since(after, "b"));
}

TEST_CASE("none is missed, however many there are, and only very old marks count for all") {
  holdfast::base::Random random(1);
  RecentPurges purges;
  std::map<std::string, std::uint64_t> last;  // of each URL, the count behind its last purge
  for (std::size_t i = 0; i < 4 * RecentPurges::kMost; ++i) {
    const std::string url = std::to_string(random.below(random.below(2) ? 10 : 5000));
    purges.add(url);
    last[url] = purges.count();
    const std::string other = std::to_string(random.below(5000));
    const std::uint64_t before = purges.count() - random.below(purges.count());
    const auto found = last.find(other);
    const bool purged = found != last.end() && found->second > before;
    const bool old = purges.count() - before > RecentPurges::kMost;
    if (purges.since(before, other) != (purged || old)) FAIL_CHECK("wrong of ", other);
  }
}
