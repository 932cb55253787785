// The keys of an [upstream.NAME].
#include <algorithm>
#include <array>

#include "config/section_reader.h"
#include "config/values.h"

namespace holdfast::config {
namespace {

using Kind = FileValue::Kind;

void read_urls(SectionReader& reader, const FileValue& value, Settings& settings) {
  const Setting& urls = *find_setting("api_url");
  if (value.kind != Kind::Array && value.kind != Kind::Text) {
    reader.is(Kind::Array, "urls", value, "an array of base URLs");
    return;
  }
  const auto flat = flat_value(value);
  if (!flat) return reader.wrong(flat.error().line, "urls", flat.error().what);
  // None of its own: API_URL's.
  if (value.kind == Kind::Array && value.elements.empty()) {
    reader.place().lines.erase("urls");
    return;
  }
  if (const auto set = urls.value.set(settings, *flat); !set) {
    return reader.wrong(value.line, "urls",
                        shown_in_error(urls, *flat) + ": " + set.error().message);
  }
  settings.sources["api_url"] = {Source::Kind::File, value.line};
}

// Why the token cannot go in that field, or nothing.
std::string_view objection_to_token_field(std::string_view name) {
  if (!is_token(name)) return "no field has that name";
  if (is_framing_field(name)) return "it belongs to the connection";
  if (is_partial_field(name)) return "it asks for less than an answer";
  if (is_trace_field(name)) return "it is each request's own";
  if (same_field(name, "Accept-Encoding")) return "it is ours to say";
  if (is_way_field(name)) return "it tells the way that a request came";
  if (same_field(name, "Cookie")) return "it is a client's own, and never sent";
  return {};
}

void read_token_name(SectionReader& reader, const std::string& key, const FileValue& value,
                     UpstreamConfig& upstream) {
  std::string name;
  if (!reader.text(key, value, name)) return;
  const bool field = key == "token_field";
  const std::string_view objection = field ? objection_to_token_field(name) : std::string_view();
  if (!objection.empty()) {
    return reader.wrong(value.line, key,
                        shown_in_error(name) + " cannot carry it: " + std::string(objection) +
                            "; expected a field's name such as \"X-Api-Key\"");
  }
  // What needs no escape in a query.
  constexpr std::string_view kMarks = "-._~";
  const bool plain = std::all_of(name.begin(), name.end(), [&](char c) {
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           kMarks.find(c) != std::string_view::npos;
  });
  if (!field && !plain) {
    return reader.wrong(
        value.line, key,
        shown_in_error(name) + " cannot carry it; expected a parameter's name such as \"key\"");
  }
  if (upstream.token_in != TokenIn::Bearer) {
    return reader.wrong(value.line, key,
                        "is there beside the other; expected token_field or token_query");
  }
  upstream.token_in = field ? TokenIn::Field : TokenIn::Query;
  upstream.token_name = name;
}

void read_host(SectionReader& reader, const FileValue& value, UpstreamConfig& upstream) {
  std::string host;
  if (!reader.text("host", value, host)) return;
  const auto parsed = parse_host(host);
  if (!parsed) {
    return reader.wrong(value.line, "host",
                        shown_in_error(host) +
                            ": expected \"upstream\", \"client\", or a host as "
                            "\"api.example.com\" or \"api.example.com:8443\"");
  }
  upstream.host = *parsed;
}

// Ours for API_URL goes nowhere else: a section with URLs of its own has its own token, or none.
void take_token(SectionReader& reader, UpstreamConfig& upstream, const std::string& file, int line,
                const std::function<base::Result<std::string>(const std::string&)>& read_token) {
  Settings& settings = upstream.settings;
  if (reader.place().lines.contains("urls") || !file.empty()) {
    settings.api_token.clear();
    settings.api_token_file.clear();
    settings.sources["api_token"] = settings.sources["api_token_file"] = {};
  }
  if (!file.empty()) {
    auto token = read_token(file);
    if (!token) {
      return reader.wrong(line, "token_file", shown_in_error(file) + ": " + token.error().message);
    }
    settings.api_token = *std::move(token);
    settings.api_token_file = file;
    settings.sources["api_token"] = settings.sources["api_token_file"] = {Source::Kind::File, line};
    return;
  }
  const auto& lines = reader.place().lines;
  if (!lines.contains("urls") || lines.contains("token_file")) return;
  for (const char* key : {"token_field", "token_query"}) {
    const auto found = lines.find(key);
    if (found != lines.end()) {
      reader.wrong(found->second, key, "has no token to send; expected a token_file beside it");
    }
  }
}

}  // namespace

std::vector<std::string> keys_of_upstreams() {
  return {"urls", "token_file", "token_field", "token_query", "host"};
}

void read_upstream(const FileValue& section, SectionReader& reader, UpstreamConfig& upstream,
                   const std::function<base::Result<std::string>(const std::string&)>& read_token) {
  std::string token_file;
  int token_line = 0;
  for (const FileMember& member : section.members) {
    const std::string key = canonical_key(member.key);
    const FileValue& value = member.value;
    if (!reader.enter(key, value.line)) continue;
    if (key == "urls") {
      read_urls(reader, value, upstream.settings);
    } else if (key == "token_file") {
      token_line = value.line;
      const Setting& file = *find_setting("api_token_file");
      Settings checked;
      if (!reader.text(key, value, token_file)) continue;
      if (const auto set = file.value.set(checked, token_file); !set) {
        reader.wrong(value.line, key, shown_in_error(token_file) + ": " + set.error().message);
        token_file.clear();
      }
    } else if (key == "token_field" || key == "token_query") {
      read_token_name(reader, key, value, upstream);
    } else if (key == "host") {
      read_host(reader, value, upstream);
    } else {
      reader.setting(key, member, Scope::Upstream, upstream.settings);
    }
  }
  take_token(reader, upstream, token_file, token_line, read_token);
}

}  // namespace holdfast::config
