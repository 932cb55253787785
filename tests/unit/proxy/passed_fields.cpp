// The fields of what is passed through, both ways.
#include "proxy/passed_fields.h"

#include <doctest/doctest.h>

#include <vector>

using namespace holdfast;
using namespace holdfast::proxy;

namespace {

RoutePlan plan() {
  PathTemplate match = *PathTemplate::parse("/{path:rest}");
  TargetTemplate target = *TargetTemplate::parse("/{path}", match);
  return {.name = "r", .match = match, .target = target, .query = *QueryRules::parse({})};
}

http::Request request(const std::vector<http::FieldLine>& lines) {
  http::Request request;
  request.method_name = "POST";
  request.fields = lines;
  request.client = "192.0.2.7";
  request.known[static_cast<std::size_t>(http::Known::Host)] = "shop.example:8080";
  return request;
}

std::string text_of(const upstream::Fields& fields) {
  std::string text;
  for (const upstream::Field& field : fields) text += field.name + ": " + field.value + "\n";
  return text;
}

}  // namespace

TEST_CASE(
    "all end-to-end fields go upstream, in their order, but what is ours or the client's own") {
  const std::vector<http::FieldLine> lines = {
      {"Host", "shop.example:8080"},
      {"Content-Type", "text/x"},
      {"Content-Length", "3"},
      {"Content-Encoding", "br"},
      {"Connection", "keep-alive, X-Hop"},
      {"x-hop", "1"},
      {"Keep-Alive", "5"},
      {"TE", "trailers"},
      {"Trailer", "X"},
      {"Transfer-Encoding", "chunked"},
      {"Upgrade", "h2c"},
      {"Expect", "100-continue"},
      {"Proxy-Authorization", "x"},
      {"Authorization", "Bearer mine"},
      {"Cookie", "a=b"},
      {"X-Twice", "1"},
      {"X-Twice", "2"},
      {"If-Match", "\"v\""},
      {"X-Removed", "x"},
      {"Accept", "text/html"},
      {"traceparent", "theirs"},
  };
  RoutePlan of = plan();
  of.fields_removed = {"x-removed"};
  const std::string sent =
      text_of(passed_request_fields(request(lines), of, {{"Accept", "application/json"}}));
  CHECK(sent ==
        "Content-Type: text/x\n"
        "Content-Encoding: br\n"
        "X-Twice: 1\n"
        "X-Twice: 2\n"
        "If-Match: \"v\"\n"
        "Accept: application/json\n"
        "Via: 1.1 holdfast\n"
        "Forwarded: for=192.0.2.7;proto=http;host=\"shop.example:8080\"\n"
        "X-Forwarded-For: 192.0.2.7\n"
        "X-Forwarded-Proto: http\n"
        "X-Forwarded-Host: shop.example:8080\n");
}

TEST_CASE("what a stranger says of the way it came is not passed on, but the proxies' Via") {
  const std::vector<http::FieldLine> lines = {
      {"Forwarded", "for=10.0.0.1"},     {"X-Forwarded-For", "10.0.0.1"},
      {"x-forwarded-proto", "https"},    {"X-Forwarded-Prefix", "/admin"},
      {"X-Real-IP", "10.0.0.1"},         {"Via", "1.1 a"},
      {"X-Forwarded", "is another one"}, {"Via", "1.0 b"},
  };
  http::Request asked = request(lines);
  asked.http10 = true;
  asked.client = "2001:db8::7";
  const std::string sent = text_of(passed_request_fields(asked, plan(), {}));
  CHECK(sent.find("10.0.0.1") == std::string::npos);
  CHECK(sent.find("https") == std::string::npos);
  CHECK(sent.find("admin") == std::string::npos);
  CHECK(sent.find("Via: 1.1 a, 1.0 b, 1.0 holdfast\n") != std::string::npos);
  CHECK(sent.find("for=\"[2001:db8::7]\"") != std::string::npos);
  CHECK(sent.find("X-Forwarded-For: 2001:db8::7\n") != std::string::npos);
}

TEST_CASE("what is not passed on is not by a spelling either that CGI reads as the same") {
  const std::vector<http::FieldLine> lines = {
      {"Connection", "X-Hop, Y_Hop"},
      {"X_Forwarded_For", "evil"},
      {"x-real_ip", "evil"},
      {"Content_Length", "evil"},
      {"TRANSFER_ENCODING", "evil"},
      {"Proxy_Authorization", "evil"},
      {"X_Hop", "evil"},
      {"Y_Hop", "evil"},
      {"X_Removed", "evil"},
      {"X_Ours", "evil"},
      {"X_Theirs", "good"},
  };
  RoutePlan of = plan();
  of.fields_removed = {"x-removed"};
  const std::string sent = text_of(passed_request_fields(request(lines), of, {{"X-Ours", "ours"}}));
  CHECK(sent.starts_with("X_Theirs: good\nX-Ours: ours\nVia: "));
  CHECK(sent.find("evil") == std::string::npos);
}

TEST_CASE("all end-to-end fields come back, and what the answer met on its way") {
  RoutePlan of = plan();
  of.response_fields = "X-Set: ours\r\n";
  of.storing.fields_removed = {"server", "x-set"};
  const PassedHead head = passed_response_fields({{"Content-Type", "text/x"},
                                                  {"Content-Length", "3"},
                                                  {"Connection", "close, X-Hop"},
                                                  {"X-Hop", "1"},
                                                  {"Transfer-Encoding", "chunked"},
                                                  {"Set-Cookie", "a=b"},
                                                  {"Server", "secret"},
                                                  {"X-Set", "theirs"},
                                                  {"Date", "then"},
                                                  {"Cache-Status", "inner; hit"},
                                                  {"X-Request-ID", "theirs"},
                                                  {"Via", "1.1 inner"}},
                                                 of, 201, "id-1", {"uri-miss", {}});
  CHECK(head.has_date);
  CHECK(head.lines ==
        "Content-Type: text/x\r\n"
        "Set-Cookie: a=b\r\n"
        "Date: then\r\n"
        "X-Set: ours\r\n"
        "Via: 1.1 inner, 1.1 holdfast\r\n"
        "Cache-Status: inner; hit, holdfast; fwd=uri-miss; fwd-status=201\r\n"
        "X-Request-ID: id-1\r\n");
  CHECK_FALSE(passed_response_fields({}, plan(), 200, "x", {"method", {}}).has_date);
}

TEST_CASE("what an answer varies by is said once, by the route and by the upstream") {
  RoutePlan of = plan();
  of.key_fields = {"accept-language"};
  of.response_fields = "Vary: Accept-Language\r\n";
  const auto vary = [&of](const std::string& theirs) {
    const std::string lines =
        passed_response_fields({{"vary", theirs}}, of, 200, "x", {"method", {}}).lines;
    return lines.substr(0, lines.find("Via: "));
  };
  CHECK(vary("Accept-Language") == "Vary: Accept-Language\r\n");
  CHECK(vary("Accept-language, Origin,accept") ==
        "vary: Origin, accept\r\nVary: Accept-Language\r\n");
  CHECK(vary("*") == "vary: *\r\nVary: Accept-Language\r\n");
}

TEST_CASE("another protocol is asked for where Connection says so, and h2c is not one") {
  const auto upgrades = [](const std::vector<http::FieldLine>& lines) {
    return asks_for_upgrade(request(lines));
  };
  CHECK(upgrades({{"Connection", "Upgrade"}, {"Upgrade", "websocket"}}));
  CHECK(upgrades({{"Upgrade", "TLS/1.2"}, {"connection", "close, upgrade"}}));
  CHECK_FALSE(upgrades({{"Upgrade", "websocket"}}));
  CHECK_FALSE(upgrades({{"Connection", "Upgrade, HTTP2-Settings"}, {"Upgrade", "h2c"}}));
}

TEST_CASE("the safe methods are those that change nothing") {
  // By IANA's registry of methods (RFC 9110, 16.1.1).
  for (const char* safe :
       {"GET", "HEAD", "OPTIONS", "TRACE", "PROPFIND", "REPORT", "SEARCH", "QUERY"}) {
    CHECK(is_safe(safe));
  }
  // What is not known to be safe is not (9110, 9.2.1), and methods are told apart by case (9.1).
  for (const char* other : {"POST", "PUT", "DELETE", "PATCH", "LOCK", "PROPPATCH", "MKCALENDAR",
                            "FETCH", "QUERYX", "", "get", "query"}) {
    CHECK_FALSE(is_safe(other));
  }
}

TEST_CASE("by a route that caches as HTTP says the client's credentials go on, but not over ours") {
  const std::vector<http::FieldLine> lines = {{"Authorization", "Bearer theirs"},
                                              {"Cookie", "a=b"}};
  RoutePlan of = plan();
  of.storing.http.on = true;
  std::string sent = text_of(passed_request_fields(request(lines), of, {}));
  CHECK(sent.starts_with("Authorization: Bearer theirs\nCookie: a=b\nVia: "));
  of.own_authorization = true;
  sent = text_of(passed_request_fields(request(lines), of, {}));
  CHECK(sent.starts_with("Cookie: a=b\nVia: "));
  CHECK(sent.find("theirs") == std::string::npos);
  of.fields_removed = {"cookie"};
  CHECK(text_of(passed_request_fields(request(lines), of, {})).starts_with("Via: "));
}

TEST_CASE("by a route that caches as HTTP a Host that is not in the key is told to nobody") {
  const auto told = [](const RoutePlan& of) {
    http::Request asked = request({});
    asked.known[static_cast<std::size_t>(http::Known::Host)] = "Evil.example:8080";
    return text_of(passed_request_fields(asked, of, {}));
  };
  const auto says = [](const std::string& sent, std::string_view text) {
    return sent.find(text) != std::string::npos;
  };
  RoutePlan any = plan();
  any.storing.http.on = true;
  CHECK_FALSE(says(told(any), "example"));
  CHECK_FALSE(says(told(any), "X-Forwarded-Host"));

  // Its port is not in the key either.
  RoutePlan of_host = any;
  of_host.host = "shop.example";
  CHECK_FALSE(says(told(of_host), "8080"));
  CHECK(says(told(of_host), "X-Forwarded-Host: shop.example\n"));
  CHECK(says(told(of_host), ";host=\"shop.example\"\n"));

  RoutePlan keyed = any;
  keyed.host_goes_upstream = true;
  CHECK(says(told(keyed), "X-Forwarded-Host: evil.example:8080\n"));
  CHECK(says(told(keyed), ";host=\"evil.example:8080\"\n"));
}

TEST_CASE("an interim answer has the upstream's end-to-end fields, and our name on its way") {
  RoutePlan of = plan();
  of.response_fields = "X-Set: ours\r\n";
  of.storing.fields_removed = {"server"};
  CHECK(passed_interim_fields({{"Link", "</a>; rel=preload"},
                               {"Connection", "X-Hop"},
                               {"X-Hop", "1"},
                               {"Content-Length", "3"},
                               {"Server", "secret"},
                               {"Via", "1.1 inner"}},
                              of) == "Link: </a>; rel=preload\r\nVia: 1.1 inner, 1.1 holdfast\r\n");
}
