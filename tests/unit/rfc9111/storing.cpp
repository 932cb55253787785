#include "rfc9111/storing.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "base/http_date.h"

using namespace holdfast;
using namespace holdfast::rfc9111;
using namespace std::chrono_literals;

namespace {

const base::WallTime kReceived{std::chrono::sys_days{std::chrono::year{2026} / 6 / 1}};

upstream::Field date_field(const char* name, std::chrono::seconds from_received) {
  return {name, base::format_http_date(kReceived + from_received)};
}
upstream::Field cc(const char* value) {
  return {"Cache-Control", value};
}

struct Case {
  int status = 200;
  RequestFacts request;
  Policy policy;
  base::Duration delay{0};
};

Judged judged(const upstream::Fields& fields, const Case& of = {}) {
  return judge(of.status, fields, of.request, of.policy, kReceived, of.delay);
}

bool fresh_on_arrival(const Judged& j) {
  return j.not_stored.empty() && j.freshness_lifetime > j.initial_age;
}

}  // namespace

TEST_CASE("s-maxage comes before max-age, and that before Expires") {
  const upstream::Field expires = date_field("Expires", -10s);
  CHECK(judged({cc("max-age=1, s-maxage=3600"), expires}).freshness_lifetime == 3600s);
  CHECK(judged({cc("max-age=3600"), expires}).freshness_lifetime == 3600s);
  CHECK(judged({cc("max-age=0"), date_field("Expires", 100s)}).freshness_lifetime == 0s);
  CHECK(judged({cc("max-age=3600"), {"Expires", "0"}}).freshness_lifetime == 3600s);
  CHECK(judged({cc("max-age=3600")}).explicit_lifetime);
}

TEST_CASE("Expires counts from Date, or from the arrival where there is none") {
  struct Row {
    upstream::Fields fields;
    std::chrono::seconds lifetime;
  };
  for (const Row& row : {
           Row{{date_field("Expires", 100s), date_field("Date", 0s)}, 100s},
           {{date_field("Expires", 300s), date_field("Date", 400s)}, 0s},
           {{date_field("Expires", 20s), date_field("Date", 10s)}, 10s},
           {{date_field("Expires", 100s)}, 100s},
           {{date_field("Expires", 100s), {"Date", "foo"}}, 100s},
           {{date_field("Expires", 0s)}, 0s},
           {{{"Expires", "Thu, 18 Aug 2050 02:01:18 UTC"}}, 0s},
           {{{"Expires", "MON, 01 jUN 2026 00:01:00 gmt"}}, 60s},
           {{{"Expires", "Monday, 01-Jun-26 00:01:00 GMT"}}, 60s},
           {{{"Expires", "Mon Jun  1 00:01:00 2026"}}, 60s},
           {{{"Expires", "Mon, 1 Jun 2026 00:01:00 GMT"}}, 0s},
       }) {
    CAPTURE(row.fields.front().value);
    CHECK(judged(row.fields).freshness_lifetime == row.lifetime);
    CHECK(judged(row.fields).explicit_lifetime);
  }
}

TEST_CASE("the age at first is what Age, the response delay and Date say, whichever is more") {
  struct Row {
    const char* age;
    std::chrono::seconds date;
    base::Duration delay;
    std::chrono::seconds initial;
  };
  for (const Row& row : {
           Row{"0", 0s, 0s, 0s},
           {"30", 0s, 0s, 30s},
           {"30", 0s, 2500ms, 32s},
           {"", 0s, 900ms, 0s},
           {"", -20s, 0s, 20s},
           {"25", -10s, 0s, 25s},
           {"15", 10s, 0s, 15s},
           {"", 7200s, 3s, 3s},
           {"7200, 0", 0s, 0s, 7200s},
           {"0, 7200", 0s, 0s, 0s},
           {"0, 0", 0s, 0s, 0s},
           {"abc", 0s, 0s, 0s},
           {"-7200", 0s, 0s, 0s},
           {"7200.0", 0s, 0s, 0s},
           {"7200;foo=bar", 0s, 0s, 0s},
           {"abc, 5", 0s, 0s, 0s},
           {"2147483649", 0s, 0s, 2147483648s},
           {"99999999999999999999999999", 0s, 1s, 2147483648s},
       }) {
    CAPTURE(row.age);
    const Judged j = judged({date_field("Date", row.date), {"Age", row.age}, cc("max-age=3600")},
                            {.delay = row.delay});
    CHECK(j.initial_age == row.initial);
  }
  const upstream::Fields lines{{"Age", "7200"}, {"Age", "0"}, cc("max-age=3600")};
  CHECK(judged(lines).initial_age == 7200s);
}

TEST_CASE(
    "without a stated lifetime it is a tenth of the time since Last-Modified, a day at most") {
  const upstream::Field date = date_field("Date", 0s);
  struct Row {
    int status;
    const char* cache_control;
    std::chrono::seconds modified;
    std::chrono::seconds lifetime;
    const char* not_stored;
  };
  for (const Row& row : {
           Row{200, "", -1000s, 100s, ""},
           {200, "", -1009s, 100s, ""},
           {200, "", -365 * 86400s, 86400s, ""},
           {200, "", 50s, 0s, ""},
           {200, "no-cache", -1000s, 0s, ""},
           {201, "", -1000s, 0s, "no-lifetime"},
           {203, "", -1000s, 100s, ""},
           {204, "", -1000s, 100s, ""},
           {206, "", -1000s, 0s, "no-lifetime"},
           {302, "", -1000s, 0s, "no-lifetime"},
           {403, "", -1000s, 0s, "no-lifetime"},
           {404, "", -1000s, 100s, ""},
           {501, "", -1000s, 100s, ""},
           {503, "", -1000s, 0s, "no-lifetime"},
           {599, "", -1000s, 0s, "no-lifetime"},
           {599, "public", -1000s, 100s, ""},
       }) {
    CAPTURE(row.status);
    CAPTURE(row.modified.count());
    const Judged j =
        judged({date, date_field("Last-Modified", row.modified), cc(row.cache_control)},
               {.status = row.status});
    CHECK(j.freshness_lifetime == row.lifetime);
    CHECK(j.not_stored == row.not_stored);
    CHECK(!j.explicit_lifetime);
  }
}

TEST_CASE("what could never be reused is not stored, and a validator is enough to be") {
  const Policy lenient{.stale_if_error = 60s};
  struct Row {
    upstream::Fields fields;
    Policy policy;
    const char* not_stored;
  };
  const upstream::Field etag{"ETag", "\"x\""};
  for (const Row& row : {
           Row{{}, {}, "no-lifetime"},
           {{}, lenient, "no-lifetime"},
           {{etag}, {}, ""},
           {{{"Last-Modified", "nonsense"}}, {}, ""},
           {{cc("no-cache")}, lenient, "no-lifetime"},
           {{cc("no-cache, max-age=100")}, lenient, "no-lifetime"},
           {{cc("no-cache"), etag}, {}, ""},
           {{cc("max-age=0")}, {}, "no-lifetime"},
           {{cc("max-age=0")}, lenient, ""},
           {{cc("max-age=0, must-revalidate")}, lenient, "no-lifetime"},
           {{cc("max-age=0, stale-while-revalidate=5")}, {}, ""},
           {{cc("max-age=5"), {"Age", "5"}}, {}, "no-lifetime"},
           {{cc("max-age=5"), {"Age", "4"}}, {}, ""},
           {{cc("max-age=5"), {"Age", "65"}}, lenient, "no-lifetime"},
           {{cc("no-cache=\"etag\", no-cache"), etag}, {}, "no-lifetime"},
       }) {
    CAPTURE(row.not_stored);
    CAPTURE(row.fields.empty() ? std::string() : row.fields.front().value);
    CHECK(judged(row.fields, {.policy = row.policy}).not_stored == row.not_stored);
  }
}

TEST_CASE("every final status that says how long it is fresh is stored") {
  for (const int status : {200, 203, 204, 206, 299, 301, 302, 303, 307, 308, 400, 404, 410, 499,
                           500, 502, 503, 504, 599}) {
    CAPTURE(status);
    CHECK(fresh_on_arrival(judged({cc("max-age=60")}, {.status = status})));
  }
  for (const int status : {0, 100, 103, 199, 304, 600}) {
    CAPTURE(status);
    CHECK(judged({cc("max-age=60")}, {.status = status}).not_stored == "status");
  }
}

TEST_CASE("what must not be stored is named by what forbids it") {
  struct Row {
    const char* cache_control;
    int status;
    const char* not_stored;
  };
  for (const Row& row : {
           Row{"no-store, max-age=60", 200, "no-store"},
           {"private, max-age=60", 200, "private"},
           {"private=\"a\", max-age=60", 200, ""},
           {"must-understand, max-age=60", 599, "must-understand"},
           {"must-understand, no-store, max-age=60", 599, "must-understand"},
           {"must-understand, no-store, max-age=60", 200, ""},
           {"must-understand, max-age=60", 404, ""},
       }) {
    CAPTURE(row.cache_control);
    CHECK(judged({cc(row.cache_control)}, {.status = row.status}).not_stored == row.not_stored);
  }
  CHECK(judged({cc("max-age=60")}, {.request = {.no_store = true}}).not_stored ==
        "client-no-store");
  for (const char* vary : {"*", "*, *", ", *", "Foo, *", "*, Foo"}) {
    CAPTURE(vary);
    CHECK(judged({cc("max-age=60"), {"Vary", "Foo"}, {"vary", vary}}).not_stored == "vary-star");
  }
  CHECK(judged({cc("max-age=60"), {"Vary", "Foo"}}).not_stored == "");
}

TEST_CASE("only a GET's answer is stored, or a POST's that is one to a GET of the same") {
  const upstream::Fields stated{cc("max-age=60")};
  for (const char* method : {"HEAD", "PUT", "DELETE", "OPTIONS", "get", "M-SEARCH", "POST"}) {
    CAPTURE(method);
    CHECK(judged(stated, {.request = {.method = method}}).not_stored == "method");
  }
  const RequestFacts post{.method = "POST", .content_is_target = true};
  CHECK(judged(stated, {.request = post}).not_stored == "");
  CHECK(judged({{"ETag", "\"x\""}}, {.request = post}).not_stored == "method");
  CHECK(judged(stated, {.request = {.method = "PUT", .content_is_target = true}}).not_stored ==
        "method");
}

TEST_CASE("the answer to an authorized request is shared only if it says so") {
  struct Row {
    const char* cache_control;
    const char* not_stored;
  };
  for (const Row& row : {
           Row{"max-age=60", "authorization"},
           {"max-age=60, proxy-revalidate", "authorization"},
           {"max-age=60, public", ""},
           {"max-age=60, must-revalidate", ""},
           {"s-maxage=60", ""},
       }) {
    CAPTURE(row.cache_control);
    CHECK(judged({cc(row.cache_control)}, {.request = {.authorization = true}}).not_stored ==
          row.not_stored);
  }
}

TEST_CASE("Set-Cookie is kept from sharing as the route says, or as the answer itself does") {
  using SetCookie = Policy::SetCookie;
  const upstream::Field cookie{"Set-Cookie", "a=b"};
  const auto with = [&](const char* cache_control, SetCookie policy) {
    return judged({cookie, cc(cache_control)}, {.policy = {.set_cookie = policy}});
  };
  CHECK(with("max-age=60", SetCookie::Pass).not_stored == "set-cookie");
  CHECK(with("max-age=60", SetCookie::Store).not_stored == "");
  CHECK(with("max-age=60", SetCookie::Store).withheld.empty());
  CHECK(with("max-age=60", SetCookie::Strip).not_stored == "");
  CHECK(with("max-age=60", SetCookie::Strip).withheld == std::vector<std::string>{"set-cookie"});
  const Judged named = with("max-age=60, private=\"X\", no-cache=\"Set-Cookie\"", SetCookie::Pass);
  CHECK(named.not_stored == "");
  CHECK(named.withheld == std::vector<std::string>{"set-cookie", "x"});
}

TEST_CASE("stale windows are as the answer states them, or the operator's on errors") {
  struct Row {
    const char* cache_control;
    std::chrono::seconds while_revalidate;
    std::chrono::seconds if_error;
  };
  const Policy policy{.stale_if_error = 600s};
  for (const Row& row : {
           Row{"max-age=60", 0s, 600s},
           {"max-age=60, stale-while-revalidate=5", 5s, 600s},
           {"max-age=60, stale-if-error=7", 0s, 7s},
           {"max-age=60, stale-if-error=0", 0s, 0s},
           {"max-age=60, stale-if-error", 0s, 600s},
           {"max-age=60, must-revalidate, stale-if-error=7, stale-while-revalidate=5", 0s, 0s},
           {"max-age=60, proxy-revalidate, stale-if-error=7", 0s, 0s},
           {"max-age=60, no-cache, stale-if-error=7", 0s, 0s},
           {"s-maxage=60", 0s, 0s},
           {"s-maxage=60, stale-if-error=7, stale-while-revalidate=5", 5s, 7s},
       }) {
    CAPTURE(row.cache_control);
    const Judged j = judged({cc(row.cache_control)}, {.policy = policy});
    CHECK(j.stale_while_revalidate == row.while_revalidate);
    CHECK(j.stale_if_error == row.if_error);
  }
}

TEST_CASE("a targeted field replaces Cache-Control and Expires whole") {
  const std::vector<std::string> targeted{"cdn-cache-control"};
  const Case of{.policy = {.targeted = targeted}};
  const upstream::Field expires = date_field("Expires", 1000s);
  CHECK(judged({{"CDN-Cache-Control", "max-age=60"}, cc("no-store"), expires}, of)
            .freshness_lifetime == 60s);
  CHECK(judged({{"CDN-Cache-Control", "none"}, cc("max-age=60"), expires}, of).not_stored ==
        "no-lifetime");
  CHECK(judged({{"CDN-Cache-Control", "no-store"}, cc("max-age=60")}, of).not_stored == "no-store");
  CHECK(judged({{"CDN-Cache-Control", "&"}, cc("max-age=70")}, of).freshness_lifetime == 70s);
  CHECK(judged({{"CDN-Cache-Control", "private"}, cc("max-age=70")}, of).not_stored == "private");
}
