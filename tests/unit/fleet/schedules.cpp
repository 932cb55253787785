// Schedules of chance: three members of a fleet ask a node of the tier, which goes away, stands
// still, loses what it holds and cuts its journal, over links that lose and delay, while contents
// change upstream and are purged.
//
// Invariants, after every step: nobody finds as fresh what was fetched before a purge that the node
// had when it was asked, or that the asking member had been given itself. And when all is well
// again for a while: everybody has read the whole journal, nothing waits to be told, what is put is
// found.
#include <doctest/doctest.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/virtual_scheduler.h"
#include "fleet/tier.h"
#include "model_node.h"
#include "rounds.h"

using namespace holdfast;
using namespace holdfast::fleet;
using fleet::test::ModelLink;
using fleet::test::ModelNode;
using namespace std::chrono_literals;
using Outcome = Tier::Outcome;

namespace {

constexpr int kKeys = 3;

class World {
 public:
  explicit World(std::uint64_t seed) : random_(seed), node_(scheduler_) {
    for (int i = 0; i < 3; ++i) members_.push_back(std::make_unique<Member>(*this, i));
  }

  void run() {
    for (int step = 0; step < 300; ++step) {
      act();
      scheduler_.advance(
          random_.up_to(random_.below(10) == 0 ? base::Duration(3s) : base::Duration(30ms)));
    }
    node_.up = true;
    node_.stalled = false;
    for (const auto& member : members_) {
      for (const auto& link : member->links) link->delay = 1ms;
    }
    scheduler_.advance(60s);
    for (const auto& member : members_) {
      REQUIRE(member->journal->place().has_value());
      CHECK(to_string(*member->journal->place()) == to_string(*members_[0]->journal->place()));
      CHECK(member->journal->unsent().empty());
      for (int key = 0; key < kKeys; ++key) check_reuse(*member, key);
    }
  }

 private:
  struct Member {
    Member(World& world, int number) {
      for (std::uint64_t i = 0; i < 3; ++i) {
        links.push_back(
            std::make_unique<ModelLink>(world.scheduler_, world.node_, world.random_.next()));
      }
      journal.emplace(
          world.scheduler_,
          Journal::Settings{
              .writer = std::to_string(number), .kept = 20, .page = 4, .most_unsent = 6},
          *links[2], *links[1], Journal::Handler{[](const Purge&) {}, [] {}, [] {}});
      tier.emplace(world.scheduler_, Tier::Settings{},
                   std::vector<Tier::Node>{{"node", *links[0], *links[1], *journal}},
                   [](const Value& value) {
                     return PurgeIndex::Names{.route = "r",
                                              .path = value.key,
                                              .url = value.key,
                                              .tags = {std::string_view(value.tags)}};
                   });
    }
    std::vector<std::unique_ptr<ModelLink>> links;
    std::optional<Journal> journal;
    std::optional<Tier> tier;
    // The version below which it has been given a purge of a key itself.
    std::map<std::string, int> purged;
  };

  Member& someone() { return *members_[random_.below(members_.size())]; }
  std::string some_key() { return "k" + std::to_string(random_.below(kKeys)); }

  void act() {
    switch (random_.below(12)) {
      case 0:
      case 1:
      case 2:
        return fetch(someone(), some_key());
      case 3:
      case 4:
      case 5:
        return look_up(someone(), some_key());
      case 6:
        return purge(someone());
      case 7:
        return someone().links[random_.below(3)]->cut(random_.up_to(2s));
      case 8:
        someone().links[random_.below(3)]->delay = random_.up_to(15ms);
        return;
      case 9:
        node_.up = random_.below(3) != 0;
        return;
      case 10:
        node_.stalled = random_.below(3) == 0;
        return;
      default:
        if (random_.below(4) == 0) {
          node_.clock_offset = std::chrono::milliseconds(random_.below(7'200'000)) - 1h;
          random_.below(2) == 0 ? node_.lose_all() : node_.streams.clear();
        }
        return;
    }
  }

  // What is upstream now is a number that grows; the fetch takes a while and is put then.
  void fetch(Member& member, const std::string& key) {
    const int version = ++version_;
    Value value{.status = 200,
                .route = "r",
                .key = key,
                .fetched = member.tier->place_for(key),
                .tags = "t" + key,
                .body = std::to_string(version)};
    scheduler_.call_at(scheduler_.now() + random_.up_to(500ms),
                       [&member, value] { member.tier->put(value, std::chrono::hours(24)); });
  }

  void purge(Member& member) {
    const std::string key = some_key();
    Purge purge{static_cast<Purge::Kind>(random_.below(5)), random_.below(3) == 0, {}};
    switch (purge.kind) {
      case Purge::Kind::All:
        break;
      case Purge::Kind::Route:
        purge.what = "r";
        break;
      case Purge::Kind::Tag:
        purge.what = "t" + key;
        break;
      default:
        purge.what = key;
    }
    const bool everything = purge.kind == Purge::Kind::All || purge.kind == Purge::Kind::Route;
    for (int i = 0; i < kKeys; ++i) {
      const std::string one = "k" + std::to_string(i);
      if (everything || one == key) member.purged[one] = version_;
    }
    member.journal->add(purge);
  }

  // Of a key, the version below which the node has a purge.
  void look_up(Member& member, const std::string& key) {
    const int purged = member.purged[key];
    member.tier->find(key, [purged, key](const Tier::Found& found) {
      if (found.outcome != Outcome::Hit || found.stale) return;
      CHECK(found.value.key == key);
      CHECK(std::stoi(found.value.body) > purged);
    });
  }

  // With all well: what is put is found, by all; what any of them purges is found by none.
  void check_reuse(Member& member, int number) {
    const std::string key = "k" + std::to_string(number);
    fetch(member, key);
    scheduler_.advance(2s);
    const auto outcomes = [&] {
      std::vector<bool> fresh;
      for (const auto& one : members_) {
        one->tier->find(key, [&](const Tier::Found& found) {
          fresh.push_back(found.outcome == Outcome::Hit && !found.stale &&
                          found.value.body == std::to_string(version_));
        });
        scheduler_.advance(100ms);
      }
      return fresh;
    };
    CHECK(outcomes() == std::vector<bool>(3, true));
    const Value late{.status = 200,
                     .route = "r",
                     .key = key,
                     .fetched = members_[0]->tier->place_for(key),
                     .tags = "t" + key,
                     .body = std::to_string(version_)};
    member.journal->add({Purge::Kind::Tag, false, "t" + key});
    scheduler_.advance(50ms);
    CHECK(outcomes() == std::vector<bool>(3, false));
    // Nor does a late write bring it back.
    members_[0]->tier->put(late, std::chrono::hours(24));
    scheduler_.advance(1s);
    CHECK(outcomes() == std::vector<bool>(3, false));
  }

  base::VirtualScheduler scheduler_;
  base::Random random_;
  ModelNode node_;
  std::vector<std::unique_ptr<Member>> members_;
  int version_ = 0;
};

}  // namespace

TEST_CASE("whatever happens to the tier, a purge is not undone") {
  const int seeds = holdfast::test::of_rounds(300);
  for (int seed = 1; seed <= seeds; ++seed) {
    CAPTURE(seed);
    World(static_cast<std::uint64_t>(seed)).run();
  }
}
