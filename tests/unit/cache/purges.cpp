#include "cache/purges.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/random.h"
#include "cache/freshness.h"
#include "cache/memory_cache.h"

namespace holdfast::cache {
namespace {

using namespace std::chrono_literals;
using Kind = Purge::Kind;
using Verdict = Purges::Verdict;

const base::WallTime kNow = std::chrono::sys_days{std::chrono::year{2026} / 6 / 1};

StoredPtr asked(const Purges& purges, std::string tags = {}) {
  return make_stored({.body = "x",
                      .response_time = kNow,
                      .freshness_lifetime = 1h,
                      .stale_while_revalidate = 1h,
                      .tags = std::move(tags),
                      .seen = purges.latest()});
}

TEST_CASE("a purge takes what was asked for before it, and nothing that was asked for later") {
  Purges purges;
  const std::string key = "shop~0a1b2c3d/a/b?q=1 accept-language=de";
  struct Case {
    Kind kind;
    const char* what;
    bool concerns;
  };
  for (const Case& purge :
       {Case{Kind::All, "", true}, Case{Kind::Route, "shop", true}, Case{Kind::Route, "sho", false},
        Case{Kind::Route, "shop~0a1b2c3d", false}, Case{Kind::Path, "shop/a/b", true},
        Case{Kind::Path, "shop/a", false}, Case{Kind::Tag, "one", true},
        Case{Kind::Tag, "two words", true}, Case{Kind::Tag, "two", false},
        Case{Kind::Tag, "One", false}, Case{Kind::Tag, "shop", false}}) {
    for (const bool soft : {false, true}) {
      CAPTURE(purge.what);
      CAPTURE(soft);
      const StoredPtr before = asked(purges, "one\ntwo words");
      purges.add(purge.kind, soft, purge.what, kNow);
      const StoredPtr after = asked(purges, "one\ntwo words");
      CHECK(purges.judge(key, *before) == (!purge.concerns ? Verdict::Untouched
                                           : soft          ? Verdict::Stale
                                                           : Verdict::Purged));
      CHECK(purges.judge(key, *after) == Verdict::Untouched);
    }
  }
}

TEST_CASE(
    "keys of the built-in route, with neither a fingerprint nor a query, have route and path") {
  CHECK(route_of("lookup/8.8.8.8") == "lookup");
  CHECK(path_of("lookup/8.8.8.8") == "lookup/8.8.8.8");
  CHECK(route_of("a~12345678/x~y/z") == "a");
  CHECK(path_of("a~12345678/x host=b") == "a/x");
  CHECK(path_of("a~87654321/x?y") == "a/x");
  CHECK(path_of("a~12345678/x~y/z") == "a/x~y/z");
}

TEST_CASE("what has more tags than are kept is taken by a purge of any tag, and by no other") {
  Purges purges;
  const StoredPtr more = asked(purges, "\none");
  const StoredPtr none = asked(purges, "\n");
  CHECK(has_more_tags(more->tags));
  purges.add(Kind::Route, false, "other", kNow);
  CHECK_FALSE(purges.purged("r/k", *more));
  purges.add(Kind::Tag, false, "unheard-of", kNow);
  CHECK(purges.purged("r/k", *more));
  CHECK(purges.purged("r/k", *none));
}

TEST_CASE("what is marked stale has a stale response's windows from then on") {
  Purges purges;
  const StoredPtr stored = asked(purges);
  CHECK(freshness(*stored, kNow + 10min).use == Use::Fresh);
  purges.add(Kind::Route, true, "r", kNow + 10min);
  REQUIRE(purges.judge("r/k", *stored) == Verdict::Stale);
  const Freshness after = freshness(*stored, kNow + 10min);
  CHECK(after.use == Use::StaleWhileRevalidate);
  CHECK(after.age == 10min);
  CHECK(after.ttl == 0s);
  CHECK(freshness(*stored, kNow + 69min).use == Use::StaleWhileRevalidate);
  CHECK(freshness(*stored, kNow + 70min).use == Use::Unusable);
  // A second time says nothing new; a purge does.
  purges.add(Kind::Route, true, "r", kNow + 30min);
  CHECK(purges.judge("r/k", *stored) == Verdict::Stale);
  CHECK(freshness(*stored, kNow + 30min).ttl == -20min);
  purges.add(Kind::Route, false, "r", kNow + 30min);
  CHECK(purges.judge("r/k", *stored) == Verdict::Purged);
  // A clock that stepped back makes it no fresher.
  const StoredPtr ahead = asked(purges);
  purges.add(Kind::All, true, "", kNow - 1h);
  REQUIRE(purges.judge("r/k", *ahead) == Verdict::Stale);
  CHECK(freshness(*ahead, kNow - 1h).use == Use::StaleWhileRevalidate);
}

TEST_CASE("more purges than are remembered take too much, never too little") {
  Purges purges(3);
  const StoredPtr untagged = asked(purges);
  purges.add(Kind::Tag, true, "s", kNow);
  purges.add(Kind::Tag, false, "a", kNow);
  const StoredPtr between = asked(purges);
  for (const char* tag : {"b", "c", "d"}) purges.add(Kind::Tag, false, tag, kNow);
  CHECK(purges.size() == 3);
  CHECK(purges.purged("r/k", *untagged));
  CHECK(purges.purged("r/k", *between));  // which none of them named
  CHECK_FALSE(purges.purged("r/k", 3, "other"));
  CHECK(purges.purged("r/k", 4, "d"));
  CHECK_FALSE(purges.purged("r/k", 5, "d"));
  // The same again and again is one.
  Purges few(3);
  for (int i = 0; i < 100; ++i) few.add(Kind::Tag, false, "a", kNow);
  CHECK(few.size() == 1);
  CHECK_FALSE(few.purged("r/k", 0, "b"));
}

TEST_CASE("what a file holds is older than what was purged without it") {
  Purges file;
  file.add(Kind::Tag, false, "both", kNow);
  file.add(Kind::Tag, false, "theirs", kNow);
  Purges purges;
  purges.add(Kind::Tag, false, "both", kNow);
  const StoredPtr ours = asked(purges, "both");
  const std::uint64_t numbering = purges.numbering();
  CHECK(purges.take_over(file.since(0)) == 2);
  CHECK(purges.numbering() != numbering);
  CHECK(purges.latest() == 3);
  // A row of that file has seen all of its purges, and none of ours.
  CHECK(purges.purged("r/k", 2, "both"));
  CHECK_FALSE(purges.purged("r/k", 2, "theirs"));
  CHECK(purges.purged("r/k", 1, "theirs"));
  // Ours of before count as older than all.
  CHECK(purges.purged("r/k", *ours));
  CHECK(purges.since(2).size() == 1);
  CHECK(purges.take_over({}) == 0);
}

// What the generations stand for: each purge against each response.
class PurgeModel {
 public:
  struct Stored {
    std::string key;
    std::vector<std::string> tags;
    bool more = false;
    std::size_t purges_before = 0;
  };
  void purge(const Purge& purge) { purges_.push_back(purge); }
  Stored ask(std::string key, std::vector<std::string> tags, bool more) const {
    return {std::move(key), std::move(tags), more, purges_.size()};
  }
  Verdict judge(const Stored& stored) const {
    Verdict verdict = Verdict::Untouched;
    for (std::size_t i = stored.purges_before; i < purges_.size(); ++i) {
      if (!concerns(purges_[i], stored)) continue;
      if (!purges_[i].soft) return Verdict::Purged;
      verdict = Verdict::Stale;
    }
    return verdict;
  }

 private:
  static bool concerns(const Purge& purge, const Stored& stored) {
    switch (purge.kind) {
      case Kind::All:
        return true;
      case Kind::Route:
        return stored.key.starts_with(purge.what + "/") || stored.key.starts_with(purge.what + "~");
      case Kind::Path:
        return path_of(stored.key) == purge.what;
      case Kind::Tag:
        break;
    }
    return stored.more ||
           std::find(stored.tags.begin(), stored.tags.end(), purge.what) != stored.tags.end();
  }
  std::vector<Purge> purges_;
};

TEST_CASE("whatever is put, purged and looked up in whatever order, memory says what was purged") {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    CAPTURE(seed);
    base::Random random(seed);
    const auto below = [&random](std::size_t most) {
      return static_cast<std::size_t>(random.uniform() * static_cast<double>(most));
    };
    // Every other time with so few that they are merged: then nothing may be left that the model
    // has purged, but more may be gone.
    const bool exact = seed % 2 == 0;
    MemoryCache memory({.purges = exact ? Purges::kMost : 4});
    Purges& purges = memory.purges();
    PurgeModel model;
    std::map<std::string, PurgeModel::Stored> there;
    struct Flying {
      PurgeModel::Stored stored;
      std::uint64_t seen;
    };
    std::vector<Flying> flying;
    const auto tag = [&] { return std::string(1, static_cast<char>('a' + below(6))); };
    const auto path = [&] {
      return std::string(below(2) ? "one" : "two~12345678") + "/" + std::to_string(below(4));
    };
    for (int step = 0; step < 400; ++step) {
      const std::size_t what = below(10);
      if (what < 3) {
        // Asked now, stored some time later.
        std::vector<std::string> tags;
        for (std::size_t i = below(3); i > 0; --i) tags.push_back(tag());
        const std::string key = path() + (below(2) ? "?q=" + std::to_string(below(2)) : "");
        flying.push_back({model.ask(key, tags, below(12) == 0), purges.latest()});
      } else if (what < 6 && !flying.empty()) {
        const std::size_t at = below(flying.size());
        Flying landed = flying[at];
        flying.erase(flying.begin() + static_cast<std::ptrdiff_t>(at));
        std::string tags = landed.stored.more ? "\n" : "";
        for (std::size_t i = 0; i < landed.stored.tags.size(); ++i) {
          tags += (i > 0 ? "\n" : "") + landed.stored.tags[i];
        }
        memory.put(landed.stored.key, make_stored({.response_time = kNow,
                                                   .freshness_lifetime = 1h,
                                                   .tags = tags,
                                                   .seen = landed.seen}));
        there.insert_or_assign(landed.stored.key, landed.stored);
      } else if (what < 7) {
        const auto kind = static_cast<Kind>(below(16) == 0 ? 0 : 1 + below(3));
        const std::string name = kind == Kind::Route  ? (below(2) ? "one" : "two")
                                 : kind == Kind::Path ? path_of(path())
                                 : kind == Kind::Tag  ? tag()
                                                      : "";
        const bool soft = below(2) == 0;
        purges.add(kind, soft, name, kNow);
        model.purge({kind, soft, name, 0, kNow});
      }
      if (there.empty()) continue;
      const auto& [key, expected] =
          *std::next(there.begin(), static_cast<std::ptrdiff_t>(below(there.size())));
      const StoredPtr found = memory.find(key);
      const Verdict verdict = model.judge(expected);
      if (verdict == Verdict::Purged) {
        CHECK(found == nullptr);
      } else if (exact) {
        REQUIRE(found != nullptr);
        CHECK((freshness(*found, kNow).use == Use::Fresh) == (verdict == Verdict::Untouched));
      } else if (found && verdict == Verdict::Stale) {
        CHECK(freshness(*found, kNow).use != Use::Fresh);
      }
    }
  }
}

}  // namespace
}  // namespace holdfast::cache
