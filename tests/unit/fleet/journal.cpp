#include "fleet/journal.h"

#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <vector>

#include "base/virtual_scheduler.h"
#include "model_node.h"

using namespace holdfast;
using namespace holdfast::fleet;
using fleet::test::ModelLink;
using fleet::test::ModelNode;
using namespace std::chrono_literals;
using Verdict = PurgeIndex::Verdict;

namespace {

const Purge kGeo{Purge::Kind::Tag, false, "geo"};

struct Reader {
  Reader(base::VirtualScheduler& scheduler, ModelNode& of, std::string writer,
         std::optional<Journal::Place> remembered = {}, std::vector<Purge> unsent = {},
         Journal::Settings settings = {})
      : node(of), follows(scheduler, node, 1), writes(scheduler, node, 2) {
    settings.writer = std::move(writer);
    journal.emplace(scheduler, settings, follows, writes,
                    Journal::Handler{[this](const Purge& purge) { heard.push_back(purge.what); },
                                     [this] { ++gaps; }, [] {}},
                    std::move(remembered), std::move(unsent));
  }

  // Of something whose fetch began there, read from the node now.
  Verdict judge(const Journal::Place& fetched, const std::string& tag = "geo") {
    return journal->judge({.route = "r", .path = "r/a", .url = "r/a", .tags = {tag}}, fetched,
                          node.run(journal->epoch_command()).value(),
                          node.run(journal->last_command()).value());
  }
  Journal::Place place() const {
    REQUIRE(journal->place().has_value());
    return *journal->place();
  }

  ModelNode& node;
  ModelLink follows;
  ModelLink writes;
  std::vector<std::string> heard;
  int gaps = 0;
  std::optional<Journal> journal;
};

struct OneNode {
  base::VirtualScheduler scheduler;
  ModelNode node{scheduler};
  void pass(base::Duration by) { scheduler.advance(by); }
};

}  // namespace

TEST_CASE("a purge reaches everybody, and who purged hears nothing new") {
  OneNode fleet;
  Reader a(fleet.scheduler, fleet.node, "a");
  Reader b(fleet.scheduler, fleet.node, "b");
  fleet.pass(1s);
  const Journal::Place before = b.place();
  a.journal->add(kGeo);
  CHECK(a.judge(before) == Verdict::Purged);
  fleet.pass(50ms);
  CHECK(b.heard == std::vector<std::string>{"geo"});
  CHECK(a.heard.empty());
  CHECK(a.judge(before) == Verdict::Purged);
  CHECK(b.judge(before) == Verdict::Purged);
  CHECK(a.judge(a.place()) == Verdict::Untouched);
  CHECK(b.judge(b.place()) == Verdict::Untouched);
  CHECK(a.journal->unsent().empty());
  CHECK(a.gaps + b.gaps == 0);
}

TEST_CASE("while the node is away a purge counts here, and is told when it is back") {
  OneNode fleet;
  Reader a(fleet.scheduler, fleet.node, "a");
  Reader b(fleet.scheduler, fleet.node, "b");
  fleet.pass(1s);
  const Journal::Place before = b.place();
  fleet.node.up = false;
  fleet.pass(1s);
  a.journal->add(kGeo);
  fleet.pass(10s);
  CHECK(a.judge(before) == Verdict::Purged);
  CHECK(a.journal->unsent() == std::vector<Purge>{kGeo});
  CHECK_FALSE(a.journal->place().has_value());
  fleet.node.up = true;
  fleet.pass(1s);
  CHECK(b.heard == std::vector<std::string>{"geo"});
  CHECK(a.journal->unsent().empty());
  CHECK(a.gaps + b.gaps == 0);
}

TEST_CASE(
    "who was not there hears of it from where it had read, and what it had not told it tells") {
  OneNode fleet;
  std::optional<Journal::Place> remembered;
  {
    Reader a(fleet.scheduler, fleet.node, "a");
    fleet.pass(1s);
    remembered = a.place();
    fleet.pass(1s);
    // Timers of what is gone must not run: it is cut off first.
    a.follows.cut(1h);
    a.writes.cut(1h);
    a.journal.reset();
    fleet.scheduler.run_ready();
  }
  OneNode later;
  later.node.streams = fleet.node.streams;
  later.node.values = fleet.node.values;
  Reader b(later.scheduler, later.node, "b");
  later.pass(1s);
  b.journal->add(kGeo);
  later.pass(1s);
  Reader a(later.scheduler, later.node, "a2", remembered, {{Purge::Kind::Url, false, "r/b"}});
  CHECK(a.journal->unsent().size() == 1);
  later.pass(1s);
  CHECK(a.heard == std::vector<std::string>{"geo"});
  CHECK(a.gaps == 0);
  CHECK(a.judge(*remembered) == Verdict::Purged);
  CHECK(b.heard == std::vector<std::string>{"r/b"});
}

TEST_CASE("who is new to the fleet judges by all that the journal has") {
  OneNode fleet;
  Reader a(fleet.scheduler, fleet.node, "a");
  fleet.pass(1s);
  const Journal::Place before = a.place();
  for (int i = 0; i < 30; ++i) a.journal->add({Purge::Kind::Tag, false, "t" + std::to_string(i)});
  a.journal->add(kGeo);
  fleet.pass(1s);
  Reader b(fleet.scheduler, fleet.node, "b", {}, {}, {.page = 7});
  fleet.pass(1s);
  CHECK(to_string(b.place()) == to_string(a.place()));
  CHECK(b.heard.size() == 31);
  CHECK(b.gaps == 0);
  CHECK(b.judge(before) == Verdict::Purged);
  // What is older than the journal it cannot judge.
  CHECK(b.judge({before.epoch, {1, 0}}, "none") == Verdict::Stale);
  CHECK(b.judge({"another", b.place().position}, "none") == Verdict::Stale);
}

TEST_CASE("a journal that was cut further than it was read is a gap: what is older is validated") {
  OneNode fleet;
  Reader a(fleet.scheduler, fleet.node, "a");
  Reader b(fleet.scheduler, fleet.node, "b");
  fleet.pass(1s);
  const Journal::Place before = b.place();
  b.follows.cut(10s);
  fleet.node.kept = 3;
  for (int i = 0; i < 9; ++i) a.journal->add({Purge::Kind::Tag, false, "t" + std::to_string(i)});
  fleet.pass(1s);
  CHECK(b.heard.empty());
  fleet.pass(20s);
  CHECK(b.gaps == 1);
  CHECK(b.judge(before) == Verdict::Stale);
  CHECK(b.judge(b.place()) == Verdict::Untouched);
  // What is still there it hears.
  CHECK(std::find(b.heard.begin(), b.heard.end(), "t8") != b.heard.end());
  CHECK(a.gaps == 0);
}

TEST_CASE("a journal that is lost is a gap, also when the node's clock is set back") {
  for (const auto offset : {0ms, -3'600'000ms}) {
    CAPTURE(offset.count());
    OneNode fleet;
    Reader a(fleet.scheduler, fleet.node, "a");
    Reader b(fleet.scheduler, fleet.node, "b");
    fleet.pass(1s);
    const Journal::Place before = b.place();
    fleet.node.up = false;
    fleet.pass(1s);
    fleet.node.lose_all();
    fleet.node.clock_offset = offset;
    fleet.node.up = true;
    fleet.pass(20s);
    CHECK(a.gaps >= 1);
    CHECK(b.gaps >= 1);
    CHECK(b.judge(before) == Verdict::Stale);
    CHECK(a.judge(before) == Verdict::Stale);
    CHECK(b.judge(b.place()) == Verdict::Untouched);
    const Journal::Place after = b.place();
    a.journal->add(kGeo);
    fleet.pass(1s);
    CHECK(b.judge(after) == Verdict::Purged);
  }
}

TEST_CASE("a journal that was evicted, alone or with what points to it, begins anew for all") {
  for (const bool both : {false, true}) {
    CAPTURE(both);
    OneNode fleet;
    Reader a(fleet.scheduler, fleet.node, "a");
    Reader b(fleet.scheduler, fleet.node, "b");
    fleet.pass(1s);
    const Journal::Place before = a.place();
    fleet.node.streams.clear();
    if (both) fleet.node.values.clear();
    // Who asks sees it at once.
    CHECK(b.judge(before) == Verdict::Purged);
    a.journal->add(kGeo);
    fleet.pass(5s);
    CHECK(a.place().epoch != before.epoch);
    CHECK(to_string(a.place()) == to_string(b.place()));
    CHECK(a.gaps == 1);
    CHECK(b.gaps == 1);
    CHECK(b.judge(before, "none") == Verdict::Stale);
    CHECK(b.judge(before) == Verdict::Purged);
    CHECK(b.heard == std::vector<std::string>{"geo"});
  }
}

TEST_CASE("what the node has and we have not read yet may be of anything") {
  OneNode fleet;
  Reader a(fleet.scheduler, fleet.node, "a");
  Reader b(fleet.scheduler, fleet.node, "b");
  fleet.pass(1s);
  const Journal::Place before = b.place();
  CHECK(b.judge(before) == Verdict::Untouched);
  b.follows.cut(1h);
  a.journal->add({Purge::Kind::Tag, false, "other"});
  fleet.pass(20ms);
  CHECK(a.judge(before) == Verdict::Untouched);
  CHECK(b.judge(before) == Verdict::Purged);
}

TEST_CASE("a node that refuses the journal is asked again, and nothing is fetched for it") {
  OneNode fleet;
  fleet.node.refuses = "NOPERM this user has no permissions";
  Reader a(fleet.scheduler, fleet.node, "a");
  fleet.pass(1s);
  CHECK_FALSE(a.journal->place().has_value());
  a.journal->add(kGeo);
  const std::size_t calls = a.follows.calls + a.writes.calls;
  fleet.pass(10s);
  CHECK(a.follows.calls + a.writes.calls - calls < 250);
  CHECK(a.journal->unsent().size() == 1);
  fleet.node.refuses.reset();
  fleet.pass(1s);
  CHECK(a.journal->place().has_value());
  CHECK(a.journal->unsent().empty());
}

TEST_CASE("what is too much to be told one by one is told as one of everything") {
  OneNode fleet;
  Reader a(fleet.scheduler, fleet.node, "a", {}, {}, {.most_unsent = 5});
  Reader b(fleet.scheduler, fleet.node, "b");
  fleet.pass(1s);
  const Journal::Place before = b.place();
  fleet.node.up = false;
  for (int i = 0; i < 9; ++i) a.journal->add({Purge::Kind::Tag, false, "t" + std::to_string(i)});
  CHECK(a.journal->unsent().size() <= 5);
  CHECK(a.judge(before) == Verdict::Purged);
  fleet.node.up = true;
  fleet.pass(5s);
  CHECK(b.judge(before) == Verdict::Purged);
  CHECK(a.judge(a.place()) == Verdict::Untouched);
}
