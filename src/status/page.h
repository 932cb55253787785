// The status page: how the daemon does, for people in a browser (/status) and for
// programs (/status.json, described in README.md). Pure functions of a
// snapshot; any thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cache/memory_cache.h"
#include "cache/store.h"
#include "observe/health.h"
#include "observe/recent_failures.h"
#include "status/history.h"
#include "upstream/status.h"

namespace holdfast::status {

// What the page shows, as of `at`. No secret is in here.
struct Snapshot {
  base::WallTime at;
  std::string version;
  base::WallTime started;

  observe::HealthState state = observe::HealthState::Ok;
  bool draining = false;
  bool overloaded = false;
  std::string health_json;  // as /healthz says it

  std::vector<History::Sample> samples;
  std::chrono::seconds step{10};
  struct Upstream {
    std::string name;  // empty where there is but one, which goes without saying
    upstream::Status status;
    // Where it forbids to store most of what it says: how much of it.
    std::optional<double> forbidden_share;

    // What an origin is called: with the upstream's name, where it has one.
    std::string called(std::string_view origin) const {
      return name.empty() ? std::string(origin) : name + ": " + std::string(origin);
    }
  };
  std::vector<Upstream> upstreams;  // at least one

  cache::MemoryCache::Stats memory;
  std::uint64_t memory_limit_bytes = 0;
  bool has_store = true;
  cache::StoreStatus store;
  std::string store_trouble;  // why it is not ok; empty: it is
  std::uint64_t store_limit_bytes = 0;
  // How long after it was received a response answers, if the upstream fails and
  // said nothing else: CACHE_TTL and STALE_IF_ERROR.
  std::chrono::seconds usable_for{0};

  std::vector<observe::RecentFailures::Failure> failures;
  struct Loop {
    std::string name;
    double lag_seconds = 0;
  };
  std::vector<Loop> loops;
  double connections = 0;
  double requests_in_flight = 0;
  // The settings in force, secrets masked.
  struct Setting {
    std::string key;
    std::string value;
    std::string source;  // "default", "environment PORT", ...
  };
  std::vector<Setting> settings;
  // The last time that they were read, at the start or for SIGHUP.
  struct Reload {
    base::WallTime at;
    std::string error;  // empty: they were good
    // Changed since the start, as of the last good ones, and not in force.
    std::vector<std::string> needs_restart;
  };
  Reload reload;
};

// The state of things in a few sentences: what clients get, the upstream, the store.
std::string headline(const Snapshot& data);

std::string to_json(const Snapshot& data);

// A whole page that reads well without JavaScript, and with it shows the same data
// as pictures and keeps it up to date.
std::string to_html(const Snapshot& data);

// The fields that go with it: a Content-Security-Policy under which nothing runs or
// is loaded but the page's own style and script, named by their hashes.
std::string_view html_fields();

// Where an origin's clock and ours differ: "2 min 5 s ahead of ours"; else empty.
std::string clock_in_words(const upstream::OriginStatus& origin);

// As people read them: "3.2 ms", "1.5 GiB", "2 h 5 min", "99.98 %".
std::string in_words(std::chrono::duration<double> time);
std::string bytes_in_words(std::uint64_t bytes);
std::string percent(double share);

}  // namespace holdfast::status
