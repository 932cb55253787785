#include "proxy/response_fields.h"

#include <doctest/doctest.h>

using namespace holdfast;
using namespace holdfast::proxy;
using namespace std::chrono_literals;

namespace {

std::string status_line(const Answer& answer, std::chrono::seconds ttl) {
  cache::Freshness freshness;
  freshness.ttl = ttl;
  std::string out;
  append_cache_status(out, answer, freshness);
  return out;
}

Answer on(Rung rung) {
  Answer answer;
  answer.rung = rung;
  return answer;
}

}  // namespace

TEST_CASE("Cache-Status names each rung as the contract says") {
  CHECK(status_line(on(Rung::Fresh), 86012s) == "Cache-Status: holdfast; hit; ttl=86012\r\n");
  CHECK(status_line(on(Rung::StaleWhileRevalidate), -12s) ==
        "Cache-Status: holdfast; hit; ttl=-12; detail=stale-while-revalidate\r\n");

  Answer fetched = on(Rung::Fetched);
  fetched.upstream_status = 200;
  fetched.stored = true;
  CHECK(status_line(fetched, 86400s) ==
        "Cache-Status: holdfast; fwd=uri-miss; fwd-status=200; stored; ttl=86400\r\n");
  fetched.collapsed = true;
  CHECK(status_line(fetched, 86400s) ==
        "Cache-Status: holdfast; fwd=uri-miss; fwd-status=200; stored; ttl=86400; collapsed\r\n");
  fetched.collapsed = fetched.stored = false;
  fetched.was_stale = true;
  CHECK(status_line(fetched, 0s) == "Cache-Status: holdfast; fwd=stale; fwd-status=200\r\n");

  fetched.was_stale = false;
  fetched.was_fresh = true;
  CHECK(status_line(fetched, 0s) == "Cache-Status: holdfast; fwd=request; fwd-status=200\r\n");

  Answer failed = on(Rung::StaleIfError);
  failed.forwarded = failed.was_stale = true;
  failed.upstream_status = 503;
  CHECK(status_line(failed, -5s) ==
        "Cache-Status: holdfast; fwd=stale; fwd-status=503; detail=stale-if-error\r\n");
  CHECK(status_line(on(Rung::Offline), 0s) ==
        "Cache-Status: holdfast; fwd=uri-miss; detail=offline\r\n");
  CHECK(status_line(on(Rung::NotStored), 0s) ==
        "Cache-Status: holdfast; detail=only-if-cached\r\n");
}

TEST_CASE("max-age is the lifetime, and Age what of it is used up, also past its end") {
  for (const auto& [age, ttl] : {std::pair{0s, 60s}, {59s, 1s}, {60s, 0s}, {100s, -40s}}) {
    std::string out;
    cache::Freshness freshness;
    freshness.age = age;
    freshness.ttl = ttl;
    append_age_and_lifetime(out, on(ttl > 0s ? Rung::Fresh : Rung::StaleIfError), freshness);
    CHECK(out == "Age: " + std::to_string(age.count()) + "\r\nCache-Control: max-age=60\r\n");
  }
}

TEST_CASE("what has no lifetime says so, whatever its age") {
  std::string out;
  cache::Freshness freshness;
  freshness.age = 7s;
  freshness.ttl = -7s;
  append_age_and_lifetime(out, on(Rung::StaleIfError), freshness);
  CHECK(out == "Age: 7\r\nCache-Control: max-age=0\r\n");
}

TEST_CASE("what we may not store, no cache after us may") {
  std::string out;
  cache::Freshness freshness;
  freshness.ttl = 86400s;
  Answer answer = on(Rung::Fetched);
  append_age_and_lifetime(out, answer, freshness);
  CHECK(out == "Age: 0\r\nCache-Control: no-store\r\n");
  out.clear();
  answer.may_store = true;  // even if there was no room for it here
  append_age_and_lifetime(out, answer, freshness);
  CHECK(out == "Age: 0\r\nCache-Control: max-age=86400\r\n");
}

TEST_CASE("only a harmless X-Request-ID is taken over") {
  CHECK(is_sane_request_id("7f3a-2b_C.d~e:f+g/h=@"));
  for (const char* id : {"", "a b", "a\r\nX: 1", "a\"b", "<a>", "a,b", "é"}) {
    CAPTURE(id);
    CHECK_FALSE(is_sane_request_id(id));
  }
  CHECK(is_sane_request_id(std::string(128, 'a')));
  CHECK_FALSE(is_sane_request_id(std::string(129, 'a')));
}

TEST_CASE("a made request id is sane and not the one before") {
  base::Random random(1);
  std::string first;
  std::string second;
  make_request_id(random, first);
  make_request_id(random, second);
  CHECK(first.size() == 16);
  CHECK(is_sane_request_id(first));
  CHECK(first != second);
}
