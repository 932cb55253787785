// OriginGroup is one [upstream.NAME]: origins that stand in for each other, with the policies,
// the connections and the names of their own, and the flights of all routes that ask them. What
// goes wrong with one group costs the others nothing but the loop they share. Origin loop only,
// except where it says otherwise; made and destroyed while the loop does not run.
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
  OriginGroup(const OriginGroup&) = delete;
  OriginGroup& operator=(const OriginGroup&) = delete;

  // Towards people; empty for the built-in one, which goes without saying.
  const std::string& shown_name() const { return name_; }
  proxy::Flights& flights() { return flights_; }
  upstream::PolicyFetcher& fetcher() { return fetcher_; }

  void set_token(std::string token);
  // Makes health, status() and forbidden_share() say what holds now.
  void report();

  // Any thread: what was known with the last report().
  upstream::Status status() const;
  // The same of what it forbids to store; see proxy::Flights::Stats.
  std::optional<double> forbidden_share() const;

 private:
  void look_up_names(const std::vector<std::string>& urls);
  void add_facts(observe::Dependency& dependency, std::size_t origin);

  const Parts& parts_;
  base::EventLoop& loop_;
  const std::string name_;  // empty: built in
  upstream::CurlTransport transport_;
  upstream::PolicyFetcher fetcher_;
  std::unique_ptr<upstream::Names> names_;  // null where all URLs have addresses
  proxy::Flights flights_;
  std::vector<observe::Dependency*> health_;  // one per origin
  mutable std::mutex mutex_;
  upstream::Status status_;                // guarded by mutex_
  std::optional<double> forbidden_share_;  // guarded by mutex_
};

}  // namespace holdfast::daemon
