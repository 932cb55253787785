#include "daemon/summary.h"

#include <algorithm>
#include <cstddef>
#include <string_view>
#include <vector>

#include "base/masked_url.h"
#include "config/masking.h"
#include "config/values.h"
#include "daemon/sheet.h"

namespace holdfast::daemon {
namespace {

using config::RouteConfig;
using config::UpstreamConfig;

std::string joined(const std::vector<std::string>& texts, std::string_view between) {
  std::string all;
  for (const std::string& text : texts) all.append(all.empty() ? "" : between).append(text);
  return all;
}

// A line of a log has an end, and thousands of routes none.
template <typename Section, typename Say>
std::string in_short(const std::vector<Section>& sections, const Say& say) {
  constexpr std::size_t kMost = 8;
  std::string all;
  for (std::size_t i = 0; i < std::min(sections.size(), kMost); ++i) {
    all += (i > 0 ? ", " : "") + say(sections[i]);
  }
  if (sections.size() > kMost) {
    all += " and " + std::to_string(sections.size() - kMost) + " more";
  }
  return all;
}

std::string urls_of(const UpstreamConfig& upstream) {
  std::vector<std::string> urls;
  for (const std::string& url : upstream.settings.api_urls) urls.push_back(base::masked_url(url));
  return joined(urls, ", then ");
}

std::string credential_of(const UpstreamConfig& upstream) {
  const config::Settings& settings = upstream.settings;
  std::string told = "no token";
  if (!settings.api_token.empty()) {
    told = settings.api_token_file.empty() ? "a token" : "the token in " + settings.api_token_file;
    switch (upstream.token_in) {
      case config::TokenIn::Bearer:
        told += ", as Authorization: Bearer";
        break;
      case config::TokenIn::Field:
        told += ", as the field " + upstream.token_name;
        break;
      case config::TokenIn::Query:
        told += ", as " + upstream.token_name + " in the query";
        break;
    }
  }
  if (!settings.api_client_cert_file.empty()) {
    told += "; the certificate in " + settings.api_client_cert_file;
  }
  return told;
}

std::string kept(const RouteConfig& route) {
  const config::Settings& settings = route.settings;
  const std::string on_errors = config::format_duration(settings.stale_if_error);
  if (route.mode == RouteConfig::Mode::Rfc9111) {
    return "kept as the upstream says (rfc9111); where it fails, stale for " + on_errors;
  }
  constexpr int kMissing = 404;
  const auto& by_status = route.ttl_by_status;
  const auto missing = by_status.find(kMissing);
  std::string told =
      "fresh for " + config::format_duration(settings.cache_ttl) +
      (settings.cache_ttl_override ? " whatever the upstream says" : "") + ", stale for " +
      config::format_duration(settings.stale_while_revalidate) +
      ", and where the upstream fails for " + on_errors + "; 404 for " +
      config::format_duration(missing == by_status.end() ? settings.negative_ttl : missing->second);
  for (const auto& [status, ttl] : by_status) {
    if (status == kMissing) continue;
    told += "; " + std::to_string(status) + " for " + config::format_duration(ttl);
  }
  return told;
}

void add_route(Sheet& sheet, const RouteConfig& route, const UpstreamConfig& upstream) {
  const bool all = route.methods == std::vector<std::string>{"*"};
  const std::string target =
      route.target.empty() ? "the same path" : config::masked_target(route.target);
  sheet.row("route", route.name + ": " + (all ? "any method" : joined(route.methods, ", ")) + " " +
                         route.host + route.match + " -> " +
                         (route.offline ? "nobody, it is offline" : upstream.name + ", " + target));
  if (!route.batch.empty()) sheet.more("many at once: POST " + route.batch);
  sheet.more(kept(route));
}

}  // namespace

std::string settings_summary(const config::Settings& settings) {
  const config::Routing& routing = *settings.routing;
  Sheet sheet;
  for (const UpstreamConfig& upstream : routing.upstreams) {
    sheet.row("upstream", upstream.name + ": " + urls_of(upstream));
    sheet.more("with " + credential_of(upstream));
  }
  for (const RouteConfig& route : routing.routes) {
    add_route(sheet, route, routing.upstreams[route.upstream]);
  }
  sheet.row("memory", config::format_size(settings.memory_limit_bytes) + " at most");
  sheet.row("store", settings.store_path.empty()
                         ? "none: what is kept ends with the program"
                         : settings.store_path + ", " +
                               config::format_size(settings.store_limit_bytes) + " at most");
  sheet.row("listens",
            "port " + std::to_string(settings.port) + " of " + joined(settings.bind, ", "));
  sheet.row("admin", settings.admin_socket.empty() ? "no socket (ADMIN_SOCKET makes one)"
                                                   : settings.admin_socket);
  return sheet.take();
}

std::string upstreams_in_short(const config::Routing& routing) {
  return in_short(routing.upstreams, [](const UpstreamConfig& upstream) {
    return upstream.name + " " + base::masked_url(upstream.settings.api_urls.front());
  });
}

std::string routes_in_short(const config::Routing& routing) {
  return in_short(routing.routes, [](const RouteConfig& route) { return route.name; });
}

std::string first_words(const config::Settings& settings, const std::string& port) {
  const config::Routing& routing = *settings.routing;
  const bool built_in = routing.routes.size() == 1 && routing.routes.front().built_in;
  if (!built_in || !settings.is_default("api_url")) return {};
  const RouteConfig& route = routing.routes.front();
  const UpstreamConfig& upstream = routing.upstreams[route.upstream];
  const std::string here = "http://localhost:" + port;
  std::string path = route.match;
  if (const std::size_t type = path.find(":ip}"); type != path.npos) path.erase(type, 3);
  return "Holdfast serves GET " + here + path + "; " + here + "/status shows how it is.\n" +
         "For that it asks GET " + urls_of(upstream) + route.target + ", with " +
         credential_of(upstream) + ", as nothing says whom to ask.\n" +
         "To change that: holdfast --api-url URL --api-token-file FILE, or --config FILE with "
         "routes of your own.\n" +
         "holdfast check /lookup/8.8.8.8 asks once and says what came. The log follows.\n";
}

}  // namespace holdfast::daemon
