// Member is one Holdfast of a fleet as far as the shared tier goes: its links to a node, its
// journal and its tier, on a loop with a thread of its own. What a test asks is done on that loop,
// and waited for.
#pragma once

#include <doctest/doctest.h>

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "fleet/redis_link.h"
#include "fleet/tier.h"
#include "patience.h"

namespace holdfast::fleet::test {

class Member {
 public:
  Member(std::string writer, const std::string& socket, std::string password = {})
      : loop_("origin", clock_) {
    RedisLink::Settings settings;
    settings.endpoint = {.path = socket, .name = "node"};
    settings.password = std::move(password);
    // Nothing here is about how quick a machine is.
    settings.greeting_deadline = kPatience;
    for (std::uint64_t i = 0; i < 3; ++i) {
      links_.push_back(std::make_unique<RedisLink>(
          loop_, settings, [] { return std::vector<std::string>(); },
          [this](bool, const std::string& reason) { note(reason); }, i));
    }
    journal_.emplace(loop_, Journal::Settings{.writer = std::move(writer), .deadline = kPatience},
                     *links_[2], *links_[1],
                     Journal::Handler{[this](const Purge& purge) { note("purged " + purge.what); },
                                      [this] { note("gap"); }, [] {}});
    tier_.emplace(loop_, Tier::Settings{.deadline = kPatience, .write_deadline = kPatience},
                  std::vector<Tier::Node>{{"node", *links_[0], *links_[1], *journal_}},
                  [](const Value& value) {
                    return PurgeIndex::Names{.route = value.route,
                                             .path = value.key,
                                             .url = value.key,
                                             .tags = {std::string_view(value.tags)}};
                  });
    thread_ = std::thread([this] { loop_.run(); });
  }
  ~Member() {
    on_loop([this] { links_.clear(); });
    loop_.stop();
    thread_.join();
  }

  // Waits until the journal is followed, and the other connections are there too.
  void join() {
    wait_for([this] {
      return !tier_->place_for("k").empty() && links_[0]->ready() && links_[1]->ready();
    });
  }
  Value value(const std::string& key, const std::string& body) {
    Value value{.status = 200, .route = "r", .key = key, .tags = "tag", .body = body};
    on_loop([&] { value.fetched = tier_->place_for(key); });
    return value;
  }
  void put(const Value& value) {
    std::uint64_t before = 0;
    on_loop([&] {
      before = ended();
      tier_->put(value, std::chrono::hours(1));
    });
    wait_for([this, before] { return ended() > before; });
  }
  Tier::Found find(const std::string& key) {
    std::optional<Tier::Found> found;
    bool asked = false;
    on_loop([&] {
      asked = tier_->find(key, [&](Tier::Found result) {
        const std::lock_guard lock(mutex_);
        found = std::move(result);
        arrived_.notify_all();
      });
    });
    if (!asked) return {.outcome = Tier::Outcome::Away};
    std::unique_lock lock(mutex_);
    REQUIRE(arrived_.wait_for(lock, kPatience, [&] { return found.has_value(); }));
    return *found;
  }
  // Until then: a purge on its way to others, or a connection that comes back.
  void wait_until_found(const std::string& key, Tier::Outcome outcome) {
    const auto end = std::chrono::steady_clock::now() + kPatience;
    while (find(key).outcome != outcome) {
      REQUIRE(std::chrono::steady_clock::now() < end);
      std::this_thread::yield();
    }
  }
  void purge(const Purge& purge) {
    on_loop([&] { journal_->add(purge); });
  }
  void wait_until_told() {
    wait_for([this] { return journal_->unsent().empty(); });
  }
  // A command of the test's own.
  Reply run(const Link::Command& command) {
    std::optional<Reply> reply;
    on_loop([&] {
      const bool sent = links_[1]->call(command, loop_.now() + kPatience, [&](Reply result) {
        const std::lock_guard lock(mutex_);
        reply = std::move(result);
        arrived_.notify_all();
      });
      if (!sent) reply = Reply{.kind = Reply::Kind::Lost};
    });
    std::unique_lock lock(mutex_);
    REQUIRE(arrived_.wait_for(lock, kPatience, [&] { return reply.has_value(); }));
    return *reply;
  }
  // Waits until it has been told.
  void wait_for_word(const std::string& word) {
    std::unique_lock lock(mutex_);
    REQUIRE(arrived_.wait_for(lock, kPatience, [&] {
      for (const std::string& one : words_) {
        if (one.starts_with(word)) return true;
      }
      return false;
    }));
  }
  Tier::Stats stats() {
    Tier::Stats stats;
    on_loop([&] { stats = tier_->stats(); });
    return stats;
  }

 private:
  std::uint64_t ended() const {
    const Tier::Stats stats = tier_->stats();
    return stats.written + stats.unwritten + stats.dropped;
  }
  void note(const std::string& word) {
    const std::lock_guard lock(mutex_);
    words_.push_back(word);
    arrived_.notify_all();
  }
  void on_loop(const std::function<void()>& what) {
    bool done = false;
    loop_.post([&] {
      what();
      const std::lock_guard lock(mutex_);
      done = true;
      arrived_.notify_all();
    });
    std::unique_lock lock(mutex_);
    REQUIRE(arrived_.wait_for(lock, kPatience, [&] { return done; }));
  }
  void wait_for(const std::function<bool()>& what) {
    const auto end = std::chrono::steady_clock::now() + kPatience;
    for (bool holds = false; !holds;) {
      REQUIRE(std::chrono::steady_clock::now() < end);
      on_loop([&] { holds = what(); });
      std::this_thread::yield();
    }
  }

  base::SystemClock clock_;
  base::EventLoop loop_;
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::vector<std::string> words_;  // guarded by mutex_
  std::optional<Journal> journal_;
  std::optional<Tier> tier_;
  std::vector<std::unique_ptr<RedisLink>> links_;
  std::thread thread_;
};

}  // namespace holdfast::fleet::test
