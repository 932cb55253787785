#include "fleet/purge_index.h"

#include <doctest/doctest.h>

using namespace holdfast::fleet;
using Verdict = PurgeIndex::Verdict;

namespace {

const PurgeIndex::Names kValue{
    .route = "lookup", .path = "lookup/a", .url = "lookup/a?b", .tags = {"geo", "eu"}};

}  // namespace

TEST_CASE("a purge concerns what it names and was fetched before it") {
  for (const Purge& purge :
       {Purge{}, Purge{Purge::Kind::Route, false, "lookup"},
        Purge{Purge::Kind::Path, false, "lookup/a"}, Purge{Purge::Kind::Url, false, "lookup/a?b"},
        Purge{Purge::Kind::Tag, false, "eu"}}) {
    CAPTURE(to_string(purge.kind));
    PurgeIndex index;
    index.add(purge, {10, 0});
    CHECK(index.judge(kValue, {9, 7}) == Verdict::Purged);
    CHECK(index.judge(kValue, {10, 0}) == Verdict::Untouched);
    PurgeIndex::Names other{.route = "r", .path = "r/a", .url = "r/a", .tags = {"us"}};
    CHECK(index.judge(other, {9, 7}) ==
          (purge.kind == Purge::Kind::All ? Verdict::Purged : Verdict::Untouched));
  }
}

TEST_CASE("a soft purge makes stale, and does not undo a hard one") {
  PurgeIndex index;
  index.add({Purge::Kind::Tag, false, "geo"}, {10, 0});
  index.add({Purge::Kind::Tag, true, "geo"}, {20, 0});
  CHECK(index.judge(kValue, {9, 0}) == Verdict::Purged);
  CHECK(index.judge(kValue, {10, 0}) == Verdict::Stale);
  CHECK(index.judge(kValue, {20, 0}) == Verdict::Untouched);
}

TEST_CASE("what has more tags than are known may have any") {
  PurgeIndex index;
  index.add({Purge::Kind::Tag, false, "rare"}, {10, 0});
  PurgeIndex::Names many = kValue;
  CHECK(index.judge(many, {9, 0}) == Verdict::Untouched);
  many.more_tags = true;
  CHECK(index.judge(many, {9, 0}) == Verdict::Purged);
}

TEST_CASE("a purge that is not in the journal yet concerns everything, until it is") {
  PurgeIndex index;
  const Purge purge{Purge::Kind::Tag, false, "geo"};
  index.add_unsent(purge);
  index.add_unsent(purge);
  CHECK(index.judge(kValue, {99, 0}) == Verdict::Purged);
  index.remove_unsent(purge);
  CHECK(index.judge(kValue, {99, 0}) == Verdict::Purged);
  index.add(purge, {50, 0});
  index.remove_unsent(purge);
  CHECK(index.judge(kValue, {99, 0}) == Verdict::Untouched);
  CHECK(index.judge(kValue, {49, 0}) == Verdict::Purged);
  index.remove_unsent(purge);  // once too often
  CHECK(index.judge(kValue, {99, 0}) == Verdict::Untouched);
}

TEST_CASE("beyond what is remembered, what is older is to be validated") {
  PurgeIndex index(2);
  index.add({Purge::Kind::Tag, false, "geo"}, {10, 0});
  index.add({Purge::Kind::Tag, false, "other"}, {20, 0});
  index.add({Purge::Kind::Tag, false, "third"}, {30, 0});
  CHECK(index.size() == 2);
  CHECK(index.judge(kValue, {9, 0}) == Verdict::Stale);
  CHECK(index.judge(kValue, {10, 0}) == Verdict::Untouched);
  // The same one again and again takes its place once more each time.
  for (unsigned i = 0; i < 100; ++i) index.add({Purge::Kind::Tag, false, "geo"}, {40 + i, 0});
  CHECK(index.size() == 2);
  CHECK(index.judge(kValue, {138, 0}) == Verdict::Purged);
  CHECK(index.judge(kValue, {139, 0}) == Verdict::Untouched);
}

TEST_CASE("a kind is known by its word") {
  Purge::Kind kind = Purge::Kind::All;
  for (const Purge::Kind known : {Purge::Kind::All, Purge::Kind::Route, Purge::Kind::Path,
                                  Purge::Kind::Tag, Purge::Kind::Url}) {
    REQUIRE(parse_purge_kind(to_string(known), kind));
    CHECK(kind == known);
  }
  CHECK_FALSE(parse_purge_kind("", kind));
  CHECK_FALSE(parse_purge_kind("urls", kind));
}
