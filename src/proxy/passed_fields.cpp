#include "proxy/passed_fields.h"

#include <algorithm>
#include <initializer_list>
#include <vector>

#include "base/ascii.h"
#include "http/field_syntax.h"
#include "proxy/response_fields.h"
#include "proxy/storing.h"
#include "upstream/outgoing.h"

namespace holdfast::proxy {
namespace {

using http::equals_ignoring_case;

constexpr std::string_view kOurName = "holdfast";

bool is_one_of(std::string_view name, std::initializer_list<std::string_view> names) {
  return std::any_of(names.begin(), names.end(),
                     [name](std::string_view other) { return equals_ignoring_case(name, other); });
}

// Of this connection alone, and the framing, which is anew on the next one.
bool is_of_connection(std::string_view name) {
  return is_one_of(name, {"connection", "keep-alive", "proxy-connection", "proxy-authenticate",
                          "proxy-authorization", "proxy-authentication-info", "te", "trailer",
                          "transfer-encoding", "upgrade", "content-length"});
}

// Who says so may be anybody; those behind us believe it of us.
bool is_of_way(std::string_view name) {
  constexpr std::string_view kForwarded = "x-forwarded-";
  return is_one_of(name, {"forwarded", "x-real-ip"}) ||
         (name.size() > kForwarded.size() &&
          equals_ignoring_case(name.substr(0, kForwarded.size()), kForwarded));
}

// The names that a Connection field lists.
class Named {
 public:
  void add(std::string_view connection) {
    http::for_each_token(connection, [this](std::string_view name) { names_.push_back(name); });
  }
  bool has(std::string_view name) const {
    return std::any_of(names_.begin(), names_.end(), [name](std::string_view other) {
      return std::equal(name.begin(), name.end(), other.begin(), other.end(), [](char a, char b) {
        return base::ascii_lower(a) == base::ascii_lower(b);
      });
    });
  }

 private:
  std::vector<std::string_view> names_;
};

void append_to_list(std::string& list, std::string_view element) {
  if (!list.empty()) list += ", ";
  list += element;
}

// Of a Vary what the route does not say by itself.
std::string rest_of_vary(std::string_view value, const RoutePlan& plan) {
  std::string rest;
  http::for_each_token(value, [&](std::string_view name) {
    const auto is_it = [&](const std::string& key) { return equals_ignoring_case(name, key); };
    if (std::any_of(plan.key_fields.begin(), plan.key_fields.end(), is_it)) return;
    append_to_list(rest, name);
  });
  return rest;
}

// Authorization or Cookie, as name_as_read() has them: what is for our credential's eyes an
// upstream must not take from anybody.
bool goes_upstream(std::string_view name, const RoutePlan& plan) {
  return plan.storing.http.on && !(plan.own_authorization && name == "authorization");
}

// The Host that those behind us are told of. What they make of it, links say, is in their answer.
// So of an answer for others it is one that all of them have asked for: what the route takes, or
// what its keys hold.
std::string told_host(const http::Request& request, const RoutePlan& plan) {
  std::string host(request.field(http::Known::Host));
  if (!plan.storing.http.on) return host;
  if (!plan.host_goes_upstream) return plan.host;
  std::transform(host.begin(), host.end(), host.begin(), base::ascii_lower);
  return host;
}

void append_forwarded(std::string_view caches, int status, const Forward& forward,
                      std::string& lines) {
  lines.append("Cache-Status: ").append(caches).append("; fwd=").append(forward.reason);
  lines.append("; fwd-status=").append(std::to_string(status));
  if (!forward.word.empty()) lines.append("; detail=").append(forward.word);
  lines.append("\r\n");
}

// A node of RFC 7239, 4: IPv6 in brackets, and so in quotes.
std::string node(std::string_view address) {
  const bool six = address.find(':') != std::string_view::npos;
  return six ? "\"[" + std::string(address) + "]\"" : std::string(address);
}

}  // namespace

upstream::Fields passed_request_fields(const http::Request& request, const RoutePlan& plan,
                                       const upstream::Fields& of_route) {
  Named named;
  std::string via;
  for (const http::FieldLine& line : request.fields) {
    if (equals_ignoring_case(line.name, "connection")) named.add(line.value);
    if (equals_ignoring_case(line.name, "via")) append_to_list(via, line.value);
  }
  upstream::Fields fields;
  const auto add = [&](std::string name, std::string value) {
    const upstream::Field field{std::move(name), std::move(value)};
    const auto is_it = [read = upstream::name_as_read(field.name)](const std::string& other) {
      return upstream::name_as_read(other) == read;
    };
    if (std::any_of(plan.fields_removed.begin(), plan.fields_removed.end(), is_it)) return;
    fields.push_back(field);
  };
  for (const http::FieldLine& line : request.fields) {
    const std::string name = upstream::name_as_read(line.name);
    if (is_of_connection(name) || is_of_way(name)) continue;
    if (named.has(name) || named.has(line.name)) continue;
    // Ours to say; and what may belong to the client and us.
    if (is_one_of(name, {"host", "expect", "via", "traceparent", "tracestate"})) continue;
    if (is_one_of(name, {"authorization", "cookie"}) && !goes_upstream(name, plan)) continue;
    const auto is_it = [&](const upstream::Field& field) {
      return upstream::name_as_read(field.name) == name;
    };
    if (std::any_of(of_route.begin(), of_route.end(), is_it)) continue;
    add(std::string(line.name), std::string(line.value));
  }
  fields.insert(fields.end(), of_route.begin(), of_route.end());

  append_to_list(via, request.http10 ? "1.0 " : "1.1 ");
  add("Via", via.append(kOurName));
  const std::string host = told_host(request, plan);
  std::string forwarded = "for=" + node(request.client) + ";proto=http";
  if (!host.empty()) forwarded.append(";host=\"").append(host).append("\"");
  add("Forwarded", forwarded);
  add("X-Forwarded-For", std::string(request.client));
  add("X-Forwarded-Proto", "http");
  if (!host.empty()) add("X-Forwarded-Host", host);
  return fields;
}

PassedHead passed_response_fields(const upstream::Fields& fields, const RoutePlan& plan, int status,
                                  std::string_view request_id, const Forward& forward) {
  PassedHead head;
  Named named;
  std::string via;
  std::string cache_status;
  for (const upstream::Field& field : fields) {
    if (upstream::is_field(field, "Connection")) named.add(field.value);
    if (upstream::is_field(field, "Via")) append_to_list(via, field.value);
    if (upstream::is_field(field, "Cache-Status")) append_to_list(cache_status, field.value);
  }
  const auto& removed = plan.storing.fields_removed;
  for (const upstream::Field& field : fields) {
    const std::string_view name = field.name;
    if (is_of_connection(name) || named.has(name)) continue;
    if (is_one_of(name, {"via", "cache-status", "x-request-id"})) continue;
    const auto is_it = [&](const std::string& other) { return equals_ignoring_case(name, other); };
    if (std::any_of(removed.begin(), removed.end(), is_it)) continue;
    std::string_view value = field.value;
    std::string vary;
    if (!plan.key_fields.empty() && equals_ignoring_case(name, "vary")) {
      vary = rest_of_vary(value, plan);
      if (vary.empty()) continue;
      value = vary;
    }
    head.has_date = head.has_date || equals_ignoring_case(name, "date");
    head.lines.append(name).append(": ").append(value).append("\r\n");
  }
  head.lines += plan.response_fields;
  append_to_list(via, "1.1 ");
  head.lines.append("Via: ").append(via).append(kOurName).append("\r\n");
  append_to_list(cache_status, kOurName);
  append_forwarded(cache_status, status, forward, head.lines);
  append_request_id(head.lines, request_id);
  return head;
}

PassedHead large_response_fields(const upstream::Fields& fields, const RoutePlan& plan, int status,
                                 std::string_view request_id, const Forward& forward) {
  PassedHead head;
  head.lines = shown_fields(fields, plan.storing);
  head.lines += plan.response_fields;
  // As of all that is not stored in this mode: its own lifetime nobody has looked at.
  head.lines += "Cache-Control: no-store\r\n";
  append_forwarded(kOurName, status, forward, head.lines);
  append_request_id(head.lines, request_id);
  return head;
}

std::string passed_interim_fields(const upstream::Fields& fields, const RoutePlan& plan) {
  Named named;
  std::string via;
  for (const upstream::Field& field : fields) {
    if (upstream::is_field(field, "Connection")) named.add(field.value);
    if (upstream::is_field(field, "Via")) append_to_list(via, field.value);
  }
  std::string lines;
  const auto& removed = plan.storing.fields_removed;
  for (const upstream::Field& field : fields) {
    const std::string_view name = field.name;
    if (is_of_connection(name) || named.has(name) || equals_ignoring_case(name, "via")) continue;
    const auto is_it = [&](const std::string& other) { return equals_ignoring_case(name, other); };
    if (std::any_of(removed.begin(), removed.end(), is_it)) continue;
    lines.append(name).append(": ").append(field.value).append("\r\n");
  }
  append_to_list(via, "1.1 ");
  return lines.append("Via: ").append(via).append(kOurName).append("\r\n");
}

bool asks_for_upgrade(const http::Request& request) {
  Named named;
  bool other = false;
  for (const http::FieldLine& line : request.fields) {
    if (equals_ignoring_case(line.name, "connection")) named.add(line.value);
    other = other || (equals_ignoring_case(line.name, "upgrade") &&
                      !equals_ignoring_case(line.value, "h2c"));
  }
  return other && named.has("upgrade");
}

bool expects_continue(const http::Request& request) {
  return !request.http10 &&
         std::any_of(request.fields.begin(), request.fields.end(),
                     [](const auto& line) { return equals_ignoring_case(line.name, "expect"); });
}

bool is_safe(std::string_view method) {
  constexpr std::string_view kSafe[] = {"GET",      "HEAD",   "OPTIONS", "TRACE",
                                        "PROPFIND", "REPORT", "SEARCH",  "QUERY"};
  return std::find(std::begin(kSafe), std::end(kSafe), method) != std::end(kSafe);
}

}  // namespace holdfast::proxy
