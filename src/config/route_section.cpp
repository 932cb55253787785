// The keys of a [[route]].
#include <algorithm>
#include <array>
#include <initializer_list>

#include "base/suggest.h"
#include "config/caching_mode.h"
#include "config/section_reader.h"
#include "config/values.h"

namespace holdfast::config {
namespace {

using Kind = FileValue::Kind;
using Reader = SectionReader;
using Route = RouteConfig;

constexpr std::uint64_t kLargestBody = 64U << 20;
// Of what is passed through, which nobody holds as a whole.
constexpr std::uint64_t kLargestRequestBody = std::uint64_t{1} << 40;

void read_name(Reader& r, const FileValue& value, Route& route) {
  std::string name;
  if (!r.text("name", value, name)) return;
  if (!is_section_name(name)) {
    return r.wrong(value.line, "name",
                   shown_in_error(name) + ": " + std::string(kSectionNameExpected));
  }
  route.name = name;
}

void read_host(Reader& r, const FileValue& value, Route& route) {
  std::string host;
  if (!r.text("host", value, host)) return;
  const auto parsed = parse_host(host);
  const std::size_t name_end = parsed && parsed->front() == '[' ? parsed->find(']') : 0;
  if (!parsed || parsed->find(':', name_end) != std::string::npos) {
    return r.wrong(value.line, "host",
                   shown_in_error(host) +
                       ": expected a host without a port, as "
                       "\"api.example.com\"");
  }
  route.host = *parsed;
}

// Why no route may have that method, or nothing. The names are those that the server reads.
std::string objection_to_method(const std::string& method) {
  constexpr std::array kNames = {
      "GET",        "HEAD",       "POST",  "PUT",      "DELETE", "PATCH",     "OPTIONS",
      "QUERY",      "COPY",       "LOCK",  "MKCOL",    "MOVE",   "PROPFIND",  "PROPPATCH",
      "SEARCH",     "UNLOCK",     "BIND",  "REBIND",   "UNBIND", "ACL",       "REPORT",
      "MKACTIVITY", "CHECKOUT",   "MERGE", "M-SEARCH", "NOTIFY", "SUBSCRIBE", "UNSUBSCRIBE",
      "PURGE",      "MKCALENDAR", "LINK",  "UNLINK",   "SOURCE"};
  for (const char* name : kNames) {
    if (method == name) return {};
    if (same_word(method, name)) return " is no method" + did_you_mean(name);
  }
  if (same_word(method, "TRACE")) return " would have the upstream repeat its credential";
  if (same_word(method, "CONNECT")) return " makes a tunnel, which this is not";
  return " is no method that is known here; expected one such as \"POST\"";
}

void read_methods(Reader& r, const FileValue& value, Route& route) {
  constexpr std::string_view kExpected = "an array such as [\"GET\", \"POST\"], or \"*\"";
  if (value.kind == Kind::Text && value.text == "*") {
    route.methods = {"*"};
    return;
  }
  std::vector<std::string> methods;
  for (const Reader::Element& method : r.list("methods", value, kExpected)) {
    if (method.text == "*") {
      if (value.elements.size() == 1) {
        methods.push_back(method.text);
        continue;
      }
      return r.wrong(method.line, "methods", "\"*\" is all methods; expected it alone");
    }
    const std::string objection = objection_to_method(method.text);
    if (!objection.empty()) {
      return r.wrong(method.line, "methods", shown_in_error(method.text) + objection);
    }
    methods.push_back(method.text);
  }
  if (value.kind == Kind::Array && value.elements.empty()) {
    return r.wrong(value.line, "methods", "is empty; expected " + std::string(kExpected));
  }
  if (!methods.empty()) route.methods = std::move(methods);
}

void read_tags(Reader& r, const FileValue& value, Route& route) {
  // As an answer's own may be, but that these leave room for those.
  constexpr std::size_t kMost = 16;
  constexpr std::size_t kLongest = 128;
  for (Reader::Element& tag : r.list("tags", value, "an array of texts, as [\"geo\"]")) {
    const bool plain = std::all_of(tag.text.begin(), tag.text.end(),
                                   [](char c) { return c > ' ' && c <= '~' && c != ','; });
    if (tag.text.empty() || tag.text.size() > kLongest || !plain) {
      return r.wrong(tag.line, "tags",
                     shown_in_error(tag.text) +
                         ": expected a tag of visible ASCII characters without a comma, at most "
                         "128 of them");
    }
    if (route.tags.size() == kMost) {
      return r.wrong(tag.line, "tags", "has more than 16; expected at most that");
    }
    route.tags.push_back(std::move(tag.text));
  }
}

void read_query(Reader& r, const FileValue& value, Route& route) {
  using Mode = QueryConfig::Mode;
  constexpr std::string_view kExpected =
      "\"all\", \"none\", { keep = [...] } or { ignore = [...] }";
  if (value.kind == Kind::Text && (value.text == "all" || value.text == "none")) {
    route.query.mode = value.text == "all" ? Mode::All : Mode::None;
    return;
  }
  if (value.kind == Kind::Text) {
    return r.wrong(value.line, "query",
                   shown_in_error(value.text) + ": expected " + std::string(kExpected));
  }
  if (!r.is(Kind::Table, "query", value, kExpected)) return;
  if (value.members.empty()) {
    return r.wrong(value.line, "query", "is empty; expected " + std::string(kExpected));
  }
  for (const FileMember& member : value.members) {
    const std::string key = "query." + member.key;
    const int line = member.value.line;
    if (member.key != "keep" && member.key != "ignore") {
      r.wrong(line, "query",
              "unknown key " + shown_in_error(member.key) + "; expected keep or ignore");
      continue;
    }
    if (route.query.mode != Mode::All) {
      r.wrong(line, "query", "has both keep and ignore; expected one of them");
      continue;
    }
    r.enter(key, line);
    route.query.mode = member.key == "keep" ? Mode::Keep : Mode::Ignore;
    for (Reader::Element& name : r.list(key, member.value, "an array of parameter names")) {
      const std::size_t star = name.text.find('*');
      if (star != std::string::npos && star + 1 != name.text.size()) {
        r.wrong(name.line, key, shown_in_error(name.text) + ": expected * at the end alone");
      }
      route.query.names.push_back(std::move(name.text));
    }
  }
}

// A table of texts, for what adds one name and text at a time.
template <typename Add>
void read_texts(Reader& r, const std::string& key, const FileValue& value,
                std::string_view expected, const Add& add) {
  if (!r.is(Kind::Table, key, value, expected)) return;
  for (const FileMember& member : value.members) {
    const std::string inner = key + "." + member.key;
    std::string text;
    if (!r.enter(inner, member.value.line)) continue;
    if (r.text(inner, member.value, text)) add(member.key, std::move(text), member.value.line);
  }
}

void read_reject_if(Reader& r, const FileValue& value, ValidateConfig& validate) {
  const std::string key = "validate.reject_if";
  constexpr std::string_view kExpected = "an array of texts, whole numbers, true or false";
  if (!r.is(Kind::Table, key, value, "a table as { \"/status\" = [\"error\"] }")) return;
  for (const FileMember& member : value.members) {
    const std::string inner = key + "." + member.key;
    r.enter(inner, member.value.line);
    if (!r.is(Kind::Array, inner, member.value, kExpected)) continue;
    std::vector<std::string> values;
    for (const FileValue& element : member.value.elements) {
      if (element.kind == Kind::Array || element.kind == Kind::Table ||
          element.kind == Kind::Other) {
        r.wrong(element.line, inner,
                "has " + std::string(in_words(element.kind)) + " in it; expected " +
                    std::string(kExpected));
        continue;
      }
      values.push_back(element.text);
    }
    if (member.value.elements.empty()) {
      r.wrong(member.value.line, inner, "is empty; expected the values to reject");
    }
    validate.reject_if.emplace_back(member.key, std::move(values));
  }
}

void read_validate(Reader& r, const FileValue& value, Route& route) {
  ValidateConfig& validate = route.validate;
  std::vector<std::string> names = keys_of_validate();
  names.emplace_back("on_invalid");  // told where it stands
  if (!r.is(Kind::Table, "validate", value, "a table as { json = true }")) return;
  for (const FileMember& member : value.members) {
    const std::string name = canonical_key(member.key);
    const std::string key = "validate." + name;
    const FileValue& inner = member.value;
    if (!r.enter(key, inner.line)) continue;
    if (name == "json") {
      r.flag(key, inner, validate.json);
    } else if (name == "require") {
      for (Reader::Element& rule : r.list(key, inner, "an array as [\"/ip:string\"]")) {
        validate.require.push_back(std::move(rule.text));
      }
    } else if (name == "equal") {
      read_texts(r, key, inner, "a table as { \"/ip\" = \"ip\" }",
                 [&](const std::string& pointer, std::string parameter, int) {
                   validate.equal.emplace_back(pointer, std::move(parameter));
                 });
    } else if (name == "reject_if") {
      read_reject_if(r, inner, validate);
    } else if (name == "content_type") {
      r.text(key, inner, validate.content_type);
    } else if (name == "min_body") {
      r.size(key, inner, 0, kLargestBody, validate.min_body);
    } else if (name == "on_invalid") {
      r.wrong(inner.line, key, "stands in the [[route]] itself; expected on_invalid = ...");
    } else {
      r.wrong(
          inner.line, "validate",
          "unknown key " + shown_in_error(member.key) + did_you_mean(base::nearest(name, names)));
    }
  }
  const bool has_rules =
      !validate.require.empty() || !validate.equal.empty() || !validate.reject_if.empty();
  // Where it is not the default, a rule with a pointer says it well enough.
  if (has_rules && !r.place().lines.contains("validate.json")) validate.json = true;
}

void read_ttl_by_status(Reader& r, const FileValue& value, Route& route) {
  const std::string key = "ttl_by_status";
  if (!r.is(Kind::Table, key, value, "a table as { \"404\" = \"5m\" }")) return;
  for (const FileMember& member : value.members) {
    const FileValue& inner = member.value;
    const auto status = parse_count(member.key, 200, 599);
    if (!status || member.key.size() != 3) {
      r.wrong(inner.line, key,
              shown_in_error(member.key) + " is no final status; expected one from 200 to 599");
      continue;
    }
    const std::string inner_key = key + "." + member.key;
    r.enter(inner_key, inner.line);
    if (inner.kind != Kind::Integer &&
        !r.is(Kind::Text, inner_key, inner, "a duration such as \"5m\"")) {
      continue;
    }
    const auto ttl = parse_duration(trimmed(inner.text));
    if (!ttl) {
      r.wrong(inner.line, inner_key, shown_in_error(inner.text) + ": " + ttl.error().message);
      continue;
    }
    route.ttl_by_status[static_cast<int>(*status)] = *ttl;
  }
}

void read_client_errors(Reader& r, const FileValue& value, Route& route) {
  std::string word;
  if (!r.text("client_errors", value, word)) return;
  if (word == "pass" || word == "problem") {
    route.pass_client_errors = word == "pass";
    return;
  }
  r.wrong(value.line, "client_errors",
          shown_in_error(word) + ": expected one of \"pass\", \"problem\"");
}

void read_on_invalid(Reader& r, const FileValue& value, Route& route) {
  std::string word;
  if (!r.text("on_invalid", value, word)) return;
  if (word == "refuse" || word == "pass") {
    route.pass_invalid = word == "pass";
    return;
  }
  r.wrong(value.line, "on_invalid",
          shown_in_error(word) + ": expected one of \"refuse\", \"pass\"");
}

// Whether there is an answer that these rules refuse.
bool asks_something(const ValidateConfig& validate) {
  return validate.json || !validate.require.empty() || !validate.equal.empty() ||
         !validate.reject_if.empty() || !validate.content_type.empty() || validate.min_body > 0;
}

void read_set_cookie(Reader& r, const FileValue& value, Route& route) {
  using SetCookie = Route::SetCookie;
  std::string word;
  if (!r.text("set_cookie", value, word)) return;
  for (const auto& [name, meaning] : {std::pair{"pass", SetCookie::Pass},
                                      {"strip", SetCookie::Strip},
                                      {"store", SetCookie::Store}}) {
    if (word == name) {
      route.set_cookie = meaning;
      return;
    }
  }
  r.wrong(value.line, "set_cookie",
          shown_in_error(word) + ": expected one of \"pass\", \"strip\", \"store\"");
}

bool is_one_of(std::string_view field, std::initializer_list<std::string_view> names) {
  return std::any_of(names.begin(), names.end(),
                     [field](std::string_view name) { return same_field(field, name); });
}

// Likewise of response_set and response_remove.
std::string_view objection_to_response(std::string_view key, std::string_view field) {
  constexpr std::string_view kOurs = " is worked out for each answer; expected any other field";
  // What the upstream says in them does not go on; taken away, they are there all the same.
  if (is_one_of(field, {"Age", "Cache-Control", "Cache-Status", "Content-Encoding", "Content-Range",
                        "Date", "ETag", "Expires", "X-Request-ID"})) {
    return kOurs;
  }
  // Clients are told by the stored one whether theirs is the same still.
  if (key == "response_set" && same_field(field, "Last-Modified")) return kOurs;
  // It may be said of more than the coding, which is all that we say it of.
  if (key == "response_remove" && same_field(field, "Vary")) return kOurs;
  return {};
}

// Why no route may have the field in `key`, or nothing.
std::string_view objection_to(std::string_view key, std::string_view field) {
  if (!is_token(field)) return " is no field's name; expected one such as \"X-Name\"";
  if (same_field(field, "Host") && key != "key_fields") {
    return " is no route's to change; expected host in the [upstream.NAME] instead";
  }
  if (is_framing_field(field)) return " belongs to the connection; expected any other field";
  if (key.starts_with("response")) return objection_to_response(key, field);
  // What they get is a part of an answer, or none, and would be taken for the whole.
  if (key != "request_remove" && is_partial_field(field)) {
    return " asks for less than an answer; expected any other field";
  }
  if (key != "request_remove" && same_field(field, "Accept-Encoding")) {
    return " is ours to say, as answers are stored uncoded; expected any other field";
  }
  if (key != "request_remove" && is_trace_field(field)) {
    return " is each request's own and goes upstream by itself; expected any other field";
  }
  if (key == "request_set" && is_way_field(field)) {
    return " tells the way that a request came, which is ours to say; expected any other field";
  }
  if (key == "request_set" && same_field(field, "Cookie")) {
    return " is never sent, as it is a client's own; expected any other field";
  }
  if (same_field(field, "Authorization")) {
    return " carries a credential; expected a token_file in the [upstream.NAME] instead";
  }
  if (same_field(field, "Cookie") && key == "key_fields") {
    return " is each client's own; expected a field that clients share";
  }
  return {};
}

void read_fields_to_set(Reader& r, const std::string& key, const FileValue& value,
                        std::vector<std::pair<std::string, std::string>>& out) {
  read_texts(r, key, value, "a table as { \"Accept\" = \"application/json\" }",
             [&](const std::string& name, std::string text, int line) {
               const std::string_view objection = objection_to(key, name);
               const bool twice = std::any_of(out.begin(), out.end(), [&](const auto& other) {
                 return same_field(other.first, name);
               });
               if (!objection.empty()) {
                 r.wrong(line, key, shown_in_error(name) + std::string(objection));
               } else if (twice) {
                 r.wrong(line, key, shown_in_error(name) + " is there twice; expected each once");
               } else if (!is_field_content(text)) {
                 r.wrong(line, key + "." + name,
                         "is no field's value; expected one line without control characters or "
                         "blanks around it");
               } else {
                 out.emplace_back(name, std::move(text));
               }
             });
}

void read_fields(Reader& r, const std::string& key, const FileValue& value,
                 std::vector<std::string>& out) {
  for (Reader::Element& field : r.list(key, value, "an array of field names", true)) {
    const std::string_view objection = objection_to(key, field.text);
    if (!objection.empty()) {
      r.wrong(field.line, key, shown_in_error(field.text) + std::string(objection));
    }
    out.push_back(std::move(field.text));
  }
}

struct RouteKey {
  std::string_view name;
  void (*read)(Reader&, const FileValue&, Route&);
};

// But "upstream", which is no value of the route before all upstreams are known, and "mode", which
// is read first.
constexpr std::array kKeys = {
    RouteKey{"name", read_name},
    RouteKey{"match",
             [](Reader& r, const FileValue& v, Route& route) { r.text("match", v, route.match); }},
    RouteKey{"host", read_host},
    RouteKey{"methods", read_methods},
    RouteKey{"target", [](Reader& r, const FileValue& v,
                          Route& route) { r.text("target", v, route.target); }},
    RouteKey{"query", read_query},
    RouteKey{"sort_query", [](Reader& r, const FileValue& v,
                              Route& route) { r.flag("sort_query", v, route.query.sort); }},
    RouteKey{"tags", read_tags},
    RouteKey{"key_fields", [](Reader& r, const FileValue& v,
                              Route& route) { read_fields(r, "key_fields", v, route.key_fields); }},
    RouteKey{"max_variants", read_max_variants},
    RouteKey{"vary_normalise", read_vary_normalise},
    RouteKey{"ranges", read_ranges},
    RouteKey{"transfer_coding", read_transfer_coding},
    RouteKey{"targeted", read_targeted},
    RouteKey{"batch",
             [](Reader& r, const FileValue& v, Route& route) { r.text("batch", v, route.batch); }},
    RouteKey{"validate", read_validate},
    RouteKey{"on_invalid", read_on_invalid},
    RouteKey{"ttl_by_status", read_ttl_by_status},
    RouteKey{"max_body",
             [](Reader& r, const FileValue& v, Route& route) {
               r.size("max_body", v, 1, kLargestBody, route.max_body);
             }},
    RouteKey{"max_request_body",
             [](Reader& r, const FileValue& v, Route& route) {
               r.size("max_request_body", v, 0, kLargestRequestBody, route.max_request_body);
             }},
    RouteKey{"set_cookie", read_set_cookie},
    RouteKey{"client_errors", read_client_errors},
    RouteKey{"attempts",
             [](Reader& r, const FileValue& v, Route& route) {
               if (const auto n = r.count("attempts", v, 1, 1000))
                 route.attempts = static_cast<unsigned>(*n);
             }},
    RouteKey{"offline", [](Reader& r, const FileValue& v,
                           Route& route) { r.flag("offline", v, route.offline); }},
    RouteKey{"request_set",
             [](Reader& r, const FileValue& v, Route& route) {
               read_fields_to_set(r, "request_set", v, route.request_set);
             }},
    RouteKey{"request_remove",
             [](Reader& r, const FileValue& v, Route& route) {
               read_fields(r, "request_remove", v, route.request_remove);
             }},
    RouteKey{"response_set",
             [](Reader& r, const FileValue& v, Route& route) {
               read_fields_to_set(r, "response_set", v, route.response_set);
             }},
    RouteKey{"response_remove",
             [](Reader& r, const FileValue& v, Route& route) {
               read_fields(r, "response_remove", v, route.response_remove);
             }},
};

}  // namespace

std::vector<std::string> keys_of_routes() {
  std::vector<std::string> all = {"upstream", "mode"};
  for (const RouteKey& key : kKeys) all.emplace_back(key.name);
  return all;
}

std::vector<std::string> keys_of_validate() {
  return {"json", "require", "equal", "reject_if", "content_type", "min_body"};
}

std::string read_route(const FileValue& section, SectionReader& r, RouteConfig& route) {
  std::string upstream;
  for (const FileMember& member : section.members) {
    if (canonical_key(member.key) == "mode") read_mode(r, member.value, route);
  }
  for (const FileMember& member : section.members) {
    const std::string key = canonical_key(member.key);
    const FileValue& value = member.value;
    const auto known = std::find_if(kKeys.begin(), kKeys.end(),
                                    [&](const RouteKey& other) { return other.name == key; });
    if (!r.enter(key, value.line) || key == "mode") continue;
    if (known != kKeys.end()) {
      known->read(r, value, route);
    } else if (key == "upstream") {
      r.text("upstream", value, upstream);
    } else if (key == "content_type") {
      r.wrong(value.line, key, "stands in validate; expected validate = { content_type = ... }");
    } else {
      r.setting(key, member, Scope::Route, route.settings);
    }
  }
  const auto lines = r.place().lines;
  for (const char* key : {"name", "match"}) {
    if (!lines.contains(key)) {
      r.wrong(r.place().line, key,
              std::string("is missing; expected ") +
                  (key[0] == 'n' ? "a name of its own, as \"lookup\""
                                 : "the paths it takes, as \"/lookup/{ip:ip}\""));
    }
  }
  if (route.validate.min_body > route.max_body) {
    r.wrong(lines.at("validate.min_body"), "validate.min_body",
            "is more than max_body, " + format_size(route.max_body) + "; expected at most that");
  }
  if (route.pass_invalid && !asks_something(route.validate)) {
    r.wrong(lines.at("on_invalid"), "on_invalid",
            "is \"pass\", and nothing is asked of an answer; expected rules in validate beside it");
  }
  check_mode(r, route);
  return upstream;
}

}  // namespace holdfast::config
