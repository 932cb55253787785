// What is passed through, by the policies: sent once, in its turn, and a sign like any other.
#include <doctest/doctest.h>

#include <map>

#include "upstream/policy_fetcher.h"

#include "base/virtual_scheduler.h"

using namespace holdfast;
using namespace holdfast::upstream;
using namespace std::chrono_literals;

namespace {

// Does nothing by itself: a test says what becomes of each attempt.
class Transport final : public upstream::Transport, public Streaming {
 public:
  struct Sent {
    Sending sending;
    StreamRequest request;
    StreamPeer* peer;
    Callback callback;
    int go_ons = 0;
  };

  AttemptId start(const Sending&, const Request& request, Callback callback) override {
    asked.push_back(request.target);
    fetches[++last] = std::move(callback);
    return last;
  }
  void cancel(AttemptId id) override {
    fetches.erase(id);
    if (sent.erase(id) > 0) ++cancelled;
  }
  std::optional<Progress> progress(AttemptId) const override { return std::nullopt; }
  void knock(std::size_t, const std::string&, base::Duration, Callback) override {}
  void distrust(std::size_t, const std::string&) override {}
  Streaming* streaming() override { return this; }
  AttemptId stream(const Sending& sending, const StreamRequest& request, StreamPeer& peer,
                   Callback callback) override {
    ++streams;
    sent.emplace(++last, Sent{sending, request, &peer, std::move(callback)});
    return last;
  }
  void go_on(AttemptId id) override { ++sent.at(id).go_ons; }

  // The oldest one that is under way ends with that.
  void end(int status, Outcome outcome = Outcome::Ok) {
    REQUIRE_FALSE(sent.empty());
    Callback callback = std::move(sent.begin()->second.callback);
    sent.erase(sent.begin());
    Reply reply;
    reply.status = status;
    reply.transport = outcome;
    reply.phase = outcome == Outcome::Connect ? Phase::Connect : Phase::Answer;
    callback(std::move(reply));
  }
  StreamPeer& peer() { return *sent.begin()->second.peer; }

  std::map<AttemptId, Sent> sent;
  std::map<AttemptId, Callback> fetches;
  std::vector<std::string> asked;
  AttemptId last = 0;
  int streams = 0;
  int cancelled = 0;
};

struct Peer final : StreamPeer {
  std::optional<std::size_t> read(char*, std::size_t) override {
    return has_content ? std::optional<std::size_t>(0) : std::nullopt;
  }
  void head(const StreamHead&) override {}
  bool has_room(std::size_t) override { return true; }
  void write(std::string) override {}
  bool has_content = true;
};

struct PassWorld {
  base::VirtualScheduler scheduler;
  base::Random random{1};
  Transport transport;
  observe::Metrics metrics;
  observe::Shard& shard = metrics.shard();
  observe::Log log;
  PolicyFetcher fetcher;
  Peer peer;
  std::vector<FetchResult> ended;

  explicit PassWorld(Settings settings = {})
      : fetcher(scheduler, random, transport, std::move(settings), metrics, shard, log) {}

  Passer::PassId pass(const std::string& target = "/x", base::Duration deadline = 10s) {
    StreamRequest request{.method = "POST", .request = {target, {}}};
    return fetcher.pass(std::move(request), scheduler.now() + deadline, peer,
                        [this](FetchResult result) { ended.push_back(std::move(result)); });
  }
  void answer(int status, Outcome outcome = Outcome::Ok) {
    transport.end(status, outcome);
    scheduler.run_ready();
  }
  double attempts(const std::string& outcome) {
    return metrics.value(observe::Family::UpstreamAttempts,
                         {{"origin", "upstream"}, {"outcome", outcome}});
  }
  // All attempts fail until the breaker is open: silence, of keys enough.
  void break_it() {
    for (int i = 0; i < 200 && fetcher.status().origins[0].breaker == Breaker::State::Closed; ++i) {
      pass("/broken/" + std::to_string(i));
      answer(0, Outcome::Reset);
    }
    REQUIRE(fetcher.status().origins[0].breaker == Breaker::State::Open);
    ended.clear();
  }
};

Settings with_slots(int slots) {
  Settings settings;
  settings.concurrency = slots;
  return settings;
}

}  // namespace

TEST_CASE("a pass is sent once, on a new connection, and whatever is said of it is its answer") {
  for (const int status : {200, 204, 302, 404, 429, 503}) {
    CAPTURE(status);
    PassWorld world;
    world.pass();
    REQUIRE(world.transport.streams == 1);
    CHECK(world.transport.sent.begin()->second.sending.new_connection);
    CHECK(world.transport.sent.begin()->second.request.patience == 9s);
    world.answer(status);
    world.scheduler.advance(60s);
    REQUIRE(world.ended.size() == 1);
    CHECK(world.ended[0].end == FetchEnd::Answered);
    CHECK(world.ended[0].reply.status == status);
    CHECK(world.transport.streams == 1);
    CHECK(world.fetcher.status().in_flight == 0);
  }
}

TEST_CASE("a pass that fails, or hangs, is not sent again, nor raced") {
  PassWorld world;
  // Others are answered quickly: what takes longer would be raced.
  for (int i = 0; i < 20; ++i) {
    world.pass("/" + std::to_string(i));
    world.answer(200);
  }
  world.ended.clear();
  world.transport.streams = 0;
  SUBCASE("fails") {
    world.pass();
    world.answer(0, Outcome::Reset);
    world.scheduler.advance(60s);
    REQUIRE(world.ended.size() == 1);
    CHECK(world.ended[0].end == FetchEnd::GaveUp);
    CHECK(world.ended[0].outcome == Outcome::Reset);
    CHECK(world.ended[0].attempts_sent == 1);
    CHECK(world.attempts("reset") == 1);
  }
  SUBCASE("hangs") {
    world.pass();
    world.scheduler.advance(60s);
    CHECK(world.ended.empty());
  }
  CHECK(world.transport.streams == 1);
  CHECK(world.transport.asked.empty());
}

TEST_CASE("where the answer broke off its status is told, and that it was not whole") {
  PassWorld world;
  world.pass();
  world.answer(200, Outcome::Truncated);
  REQUIRE(world.ended.size() == 1);
  CHECK(world.ended[0].end == FetchEnd::GaveUp);
  CHECK(world.ended[0].reply.status == 200);
}

TEST_CASE("passes wait for a slot, the earliest deadline first, and no longer than that") {
  PassWorld world(with_slots(1));
  world.pass("/first");
  world.pass("/late", 9s);
  world.pass("/early", 5s);
  CHECK(world.transport.streams == 1);
  SUBCASE("a slot comes free") {
    world.answer(200);
    REQUIRE(world.transport.sent.size() == 1);
    CHECK(world.transport.sent.begin()->second.request.request.target == "/early");
  }
  SUBCASE("none does") {
    world.scheduler.advance(6s);
    REQUIRE(world.ended.size() == 1);
    CHECK(world.ended[0].end == FetchEnd::Deadline);
    CHECK(world.ended[0].attempts_sent == 0);
    CHECK(world.transport.streams == 1);
  }
}

TEST_CASE("a slot is free once the answer has begun, however long the rest takes") {
  PassWorld world(with_slots(1));
  world.pass("/long");
  world.pass("/next");
  const Fields fields;
  world.transport.peer().head({200, fields, std::nullopt});
  CHECK(world.transport.streams == 1);  // not in the middle of a transfer
  world.scheduler.run_ready();
  CHECK(world.transport.streams == 2);
  world.answer(200);
  world.answer(200);
  CHECK(world.ended.size() == 2);
  CHECK(world.fetcher.status().in_flight == 0);
  CHECK(world.fetcher.status().origins[0].in_flight == 0);
}

TEST_CASE("a slow client keeps a slot for two seconds in all") {
  PassWorld world(with_slots(1));
  world.pass("/slow");
  world.pass("/next");
  char bytes[8];
  StreamPeer& slow = world.transport.peer();
  world.peer.has_content = false;
  CHECK_FALSE(slow.read(bytes, sizeof bytes));
  world.scheduler.advance(1500ms);
  world.peer.has_content = true;
  CHECK(slow.read(bytes, sizeof bytes));
  world.scheduler.advance(3s);
  CHECK(world.transport.streams == 1);  // it was the upstream's time
  world.peer.has_content = false;
  CHECK_FALSE(slow.read(bytes, sizeof bytes));
  world.scheduler.advance(400ms);
  CHECK(world.transport.streams == 1);
  world.scheduler.advance(200ms);
  CHECK(world.transport.streams == 2);
}

TEST_CASE("while the breaker is open a pass is refused at once, and told when to come back") {
  PassWorld world;
  world.break_it();
  const int before = world.transport.streams;
  world.pass();
  world.scheduler.run_ready();
  REQUIRE(world.ended.size() == 1);
  CHECK(world.ended[0].end == FetchEnd::BreakerOpen);
  CHECK(world.ended[0].attempts_sent == 0);
  CHECK(world.ended[0].retry_after >= 1s);
  CHECK(world.transport.streams == before);
}

TEST_CASE("where nothing else is ever asked, a pass is the probe, and closes the breaker") {
  using Way = PolicyFetcher::Outlook::Way;
  PassWorld world;
  CHECK(world.fetcher.outlook_of_pass(10s).way == Way::Sent);
  world.break_it();
  const int before = world.transport.streams;
  CHECK(world.fetcher.outlook_of_pass(10s).way == Way::Ends);
  CHECK(world.fetcher.outlook_of_pass(10s).end == FetchEnd::BreakerOpen);
  world.scheduler.advance(2s);
  CHECK(world.fetcher.outlook_of_pass(10s).way == Way::Sent);
  // Nothing of ours was asked for it: what has been sent so far may not be sent twice.
  CHECK(world.transport.asked.empty());
  CHECK(world.transport.streams == before);
  world.pass();
  CHECK(world.transport.streams == before + 1);
  world.pass();  // one at a time
  world.scheduler.run_ready();
  CHECK(world.transport.streams == before + 1);
  world.answer(200);
  CHECK(world.fetcher.status().origins[0].breaker == Breaker::State::Closed);
  CHECK(world.ended.size() == 2);
}

TEST_CASE("whole answers are a sign of life, whatever they say, and refusals are none of illness") {
  PassWorld world;
  for (int i = 0; i < 200; ++i) {
    world.pass("/" + std::to_string(i));
    world.answer(i % 2 == 0 ? 404 : 401);
  }
  CHECK(world.fetcher.status().origins[0].breaker == Breaker::State::Closed);
  CHECK(world.fetcher.status().origins[0].error_rate.value_or(0) == 0);
  CHECK(world.fetcher.status().token != TokenState::State::Refused);
}

TEST_CASE("who leaves ends the attempt, gives its slot back, and says nothing of the upstream") {
  PassWorld world(with_slots(1));
  const Passer::PassId first = world.pass("/first");
  const Passer::PassId waiting = world.pass("/waiting");
  world.pass("/next");
  world.fetcher.end_pass(waiting);
  world.fetcher.end_pass(first);
  CHECK(world.transport.cancelled == 1);
  REQUIRE(world.transport.sent.size() == 1);
  CHECK(world.transport.sent.begin()->second.request.request.target == "/next");
  world.answer(200);
  CHECK(world.ended.size() == 1);
  CHECK(world.attempts("cancelled") == 1);
  // Of one that is gone nothing can be asked.
  world.fetcher.go_on(first);
  world.fetcher.end_pass(first);
}
