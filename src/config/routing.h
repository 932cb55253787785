// Routing is what the `[upstream.NAME]` and `[[route]]` sections of the settings file say, as
// typed values: who is asked, and what for. The built-in one (the lookup) is such a text too. Texts
// with a grammar of their own (a path template, say) stand as they were written: whoever builds the
// routes parses them, and names the place that place() gives. Immutable once read; any thread.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "config/settings.h"

namespace holdfast::config {

// Where a section, and each of its keys, stands. Keys of inner tables are joined by dots
// ("validate.require").
struct SectionPlace {
  std::string file;   // "the built-in configuration" where it comes from no file
  std::string title;  // [upstream.geo], or [[route]] "lookup"
  int line = 0;       // of its heading
  std::map<std::string, int, std::less<>> lines;

  // "holdfast.toml:12: [[route]] "lookup": match"; of the section itself where it has no such key.
  std::string of(std::string_view key) const;
};

// How the token goes to the upstream.
enum class TokenIn { Bearer, Field, Query };

struct UpstreamConfig {
  std::string name;
  SectionPlace place;
  // Those in force for it: what the section says over the global ones. Its URLs are api_urls, its
  // token api_token. A section with `urls` of its own has no token but its own: ours for
  // API_URL goes nowhere else.
  Settings settings;
  TokenIn token_in = TokenIn::Bearer;
  std::string token_name;         // of the field or the query parameter
  std::string host = "upstream";  // the URL's; "client": the request's; else this text
  bool built_in = false;
};

struct QueryConfig {
  enum class Mode { All, None, Keep, Ignore };
  Mode mode = Mode::All;
  std::vector<std::string> names;  // of Keep and Ignore; `*` at the end stands for any rest
  bool sort = false;
};

struct ValidateConfig {
  bool json = true;                  // in mode "rfc9111": false, but where a rule needs it
  std::vector<std::string> require;  // "/ip:string"
  std::vector<std::pair<std::string, std::string>> equal;                   // pointer, parameter
  std::vector<std::pair<std::string, std::vector<std::string>>> reject_if;  // pointer, values
  std::string content_type;
  std::uint64_t min_body = 0;
};

// What a route of mode "rfc9111" says of its own (proxy/storing_policy.h has what it means).
struct HttpCachingConfig {
  unsigned max_variants = 64;
  std::vector<std::string> vary_normalise;  // in lower case
  bool lenient_ranges = false;
  bool lenient_transfer_coding = false;
  std::vector<std::string> targeted{"CDN-Cache-Control"};  // as written
};

struct RouteConfig {
  std::string name;
  SectionPlace place;
  Settings settings;  // those in force for it, as for an upstream; the caching ones are its own
  std::string match;
  std::string host;                                 // empty: any
  std::vector<std::string> methods{"GET", "HEAD"};  // or "*" alone: all
  std::size_t upstream = 0;                         // of Routing::upstreams
  std::string target;                               // empty: the path as it came
  QueryConfig query;
  std::vector<std::string> key_fields;
  std::vector<std::string> tags;  // of every answer, besides those that it says itself
  enum class Mode { Resilient, Rfc9111 };
  Mode mode = Mode::Resilient;
  HttpCachingConfig http;  // counts in Rfc9111 alone
  std::string batch;       // empty: none
  ValidateConfig validate;
  std::map<int, base::Duration> ttl_by_status;
  std::uint64_t max_body = 8U << 20;
  std::uint64_t max_request_body = 1U << 20;
  enum class SetCookie { Pass, Strip, Store };
  SetCookie set_cookie = SetCookie::Pass;
  bool pass_invalid = false;         // on_invalid: what `validate` refuses, for want of anything
  bool offline = false;              // the upstream is never asked
  bool pass_client_errors = true;    // else a 4xx of the upstream's becomes a problem of ours
  std::optional<unsigned> attempts;  // most per fetch
  std::vector<std::pair<std::string, std::string>> request_set;
  std::vector<std::string> request_remove;
  std::vector<std::pair<std::string, std::string>> response_set;
  std::vector<std::string> response_remove;
  bool built_in = false;
};

struct Routing {
  std::vector<UpstreamConfig> upstreams;  // in the file's order; each is used by a route
  std::vector<RouteConfig> routes;        // likewise; at least one
};

// What the program does without a [[route]] in its file, as the text that stands for it.
std::string_view built_in_routing();

}  // namespace holdfast::config
