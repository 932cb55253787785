// The sections as text: for people, and to compare them. Keys stand in the contract's order and
// only where they say something, so that two sections of one meaning are one text.
#include <algorithm>
#include <array>
#include <string>

#include "base/masked_url.h"
#include "config/caching_mode.h"
#include "config/masking.h"
#include "config/routing_file.h"
#include "config/setting_table.h"
#include "config/values.h"

namespace holdfast::config {
namespace {

std::string array_text(const std::vector<std::string>& texts) {
  std::string out = "[";
  for (const std::string& text : texts) {
    if (out.size() > 1) out += ", ";
    out += toml_string(text);
  }
  return out + "]";
}

// Of names and what is the value's text already.
std::string table_text(const std::vector<std::pair<std::string, std::string>>& members) {
  std::string out = "{ ";
  for (const auto& [name, value] : members) {
    if (out.size() > 2) out += ", ";
    out.append(name).append(" = ").append(value);
  }
  return out + " }";
}

std::string texts_table(const std::vector<std::pair<std::string, std::string>>& members) {
  std::vector<std::pair<std::string, std::string>> quoted;
  for (const auto& [name, text] : members) {
    quoted.emplace_back(toml_string(name), toml_string(text));
  }
  return table_text(quoted);
}

class Lines {
 public:
  // `masked`: as it may be shown.
  void add(std::string_view key, const std::string& value, const std::string& masked) {
    is_masked_ = is_masked_ || masked != value;
    rows_.push_back({std::string(key), masked});
  }
  void add(std::string_view key, const std::string& value) { add(key, value, value); }
  void add_text(std::string_view key, const std::string& text) {
    if (!text.empty()) add(key, toml_string(text));
  }
  void add_list(std::string_view key, const std::vector<std::string>& texts) {
    if (!texts.empty()) add(key, array_text(texts));
  }
  void add_fields(std::string_view key,
                  const std::vector<std::pair<std::string, std::string>>& fields, Secrets secrets) {
    if (fields.empty()) return;
    auto masked = fields;
    for (auto& [name, value] : masked) {
      if (secrets == Secrets::Masked && is_secret_field(name)) value = "(secret)";
    }
    add(key, texts_table(fields), texts_table(masked));
  }
  // The settings of the table that the section says.
  void add_settings(Scope scope, const SectionPlace& place, const Settings& settings) {
    for (const Setting& setting : setting_table()) {
      if (setting.scope() != scope || !says(place, setting.key)) continue;
      const std::string text = setting.value.text(settings);
      add(setting.key, setting.value.plain ? text : toml_string(text));
    }
  }

  // With a value masked, or left out as a comment, a settings file would say something else: an
  // upstream's token would go where API_URL is. So all of it is a comment then.
  std::string text(const std::string& heading) const {
    const char* const begin = is_masked_ ? "# " : "";
    std::string out = begin + heading + "\n";
    for (const SectionRow& row : rows_) {
      out.append(begin).append(row.key).append(" = ").append(row.value).append("\n");
    }
    return out;
  }
  std::vector<SectionRow> rows() && { return std::move(rows_); }

 private:
  std::vector<SectionRow> rows_;
  bool is_masked_ = false;
};

std::string query_text(const QueryConfig& query) {
  switch (query.mode) {
    case QueryConfig::Mode::All:
      return toml_string("all");
    case QueryConfig::Mode::None:
      return toml_string("none");
    case QueryConfig::Mode::Keep:
      return table_text({{"keep", array_text(query.names)}});
    case QueryConfig::Mode::Ignore:
      return table_text({{"ignore", array_text(query.names)}});
  }
  return toml_string("all");
}

std::string validate_text(const RouteConfig& route) {
  const ValidateConfig& validate = route.validate;
  std::vector<std::pair<std::string, std::string>> members;
  const bool by_default = route.mode == RouteConfig::Mode::Resilient;
  if (validate.json != by_default) members.emplace_back("json", validate.json ? "true" : "false");
  if (!validate.require.empty()) members.emplace_back("require", array_text(validate.require));
  if (!validate.equal.empty()) members.emplace_back("equal", texts_table(validate.equal));
  if (!validate.reject_if.empty()) {
    std::vector<std::pair<std::string, std::string>> rules;
    for (const auto& [pointer, values] : validate.reject_if) {
      rules.emplace_back(toml_string(pointer), array_text(values));
    }
    members.emplace_back("reject_if", table_text(rules));
  }
  if (!validate.content_type.empty()) {
    members.emplace_back("content_type", toml_string(validate.content_type));
  }
  if (validate.min_body > 0) {
    members.emplace_back("min_body", toml_string(format_size(validate.min_body)));
  }
  return members.empty() ? std::string() : table_text(members);
}

std::string ttl_text(const std::map<int, base::Duration>& ttls) {
  std::vector<std::pair<std::string, std::string>> members;
  for (const auto& [status, ttl] : ttls) {
    members.emplace_back(toml_string(std::to_string(status)), toml_string(format_duration(ttl)));
  }
  return table_text(members);
}

std::string set_cookie_text(RouteConfig::SetCookie set_cookie) {
  return toml_string(set_cookie == RouteConfig::SetCookie::Strip ? "strip" : "store");
}

// Of the settings that a section may say, those in force for it that `counts`.
template <typename Counts>
std::string in_force_text(Scope scope, const Settings& settings, const Counts& counts) {
  std::string out;
  for (const Setting& setting : setting_table()) {
    if (setting.scope() != scope || !counts(setting.key)) continue;
    out.append(setting.key).append(" = ").append(toml_string(setting.value.text(settings)));
    out += '\n';
  }
  return out;
}

Lines lines_of(const UpstreamConfig& upstream, Secrets secrets) {
  const Settings& settings = upstream.settings;
  Lines lines;
  if (says(upstream.place, "urls")) {
    std::vector<std::string> masked = settings.api_urls;
    for (std::string& url : masked) {
      if (secrets == Secrets::Masked) url = base::masked_url(url);
    }
    lines.add("urls", array_text(settings.api_urls), array_text(masked));
  }
  if (says(upstream.place, "token_file")) lines.add_text("token_file", settings.api_token_file);
  if (upstream.token_in != TokenIn::Bearer) {
    lines.add_text(upstream.token_in == TokenIn::Field ? "token_field" : "token_query",
                   upstream.token_name);
  }
  if (upstream.host != "upstream") lines.add_text("host", upstream.host);
  lines.add_settings(Scope::Upstream, upstream.place, settings);
  return lines;
}

void add_http_caching(Lines& lines, const HttpCachingConfig& http) {
  const HttpCachingConfig defaults;
  lines.add_text("mode", "rfc9111");
  if (http.max_variants != defaults.max_variants) {
    lines.add("max_variants", std::to_string(http.max_variants));
  }
  lines.add_list("vary_normalise", http.vary_normalise);
  if (http.lenient_ranges) lines.add_text("ranges", "lenient");
  if (http.lenient_transfer_coding) lines.add_text("transfer_coding", "lenient");
  // An empty one says that there is none.
  if (http.targeted != defaults.targeted) lines.add("targeted", array_text(http.targeted));
}

Lines lines_of(const RouteConfig& route, const Routing& routing, Secrets secrets) {
  const RouteConfig defaults;
  Lines lines;
  lines.add_text("name", route.name);
  lines.add_text("match", route.match);
  lines.add_text("host", route.host);
  if (route.methods != defaults.methods) lines.add_list("methods", route.methods);
  lines.add_text("upstream", routing.upstreams[route.upstream].name);
  if (!route.target.empty()) {
    const bool masked = secrets == Secrets::Masked;
    lines.add("target", toml_string(route.target),
              toml_string(masked ? masked_target(route.target) : route.target));
  }
  if (route.query.mode != QueryConfig::Mode::All) lines.add("query", query_text(route.query));
  if (route.query.sort) lines.add("sort_query", "true");
  lines.add_list("key_fields", route.key_fields);
  lines.add_list("tags", route.tags);
  if (route.mode == RouteConfig::Mode::Rfc9111) add_http_caching(lines, route.http);
  lines.add_text("batch", route.batch);
  const std::string validate = validate_text(route);
  if (!validate.empty()) lines.add("validate", validate);
  if (route.pass_invalid) lines.add_text("on_invalid", "pass");
  if (!route.ttl_by_status.empty()) lines.add("ttl_by_status", ttl_text(route.ttl_by_status));
  if (route.max_body != defaults.max_body) lines.add_text("max_body", format_size(route.max_body));
  if (route.max_request_body != defaults.max_request_body) {
    lines.add_text("max_request_body", format_size(route.max_request_body));
  }
  if (!route.pass_client_errors) lines.add("client_errors", toml_string("problem"));
  if (route.set_cookie != defaults.set_cookie) {
    lines.add("set_cookie", set_cookie_text(route.set_cookie));
  }
  if (route.attempts) lines.add("attempts", std::to_string(*route.attempts));
  if (route.offline) lines.add("offline", "true");
  lines.add_fields("request_set", route.request_set, secrets);
  lines.add_list("request_remove", route.request_remove);
  lines.add_fields("response_set", route.response_set, secrets);
  lines.add_list("response_remove", route.response_remove);
  lines.add_settings(Scope::Route, route.place, route.settings);
  return lines;
}

}  // namespace

std::string section_text(const UpstreamConfig& upstream, Secrets secrets) {
  return lines_of(upstream, secrets).text("[upstream." + upstream.name + "]");
}

std::string section_text(const RouteConfig& route, const Routing& routing, Secrets secrets) {
  return lines_of(route, routing, secrets).text("[[route]]");
}

std::vector<SectionRow> section_rows(const UpstreamConfig& upstream) {
  return lines_of(upstream, Secrets::Masked).rows();
}

std::vector<SectionRow> section_rows(const RouteConfig& route, const Routing& routing) {
  return lines_of(route, routing, Secrets::Masked).rows();
}

std::string meaning_of(const UpstreamConfig& upstream) {
  UpstreamConfig bare = upstream;
  bare.place.lines.clear();  // what it says of the settings is in force below, as is the rest
  return (upstream.built_in ? "built in\n" : "") + section_text(bare, Secrets::Shown) +
         array_text(upstream.settings.api_urls) + "\n" +
         in_force_text(Scope::Upstream, upstream.settings, [](std::string_view) { return true; });
}

std::string meaning_of(const RouteConfig& route, const Routing& routing) {
  RouteConfig bare = route;
  bare.place.lines.clear();
  return (route.built_in ? "built in\n" : "") + section_text(bare, routing, Secrets::Shown) +
         in_force_text(Scope::Route, route.settings,
                       [&](std::string_view key) { return counts_in(route.mode, key); });
}

}  // namespace holdfast::config
