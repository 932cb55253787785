// OriginGroup is one [upstream.NAME]: origins that stand in for each other, with the policies,
// the connections and the names of their own, and the flights of all routes that ask them. What
// goes wrong with one group costs the others nothing but the loop they share. Origin loop only,
// except where it says otherwise; made and destroyed there, or while it does not run.
//
// One that a reload takes out of service is retired: nothing speaks of it any more, and nothing is
// kept of what it brings. What it has under way ends by its own deadlines; then it winds down.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/event_loop.h"
#include "base/resource.h"
#include "config/routing.h"
#include "daemon/parts.h"
#include "observe/health.h"
#include "observe/metrics.h"
#include "proxy/flights.h"
#include "proxy/stored_judge.h"
#include "upstream/curl_transport.h"
#include "upstream/names.h"
#include "upstream/policy_fetcher.h"

namespace holdfast::daemon {

class OriginGroup {
 public:
  // `largest_body` is the largest content that one of its routes keeps, in bytes; `names` are those
  // of its origins for people, unique in the daemon. Throws std::runtime_error if libcurl cannot be
  // set up.
  OriginGroup(const Parts& parts, base::EventLoop& loop, base::Random& random,
              observe::Shard& shard, const config::UpstreamConfig& upstream,
              std::size_t largest_body, std::vector<std::string> names,
              std::function<void(base::Resource)> on_lack, proxy::StoredJudge& judge);
  ~OriginGroup();
  OriginGroup(const OriginGroup&) = delete;
  OriginGroup& operator=(const OriginGroup&) = delete;

  // Towards people; empty for the built-in one, which goes without saying.
  const std::string& shown_name() const { return name_; }
  proxy::Flights& flights() { return flights_; }
  upstream::PolicyFetcher& fetcher() { return fetcher_; }

  // Any thread. Those of its origins, for people.
  const std::vector<std::string>& origin_names() const { return origin_names_; }

  void set_token(std::string token);
  // The settings of an upstream that is the same but for what its clients wait for.
  void take(const config::UpstreamConfig& upstream);
  // A route came that keeps larger contents.
  void raise_body_limit(std::size_t bytes) { transport_.raise_body_limit(bytes); }
  // All of its routes are offline, or some are not: meanwhile it is probed by nobody, and no matter
  // of health.
  void set_idle(bool idle);
  void retire();
  // Nobody will ask it any more: whether it can be destroyed without a wait.
  bool wind_down();
  // Makes health, status() and forbidden_share() say what holds now.
  void report();

  // Any thread: what was known with the last report().
  upstream::Status status() const;
  // The same of what it forbids to store; see proxy::Flights::Stats.
  std::optional<double> forbidden_share() const;

 private:
  void look_up_names(const std::vector<std::string>& urls);
  observe::Dependency::Facts facts_of(std::size_t origin);
  void enter_health();
  void leave_health();

  const Parts& parts_;
  base::EventLoop& loop_;
  const std::string name_;  // empty: built in
  const std::vector<std::string> origin_names_;
  upstream::CurlTransport transport_;
  upstream::PolicyFetcher fetcher_;
  std::unique_ptr<upstream::Names> names_;  // null where all URLs have addresses
  proxy::Flights flights_;
  std::vector<observe::Dependency*> health_;  // one per origin; none of one that is retired
  mutable std::mutex mutex_;
  upstream::Status status_;                // guarded by mutex_
  std::optional<double> forbidden_share_;  // guarded by mutex_
};

}  // namespace holdfast::daemon
