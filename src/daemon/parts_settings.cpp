#include "daemon/parts_settings.h"

#include <algorithm>
#include <set>
#include <utility>

#include "base/ascii.h"
#include "base/masked_url.h"
#include "http/client_limits.h"
#include "http/connection_places.h"
#include "upstream/base_url.h"

namespace holdfast::daemon {
namespace {

// Answers that slow readers have not taken yet, over all workers; and what each may
// have at least.
constexpr std::size_t kMaxUnsentBytes = 256U << 20;
constexpr std::size_t kMinUnsentBytes = 16U << 20;

std::chrono::seconds whole_seconds(base::Duration duration) {
  return std::chrono::duration_cast<std::chrono::seconds>(duration);
}

upstream::HedgePolicy::Settings hedge_settings(const config::Hedge& hedge) {
  using Mode = upstream::HedgePolicy::Mode;
  upstream::HedgePolicy::Settings settings;
  switch (hedge.kind) {
    case config::Hedge::Kind::Off:
      settings.mode = Mode::Off;
      break;
    case config::Hedge::Kind::After:
      settings.mode = Mode::Fixed;
      settings.delay = hedge.after;
      break;
    case config::Hedge::Kind::Percentile:
      settings.mode = Mode::Percentile;
      settings.quantile = hedge.percentile / 100.0;
      break;
  }
  return settings;
}

std::string unused_name(const std::string& url, std::set<std::string>& taken) {
  const std::string masked = base::masked_url(url);
  const std::size_t scheme = masked.find("://");
  const std::string plain = scheme == std::string::npos ? masked : masked.substr(scheme + 3);
  std::string name = plain;
  for (int i = 2; !taken.insert(name).second; ++i) name = plain + "-" + std::to_string(i);
  return name;
}

}  // namespace

observe::Level log_level(config::LogLevel level) {
  switch (level) {
    case config::LogLevel::Debug:
      return observe::Level::Debug;
    case config::LogLevel::Info:
      return observe::Level::Info;
    case config::LogLevel::Warn:
      return observe::Level::Warn;
    case config::LogLevel::Error:
      break;
  }
  return observe::Level::Error;
}

observe::Log::Settings log_settings(const config::Settings& settings) {
  observe::Log::Settings log;
  log.level = log_level(settings.log_level);
  log.format = settings.log_format == config::LogFormat::Json ? observe::Log::Format::Json
                                                              : observe::Log::Format::Text;
  return log;
}

cache::MemoryCache::Settings memory_settings(const config::Settings& settings) {
  cache::MemoryCache::Settings memory;
  memory.limit_bytes = settings.memory_limit_bytes;
  return memory;
}

cache::StoreSettings store_settings(const config::Settings& settings) {
  cache::StoreSettings store;
  store.path = settings.store_path;
  store.limit_bytes = settings.store_limit_bytes;
  return store;
}

upstream::CurlTransport::Settings transport_settings(const config::UpstreamConfig& upstream,
                                                     std::size_t largest_body) {
  using upstream::Credential;
  const config::Settings& settings = upstream.settings;
  upstream::CurlTransport::Settings transport;
  transport.body_limit_bytes = largest_body;
  transport.credential.name = upstream.token_name;
  if (upstream.host != "upstream" && upstream.host != "client") transport.host = upstream.host;
  switch (upstream.token_in) {
    case config::TokenIn::Bearer:
      transport.credential.in = Credential::In::Bearer;
      break;
    case config::TokenIn::Field:
      transport.credential.in = Credential::In::Field;
      break;
    case config::TokenIn::Query:
      transport.credential.in = Credential::In::Query;
      break;
  }
  transport.base_urls = settings.api_urls;
  transport.kept_connections = settings.upstream_concurrency * settings.api_urls.size();
  transport.ca_file = settings.api_ca_file;
  transport.client_cert_file = settings.api_client_cert_file;
  transport.client_key_file = settings.api_client_key_file;
  transport.http2 = settings.upstream_http2;
  transport.spares.wanted = settings.upstream_spare;
  return transport;
}

upstream::Settings upstream_settings(const config::UpstreamConfig& config,
                                     std::vector<std::string> origins) {
  const config::Settings& settings = config.settings;
  upstream::Settings upstream;
  upstream.name = config.built_in ? "" : config.name;
  upstream.origins = std::move(origins);
  for (const std::string& url : settings.api_urls) {
    upstream.named.push_back(!host_to_look_up(url).empty());
  }
  upstream.concurrency = static_cast<int>(settings.upstream_concurrency);
  upstream.backoff.base = settings.retry_base;
  upstream.backoff.cap = settings.retry_cap;
  upstream.attempt_timeout = settings.attempt_timeout;
  upstream.hedge = hedge_settings(settings.hedge);
  upstream.retry_budget.per_fetch = settings.retry_budget_percent / 100.0;
  upstream.probe.target = settings.probe_path;
  upstream.probe.interval = settings.probe_interval;
  upstream.probe.retry_interval = std::min(upstream.probe.retry_interval, settings.probe_interval);
  return upstream;
}

namespace {

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), base::ascii_lower);
  return text;
}

// Mode "rfc9111": no lifetime of ours, nor what is set of them for the whole program; but what is
// stored may answer in an error's place for stale_if_error.
void only_as_stated(proxy::StoringPolicy& storing, const config::HttpCachingConfig& http) {
  using std::chrono::seconds;
  storing.ttl = storing.negative_ttl = storing.stale_while_revalidate = seconds(0);
  storing.ttl_override = false;
  storing.jitter = 0;
  storing.http.on = true;
  storing.http.targeted.clear();
  for (const std::string& name : http.targeted) storing.http.targeted.push_back(lower(name));
  storing.http.max_variants = http.max_variants;
  storing.http.vary_normalise = http.vary_normalise;
  storing.http.lenient_ranges = http.lenient_ranges;
  storing.http.lenient_transfer_coding = http.lenient_transfer_coding;
}

}  // namespace

proxy::StoringPolicy storing_policy(const config::RouteConfig& route) {
  using SetCookie = proxy::StoringPolicy::SetCookie;
  const config::Settings& settings = route.settings;
  proxy::StoringPolicy storing;
  storing.ttl = whole_seconds(settings.cache_ttl);
  storing.ttl_override = settings.cache_ttl_override;
  storing.negative_ttl = whole_seconds(settings.negative_ttl);
  storing.stale_while_revalidate = whole_seconds(settings.stale_while_revalidate);
  storing.stale_if_error = whole_seconds(settings.stale_if_error);
  for (const auto& [status, ttl] : route.ttl_by_status) {
    storing.ttl_by_status.emplace(status, whole_seconds(ttl));
  }
  switch (route.set_cookie) {
    case config::RouteConfig::SetCookie::Pass:
      storing.set_cookie = SetCookie::Pass;
      break;
    case config::RouteConfig::SetCookie::Strip:
      storing.set_cookie = SetCookie::Strip;
      break;
    case config::RouteConfig::SetCookie::Store:
      storing.set_cookie = SetCookie::Store;
      break;
  }
  if (route.mode == config::RouteConfig::Mode::Rfc9111) only_as_stated(storing, route.http);
  storing.tags = route.tags;
  storing.pass_client_errors = route.pass_client_errors;
  storing.fields_removed = route.response_remove;
  for (const auto& [name, value] : route.response_set) storing.fields_removed.push_back(name);
  for (std::string& name : storing.fields_removed) name = lower(std::move(name));
  return storing;
}

proxy::Flights::Settings flights_settings(const config::UpstreamConfig& upstream) {
  const config::Settings& settings = upstream.settings;
  proxy::Flights::Settings flights;
  flights.upstream = upstream.built_in ? "" : upstream.name;
  flights.max_waiters = settings.max_waiting;
  flights.refresh_deadline = settings.request_deadline;
  // A deadline of a second or less leaves a tenth of it for the answer's way back.
  flights.answer_margin = std::min(flights.answer_margin, settings.request_deadline / 10);
  return flights;
}

http::Server::Settings server_settings(const config::Settings& settings,
                                       std::size_t max_connections) {
  http::Server::Settings server;
  server.places = std::make_shared<http::ConnectionPlaces>(max_connections, settings.workers);
  server.max_unsent_bytes = std::max(kMaxUnsentBytes / settings.workers, kMinUnsentBytes);
  server.max_requests_per_connection = settings.connection_max_requests;
  server.idle_timeout = settings.idle_timeout;
  server.head_timeout = settings.head_timeout;
  server.body_timeout = settings.body_timeout;
  server.write_timeout = settings.write_timeout;
  // Timeouts below a second want a sweep that keeps up with them.
  const auto shortest = std::min(
      {server.idle_timeout, server.head_timeout, server.body_timeout, server.write_timeout});
  server.sweep_interval = std::min(server.sweep_interval, shortest / 4);
  server.client_limits = std::make_shared<http::ClientLimits>(client_limits(settings));
  return server;
}

http::ClientLimits::Settings client_limits(const config::Settings& settings) {
  http::ClientLimits::Settings client;
  client.connections = settings.client_max_connections;
  client.rate = settings.client_rate;
  client.burst = settings.client_burst;
  return client;
}

proxy::Service::Settings service_settings(const config::Settings& settings) {
  proxy::Service::Settings service;
  service.request_deadline = settings.request_deadline;
  return service;
}

base::Duration stop_patience(const config::Settings& settings) {
  return settings.request_deadline + kDrainGrace + kStopGrace;
}

std::string host_to_look_up(const std::string& base_url) {
  const auto url = upstream::read_base_url(base_url);
  return url && !url->numeric ? url->host : std::string();
}

std::string address_in(const std::string& base_url) {
  const auto url = upstream::read_base_url(base_url);
  return url && url->numeric ? url->address : std::string();
}

std::vector<std::vector<std::string>> origin_names(
    const config::Routing& routing, const std::vector<std::vector<std::string>>& kept) {
  std::vector<std::vector<std::string>> all = kept;
  std::set<std::string> taken;
  for (const auto& names : kept) taken.insert(names.begin(), names.end());
  for (std::size_t i = 0; i < routing.upstreams.size(); ++i) {
    if (!all[i].empty()) continue;
    for (const std::string& url : routing.upstreams[i].settings.api_urls) {
      all[i].push_back(unused_name(url, taken));
    }
  }
  return all;
}

}  // namespace holdfast::daemon
