#include "fleet/tier.h"

#include <doctest/doctest.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/virtual_scheduler.h"
#include "model_node.h"

using namespace holdfast;
using namespace holdfast::fleet;
using fleet::test::ModelLink;
using fleet::test::ModelNode;
using namespace std::chrono_literals;
using Outcome = Tier::Outcome;

namespace {

PurgeIndex::Names names_of(const Value& value) {
  PurgeIndex::Names names{.route = value.route, .path = value.key, .url = value.key};
  if (!value.tags.empty()) names.tags.push_back(value.tags);
  return names;
}

// A member of the fleet, with three connections to each node.
struct Member {
  Member(base::VirtualScheduler& on, std::vector<std::unique_ptr<ModelNode>>& nodes,
         const std::string& writer, Tier::Settings settings = {})
      : scheduler(on) {
    std::vector<Tier::Node> parts;
    for (std::size_t i = 0; i < nodes.size(); ++i) {
      for (int link = 0; link < 3; ++link) {
        links.push_back(std::make_unique<ModelLink>(scheduler, *nodes[i], links.size()));
      }
      journals.push_back(std::make_unique<Journal>(
          scheduler, Journal::Settings{.writer = writer}, *links[3 * i + 2], *links[3 * i + 1],
          Journal::Handler{[](const Purge&) {}, [] {}, [] {}}));
      parts.push_back(
          {"node-" + std::to_string(i), *links[3 * i], *links[3 * i + 1], *journals[i]});
    }
    tier.emplace(scheduler, settings, std::move(parts), names_of);
  }

  Value value(const std::string& key, const std::string& body = "body") const {
    return {.status = 200,
            .route = "r",
            .key = key,
            .fetched = tier->place_for(key),
            .tags = "tag",
            .body = body};
  }
  Tier::Found find(const std::string& key) {
    std::optional<Tier::Found> found;
    if (!tier->find(key, [&](Tier::Found result) { found = std::move(result); })) {
      return {.outcome = Outcome::Away};
    }
    CHECK_FALSE(found.has_value());
    scheduler.advance(100ms);
    REQUIRE(found.has_value());
    return *found;
  }

  base::VirtualScheduler& scheduler;
  std::vector<std::unique_ptr<ModelLink>> links;
  std::vector<std::unique_ptr<Journal>> journals;
  std::optional<Tier> tier;
};

struct Fleet {
  explicit Fleet(std::size_t count = 1) {
    for (std::size_t i = 0; i < count; ++i) {
      nodes.push_back(std::make_unique<ModelNode>(scheduler));
    }
  }
  void pass(base::Duration by) { scheduler.advance(by); }
  ModelNode& node() { return *nodes.front(); }

  base::VirtualScheduler scheduler;
  std::vector<std::unique_ptr<ModelNode>> nodes;
};

}  // namespace

TEST_CASE("what one has put, all find, for as long as it may be used") {
  Fleet fleet;
  Member a(fleet.scheduler, fleet.nodes, "a");
  Member b(fleet.scheduler, fleet.nodes, "b");
  fleet.pass(1s);
  CHECK(b.find("k").outcome == Outcome::Miss);
  a.tier->put(a.value("k"), 60s);
  fleet.pass(1s);
  const Tier::Found found = b.find("k");
  CHECK(found.outcome == Outcome::Hit);
  CHECK(found.value.body == "body");
  CHECK_FALSE(found.stale);
  CHECK(a.tier->stats().written == 1);
  fleet.pass(60s);
  CHECK(b.find("k").outcome == Outcome::Miss);
  a.tier->put(a.value("k"), 60s);
  a.tier->erase("k");
  fleet.pass(1s);
  CHECK(b.find("k").outcome == Outcome::Miss);
}

TEST_CASE("a node that is away or stands still costs a miss, and the deadline at most") {
  Fleet fleet;
  Member a(fleet.scheduler, fleet.nodes, "a");
  fleet.pass(1s);
  fleet.node().stalled = true;
  std::optional<Tier::Found> found;
  const auto asked = fleet.scheduler.now();
  REQUIRE(a.tier->find("k", [&](Tier::Found result) { found = std::move(result); }));
  while (!found) REQUIRE(fleet.scheduler.step());
  CHECK(found->outcome == Outcome::Late);
  CHECK(fleet.scheduler.now() - asked == 20ms);
  // Nobody waits for it after that.
  CHECK(a.find("k").outcome == Outcome::Away);
  fleet.node().stalled = false;
  fleet.pass(10s);
  CHECK(a.find("k").outcome == Outcome::Miss);
  fleet.node().up = false;
  CHECK(a.find("k").outcome == Outcome::Away);
}

TEST_CASE("errors and values that are none are misses, counted by what they are") {
  Fleet fleet;
  Member a(fleet.scheduler, fleet.nodes, "a");
  fleet.pass(1s);
  fleet.node().values[a.tier->name_of("k")] = "nonsense";
  const Tier::Found refused = a.find("k");
  CHECK(refused.outcome == Outcome::Refused);
  CHECK(refused.reason == "not a value of ours");
  a.tier->put(a.value("other"), 60s);
  fleet.pass(1s);
  fleet.node().values[a.tier->name_of("k")] = fleet.node().values[a.tier->name_of("other")];
  CHECK(a.find("k").reason == "of another key");
  fleet.node().refuses = "LOADING Redis is loading the dataset in memory";
  CHECK(a.find("k").outcome == Outcome::Error);
  CHECK(a.tier->stats().errors.at("loading") == 1);
  CHECK(a.tier->stats().reads[static_cast<std::size_t>(Outcome::Refused)] == 2);
}

TEST_CASE("a purge is seen with the value, before it has reached us by itself") {
  Fleet fleet;
  Member a(fleet.scheduler, fleet.nodes, "a");
  Member b(fleet.scheduler, fleet.nodes, "b");
  fleet.pass(1s);
  a.tier->put(a.value("k"), 60s);
  fleet.pass(1s);
  REQUIRE(b.find("k").outcome == Outcome::Hit);
  // What follows the journal is slow.
  b.links[2]->delay = 300ms;
  fleet.pass(3s);
  a.journals[0]->add({Purge::Kind::Tag, false, "tag"});
  fleet.pass(3ms);
  CHECK(a.find("k").outcome == Outcome::Purged);
  CHECK(b.find("k").outcome == Outcome::Purged);
}

TEST_CASE("what was fetched before a purge does not come back by being written late") {
  Fleet fleet;
  Member a(fleet.scheduler, fleet.nodes, "a");
  Member b(fleet.scheduler, fleet.nodes, "b");
  fleet.pass(1s);
  const Value early = b.value("k", "old");
  a.journals[0]->add({Purge::Kind::Url, false, "k"});
  fleet.pass(1s);
  b.tier->put(early, 60s);
  fleet.pass(1s);
  CHECK(a.find("k").outcome == Outcome::Purged);
  CHECK(b.find("k").outcome == Outcome::Purged);
  b.tier->put(b.value("k", "new"), 60s);
  fleet.pass(1s);
  CHECK(a.find("k").value.body == "new");
}

TEST_CASE("what was marked stale is found as stale") {
  Fleet fleet;
  Member a(fleet.scheduler, fleet.nodes, "a");
  fleet.pass(1s);
  a.tier->put(a.value("k"), 60s);
  fleet.pass(1s);
  a.journals[0]->add({Purge::Kind::Route, true, "r"});
  const Tier::Found found = a.find("k");
  CHECK(found.outcome == Outcome::Hit);
  CHECK(found.stale);
}

TEST_CASE("while the journal is not read nothing is put, as nobody could tell its place") {
  Fleet fleet;
  Member a(fleet.scheduler, fleet.nodes, "a");
  CHECK(a.tier->place_for("k").empty());
  a.tier->put(a.value("k"), 60s);
  fleet.pass(1s);
  CHECK_FALSE(fleet.node().values.contains(a.tier->name_of("k")));
  CHECK(a.tier->stats().queued == 0);
}

TEST_CASE("writes wait for a node that is away, bounded, and the oldest are dropped") {
  Fleet fleet;
  Member a(fleet.scheduler, fleet.nodes, "a", {.most_queued = 10, .most_queued_bytes = 100'000});
  fleet.pass(1s);
  const Value value = a.value("k");
  fleet.node().up = false;
  for (int i = 0; i < 30; ++i) {
    Value one = value;
    one.key = std::to_string(i);
    a.tier->put(one, 60s);
  }
  CHECK(a.tier->stats().queued == 10);
  CHECK(a.tier->stats().dropped == 20);
  Value large = value;
  base::Random random(1);
  for (int i = 0; i < 99'000; ++i) large.body.push_back(static_cast<char>(random.below(256)));
  a.tier->put(large, 60s);
  CHECK(a.tier->stats().queued <= 10);
  CHECK(a.tier->stats().queued_bytes <= 100'000);
  fleet.node().up = true;
  fleet.pass(2s);
  CHECK(a.tier->stats().queued == 0);
  CHECK(fleet.node().values.contains(a.tier->name_of("29")));
  CHECK(fleet.node().values.contains(a.tier->name_of("k")));
}

TEST_CASE("keys are spread over the nodes, and one that is away costs its own alone") {
  Fleet fleet(3);
  Member a(fleet.scheduler, fleet.nodes, "a");
  fleet.pass(1s);
  std::map<std::size_t, int> keys;
  for (int i = 0; i < 300; ++i) {
    const std::string key = std::to_string(i);
    ++keys[a.tier->node_of(key)];
    a.tier->put(a.value(key), 60s);
    fleet.pass(5ms);
  }
  fleet.pass(1s);
  fleet.nodes[1]->up = false;
  int away = 0;
  for (int i = 0; i < 300; ++i) {
    const std::string key = std::to_string(i);
    const Outcome outcome = a.find(key).outcome;
    CHECK(outcome == (a.tier->node_of(key) == 1 ? Outcome::Away : Outcome::Hit));
    away += outcome == Outcome::Away ? 1 : 0;
  }
  for (const auto& [node, count] : keys) CHECK(count > 60);
  CHECK(away == keys[1]);
}

TEST_CASE("the name of a key tells nothing of it, and with a secret it is the fleet's own") {
  Fleet fleet;
  Member a(fleet.scheduler, fleet.nodes, "a");
  Tier::Settings with_secret;
  with_secret.format.secret = "secret";
  Member b(fleet.scheduler, fleet.nodes, "b", with_secret);
  const std::string name = a.tier->name_of("lookup/192.0.2.7");
  CHECK(name.starts_with("holdfast:"));
  CHECK(name.size() == 9 + 32);
  CHECK(name.find("192") == std::string::npos);
  CHECK(b.tier->name_of("lookup/192.0.2.7") != name);
}
