#include "config/contradictions.h"

#include <algorithm>
#include <chrono>
#include <string>
#include <utility>

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

}  // namespace

std::vector<std::string> contradictions(const Settings& s) {
  std::vector<std::string> all;
  const auto warn_if = [&](bool holds, std::string text) {
    if (holds) all.push_back(std::move(text));
  };
  const auto text = format_duration;

  warn_if(s.request_deadline < s.attempt_timeout,
          "request_deadline (" + text(s.request_deadline) + ") is shorter than attempt_timeout (" +
              text(s.attempt_timeout) + "): a client gives up before its first attempt may end");
  warn_if(s.retry_base > s.retry_cap, "retry_base (" + text(s.retry_base) +
                                          ") is longer than retry_cap (" + text(s.retry_cap) +
                                          "): every backoff is cut to retry_cap");
  warn_if(s.hedge.kind == Hedge::Kind::After && s.hedge.after >= s.attempt_timeout,
          "hedge (" + text(s.hedge.after) + ") is not shorter than attempt_timeout (" +
              text(s.attempt_timeout) + "): no second attempt will ever start");
  warn_if(s.stale_if_error < s.stale_while_revalidate,
          "stale_if_error (" + text(s.stale_if_error) +
              ") is shorter than stale_while_revalidate (" + text(s.stale_while_revalidate) +
              ") and so adds nothing to it");
  warn_if(s.negative_ttl > s.cache_ttl,
          "negative_ttl (" + text(s.negative_ttl) + ") is longer than cache_ttl (" +
              text(s.cache_ttl) + "): that something is missing is believed longer than an answer");
  // HTTP counts them so (RFC 9111, 1.2.2).
  for (const auto& [name, time] : {std::pair{"cache_ttl", s.cache_ttl},
                                   {"negative_ttl", s.negative_ttl},
                                   {"stale_while_revalidate", s.stale_while_revalidate},
                                   {"stale_if_error", s.stale_if_error}}) {
    const auto whole = std::chrono::floor<std::chrono::seconds>(time);
    warn_if(time != whole, std::string(name) + " (" + text(time) +
                               ") is kept in whole seconds: it is " + text(whole));
  }
  warn_if(s.cache_ttl_override && s.cache_ttl < std::chrono::seconds(1),
          "cache_ttl_override with a cache_ttl of 0 makes every stored response stale at once");
  warn_if(!s.store_path.empty() && s.store_limit_bytes < s.memory_limit_bytes,
          "store_limit (" + format_size(s.store_limit_bytes) + ") is less than memory_limit (" +
              format_size(s.memory_limit_bytes) + "): a restart forgets what memory still held");
  warn_if(s.clock_offset != base::Duration::zero(),
          "clock_offset (" + text(s.clock_offset) +
              ") shifts the wall clock: this is a rehearsal, not a production setting");

  warn_if(s.probe_path.empty() && !s.is_default("probe_interval"),
          "probe_interval without a probe_path: idle upstreams are not probed");

  warn_if(!s.api_client_key_file.empty() && s.api_client_cert_file.empty(),
          "api_client_key_file without an api_client_cert_file: no certificate is shown");

  if (!s.api_token.empty()) {
    const auto remote =
        std::find_if(s.api_urls.begin(), s.api_urls.end(), is_unencrypted_and_remote);
    warn_if(remote != s.api_urls.end(),
            "api_token is sent unencrypted to another machine; use https");
  }
  const auto token = s.sources.find("api_token");
  const bool on_command_line = token != s.sources.end() &&
                               token->second.kind == Source::Kind::Flag && s.api_token_file.empty();
  warn_if(on_command_line,
          "api_token on the command line can be read by every user of this machine; "
          "use api_token_file");
  return all;
}

}  // namespace holdfast::config
