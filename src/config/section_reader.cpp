#include "config/section_reader.h"

#include <algorithm>
#include <array>

#include "base/suggest.h"
#include "config/values.h"

namespace holdfast::config {
namespace {

using Kind = FileValue::Kind;

// What is called otherwise here: names of the whole program's settings, and those that other
// programs have, where none of ours is near them.
struct OtherName {
  std::string_view theirs;
  std::string_view ours;
  Scope scope;
};
constexpr std::array kOtherNames = {
    OtherName{"api_url", "urls", Scope::Upstream},
    OtherName{"api_urls", "urls", Scope::Upstream},
    OtherName{"url", "urls", Scope::Upstream},
    OtherName{"address", "urls", Scope::Upstream},
    OtherName{"server", "urls", Scope::Upstream},
    OtherName{"servers", "urls", Scope::Upstream},
    OtherName{"origins", "urls", Scope::Upstream},
    OtherName{"api_token_file", "token_file", Scope::Upstream},
    OtherName{"api_token", "token_file", Scope::Upstream},
    OtherName{"token", "token_file", Scope::Upstream},
    OtherName{"timeout", "attempt_timeout", Scope::Upstream},
    OtherName{"read_timeout", "attempt_timeout", Scope::Upstream},
    OtherName{"concurrency", "upstream_concurrency", Scope::Upstream},
    OtherName{"max_connections", "upstream_concurrency", Scope::Upstream},
    OtherName{"health_check", "probe_path", Scope::Upstream},
    OtherName{"ca_file", "api_ca_file", Scope::Upstream},
    OtherName{"path", "match", Scope::Route},
    OtherName{"location", "match", Scope::Route},
    OtherName{"pattern", "match", Scope::Route},
    OtherName{"method", "methods", Scope::Route},
    OtherName{"backend", "upstream", Scope::Route},
    OtherName{"origin", "upstream", Scope::Route},
    OtherName{"proxy_pass", "upstream", Scope::Route},
    OtherName{"rewrite", "target", Scope::Route},
    OtherName{"ttl", "cache_ttl", Scope::Route},
    OtherName{"max_age", "cache_ttl", Scope::Route},
    OtherName{"error_ttl", "negative_ttl", Scope::Route},
    OtherName{"swr", "stale_while_revalidate", Scope::Route},
    OtherName{"grace", "stale_if_error", Scope::Route},
    OtherName{"vary", "key_fields", Scope::Route},
    OtherName{"headers", "request_set", Scope::Route},
    OtherName{"max_size", "max_body", Scope::Route},
    OtherName{"retries", "attempts", Scope::Route},
};

const OtherName* find_other_name(std::string_view key) {
  const auto found =
      std::find_if(kOtherNames.begin(), kOtherNames.end(),
                   [key](const OtherName& other) { return same_word(other.theirs, key); });
  return found == kOtherNames.end() ? nullptr : found;
}

std::vector<std::string> own_keys(Scope scope) {
  return scope == Scope::Upstream ? keys_of_upstreams() : keys_of_routes();
}

bool is_own_key(Scope scope, const std::string& key) {
  const std::vector<std::string> keys = own_keys(scope);
  return std::find(keys.begin(), keys.end(), key) != keys.end();
}

std::string_view in_section(Scope scope) {
  return scope == Scope::Upstream ? "in an [upstream.NAME]" : "in a [[route]]";
}

std::string where_it_stands(const Setting& setting) {
  const std::string key(setting.key);
  if (setting.scope() != Scope::Program) {
    return key +
           (setting.scope() == Scope::Upstream ? " is a setting of upstreams; expected it "
                                               : " is a setting of routes; expected it ") +
           std::string(in_section(setting.scope())) + ", or above all sections";
  }
  return key + " is a setting of the whole program; expected it above all sections";
}

// A key as it stands in an error. Those of inner tables may be any text.
std::string shown_key(std::string_view key) {
  const bool plain = key.size() <= 120 && std::all_of(key.begin(), key.end(),
                                                      [](char c) { return c > ' ' && c <= '~'; });
  return plain ? std::string(key) : shown_in_error(key);
}

}  // namespace

std::string SectionPlace::of(std::string_view key) const {
  const auto found = lines.find(key);
  std::string text =
      file + ":" + std::to_string(found == lines.end() ? line : found->second) + ": " + title;
  if (found != lines.end()) text.append(": ").append(shown_key(key));
  return text;
}

void SectionReader::wrong(int line, std::string_view key, std::string_view what) {
  std::string text = place_.title;
  if (!key.empty()) text.append(": ").append(shown_key(key));
  problems_.add(line, text.append(": ").append(what));
}

bool SectionReader::enter(const std::string& key, int line) {
  const auto [found, is_new] = place_.lines.emplace(key, line);
  if (!is_new) wrong(line, key, "is already set in line " + std::to_string(found->second));
  return is_new;
}

bool SectionReader::is(Kind kind, const std::string& key, const FileValue& value,
                       std::string_view expected) {
  if (value.kind == kind) return true;
  const std::string there(in_words(value.kind));
  wrong(value.line, key, "is " + there + "; expected " + std::string(expected));
  return false;
}

bool SectionReader::text(const std::string& key, const FileValue& value, std::string& out) {
  if (!is(Kind::Text, key, value, "a text in quotes")) return false;
  if (trimmed(value.text).empty()) {
    wrong(value.line, key, "is blank; expected a value, or no such line");
    return false;
  }
  out = value.text;
  return true;
}

bool SectionReader::flag(const std::string& key, const FileValue& value, bool& out) {
  if (!is(Kind::Switch, key, value, "true or false")) return false;
  out = value.text == "true";
  return true;
}

bool SectionReader::size(const std::string& key, const FileValue& value, std::uint64_t least,
                         std::uint64_t most, std::uint64_t& out) {
  if (value.kind != Kind::Integer &&
      !is(Kind::Text, key, value, "a size such as \"512KiB\" or \"8MiB\"")) {
    return false;
  }
  const auto parsed = parse_size(trimmed(value.text));
  const std::string is_there = shown_in_error(value.text) + ": ";
  if (!parsed) {
    wrong(value.line, key, is_there + parsed.error().message);
  } else if (*parsed < least || *parsed > most) {
    wrong(value.line, key,
          is_there + "expected a size from " + format_size(least) + " to " + format_size(most));
  } else {
    out = *parsed;
    return true;
  }
  return false;
}

std::optional<std::uint64_t> SectionReader::count(const std::string& key, const FileValue& value,
                                                  std::uint64_t least, std::uint64_t most) {
  if (!is(Kind::Integer, key, value,
          "a whole number from " + std::to_string(least) + " to " + std::to_string(most))) {
    return std::nullopt;
  }
  const auto parsed = parse_count(value.text, least, most);
  if (!parsed) {
    wrong(value.line, key, value.text + ": " + parsed.error().message);
    return std::nullopt;
  }
  return *parsed;
}

std::vector<SectionReader::Element> SectionReader::list(const std::string& key,
                                                        const FileValue& value,
                                                        std::string_view expected, bool fields) {
  std::vector<Element> out;
  if (!is(Kind::Array, key, value, expected)) return out;
  for (const FileValue& element : value.elements) {
    std::string text;
    if (element.kind != Kind::Text) {
      wrong(element.line, key,
            "has " + std::string(in_words(element.kind)) + " in it; expected " +
                std::string(expected));
      continue;
    }
    if (!this->text(key, element, text)) continue;
    const bool twice = std::any_of(out.begin(), out.end(), [&](const Element& other) {
      return fields ? same_field(other.text, text) : other.text == text;
    });
    if (twice) {
      wrong(element.line, key, shown_in_error(text) + " is there twice; expected each once");
      continue;
    }
    place_.lines.emplace(key + "." + text, element.line);
    out.push_back({std::move(text), element.line});
  }
  return out;
}

void SectionReader::setting(const std::string& key, const FileMember& member, Scope scope,
                            Settings& settings) {
  const int line = member.value.line;
  const Setting* setting = find_setting(key);
  if (setting == nullptr || setting->scope() != scope) {
    const std::string unknown = "unknown key " + shown_in_error(member.key);
    const OtherName* const other = find_other_name(key);
    if (other != nullptr && other->scope == scope) {
      return wrong(line, "", unknown + did_you_mean(std::string(other->ours)));
    }
    if (setting != nullptr) return wrong(line, "", where_it_stands(*setting));
    const Scope elsewhere = scope == Scope::Upstream ? Scope::Route : Scope::Upstream;
    if (is_own_key(elsewhere, key)) {
      return wrong(line, "",
                   key +
                       (elsewhere == Scope::Upstream ? " is a key of upstreams; expected it "
                                                     : " is a key of routes; expected it ") +
                       std::string(in_section(elsewhere)));
    }
    if (other != nullptr) {
      return wrong(line, "",
                   unknown + did_you_mean(std::string(other->ours) + " " +
                                          std::string(in_section(other->scope))));
    }
    std::vector<std::string> names = own_keys(scope);
    for (const Setting& known : setting_table()) {
      if (known.scope() == scope) names.emplace_back(known.key);
    }
    return wrong(line, "", unknown + did_you_mean(base::nearest(key, names)));
  }
  const auto flat = flat_value(member.value);
  if (!flat) return wrong(flat.error().line, key, flat.error().what);
  const std::string_view text = trimmed(*flat);
  if (text.empty()) return wrong(line, key, "is blank; expected a value, or no such line");
  if (const auto set = setting->value.set(settings, text); !set) {
    return wrong(line, key, shown_in_error(*setting, text) + ": " + set.error().message);
  }
  settings.sources[key] = {Source::Kind::File, line};
}

bool is_section_name(std::string_view name) {
  const auto fits = [](char c) {
    return (c >= 'a' && c <= 'z') || is_digit(c) || c == '_' || c == '-';
  };
  return !name.empty() && name.size() <= 64 && name.front() != '-' &&
         std::all_of(name.begin(), name.end(), fits);
}

bool is_token(std::string_view text) {
  constexpr std::string_view kMarks = "!#$%&'*+-.^_`|~";
  return !text.empty() && std::all_of(text.begin(), text.end(), [&](char c) {
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           kMarks.find(c) != std::string_view::npos;
  });
}

bool is_field_content(std::string_view text) {
  return !text.empty() && trimmed(text) == text &&
         std::none_of(text.begin(), text.end(),
                      [](char c) { return (c >= 0 && c < ' ') || c == '\x7f'; });
}

bool same_field(std::string_view one, std::string_view other) {
  return same_word(one, other);
}

namespace {

template <std::size_t kCount>
bool is_one_of(const std::array<std::string_view, kCount>& fields, std::string_view name) {
  return std::any_of(fields.begin(), fields.end(),
                     [&](std::string_view field) { return same_field(field, name); });
}

}  // namespace

bool is_framing_field(std::string_view name) {
  constexpr std::array kFraming = {std::string_view("Host"),
                                   std::string_view("Content-Length"),
                                   std::string_view("Transfer-Encoding"),
                                   std::string_view("Connection"),
                                   std::string_view("Keep-Alive"),
                                   std::string_view("Proxy-Connection"),
                                   std::string_view("Proxy-Authenticate"),
                                   std::string_view("Proxy-Authorization"),
                                   std::string_view("TE"),
                                   std::string_view("Trailer"),
                                   std::string_view("Upgrade"),
                                   std::string_view("Expect")};
  return is_one_of(kFraming, name);
}

bool is_partial_field(std::string_view name) {
  constexpr std::array kPartial = {std::string_view("Range"),
                                   std::string_view("If-Range"),
                                   std::string_view("If-Match"),
                                   std::string_view("If-None-Match"),
                                   std::string_view("If-Modified-Since"),
                                   std::string_view("If-Unmodified-Since")};
  return is_one_of(kPartial, name);
}

bool is_trace_field(std::string_view name) {
  return same_field(name, "traceparent") || same_field(name, "tracestate");
}

bool is_way_field(std::string_view name) {
  constexpr std::string_view kForwarded = "X-Forwarded-";
  return same_field(name, "Via") || same_field(name, "Forwarded") ||
         same_field(name.substr(0, kForwarded.size()), kForwarded);
}

std::string canonical_key(std::string_view key) {
  std::string out(key);
  std::replace(out.begin(), out.end(), '-', '_');
  return out;
}

std::optional<std::string> parse_host(std::string_view text) {
  constexpr std::string_view kScheme = "http://";
  if (text.find('/') != std::string_view::npos) return std::nullopt;
  const auto url = parse_base_url(std::string(kScheme) + std::string(text));
  if (!url) return std::nullopt;
  return url->substr(kScheme.size());
}

}  // namespace holdfast::config
