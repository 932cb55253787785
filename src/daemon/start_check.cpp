// A setting that somebody gave must hold. Of the defaults the start goes without what this
// machine does not have, and says so; so does this.
#include "daemon/start_check.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/processors.h"
#include "daemon/descriptors.h"
#include "daemon/parts_settings.h"
#include "daemon/route_plans.h"
#include "upstream/curl_transport.h"

namespace holdfast::daemon {
namespace {

using Warnings = std::vector<std::string>;
using Checked = base::Result<void>;

// Before the serving loops are there; more or less.
constexpr std::size_t kOpenAtStart = 24;

std::string folder_of(const std::string& path) {
  const auto slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

// Why no file can be made or written at that path, in a folder that may be written too.
std::string write_problem(const std::string& path) {
  const std::string folder = folder_of(path);
  const auto failed = [](const std::string& what) { return what + ": " + std::strerror(errno); };
  struct stat there = {};
  if (::stat(folder.c_str(), &there) != 0) return failed(folder);
  if (::access(folder.c_str(), W_OK | X_OK) != 0) return failed(folder);
  if (::stat(path.c_str(), &there) != 0) return errno == ENOENT ? std::string() : failed(path);
  if (!S_ISREG(there.st_mode)) return path + " is not a file";
  return ::access(path.c_str(), R_OK | W_OK) != 0 ? failed(path) : std::string();
}

Checked check_addresses(const config::Settings& settings, Warnings& warnings) {
  std::size_t absent = 0;
  const auto addresses = listen_addresses(settings);
  for (const http::ListenAddress& address : addresses) {
    const auto unused = http::check_unused(address);
    if (unused || unused.error().kind == base::ErrorKind::Busy) continue;
    const bool will_do = unused.error().kind == base::ErrorKind::Unavailable &&
                         settings.is_default("bind") && ++absent < addresses.size();
    if (!will_do) return base::invalid_input("PORT, BIND: " + unused.error().message);
    warnings.push_back(unused.error().message);
  }
  return {};
}

Checked check_store(const config::Settings& settings, Warnings& warnings) {
  if (settings.store_path.empty()) return {};
  const std::string problem = write_problem(settings.store_path);
  if (problem.empty()) return {};
  if (!settings.is_default("store_path")) return base::invalid_input("STORE_PATH: " + problem);
  warnings.push_back("store_path: " + problem);
  return {};
}

Checked check_admin_socket(const config::Settings& settings, Warnings& warnings) {
  const std::string& path = settings.admin_socket;
  if (path.empty()) return {};
  std::string problem;
  struct stat there = {};
  if (::lstat(path.c_str(), &there) == 0 && !S_ISSOCK(there.st_mode)) {
    problem = path + ": something else is there";
  } else if (::access(folder_of(path).c_str(), W_OK | X_OK) != 0) {
    problem = folder_of(path) + ": " + std::strerror(errno);
  }
  if (problem.empty()) return {};
  if (!settings.is_default("admin_socket")) return base::invalid_input("ADMIN_SOCKET: " + problem);
  warnings.push_back("admin_socket: " + problem);
  return {};
}

}  // namespace

std::vector<http::ListenAddress> listen_addresses(const config::Settings& settings) {
  const bool any_version_4 =
      std::any_of(settings.bind.begin(), settings.bind.end(),
                  [](const std::string& host) { return host.find(':') == std::string::npos; });
  std::vector<http::ListenAddress> addresses;
  for (const std::string& host : settings.bind) {
    addresses.push_back(
        {.host = host, .port = settings.port, .both = host == "::" && !any_version_4});
  }
  return addresses;
}

std::string too_many_workers(unsigned workers, unsigned usable_processors) {
  if (workers <= usable_processors) return {};
  return "workers (" + std::to_string(workers) + ") is more than the " +
         std::to_string(usable_processors) +
         " processors that this process may use (by its CPU affinity and its control group's "
         "quota): they wait for each other's turn";
}

std::string fewer_connections(const config::Settings& settings, std::size_t descriptors,
                              std::size_t max_connections) {
  return "max_connections is " + std::to_string(max_connections) + " instead of " +
         std::to_string(settings.max_connections) + ": the limit of descriptors is " +
         std::to_string(descriptors) + " (LimitNOFILE, ulimit -n)";
}

base::Result<void> check_tls_files(const config::UpstreamConfig& upstream) {
  const config::Settings& settings = upstream.settings;
  const bool any_https =
      std::any_of(settings.api_urls.begin(), settings.api_urls.end(),
                  [](const std::string& url) { return url.starts_with("https:"); });
  if (!any_https && settings.api_ca_file.empty() && settings.api_client_cert_file.empty()) {
    return {};
  }
  const std::string problem = upstream::problem_of_files(transport_settings(upstream, 0));
  if (problem.empty()) return {};
  const auto is_about = [&](const std::string& file) {
    return !file.empty() && problem.starts_with(file + ":");
  };
  if (!upstream.built_in) {
    const char* const key = is_about(settings.api_client_key_file)    ? "api_client_key_file"
                            : is_about(settings.api_client_cert_file) ? "api_client_cert_file"
                                                                      : "api_ca_file";
    return base::invalid_input(upstream.place.of(key) + ": " + problem);
  }
  const char* const name = is_about(settings.api_client_key_file)    ? "API_CLIENT_KEY_FILE:"
                           : is_about(settings.api_client_cert_file) ? "API_CLIENT_CERT_FILE:"
                           : settings.api_ca_file.empty()            ? "API_CA_FILE is not set, and"
                                                                     : "API_CA_FILE:";
  return base::invalid_input(std::string(name) + " " + problem);
}

base::Result<std::vector<std::string>> check_start(const config::Settings& settings) {
  Warnings warnings;
  const std::string workers = too_many_workers(settings.workers, base::usable_processors());
  if (!workers.empty()) warnings.push_back(workers);
  const std::size_t descriptors = raise_descriptor_limit();
  const std::size_t connections = connections_within(descriptors, kOpenAtStart, settings);
  if (connections < settings.max_connections) {
    warnings.push_back(fewer_connections(settings, descriptors, connections));
  }
  if (auto checked = check_addresses(settings, warnings); !checked) {
    return tl::unexpected(checked.error());
  }
  if (auto checked = check_store(settings, warnings); !checked) {
    return tl::unexpected(checked.error());
  }
  if (auto checked = check_admin_socket(settings, warnings); !checked) {
    return tl::unexpected(checked.error());
  }
  if (auto plans = plan_routes(*settings.routing); !plans) return tl::unexpected(plans.error());
  for (const config::UpstreamConfig& upstream : settings.routing->upstreams) {
    if (auto checked = check_tls_files(upstream); !checked) return tl::unexpected(checked.error());
  }
  return warnings;
}

}  // namespace holdfast::daemon
