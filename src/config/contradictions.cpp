#include "config/contradictions.h"

#include <algorithm>
#include <chrono>
#include <string>
#include <string_view>
#include <utility>

#include "config/caching_mode.h"
#include "config/routing_file.h"

namespace holdfast::config {
namespace {

bool is_unencrypted_and_remote(const std::string& url) {
  constexpr std::string_view kScheme = "http://";
  if (url.rfind(kScheme, 0) != 0) return false;
  const std::string_view rest = std::string_view(url).substr(kScheme.size());
  const auto starts_with = [&](std::string_view host) {
    return rest.substr(0, host.size()) == host;
  };
  const std::string_view name = rest.substr(0, rest.find_first_of(":/"));
  return name != "localhost" && !starts_with("127.") && !starts_with("[::1]");
}

// What is warned of, and the settings that it lies in.
struct Contradiction {
  std::vector<std::string_view> keys;
  std::string text;
};
using All = std::vector<Contradiction>;

void warn_if(All& all, bool holds, std::vector<std::string_view> keys, std::string text) {
  if (holds) all.push_back({std::move(keys), std::move(text)});
}

// "cache_ttl (1500ms) is kept in whole seconds: it is 1s": HTTP counts them so (RFC 9111, 1.2.2).
void warn_of_fraction(All& all, std::string_view key, base::Duration time) {
  const auto whole = std::chrono::floor<std::chrono::seconds>(time);
  warn_if(all, time != whole, {key},
          std::string(key) + " (" + format_duration(time) + ") is kept in whole seconds: it is " +
              format_duration(whole));
}

// Of settings that an upstream may have for itself.
All of_upstream(const Settings& s) {
  All all;
  const auto text = format_duration;
  warn_if(all, s.request_deadline < s.attempt_timeout, {"attempt_timeout"},
          "request_deadline (" + text(s.request_deadline) + ") is shorter than attempt_timeout (" +
              text(s.attempt_timeout) + "): a client gives up before its first attempt may end");
  warn_if(all, s.retry_base > s.retry_cap, {"retry_base", "retry_cap"},
          "retry_base (" + text(s.retry_base) + ") is longer than retry_cap (" + text(s.retry_cap) +
              "): every backoff is cut to retry_cap");
  warn_if(all, s.hedge.kind == Hedge::Kind::After && s.hedge.after >= s.attempt_timeout,
          {"hedge", "attempt_timeout"},
          "hedge (" + text(s.hedge.after) + ") is not shorter than attempt_timeout (" +
              text(s.attempt_timeout) + "): no second attempt will ever start");
  warn_if(all, s.probe_path.empty() && !s.is_default("probe_interval"),
          {"probe_path", "probe_interval"},
          "probe_interval without a probe_path: idle upstreams are not probed");
  warn_if(all, !s.api_client_key_file.empty() && s.api_client_cert_file.empty(),
          {"api_client_key_file"},
          "api_client_key_file without an api_client_cert_file: no certificate is shown");
  return all;
}

// Of settings that a route may have for itself.
All of_route(const Settings& s) {
  All all;
  const auto text = format_duration;
  warn_if(all, s.stale_if_error < s.stale_while_revalidate,
          {"stale_if_error", "stale_while_revalidate"},
          "stale_if_error (" + text(s.stale_if_error) +
              ") is shorter than stale_while_revalidate (" + text(s.stale_while_revalidate) +
              ") and so adds nothing to it");
  warn_if(all, s.negative_ttl > s.cache_ttl, {"negative_ttl", "cache_ttl"},
          "negative_ttl (" + text(s.negative_ttl) + ") is longer than cache_ttl (" +
              text(s.cache_ttl) + "): that something is missing is believed longer than an answer");
  warn_of_fraction(all, "cache_ttl", s.cache_ttl);
  warn_of_fraction(all, "negative_ttl", s.negative_ttl);
  warn_of_fraction(all, "stale_while_revalidate", s.stale_while_revalidate);
  warn_of_fraction(all, "stale_if_error", s.stale_if_error);
  warn_if(all, s.cache_ttl_override && s.cache_ttl < std::chrono::seconds(1),
          {"cache_ttl_override", "cache_ttl"},
          "cache_ttl_override with a cache_ttl of 0 makes every stored response stale at once");
  return all;
}

bool token_is_unencrypted(const Settings& s) {
  return !s.api_token.empty() &&
         std::any_of(s.api_urls.begin(), s.api_urls.end(), is_unencrypted_and_remote);
}

// What a section says is its own; what it only takes over is warned of once, for all.
void append_own(std::vector<std::string>& out, const SectionPlace& place, All all) {
  for (Contradiction& one : all) {
    const bool own = std::any_of(one.keys.begin(), one.keys.end(),
                                 [&](std::string_view key) { return says(place, key); });
    if (own) out.push_back(place.title + ": " + std::move(one.text));
  }
}

// Whether anybody is asked with it.
bool uses_global_urls(const UpstreamConfig& upstream) {
  return !says(upstream.place, "urls");
}
bool uses_global_token(const UpstreamConfig& upstream) {
  return uses_global_urls(upstream) && !says(upstream.place, "token_file");
}

template <typename Predicate>
bool any_upstream(const Settings& s, const Predicate& predicate) {
  if (!s.routing) return true;
  const auto& all = s.routing->upstreams;
  return std::any_of(all.begin(), all.end(), predicate);
}

void append_of_sections(std::vector<std::string>& out, const Settings& global) {
  for (const UpstreamConfig& upstream : global.routing->upstreams) {
    const Settings& s = upstream.settings;
    append_own(out, upstream.place, of_upstream(s));
    if (!uses_global_token(upstream) && token_is_unencrypted(s)) {
      out.push_back(upstream.place.title +
                    ": its token is sent unencrypted to another machine; use https");
    }
    if (upstream.token_in != TokenIn::Bearer && s.api_token.empty()) {
      out.push_back(upstream.place.title + ": " +
                    (upstream.token_in == TokenIn::Field ? "token_field" : "token_query") +
                    " without a token: none is sent");
    }
  }
  for (const RouteConfig& route : global.routing->routes) {
    All all = of_route(route.settings);
    for (const auto& [status, ttl] : route.ttl_by_status) {
      const std::string key = "ttl_by_status." + std::to_string(status);
      const auto line = route.place.lines.find(key);
      if (line != route.place.lines.end()) warn_of_fraction(all, line->first, ttl);
    }
    // Of what does not count there, nothing is set against what does.
    all.erase(std::remove_if(all.begin(), all.end(),
                             [&](const Contradiction& one) {
                               return !std::all_of(one.keys.begin(), one.keys.end(),
                                                   [&](std::string_view key) {
                                                     return counts_in(route.mode, key);
                                                   });
                             }),
              all.end());
    append_own(out, route.place, std::move(all));
  }
  const bool url_is_set = !global.is_default("api_url");
  const bool token_is_set = !global.is_default("api_token") || !global.is_default("api_token_file");
  if (url_is_set && !any_upstream(global, uses_global_urls)) {
    out.push_back("api_url is not used: every [upstream.NAME] has urls of its own");
  }
  if (token_is_set && !any_upstream(global, uses_global_token)) {
    out.push_back(
        "the token of api_token or api_token_file is not used: it goes to api_url alone, and every "
        "[upstream.NAME] has urls or a token_file of its own");
  }
}

}  // namespace

std::vector<std::string> contradictions(const Settings& s) {
  All all = of_upstream(s);
  for (Contradiction& one : of_route(s)) all.push_back(std::move(one));
  warn_if(all, !s.store_path.empty() && s.store_limit_bytes < s.memory_limit_bytes, {},
          "store_limit (" + format_size(s.store_limit_bytes) + ") is less than memory_limit (" +
              format_size(s.memory_limit_bytes) + "): a restart forgets what memory still held");
  warn_if(all, s.clock_offset != base::Duration::zero(), {},
          "clock_offset (" + format_duration(s.clock_offset) +
              ") shifts the wall clock: this is a rehearsal, not a production setting");
  warn_if(all, token_is_unencrypted(s) && any_upstream(s, uses_global_token), {},
          "api_token is sent unencrypted to another machine; use https");
  const auto token = s.sources.find("api_token");
  const bool on_command_line = token != s.sources.end() &&
                               token->second.kind == Source::Kind::Flag && s.api_token_file.empty();
  warn_if(all, on_command_line, {},
          "api_token on the command line can be read by every user of this machine; "
          "use api_token_file");
  std::vector<std::string> out;
  for (Contradiction& one : all) out.push_back(std::move(one.text));
  if (s.routing) append_of_sections(out, s);
  return out;
}

}  // namespace holdfast::config
