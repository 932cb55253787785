#include "status/page.h"

#include <doctest/doctest.h>
#include <simdjson.h>

#include <limits>

using namespace holdfast;
using namespace holdfast::status;
using namespace std::chrono_literals;
using proxy::CacheOutcome;
using upstream::Breaker;

namespace {

constexpr const char* kEvil = "</script><script>alert(1)</script><!--&\"'\x01\xff";

Snapshot sample_data() {
  base::ManualClock clock;
  Snapshot data;
  data.upstreams.emplace_back();
  data.at = clock.wall();
  data.version = "1.2.3";
  data.started = data.at - 2h;
  data.health_json = "{\"status\":\"ok\"}\n";
  History::Sample sample{clock.now(), clock.wall(), 10s, {}};
  sample.counts.outcomes[static_cast<std::size_t>(CacheOutcome::Hit)] = 999;
  for (auto& durations : sample.counts.durations) {
    durations.resize(Counts().all_durations().size());
  }
  sample.counts.durations[0][1] = 990;
  sample.counts.durations[0].back() = 9;
  data.samples = {sample};
  upstream::OriginStatus origin;
  origin.name = "api.example:8000";
  origin.pace = std::numeric_limits<double>::infinity();
  data.upstreams[0].status.origins = {origin};
  data.memory = {.entries = 5, .bytes = 1000};
  data.memory_limit_bytes = 4000;
  data.store = {.state = cache::StoreStatus::State::Ok, .entries = 5};
  return data;
}

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != text.npos;
}

}  // namespace

TEST_CASE(
    "the headline says what clients get, how the upstream is and what is wrong with the store") {
  Snapshot data = sample_data();
  data.upstreams[0].status.origins[0].volume = 20;
  CHECK(headline(data) == "Clients get their answers. The upstream answers.");
  data.upstreams[0].status.origins[0].error_rate = 0.3;
  CHECK(contains(headline(data), "The upstream fails 30.00 % of our attempts."));
  data.upstreams[0].status.origins[0].breaker = Breaker::State::Open;
  data.upstreams[0].status.origins[0].last_error = "connect: refused";
  CHECK(contains(headline(data), "The upstream is down (connect: refused); what is stored still"));
  data.memory.entries = data.store.entries = 0;
  CHECK(contains(headline(data), "and nothing is stored."));
  data.samples[0].counts.outcomes[kFailed] = 1;
  CHECK(contains(headline(data), "0.10 % of the requests of the last minute failed."));
  data.store_trouble = "disk full";
  CHECK(contains(headline(data), "The store is not well: disk full."));
  data.draining = true;
  CHECK(headline(data).starts_with("Stopping"));
  data.overloaded = true;
  CHECK(contains(headline(data), "Clients are turned away for want of room."));
  data.upstreams[0].status.origins[0].forced = true;
  CHECK(contains(headline(data), "An operator holds the breaker open"));
  data.upstreams[0].status.token = upstream::TokenState::State::Refused;
  CHECK(contains(headline(data), "The upstream refuses our token."));
  data.samples[0].counts = {};
  data.samples[0].counts.outcomes[kRefused] = 1;
  CHECK(contains(headline(data), "All that was asked in the last minute was refused."));
  data.samples.clear();
  CHECK(contains(headline(data), "Nobody asked in the last minute."));
}

TEST_CASE("a reload that failed, and what needs a restart, are told with the headline") {
  Snapshot data = sample_data();
  data.reload.at = data.at;
  simdjson::dom::parser parser;
  std::string json = to_json(data);
  CHECK(bool(parser.parse(json)["reload"]["ok"]));
  CHECK(contains(to_html(data), "they are good"));
  data.reload.error = std::string("a.toml:2: ") + kEvil;
  data.reload.needs_restart = {"workers", "port"};
  CHECK(contains(headline(data), "The last reload failed: a.toml:2: "));
  CHECK(contains(headline(data), "Changed and not in force before a restart: workers, port."));
  json = to_json(data);
  const auto reload = parser.parse(json)["reload"];
  CHECK_FALSE(bool(reload["ok"]));
  CHECK(std::string_view(reload["error"]).starts_with("a.toml:2: </script>"));
  CHECK(std::string_view(reload["needs_restart"].at(1)) == "port");
  CHECK_FALSE(contains(to_html(data), "<script>alert(1)"));
}

TEST_CASE("a certificate that is refused and a name that is not known are told as that") {
  Snapshot data = sample_data();
  auto& origin = data.upstreams[0].status.origins[0];
  origin.breaker = Breaker::State::Open;
  origin.has_address = false;
  origin.name_trouble = "the name server says nothing";
  CHECK(contains(headline(data), "name is not known (the name server says nothing)."));
  origin.certificate_refused = true;
  origin.last_error = "certificate: it ran out";
  CHECK(contains(headline(data), "is not to be trusted (certificate: it ran out)."));
}

TEST_CASE("nobody who answers is called down, and a redirect is told as one") {
  Snapshot data = sample_data();
  auto& origin = data.upstreams[0].status.origins[0];
  origin.breaker = Breaker::State::Open;
  origin.last_error = "5xx: status 503";
  origin.last_error_status = 503;
  CHECK(contains(headline(data), "The upstream answers, but fails (5xx: status 503); what"));
  CHECK_FALSE(contains(headline(data), "down"));
  data.upstreams[0].status.origins.push_back(sample_data().upstreams[0].status.origins[0]);
  CHECK(contains(headline(data), "1 of 2 origins fails."));
  data.upstreams[0].status.origins.pop_back();
  data.upstreams[0].status.origins[0].redirect = "status 301, Location: https://b.example/";
  CHECK(contains(headline(data),
                 "is not at API_URL: it redirects (status 301, Location: https://b.example/)."));
  CHECK(contains(to_html(data), "redirects: status 301, Location: https://b.example/"));
  data.upstreams[0].status.origins[0].redirect = "";
  data.upstreams[0].status.origins[0].answers_refused = "status 200: /ip is missing";
  CHECK(contains(headline(data),
                 "The upstream answers, and all of it is refused by the rules of its "
                 "routes (status 200: /ip is missing)."));
  CHECK(contains(to_html(data), "answers refused: status 200: /ip is missing"));
}

TEST_CASE("a clock that is off, and answers that may not be stored, have a row each") {
  Snapshot data = sample_data();
  CHECK_FALSE(contains(to_html(data), "Odd about the upstream"));
  data.upstreams[0].status.origins[0].clock_ahead = 3600s;
  data.upstreams[0].forbidden_share = 0.75;
  const std::string page = to_html(data);
  CHECK(contains(page, "<td>its clock is 1 h ahead of ours"));
  CHECK(contains(page, "forbids to store 75.00 % of its latest answers"));
  simdjson::dom::parser parser;
  std::string json = to_json(data);
  auto upstream = parser.parse(json)["upstream"];
  CHECK(double(upstream["forbidden_share"]) == 0.75);
  CHECK(std::int64_t(upstream["origins"].at(0)["clock_ahead_seconds"]) == 3600);
  data.upstreams[0].forbidden_share.reset();
  data.upstreams[0].status.origins[0].clock_ahead = -90s;
  CHECK(contains(to_html(data), "<td>its clock is 1 min 30 s behind ours"));
  data.upstreams[0].status.origins[0].clock_ahead.reset();
  json = to_json(data);
  upstream = parser.parse(json)["upstream"];
  CHECK(upstream["forbidden_share"].is_null());
  CHECK(upstream["origins"].at(0)["clock_ahead_seconds"].is_null());
}

TEST_CASE("each address says whether it is asked, and what setting a connection up takes") {
  Snapshot data = sample_data();
  data.upstreams[0].status.origins[0].addresses = {
      {.address = "192.0.2.1", .connect = 150ms, .tls = 160ms},
      {.address = "2001:db8::1", .dark = true, .last_error = kEvil}};
  const std::string page = to_html(data);
  CHECK(contains(page, "<td>192.0.2.1<td>asked<td>150 ms<td>160 ms<td>none"));
  CHECK(contains(page, "<td>2001:db8::1<td>left out, and knocked at now and then<td>not known"));
  CHECK_FALSE(contains(page, "<script>alert"));
  simdjson::dom::parser parser;
  const std::string json = to_json(data);
  auto addresses = parser.parse(json)["upstream"]["origins"].at(0)["addresses"];
  CHECK(double(addresses.at(0)["tls_seconds"]) == doctest::Approx(0.16));
  CHECK(bool(addresses.at(1)["dark"]));
  CHECK(addresses.at(1)["connect_seconds"].is_null());
}

TEST_CASE("without JavaScript, too, nobody is told that an origin is well which is not asked") {
  Snapshot data = sample_data();
  auto& origin = data.upstreams[0].status.origins[0];
  CHECK(contains(to_html(data), "<td>not asked lately<td>"));
  origin.error_rate = 0.0;
  origin.volume = 20;
  CHECK(contains(to_html(data), "<td>0 %<td>never"));
  // What the breaker's window held is gone after ten seconds; the outage is not.
  origin.error_rate.reset();
  origin.volume = 0;
  origin.breaker = Breaker::State::HalfOpen;
  CHECK(contains(to_html(data), "<td>only probed<td>"));
}

TEST_CASE("a stale answer after a failure is no error, whatever its status") {
  Snapshot data = sample_data();
  data.failures = {{.status = 304, .cause = "timeout", .count = 1, .request_id = "id"},
                   {.status = 504, .cause = "timeout", .count = 1, .request_id = "id"}};
  CHECK(contains(to_html(data), "<td>304, stale<td>timeout"));
  CHECK(contains(to_html(data), "<td>504<td>timeout"));
}

TEST_CASE("the JSON is valid whatever the upstream said, and says null where nothing is known") {
  Snapshot data = sample_data();
  data.upstreams[0].status.origins[0].last_error = kEvil;
  data.upstreams[0].status.origins[0].breaker_history = {
      {data.at - 5s, Breaker::State::Open, kEvil}};
  data.failures = {{.status = 502, .cause = kEvil, .count = 3, .request_id = "id"}};
  data.settings = {{"api_token", "(secret)", "environment API_TOKEN"}};
  simdjson::dom::parser parser;
  const std::string json = to_json(data);
  simdjson::dom::element document;
  REQUIRE(parser.parse(json).get(document) == simdjson::SUCCESS);
  CHECK(double(document["minute"]["share_ok"]) == 1.0);
  CHECK(double(document["minute"]["latency"]["all"]["p50"]) < 50e-6);
  // Above the last bucket: told as its bound.
  CHECK(double(document["minute"]["latency"]["hit"]["p99"]) == doctest::Approx(50e-6).epsilon(0.2));
  CHECK(document["minute"]["latency"]["miss"]["p50"].is_null());
  CHECK(document["history"]["hit"].get_array().size() == 1);
  CHECK(document["store"]["oldest"].is_null());
  auto origin = document["upstream"]["origins"].at(0);
  CHECK(origin["pace"].is_null());
  CHECK(origin["last_success"].is_null());
  CHECK(std::string_view(origin["breaker_history"].at(0)["to"]) == "open");
  CHECK(std::string_view(document["settings"].at(0)["value"]) == "(secret)");
  CHECK(std::string_view(document["health"]["status"]) == "ok");

  data.samples.clear();
  REQUIRE(parser.parse(to_json(data)).get(document) == simdjson::SUCCESS);
  CHECK(document["minute"]["share_ok"].is_null());
}

TEST_CASE("the page holds the tables and the data, and nothing from outside becomes markup") {
  Snapshot data = sample_data();
  data.upstreams[0].status.origins[0].name = kEvil;
  data.upstreams[0].status.origins[0].last_error = kEvil;
  data.failures = {{.status = 502, .cause = kEvil, .count = 3, .request_id = "id"}};
  const std::string page = to_html(data);
  CHECK_FALSE(contains(page, "<script>alert"));
  CHECK(contains(page, "&lt;script&gt;alert(1)&lt;/script&gt;"));  // in the tables
  CHECK(contains(page, "\\u003c/script>\\u003cscript>alert(1)"));  // in the data
  // Two script elements, the page's own: the data and the script.
  std::size_t scripts = 0;
  for (std::size_t at = 0; (at = page.find("</script", at)) != page.npos; ++at) ++scripts;
  CHECK(scripts == 2);
  for (const char* part : {"<th scope=\"row\">answered 200<td>100 %<td>100 %", "Latest failures",
                           "Breaker history", "5 responses, 1.0 KiB of 3.9 KiB (25.00 %)"}) {
    CAPTURE(part);
    CHECK(contains(page, part));
  }
  // Nothing is loaded from anywhere.
  for (const char* part : {" src=", "@import", "http://", "https://"}) {
    CAPTURE(part);
    const std::size_t at = page.find(part);
    const bool namespace_only =
        at == page.npos || page.substr(at, 20).starts_with("http://www.w3.org/20");
    CHECK(namespace_only);
  }
}

TEST_CASE("the policy allows the page's own style and script by their hashes and no other") {
  const std::string_view fields = html_fields();
  CHECK(fields.starts_with("Content-Security-Policy: default-src 'none'; style-src 'sha256-"));
  CHECK(contains(fields, "script-src 'sha256-"));
  CHECK_FALSE(contains(fields, "unsafe"));
  CHECK(contains(fields, "frame-ancestors 'none'"));
  CHECK(fields.ends_with("\r\n"));
}

TEST_CASE("numbers in words are short, and a share is never rounded to all or nothing") {
  CHECK(percent(1) == "100 %");
  CHECK(percent(0.999999) == "99.99 %");
  CHECK(percent(0.29) == "29.00 %");
  CHECK(percent(0) == "0 %");
  CHECK(percent(0.000001) == "< 0.01 %");
  CHECK(bytes_in_words(0) == "0 B");
  CHECK(bytes_in_words(64U << 20) == "64 MiB");
  CHECK(bytes_in_words(1536U << 20) == "1.5 GiB");
  CHECK(in_words(0s) == "0 s");
  CHECK(in_words(std::chrono::duration<double>(0.00004)) == "40 \xC2\xB5s");
  CHECK(in_words(3200us) == "3.2 ms");
  CHECK(in_words(61s) == "1 min 1 s");
  CHECK(in_words(2h) == "2 h");
  CHECK(in_words(31 * 24h) == "31 d");
}
