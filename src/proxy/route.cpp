#include "proxy/route.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <new>
#include <span>
#include <utility>

#include "base/ascii.h"
#include "http/field_syntax.h"
#include "proxy/canonical_path.h"
#include "proxy/ip_address.h"
#include "proxy/percent_encoding.h"
#include "proxy/template_text.h"
#include "proxy/variants.h"
#include "upstream/reply_content.h"

namespace holdfast::proxy {
namespace {

constexpr std::string_view kHost = "host";
constexpr std::string_view kHostPart = " host=";
constexpr const char* kTab = "a tab in a field that is part of the key";
constexpr const char* kTooLong = "longer than what is kept: 4096 bytes with its query and fields";

// The parts of a key behind its prefix.
struct KeyParts {
  std::string_view values;
  std::string_view query;  // with the "?"; empty: none
  std::string_view fields;
};

KeyParts key_parts(std::string_view subject) {
  KeyParts parts;
  const std::size_t blank = std::min(subject.find(' '), subject.size());
  const std::size_t question = std::min(subject.find('?'), blank);
  parts.values = subject.substr(0, question);
  parts.query = subject.substr(question, blank - question);
  parts.fields = subject.substr(blank);
  return parts;
}

std::string unescaped(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const int byte = escaped_byte(text);
    out += byte < 0 ? text.front() : static_cast<char>(byte);
    text.remove_prefix(byte < 0 ? 1 : kEscapeSize);
  }
  return out;
}

// As it stands in a path.
std::string escaped_segment(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (is_unreserved(byte) ||
        std::string_view("!$&'()*+,;=:@").find(c) != std::string_view::npos) {
      out += c;
    } else {
      append_escaped(byte, out);
    }
  }
  return out;
}

}  // namespace

Route::Route(RoutePlan plan)
    : plan_(std::move(plan)), prefix_size_(plan_.key_prefix.size()), check_(plan_.body) {}

const char* Route::key(const Parameters& parameters, std::string_view query,
                       std::string& key) const {
  key.assign(plan_.key_prefix);
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    if (i > 0) key += '/';
    key.append(parameters[i]);
  }
  const bool has_query = query.data() != nullptr;
  if (const char* problem =
          plan_.query.append(has_query ? std::optional(query) : std::nullopt, key)) {
    return problem;
  }
  return key.size() > kLongestKey ? kTooLong : nullptr;
}

const char* Route::key(const Parameters& parameters, const http::Request& request,
                       std::string& key) const {
  if (const char* problem = this->key(parameters, request.query, key)) return problem;
  if (plan_.key_fields.empty() && !plan_.host_goes_upstream) return nullptr;
  return append_fields(request, key);
}

const char* Route::append_fields(const http::Request& request, std::string& key) const {
  if (plan_.host_goes_upstream) {
    const std::string_view host = request.field(http::Known::Host);
    if (host.empty()) return "the upstream is sent the client's Host, and there is none";
    key.append(" ").append(kHost).append("=");
    const std::size_t start = key.size();
    append_key_value(host, key);
    for (char& c : std::span(key).subspan(start)) c = base::ascii_lower(c);
  }
  for (const std::string& name : plan_.key_fields) {
    bool first = true;
    for (const http::FieldLine& line : request.fields) {
      // An empty one says nothing, and a tab is one of the things that not all read alike.
      if (!http::equals_ignoring_case(line.name, name) || line.value.empty()) continue;
      if (line.value.find('\t') != std::string_view::npos) return kTab;
      if (first) {
        key.append(" ").append(name).append("=");
      } else {
        key.append(",%20");  // of a list, in several lines (RFC 9110, 5.2)
      }
      first = false;
      append_key_value(line.value, key);
    }
  }
  return key.size() > kLongestKey ? kTooLong : nullptr;
}

const char* Route::key_of_subject(std::string_view subject, std::string& key) const {
  const auto& segments = plan_.match.segments();
  const auto parameter = std::find_if(segments.begin(), segments.end(),
                                      [](const auto& segment) { return segment.type.has_value(); });
  if (parameter == segments.end()) return "this route has no parameter";
  Parameters parameters;
  if (*parameter->type == ParameterType::Ip) {
    // It comes as it is, where an escape is none.
    const std::optional<IpText> ip = canonical_ip(subject);
    if (!ip) return parameter_objection(ParameterType::Ip);
    key.assign(plan_.key_prefix);
    key.append(ip->view());
    return nullptr;
  }
  std::string storage;
  std::string_view canonical;
  const std::string path = "/" + escaped_segment(subject);
  if (const char* problem = canonical_path(path, storage, canonical)) return problem;
  if (!parameters.take(*parameter->type, canonical.substr(1))) {
    const char* const objection = parameter_objection(*parameter->type);
    return objection == nullptr ? "empty" : objection;
  }
  return this->key(parameters, std::string_view(), key);
}

const char* Route::key_of_subject(std::string_view subject, const http::Request& request,
                                  std::string& key) const {
  if (const char* problem = key_of_subject(subject, key)) return problem;
  return plan_.key_fields.empty() ? nullptr : append_fields(request, key);
}

std::string Route::value_of(std::string_view key) const {
  return unescaped(key_parts(subject(key)).values);
}

bool Route::take_values(std::string_view values, Parameters& parameters) const {
  std::size_t left = 0;
  for (const auto& segment : plan_.match.segments()) left += segment.type.has_value() ? 1 : 0;
  if (left == 0) return values.empty();
  for (const auto& segment : plan_.match.segments()) {
    if (!segment.type) continue;
    const bool last = --left == 0;
    const std::size_t end = last && *segment.type == ParameterType::Rest
                                ? values.size()
                                : std::min(values.find('/'), values.size());
    if (last && end != values.size()) return false;
    if (!parameters.take(*segment.type, values.substr(0, end))) return false;
    if (last) return true;
    if (end == values.size()) return false;
    values.remove_prefix(end + 1);
  }
  return false;
}

// As a request that gets here has it, in lower case.
bool Route::is_host_of_key(std::string_view host) const {
  if (!http::is_valid_host(host)) return false;
  if (std::any_of(host.begin(), host.end(), [](char c) { return base::ascii_lower(c) != c; }))
    return false;
  return plan_.host.empty() || http::equals_ignoring_case(host_name(plan_.host), host_name(host));
}

bool Route::is_key(std::string_view key) const {
  if (!key.starts_with(plan_.key_prefix) || key.size() > kLongestKey) return false;
  if (plan_.storing.http.on) {
    const std::string_view variant = variant_part(key);
    if (!variant.empty() && !is_variant_part(variant)) return false;
    key.remove_suffix(variant.size());
  }
  const KeyParts parts = key_parts(subject(key));
  Parameters parameters;
  if (!take_values(parts.values, parameters)) return false;
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    std::string storage;
    std::string_view canonical;
    const std::string path = "/" + std::string(parameters[i]);
    if (canonical_path(path, storage, canonical) || canonical != path) return false;
  }
  const std::string_view query = parts.query.empty() ? std::string_view() : parts.query.substr(1);
  std::string again;
  if (this->key(parameters, query, again)) return false;
  if (parts.fields.empty()) {
    return again == key && !plan_.host_goes_upstream;
  }
  if (!key.starts_with(again) || again.size() + parts.fields.size() != key.size()) return false;
  if (plan_.host_goes_upstream && !parts.fields.starts_with(kHostPart)) return false;
  // Those it may have, each once at most and in their order.
  std::vector<std::string_view> names;
  if (plan_.host_goes_upstream) names.push_back(kHost);
  names.insert(names.end(), plan_.key_fields.begin(), plan_.key_fields.end());
  auto name = names.begin();
  for (std::string_view rest = parts.fields; !rest.empty();) {
    rest.remove_prefix(1);
    const std::string_view field = rest.substr(0, rest.find(' '));
    rest.remove_prefix(field.size());
    const std::size_t equals = field.find('=');
    if (equals == std::string_view::npos) return false;
    name = std::find(name, names.end(), field.substr(0, equals));
    if (name++ == names.end()) return false;
    std::string value;
    append_key_value(unescaped(field.substr(equals + 1)), value);
    if (value != field.substr(equals + 1)) return false;
    const std::string plain = unescaped(value);
    if (plan_.host_goes_upstream && name == names.begin() + 1 && !is_host_of_key(plain)) {
      return false;
    }
    const auto is_control = [](char c) { return c == '\t' || http::is_forbidden_control(c); };
    if (plain.empty() || std::any_of(plain.begin(), plain.end(), is_control)) return false;
  }
  return true;
}

upstream::Request Route::upstream_request(std::string_view key,
                                          const upstream::Fields& beside) const {
  const KeyParts parts = key_parts(subject(key_of_url(key)));
  Parameters parameters;
  const bool taken = take_values(parts.values, parameters);
  assert(taken);
  static_cast<void>(taken);
  upstream::Request request;
  plan_.target.append(parameters, request.target);
  if (!parts.query.empty()) {
    // A target with a query of its own goes on with the client's.
    const bool more = request.target.find('?') != std::string::npos;
    if (more && parts.query.size() > 1) request.target += '&';
    request.target += more ? parts.query.substr(1) : parts.query;
  }
  request.fields = plan_.request_fields;
  for (std::string_view rest = parts.fields; !rest.empty();) {
    rest.remove_prefix(1);
    const std::string_view field = rest.substr(0, rest.find(' '));
    rest.remove_prefix(field.size());
    const std::size_t equals = std::min(field.find('='), field.size());
    std::string name(field.substr(0, equals));
    std::string value = unescaped(field.substr(std::min(equals + 1, field.size())));
    // What the client says goes before what is sent for every request.
    std::erase_if(request.fields,
                  [&](const upstream::Field& always) { return upstream::is_field(always, name); });
    request.fields.push_back({std::move(name), std::move(value)});
  }
  for (const upstream::Field& field : beside) {
    const auto is_it = [&](const std::string& name) { return upstream::is_field(field, name); };
    if (std::any_of(plan_.fields_removed.begin(), plan_.fields_removed.end(), is_it)) continue;
    request.fields.push_back(field);
  }
  return request;
}

upstream::Verdict Route::validate(std::string_view key, const upstream::Reply& reply) {
  using upstream::Outcome;
  using upstream::Undoing;
  const bool coded = plan_.storing.http.on && plan_.body.reads_content() &&
                     upstream::find_field(reply.fields, "Content-Encoding") != nullptr;
  if (!coded) return validate_plain(key, reply);
  try {
    upstream::Reply plain = reply;
    switch (upstream::undo_codings(reply.fields, plain.body, plan_.body.max_body_bytes)) {
      case Undoing::Done:
        return validate_plain(key, plain);
      case Undoing::Impossible:
        return {Outcome::InvalidBody, upstream::cannot_be_undone(reply.fields)};
      case Undoing::TooLarge:
        break;
    }
  } catch (const std::bad_alloc&) {
    return {Outcome::Local, "out of memory"};
  }
  return {Outcome::InvalidBody, "more than " + std::to_string(plan_.body.max_body_bytes) +
                                    " bytes once it is decoded, the max_body"};
}

upstream::Verdict Route::validate_plain(std::string_view key, const upstream::Reply& reply) {
  if (plan_.body.equal.empty()) return check_.validate({}, reply);
  Parameters parameters;
  if (!take_values(key_parts(subject(key_of_url(key))).values, parameters)) {
    return {upstream::Outcome::WrongContent, "asked for by a key that is none"};
  }
  std::array<PathParameter, Parameters::kMost> given;
  std::array<std::string, Parameters::kMost> plain;
  std::size_t count = 0;
  for (const auto& segment : plan_.match.segments()) {
    if (!segment.type) continue;
    std::string_view value = parameters[count];
    if (value.find('%') != std::string_view::npos) {
      plain[count] = unescaped(value);
      value = plain[count];
    }
    given[count] = {segment.text, value, *segment.type};
    ++count;
  }
  return check_.validate({given.data(), count}, reply);
}

}  // namespace holdfast::proxy
