// What the tests of Flights stand on: a fetcher that ends when told, a store that is
// a map, and both on a virtual clock.
#pragma once

#include "proxy/flights.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <optional>

#include "base/virtual_scheduler.h"
#include "lookup_route.h"

namespace holdfast::proxy::test {

using namespace std::chrono_literals;
using observe::Family;
using upstream::FetchEnd;
using upstream::FetchResult;
using upstream::Outcome;

// Keeps what was asked of it until the test says how it ends.
class ScriptedFetcher final : public upstream::Fetcher {
 public:
  struct Fetch {
    upstream::FetchRequest request;
    Callback callback;
    FetchResult so_far;
  };

  FetchId start(upstream::FetchRequest request, Callback callback) override {
    fetches.emplace(++last, Fetch{std::move(request), std::move(callback), {}});
    return last;
  }
  void extend(FetchId id, base::SteadyTime deadline, upstream::Priority priority) override {
    upstream::FetchRequest& request = fetches.at(id).request;
    request.deadline = std::max(request.deadline, deadline);
    if (priority == upstream::Priority::Miss) request.priority = priority;
  }
  void cancel(FetchId id) override { fetches.erase(id); }
  FetchResult so_far(FetchId id) override { return fetches.at(id).so_far; }

  void end(FetchId id, FetchResult result) {
    const Callback callback = std::move(fetches.at(id).callback);
    fetches.erase(id);
    callback(std::move(result));
  }

  std::map<FetchId, Fetch> fetches;
  FetchId last = 0;
};

class MapStore final : public cache::Store {
 public:
  base::Result<cache::StoredPtr> find(std::string_view key) override {
    ++reads;
    if (broken) return base::internal_error(base::ErrorKind::Io, "broken");
    const auto found = rows.find(key);
    return found == rows.end() ? nullptr : found->second;
  }
  bool put(std::string_view key, cache::StoredPtr stored) override {
    if (full) return false;
    rows[std::string(key)] = std::move(stored);
    return true;
  }
  void erase(std::string_view key) override {
    if (on_erase) on_erase(key);
    rows.erase(std::string(key));
  }
  void erase_all() override {
    if (on_erase) on_erase({});
    rows.clear();
  }
  void used(std::string_view) override {}
  void load_recent(std::function<bool(std::string_view, cache::StoredPtr)>) override {}
  void flush() override {}
  cache::StoreStatus status() const override { return {}; }

  std::map<std::string, cache::StoredPtr, std::less<>> rows;
  std::function<void(std::string_view key)> on_erase;  // an empty key: all
  int reads = 0;
  bool broken = false;  // no reads
  bool full = false;    // no puts
};

inline std::string body_for(std::string_view ip) {
  return R"({"ip":")" + std::string(ip) +
         R"(","location":"","postal_code":"","network_name":"","domain":"","latitude":1,"longitude":2})";
}

inline FetchResult answered(std::string_view ip, upstream::Fields fields = {}) {
  FetchResult result;
  result.end = FetchEnd::Answered;
  result.outcome = Outcome::Ok;
  result.reply.status = 200;
  result.reply.body = body_for(ip);
  result.reply.fields = std::move(fields);
  result.attempts_sent = 1;
  return result;
}

inline FetchResult failed(FetchEnd end, Outcome outcome, int status = 0) {
  FetchResult result;
  result.end = end;
  result.outcome = outcome;
  result.reply.status = status;
  result.attempts_sent = 3;
  upstream::AttemptRecord attempt;
  attempt.outcome = outcome;
  attempt.detail = "as scripted";
  result.attempts.push_back(attempt);
  result.retry_after = 7s;
  return result;
}

struct Fixture {
  Fixture() { make({}); }

  void make(Flights::Settings settings) {
    flights.emplace(Flights::Parts{loop, fetcher, memory, store, log, metrics, shard}, settings, 1);
  }

  // Asks for an ip; the answer lands in `answers` under the returned number.
  std::size_t ask(const std::string& ip, base::Duration deadline = 10s,
                  std::chrono::seconds min_fresh = 0s) {
    const std::size_t number = answers.size();
    answers.emplace_back();
    flights->join(*route, "lookup/" + ip, loop.now() + deadline, min_fresh,
                  [this, number](Answer answer) {
                    CHECK_FALSE(answers[number].has_value());
                    answers[number] = std::move(answer);
                  });
    return number;
  }

  // Puts an answer for `ip` into memory and store as if it came now.
  // Before any other request: it takes the answers away.
  void have(const std::string& ip, upstream::Fields fields = {}) {
    REQUIRE(flights->stats().waiters == 0);
    ask(ip);
    fetcher.end(fetcher.last, answered(ip, std::move(fields)));
    answers.clear();
  }

  void pass(base::Duration time) { loop.advance(time); }
  double limited(const char* reason) const {
    return metrics.value(Family::RequestsLimited, {{"reason", reason}});
  }

  base::VirtualScheduler loop;
  ScriptedFetcher fetcher;
  cache::MemoryCache memory{{}};
  MapStore store;
  observe::Log log;
  observe::Metrics metrics;
  observe::Shard& shard = metrics.shard();
  StoringPolicy storing{.jitter = 0};
  std::unique_ptr<Route> route = holdfast::proxy::test::lookup_route(storing);
  std::vector<std::optional<Answer>> answers;  // outlives the flights, which answer at their end
  std::optional<Flights> flights;
};

}  // namespace holdfast::proxy::test
