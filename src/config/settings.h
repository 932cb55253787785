// Settings is everything an operator can set, as typed values. Only main sees
// it: it hands each part its own settings struct. Names, defaults, ranges and
// help are in setting_table.cpp.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "config/values.h"

namespace holdfast::config {

struct Routing;

enum class LogLevel { Debug, Info, Warn, Error };
enum class LogFormat { Json, Text };
enum class Scheduling { Normal, Realtime };

// Where the value in force came from, later ones winning over earlier ones.
struct Source {
  enum class Kind { Default, File, Environment, Flag };
  Kind kind = Kind::Default;
  int line = 0;  // Kind::File
};

struct Settings {
  // Upstream
  std::vector<std::string> api_urls;  // at least one; no slash at the end
  std::string api_token;              // empty: requests carry no token
  std::string api_token_file;         // where api_token was read from, if from a file
  std::string api_ca_file;            // PEM; empty: the machine's authorities
  std::string api_client_cert_file;   // PEM; empty: none is shown
  std::string api_client_key_file;    // PEM; empty: in api_client_cert_file
  bool upstream_http2 = false;        // where an https upstream offers it
  unsigned upstream_spare = 0;        // connections kept ready, of each origin

  // Serving
  std::uint16_t port = 0;         // 0: the kernel picks one
  std::vector<std::string> bind;  // numeric addresses, at least one
  unsigned workers = 1;
  Scheduling worker_scheduling = Scheduling::Normal;
  base::Duration request_deadline{};

  // Limits
  unsigned max_connections = 0;          // of all workers together
  unsigned max_waiting = 0;              // requests that wait for the upstream
  unsigned connection_max_requests = 0;  // 0: no limit
  unsigned client_max_connections = 0;   // 0: no limit
  unsigned client_rate = 0;              // requests per second; 0: no limit
  unsigned client_burst = 0;
  base::Duration idle_timeout{};
  base::Duration head_timeout{};
  base::Duration body_timeout{};
  base::Duration write_timeout{};

  // Freshness
  base::Duration cache_ttl{};
  bool cache_ttl_override = false;
  base::Duration negative_ttl{};
  base::Duration stale_while_revalidate{};
  base::Duration stale_if_error{};

  // Attempts
  base::Duration attempt_timeout{};
  base::Duration retry_base{};
  base::Duration retry_cap{};
  Hedge hedge;
  unsigned retry_budget_percent = 0;  // retries and hedges per 100 requests
  unsigned upstream_concurrency = 0;
  std::string probe_path;  // empty: idle origins are not probed
  base::Duration probe_interval{};

  // Storage
  std::uint64_t memory_limit_bytes = 0;
  std::string store_path;  // empty: no store
  std::uint64_t store_limit_bytes = 0;

  // Operation
  LogLevel log_level = LogLevel::Info;
  LogFormat log_format = LogFormat::Json;
  std::string admin_socket;  // empty: none
  base::Duration clock_offset{};

  // Upstreams and routes (routing.h). Null within the sections of one.
  std::shared_ptr<const Routing> routing;

  // About the above.
  std::string config_file;  // empty: none was read
  // One entry per setting, by its key ("cache_ttl").
  std::map<std::string, Source, std::less<>> sources;
  // Settings that are valid but contradict each other; a line each, for the log.
  std::vector<std::string> warnings;

  bool is_default(std::string_view key) const {
    const auto found = sources.find(key);
    return found == sources.end() || found->second.kind == Source::Kind::Default;
  }
};

}  // namespace holdfast::config
