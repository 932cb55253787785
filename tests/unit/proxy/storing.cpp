#include "proxy/storing.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "base/http_date.h"
#include "cache/freshness.h"
#include "http/problem.h"
#include "lookup_route.h"
#include "proxy/response_fields.h"

using namespace holdfast;
using namespace holdfast::proxy;
using namespace std::chrono_literals;

namespace {

const base::WallTime kNow = std::chrono::sys_days{std::chrono::year{2026} / 6 / 1};

upstream::Reply ok(upstream::Fields fields = {}) {
  upstream::Reply reply;
  reply.status = 200;
  reply.fields = std::move(fields);
  reply.body = "{}";
  reply.duration = 300ms;
  return reply;
}

StoringPolicy exact() {
  StoringPolicy policy;
  policy.jitter = 0;
  return policy;
}

Storable store(const upstream::Reply& reply, const StoringPolicy& policy = exact()) {
  base::Random random(1);
  return make_storable(reply, policy, kNow, random);
}

// What a 304 with these fields makes of a 200 with those.
Storable freshened(upstream::Fields first, upstream::Fields then,
                   const StoringPolicy& policy = exact(), base::WallTime received = kNow) {
  upstream::Reply reply;
  reply.status = 304;
  reply.fields = std::move(then);
  base::Random random(1);
  const Storable before = store(ok(std::move(first)), policy);
  return freshen(*before.response, reply, policy, received, random);
}

upstream::Fields fields_in(std::string_view lines) {
  upstream::Fields fields;
  while (!lines.empty()) {
    const std::size_t colon = lines.find(": ");
    const std::size_t end = lines.find("\r\n");
    fields.push_back({std::string(lines.substr(0, colon)),
                      std::string(lines.substr(colon + 2, end - colon - 2))});
    lines.remove_prefix(end + 2);
  }
  return fields;
}

std::chrono::seconds ttl(const Storable& storable) {
  return cache::freshness(*storable.response, kNow).ttl;
}

}  // namespace

TEST_CASE("a 203 is kept as the 200 it was") {
  upstream::Reply reply = ok({{"Cache-Control", "max-age=60"}, {"Content-Type", "text/json"}});
  const Storable plain = store(reply);
  reply.status = 203;
  const Storable changed = store(reply);
  CHECK(changed.may_store);
  CHECK(changed.response->status == 200);
  CHECK(changed.response->body == plain.response->body);
  CHECK(changed.response->fields == plain.response->fields);
  CHECK(ttl(changed) == 60s);
  CHECK(changed.response->stale_if_error == plain.response->stale_if_error);
}

TEST_CASE("of the 2xx only what was asked for is kept, and the rest is for who asked") {
  for (const int status : {201, 202, 207, 226, 299}) {
    CAPTURE(status);
    upstream::Reply reply = ok({{"Cache-Control", "max-age=60"}});
    reply.status = status;
    const Storable made = store(reply);
    CHECK_FALSE(made.may_store);
    CHECK(made.not_stored == "status");
    CHECK(made.response->status == status);
    StoringPolicy problems = exact();
    for (const bool pass : {true, false}) {
      problems.pass_client_errors = pass;
      CHECK(store(reply, problems).response->body == reply.body);
    }
  }
  for (const int status : {200, 203, 404, 410}) {
    upstream::Reply reply = ok({});
    reply.status = status;
    CHECK(store(reply).may_store);
  }
}

TEST_CASE("what forbids to store it is told") {
  CHECK(store(ok({{"Cache-Control", "no-store;max-age=0"}})).forbidden_by ==
        std::string("Cache-Control: no-store"));
  CHECK(store(ok({{"Cache-Control", "no-store"}})).not_stored == "no-store");
  CHECK(store(ok({{"Vary", "*"}})).not_stored == "vary-star");
  CHECK(store(ok({{"Cache-Control", "private"}})).forbidden_by ==
        std::string("Cache-Control: private"));
  CHECK(store(ok({{"Vary", "Accept"}, {"Vary", "*"}})).forbidden_by == std::string("Vary: *"));
  CHECK(store(ok({{"Cache-Control", "max-age=1, stale-if-error"}})).may_store);
  CHECK(store(ok({{"Cache-Control", "max-age=1, stale-if-error"}})).response->stale_if_error ==
        24h * 30);
}

TEST_CASE("an upstream that states no lifetime gets ours") {
  const Storable got = store(ok());
  CHECK(got.may_store);
  CHECK(ttl(got) == 24h);
  CHECK(got.response->stale_while_revalidate == 24h * 7);
  CHECK(got.response->stale_if_error == 24h * 30);
}

TEST_CASE("s-maxage goes before max-age, that before Expires") {
  CHECK(ttl(store(ok({{"Cache-Control", "max-age=60"}}))) == 60s);
  CHECK(ttl(store(ok({{"cache-control", "max-age=60, s-maxage=90"}}))) == 90s);
  CHECK(ttl(store(ok({{"Cache-Control", "max-age=60"}, {"Cache-Control", "s-maxage=90"}}))) == 90s);
  const std::string now = base::format_http_date(kNow);
  const std::string later = base::format_http_date(kNow + 120s);
  CHECK(ttl(store(ok({{"Expires", later}, {"Date", now}}))) == 120s);
  CHECK(ttl(store(ok({{"Expires", later}, {"Cache-Control", "max-age=60"}}))) == 60s);
  CHECK(ttl(store(ok({{"Expires", "0"}}))) == 0s);
}

TEST_CASE("the age an answer brings along counts against a stated lifetime only") {
  const Storable stated = store(ok({{"Cache-Control", "max-age=60"}, {"Age", "20"}}));
  CHECK(ttl(stated) == 40s);
  const Storable own = store(ok({{"Age", "20"}}));
  CHECK(ttl(own) == 24h);
  CHECK(cache::freshness(*own.response, kNow).age == 20s);
}

// RFC 9111, 4.2.3: corrected_age_value = age_value + response_delay.
// As when one of us stands in front of another: whatever the answer's life so far, what we
// say of it leaves the cache behind us what it leaves ourselves (RFC 9111, 4.2).
TEST_CASE("a cache behind us counts no second of an answer's life twice") {
  struct Case {
    const char* name;
    upstream::Fields fields;
    StoringPolicy policy;
  };
  StoringPolicy spread;  // lifetimes vary by 10 %
  StoringPolicy always = exact();
  always.ttl_override = true;
  const Case cases[] = {
      {"a lifetime of ours", {}, exact()},
      {"one of ours, spread", {}, spread},
      {"one of ours, and an Age", {{"Age", "80000"}}, exact()},
      {"stated", {{"Cache-Control", "max-age=7200"}}, exact()},
      {"stated, spread", {{"Cache-Control", "max-age=7200"}}, spread},
      {"stated, and an Age", {{"Cache-Control", "max-age=7200"}, {"Age", "600"}}, spread},
      {"for shared caches", {{"Cache-Control", "max-age=60, s-maxage=7200"}}, exact()},
      {"by date", {{"Expires", base::format_http_date(kNow + 2h)}}, exact()},
      {"ours whatever is stated", {{"Cache-Control", "no-store"}, {"Age", "9"}}, always},
      {"not without asking", {{"Cache-Control", "no-cache"}}, exact()},
      {"older than it may get", {{"Cache-Control", "max-age=60"}, {"Age", "90"}}, exact()},
  };
  for (const Case& c : cases) {
    CAPTURE(c.name);
    base::Random random(7);
    const Storable here = make_storable(ok(c.fields), c.policy, kNow, random);
    for (const auto later : {0s, 1s, 3600s, 90000s, 200000s}) {
      CAPTURE(later.count());
      const auto freshness = cache::freshness(*here.response, kNow + later);
      Answer answer;
      answer.rung = Rung::Fresh;
      std::string lines;
      append_age_and_lifetime(lines, answer, freshness);
      upstream::Reply onward = ok(fields_in(lines));
      const Storable there = make_storable(onward, exact(), kNow + later, random);
      const auto seen = cache::freshness(*there.response, kNow + later);
      CHECK(seen.age == freshness.age);
      CHECK(seen.ttl == freshness.ttl);
      CHECK((seen.use == cache::Use::Fresh) == (freshness.use == cache::Use::Fresh));
    }
  }
}

TEST_CASE("the time that the attempt took is part of an answer's age, in whole seconds") {
  const auto after = [](base::Duration took, upstream::Fields fields) {
    upstream::Reply reply = ok(std::move(fields));
    reply.duration = took;
    return store(reply);
  };
  const auto age = [&](base::Duration took, upstream::Fields fields) {
    return cache::freshness(*after(took, std::move(fields)).response, kNow).age;
  };
  CHECK(age(2900ms, {}) == 2s);
  CHECK(age(2900ms, {{"Age", "0"}}) == 2s);
  CHECK(age(2900ms, {{"Age", "20"}}) == 22s);
  CHECK(age(2900ms,
            {{"Date", base::format_http_date(kNow - 1s)}, {"Cache-Control", "max-age=60"}}) == 2s);
  CHECK(ttl(after(2900ms, {{"Cache-Control", "max-age=60"}})) == 58s);
  // A lifetime of ours counts from the arrival.
  CHECK(ttl(after(2900ms, {})) == 24h);
  // What has not passed in full makes nothing stale.
  CHECK(ttl(after(999ms, {{"Cache-Control", "max-age=1"}})) == 1s);
  CHECK(ttl(after(999ms, {{"Cache-Control", "max-age=2"}, {"Age", "1"}})) == 1s);
  CHECK(ttl(after(1s, {{"Cache-Control", "max-age=1"}})) == 0s);
}

TEST_CASE("an age too large to count is very old, a list's first counts, nonsense is none") {
  const auto age = [](const char* value) {
    const Storable got = store(ok({{"Cache-Control", "max-age=3600"}, {"Age", value}}));
    return cache::freshness(*got.response, kNow).age;
  };
  CHECK(age("20") == 20s);
  CHECK(age("20, 3000") == 20s);
  CHECK(age("4294967296") >= 34 * 365 * 24h);
  CHECK(age("99999999999999999999999") >= 34 * 365 * 24h);
  CHECK(age("soon") == 0s);
  CHECK(age("20 minutes") == 0s);
  CHECK(age("-20") == 0s);
  CHECK(ttl(store(ok({{"Age", "99999999999999999999999"}}))) == 24h);
}

TEST_CASE("an upstream's slow clock makes a stated lifetime shorter, never ours") {
  const std::string past = base::format_http_date(kNow - 30s);
  CHECK(ttl(store(ok({{"Date", past}, {"Cache-Control", "max-age=60"}}))) == 30s);
  CHECK(ttl(store(ok({{"Date", past}}))) == 24h);
  const std::string future = base::format_http_date(kNow + 3600s);
  CHECK(ttl(store(ok({{"Date", future}, {"Cache-Control", "max-age=60"}}))) == 60s);
}

TEST_CASE("what the upstream forbids to store is for those who wait now") {
  for (const char* directive : {"no-store", "private", "max-age=60, no-store"}) {
    CAPTURE(directive);
    CHECK_FALSE(store(ok({{"Cache-Control", directive}})).may_store);
  }
  CHECK_FALSE(store(ok({{"Vary", "*"}})).may_store);
  CHECK_FALSE(store(ok({{"Vary", "Accept-Encoding"}, {"Vary", "*"}})).may_store);
  CHECK(store(ok({{"Vary", "Accept-Encoding"}})).may_store);
}

TEST_CASE("no-cache and must-revalidate leave nothing to serve stale") {
  const Storable no_cache = store(ok({{"Cache-Control", "no-cache"}}));
  CHECK(no_cache.may_store);
  CHECK(cache::freshness(*no_cache.response, kNow).use == cache::Use::Unusable);
  const Storable must = store(ok({{"Cache-Control", "max-age=60, must-revalidate"}}));
  CHECK(cache::freshness(*must.response, kNow).use == cache::Use::Fresh);
  CHECK(cache::freshness(*must.response, kNow + 61s).use == cache::Use::Unusable);
}

// RFC 9111, 5.2.2.10: for a shared cache it implies proxy-revalidate.
TEST_CASE("s-maxage leaves nothing to serve stale but what the upstream itself allows") {
  const Storable alone = store(ok({{"Cache-Control", "s-maxage=60"}}));
  CHECK(cache::freshness(*alone.response, kNow + 59s).use == cache::Use::Fresh);
  CHECK(cache::freshness(*alone.response, kNow + 61s).use == cache::Use::Unusable);
  const Storable with = store(ok({{"Cache-Control", "s-maxage=60, stale-if-error=20"}}));
  CHECK(cache::freshness(*with.response, kNow + 61s).use == cache::Use::StaleIfError);
  CHECK(cache::freshness(*with.response, kNow + 81s).use == cache::Use::Unusable);
  const Storable must =
      store(ok({{"Cache-Control", "s-maxage=60, stale-if-error=20, proxy-revalidate"}}));
  CHECK(cache::freshness(*must.response, kNow + 61s).use == cache::Use::Unusable);
}

TEST_CASE("the upstream's own stale directives go before ours") {
  const Storable got =
      store(ok({{"Cache-Control", "max-age=60, stale-while-revalidate=10, stale-if-error=20"}}));
  CHECK(cache::freshness(*got.response, kNow + 65s).use == cache::Use::StaleWhileRevalidate);
  CHECK(cache::freshness(*got.response, kNow + 75s).use == cache::Use::StaleIfError);
  CHECK(cache::freshness(*got.response, kNow + 85s).use == cache::Use::Unusable);
}

TEST_CASE("CACHE_TTL_OVERRIDE overrides everything") {
  StoringPolicy policy = exact();
  policy.ttl_override = true;
  const Storable got =
      store(ok({{"Cache-Control", "no-store, max-age=1, must-revalidate"}}), policy);
  CHECK(got.may_store);
  CHECK(ttl(got) == 24h);
  CHECK(got.response->stale_if_error == 24h * 30);
}

TEST_CASE("jitter does not make a lifetime of a second one of none") {
  StoringPolicy policy;
  policy.ttl = 1s;
  base::Random random(7);
  for (int i = 0; i < 200; ++i) {
    CHECK(ttl(make_storable(ok(), policy, kNow, random)) == 1s);
    CHECK(ttl(make_storable(ok({{"Cache-Control", "max-age=1"}}), policy, kNow, random)) == 1s);
  }
}

TEST_CASE("jitter spreads our lifetimes both ways and only shortens stated ones") {
  StoringPolicy policy;
  base::Random random(7);
  bool shorter = false;
  bool longer = false;
  for (int i = 0; i < 200; ++i) {
    const auto own = ttl(make_storable(ok(), policy, kNow, random));
    CHECK(own >= 86400s * 9 / 10);
    CHECK(own <= 86400s * 11 / 10);
    shorter = shorter || own < 23h;
    longer = longer || own > 25h;
    const auto stated =
        ttl(make_storable(ok({{"Cache-Control", "max-age=1000"}}), policy, kNow, random));
    CHECK(stated >= 900s);
    CHECK(stated <= 1000s);
  }
  CHECK(shorter);
  CHECK(longer);
}

TEST_CASE(
    "jitter takes from what a stated lifetime has left, so that nothing arrives stale by it") {
  StoringPolicy policy;
  base::Random random(7);
  const auto reply = ok({{"Cache-Control", "max-age=1000"}, {"Age", "949"}});
  std::chrono::seconds shortest = 24h;
  for (int i = 0; i < 1000; ++i) {
    shortest = std::min(shortest, ttl(make_storable(reply, policy, kNow, random)));
  }
  CHECK(shortest >= 45s);
  CHECK(shortest <= 47s);
}

TEST_CASE("a 404 is kept for NEGATIVE_TTL, as a problem of ours, and never stale") {
  upstream::Reply reply = ok({{"Content-Type", "text/html"}});
  reply.status = 404;
  reply.body = "<html>";
  const Storable got = store(reply);
  CHECK(ttl(got) == 5min);
  CHECK(got.response->status == 404);
  CHECK(got.response->body.find("<html>") == std::string::npos);
  CHECK(got.response->head.find("application/problem+json") != std::string::npos);
  CHECK(cache::freshness(*got.response, kNow + 6min).use == cache::Use::Unusable);
}

TEST_CASE(
    "clients see the upstream's type, language and modification date, and nothing that breaks a "
    "line") {
  const Storable got = store(ok({{"content-type", "application/json; charset=utf-8"},
                                 {"Set-Cookie", "a=b"},
                                 {"Content-Language", "en\r\nX-Evil: 1"},
                                 {"Last-Modified", "Mon, 01 Jun 2026 00:00:00 GMT"}}));
  CHECK(got.response->fields ==
        "Content-Type: application/json; charset=utf-8\r\n"
        "Last-Modified: Mon, 01 Jun 2026 00:00:00 GMT\r\n");
  CHECK(store(ok({{"Content-Type", "text/html"}})).response->fields ==
        "Content-Type: application/json\r\n");
}

TEST_CASE("what the upstream says of its connection alone is not passed on") {
  CHECK(store(ok({{"Connection", "keep-alive, content-language"},
                  {"connection", "Last-Modified"},
                  {"Content-Language", "en"},
                  {"Last-Modified", "Mon, 01 Jun 2026 00:00:00 GMT"}}))
            .response->fields == "Content-Type: application/json\r\n");
}

TEST_CASE("a 304 gives the same content a new life") {
  base::Random random(1);
  const Storable first = store(ok({{"ETag", "\"v1\""}, {"Cache-Control", "max-age=60"}}));
  upstream::Reply reply;
  reply.status = 304;
  reply.fields = {{"Cache-Control", "max-age=90"}};
  const Storable second = freshen(*first.response, reply, exact(), kNow + 100s, random);
  CHECK(second.response->body == first.response->body);
  CHECK(second.response->upstream_etag == "\"v1\"");
  CHECK(second.response->etag == first.response->etag);
  CHECK(cache::freshness(*second.response, kNow + 100s).ttl == 90s);
}

// RFC 9111, 3.2: what a 304 does not say stays as it was.
TEST_CASE("a 304 that says nothing leaves what the upstream stated, and none of ours instead") {
  const auto later = [](upstream::Fields first, upstream::Fields then,
                        const StoringPolicy& policy = exact()) {
    return freshened(std::move(first), std::move(then), policy, kNow + 100s);
  };
  const auto use_after = [](const Storable& storable, std::chrono::seconds time) {
    return cache::freshness(*storable.response, kNow + 100s + time).use;
  };
  const Storable stated = later({{"Cache-Control", "max-age=60, stale-if-error=20"}}, {});
  CHECK(use_after(stated, 59s) == cache::Use::Fresh);
  CHECK(use_after(stated, 79s) == cache::Use::StaleWhileRevalidate);
  CHECK(stated.response->stale_if_error == 20s);
  const Storable must = later({{"Cache-Control", "max-age=60, must-revalidate"}}, {});
  CHECK(use_after(must, 59s) == cache::Use::Fresh);
  CHECK(use_after(must, 61s) == cache::Use::Unusable);
  const Storable no_cache = later({{"Cache-Control", "no-cache"}}, {});
  CHECK(use_after(no_cache, 0s) == cache::Use::Unusable);
  const Storable expires = later(
      {{"Expires", base::format_http_date(kNow + 60s)}, {"Date", base::format_http_date(kNow)}},
      {});
  CHECK(use_after(expires, 61s) == cache::Use::StaleWhileRevalidate);

  // Its own age counts against that lifetime, its clock does not.
  const Storable aged = later({{"Cache-Control", "max-age=60"}},
                              {{"Age", "50"}, {"Date", base::format_http_date(kNow - 1h)}});
  CHECK(use_after(aged, 9s) == cache::Use::Fresh);
  CHECK(use_after(aged, 10s) == cache::Use::StaleWhileRevalidate);
  // What it does say, it replaces.
  const Storable longer =
      later({{"Cache-Control", "max-age=60, must-revalidate"}}, {{"Cache-Control", "max-age=90"}});
  CHECK(use_after(longer, 89s) == cache::Use::Fresh);
  CHECK(use_after(longer, 91s) == cache::Use::StaleWhileRevalidate);
  const Storable other =
      later({{"Cache-Control", "max-age=60, stale-if-error=20"}}, {{"Cache-Control", "public"}});
  CHECK(use_after(other, 61s) == cache::Use::StaleWhileRevalidate);
  CHECK(other.response->stale_if_error == 24h * 30);
  StoringPolicy always = exact();
  always.ttl_override = true;
  CHECK(use_after(later({{"Cache-Control", "max-age=60"}}, {}, always), 23h) == cache::Use::Fresh);
}

TEST_CASE("lifetimes of ours last through any number of 304s, and follow lowered settings") {
  StoringPolicy policy;
  base::Random random(3);
  upstream::Reply reply;
  reply.status = 304;
  cache::StoredPtr stored = make_storable(ok(), policy, kNow, random).response;
  for (int i = 0; i < 100; ++i) stored = freshen(*stored, reply, policy, kNow, random).response;
  CHECK(stored->freshness_lifetime >= 86400s * 9 / 10);
  CHECK(stored->freshness_lifetime <= 86400s * 11 / 10);
  CHECK(stored->stale_if_error == 24h * 30);
  policy.ttl = 1h;
  policy.stale_if_error = 24h;
  stored = freshen(*stored, reply, policy, kNow, random).response;
  CHECK(stored->freshness_lifetime <= 3600s * 11 / 10);
  CHECK(stored->stale_if_error == 24h);
}

// RFC 9111, 3.2 and 4.3.4: it is what If-Modified-Since is compared with.
TEST_CASE("a Last-Modified that a 304 says is what clients get to see") {
  const auto fields_after = [](upstream::Fields first, upstream::Fields then) {
    return freshened(std::move(first), std::move(then)).response->fields;
  };
  const std::string before = "Mon, 01 Jun 2026 00:00:00 GMT";
  const std::string later = "Tue, 02 Jun 2026 00:00:00 GMT";
  const upstream::Fields first{{"Content-Type", "application/json; charset=utf-8"},
                               {"Last-Modified", before}};
  const std::string type = "Content-Type: application/json; charset=utf-8\r\n";
  CHECK(fields_after(first, {{"Last-Modified", later}, {"Content-Type", "text/html"}}) ==
        type + "Last-Modified: " + later + "\r\n");
  CHECK(fields_after(first, {}) == type + "Last-Modified: " + before + "\r\n");
  CHECK(fields_after({}, {{"Last-Modified", later}}) ==
        "Content-Type: application/json\r\nLast-Modified: " + later + "\r\n");
}

TEST_CASE(
    "a 304 replaces what it says of the fields that clients see, cookies where they are stored") {
  StoringPolicy policy = exact();
  policy.set_cookie = StoringPolicy::SetCookie::Store;
  const upstream::Fields first = {{"Content-Type", "text/x"},
                                  {"Content-Language", "de"},
                                  {"Set-Cookie", "a=1"},
                                  {"Set-Cookie", "b=1"}};
  const auto then = [&](upstream::Fields fields) {
    return freshened(first, std::move(fields), policy).response->fields;
  };
  const std::string before = then({});
  CHECK(before.find("Set-Cookie: a=1\r\nSet-Cookie: b=1\r\n") != std::string::npos);
  const std::string after = then({{"Content-Language", "en"}, {"Set-Cookie", "c=2"}});
  CHECK(after.find("Content-Language: en\r\n") != std::string::npos);
  CHECK(after.find(": de") == std::string::npos);
  CHECK(after.find("Set-Cookie: c=2\r\n") != std::string::npos);
  CHECK(after.find("=1") == std::string::npos);
  // What the content was checked as stays, and what is said of the connection is not kept.
  CHECK(then({{"Content-Type", "text/html"}}) == before);
  CHECK(then({{"Content-Language", "en"}, {"Connection", "content-language"}}) == before);
  policy.set_cookie = StoringPolicy::SetCookie::Strip;
  CHECK(then({{"Set-Cookie", "c=2"}}).find("Cookie") == std::string::npos);
}

TEST_CASE("an Age beside a 200 or a 304 neither shortens nor lengthens a lifetime of ours") {
  const auto ttl_after = [](upstream::Fields first, upstream::Fields then) {
    return ttl(freshened(std::move(first), std::move(then)));
  };
  CHECK(ttl_after({}, {}) == 24h);
  CHECK(ttl_after({}, {{"Age", "80000"}}) == 24h);
  CHECK(ttl_after({{"Age", "80000"}}, {}) == 24h);
  CHECK(ttl_after({{"Age", "80000"}}, {{"Age", "80000"}}) == 24h);
  CHECK(ttl_after({{"Age", "1000000000"}}, {{"Age", "1"}}) == 24h);
  // It counts against what the upstream stated.
  CHECK(ttl_after({{"Cache-Control", "max-age=3600"}}, {{"Age", "600"}}) == 3000s);
}

TEST_CASE("what is stored may be imported, what could not have been stored may not") {
  const auto route = holdfast::proxy::test::lookup_route();
  const auto objection = [&](const cache::StoredParts& parts) {
    return objection_to(*route, "lookup/192.0.2.7", *cache::make_stored(parts));
  };
  upstream::Reply reply = ok({{"Content-Type", "application/json; charset=utf-8"},
                              {"Last-Modified", "Mon, 01 Jun 2026 00:00:00 GMT"},
                              {"content-language", "en"},
                              {"Server", "x"}});
  reply.body = R"({"ip":"192.0.2.7","location":"","postal_code":"","network_name":"","domain":"",)"
               R"("latitude":1,"longitude":2})";
  const cache::StoredParts good = *store(reply).response;
  CHECK(objection(good).empty());
  for (const int status : {404, 410}) {
    CAPTURE(status);
    reply.status = status;
    cache::StoredParts negative = *store(reply).response;
    CHECK(objection(negative).empty());
    negative.body.pop_back();
    CHECK_FALSE(objection(negative).empty());
    negative.body = good.body;
    CHECK_FALSE(objection(negative).empty());
    negative.body = http::problem_json(status, kNoSuchEntry);
    negative.fields = good.fields;
    CHECK_FALSE(objection(negative).empty());
  }
  for (const char* fields : {"", "Content-Type: text/html\r\n", "Content-Type:application/json\r\n",
                             "Content-Type: application/json\r\nContent-Type: application/json\r\n",
                             "Content-Type: application/json\r\nLocation: /\r\n",
                             "Content-Type: application/json\r\nTrailer: A\r\n",
                             "Cache-Status: other; hit\r\nContent-Type: application/json\r\n"}) {
    CAPTURE(std::string(fields));
    cache::StoredParts bad = good;
    bad.fields = fields;
    CHECK_FALSE(objection(bad).empty());
  }
}
