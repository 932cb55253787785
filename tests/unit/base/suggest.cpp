#include "base/suggest.h"

#include <doctest/doctest.h>

using namespace holdfast::base;

TEST_CASE("a misspelt name finds its neighbour, another word finds none") {
  const std::vector<std::string> names = {"cache_ttl", "negative_ttl", "port", "stale_if_error"};
  CHECK(nearest("cahce_ttl", names) == "cache_ttl");
  CHECK(nearest("CACHE-TTL", names) == "cache_ttl");
  CHECK(nearest("cachettl", names) == "cache_ttl");
  CHECK(nearest("--prot", names) == "port");
  CHECK(nearest("stale_on_error", names) == "stale_if_error");
  CHECK(nearest("colour", names).empty());
  CHECK(nearest("x", names).empty());
  CHECK(nearest("", names).empty());
  CHECK(nearest("---", names).empty());
  CHECK(nearest(std::string(100000, 'c'), names).empty());
}

TEST_CASE("two neighbours that are swapped are one edit") {
  CHECK(edits("token", "token") == 0);
  CHECK(edits("tokne", "token") == 1);
  CHECK(edits("toke", "token") == 1);
  CHECK(edits("tokens", "token") == 1);
  CHECK(edits("taken", "token") == 1);
  CHECK(edits("url", "ttl") == 2);
  CHECK(edits("", "url") == 3);
}
