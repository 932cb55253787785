// What every request passes on its way to a route allocates nothing; and what is judged where there
// is no memory is not called wrong. A program of its own, as it counts what the whole of it
// allocates, and refuses what is large.
#include <doctest/doctest.h>

#include <cstddef>
#include <cstdlib>
#include <new>
#include <string>
#include <string_view>

#include "proxy/body_check.h"
#include "proxy/canonical_path.h"
#include "proxy/query_rules.h"
#include "proxy/route_table.h"
#include "proxy/target_template.h"

namespace {
std::size_t allocations = 0;
std::size_t most = static_cast<std::size_t>(-1);  // bytes of one

void* allocated(std::size_t size) noexcept {
  ++allocations;
  return size > most ? nullptr : std::malloc(size);
}
}  // namespace

void* operator new(std::size_t size) {
  if (void* const place = allocated(size)) return place;
  throw std::bad_alloc();
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  return allocated(size);
}
void* operator new[](std::size_t size, const std::nothrow_t&) noexcept {
  return allocated(size);
}
void operator delete(void* place) noexcept {
  std::free(place);
}
void operator delete(void* place, std::size_t) noexcept {
  std::free(place);
}

using namespace holdfast::proxy;

TEST_CASE("a request finds its route and target without an allocation") {
  RouteTable table;
  const auto add = [&](std::size_t number, std::string_view text, std::string_view host) {
    const auto parsed = PathTemplate::parse(text);
    REQUIRE(parsed);
    REQUIRE(!table.add(number, *parsed, host, *MethodSet::named("GET")));
  };
  for (std::size_t i = 0; i < 200; ++i) {
    add(i, "/a-route-of-many-with-a-long-name-" + std::to_string(i) + "/{x}", "");
  }
  const auto match = PathTemplate::parse("/lookup/{ip:ip}/{id:uuid}/{p:rest}");
  REQUIRE(match);
  const auto target = TargetTemplate::parse("/{id}/{p}?ip={ip}", *match);
  REQUIRE(target);
  add(200, match->text(), "a-host-with-a-long-name.example.com");
  add(201, "/lookup/{n:int}/{h:hex}/x", "");

  constexpr std::string_view kHost = "A-host-with-a-long-name.example.com:3000";
  constexpr std::string_view kPath =
      "/lookup/2001%3ADB8::1/123E4567-E89B-12D3-A456-426614174000/a/path/that/goes/on/and/on";
  std::string storage, sent;
  sent.reserve(1000);
  std::string_view canonical;
  Parameters parameters;

  const std::size_t before = allocations;
  const char* const objection = canonical_path(kPath, storage, canonical);
  const RouteTable::Match found = table.find(kHost, "GET", canonical, parameters);
  target->append(parameters, sent);
  Parameters again;
  const bool matches = match->match(canonical, again);
  const RouteTable::Match wrong_type = table.find("", "GET", "/lookup/abc/def/x", again);
  const RouteTable::Match wrong_method = table.find(kHost, "PUT", canonical, again);
  const RouteTable::Match none = table.find(kHost, "GET", "/none/of/them", again);
  const std::size_t after = allocations;

  CHECK(after == before);
  CHECK(objection == nullptr);
  CHECK(found.route == 200);
  CHECK(sent == "/123e4567-e89b-12d3-a456-426614174000/a/path/that/goes/on/and/on?ip=2001:db8::1");
  CHECK(matches);
  CHECK(wrong_type.outcome == RouteTable::Outcome::BadParameter);
  CHECK(wrong_method.outcome == RouteTable::Outcome::MethodNotAllowed);
  CHECK(none.outcome == RouteTable::Outcome::NotFound);
}

TEST_CASE("a query finds its form without an allocation") {
  const QueryRules all;
  const auto rules = QueryRules::parse({QuerySettings::Which::Ignore, {"utm_*", "fbclid"}, true});
  REQUIRE(rules);
  constexpr std::string_view kQuery =
      "q=a+long+text&utm_source=somewhere&z=%7e1&b=2;c=3&b=\xC3\xA9&fbclid=0123456789abcdef&a";
  std::string out;
  out.reserve(1000);

  const std::size_t before = allocations;
  const char* const first = all.append(kQuery, out);
  const std::size_t size = out.size();
  const char* const second = rules->append(kQuery, out);
  const std::size_t after = allocations;

  CHECK(after == before);
  CHECK(first == nullptr);
  CHECK(second == nullptr);
  CHECK(out.substr(size) == "?a&b=2%3Bc=3&b=%C3%A9&q=a+long+text&z=~1");
}

TEST_CASE("a content that there is no memory for is not called wrong") {
  using holdfast::upstream::Outcome;
  BodyRules rules;
  rules.json = true;
  rules.max_depth = 2;
  BodyCheck check(rules);
  holdfast::upstream::Reply small, large, wrong, numbers;
  small.status = large.status = wrong.status = numbers.status = 200;
  small.body = "[[1]]";
  large.body = "[" + std::string(100'000, ' ') + "]";
  wrong.body = "[[[1]]]";
  numbers.body = "[1e400" + std::string(20'000, ' ') + "]";
  const auto judged = [&](const holdfast::upstream::Reply& reply, std::size_t bytes) {
    most = bytes;
    holdfast::upstream::Verdict verdict = check.validate({}, reply);
    most = static_cast<std::size_t>(-1);
    return verdict;
  };
  constexpr std::size_t kPlenty = 10'000'000;
  CHECK(judged(small, kPlenty).outcome == Outcome::Ok);
  // Each of what the parser needs is refused once.
  bool ended = false;
  for (std::size_t bytes = 100; bytes < kPlenty; bytes *= 2) {
    const auto verdict = judged(large, bytes);
    CAPTURE(bytes);
    CHECK(verdict.outcome ==
          (ended || verdict.outcome == Outcome::Ok ? Outcome::Ok : Outcome::Local));
    ended = verdict.outcome == Outcome::Ok;
    if (!ended) CHECK(verdict.reason == "no memory to read it");
    CHECK(judged(small, kPlenty).outcome == Outcome::Ok);
    CHECK(judged(wrong, kPlenty).outcome == Outcome::InvalidBody);
  }
  CHECK(ended);
  // For the second look there is a copy, too.
  CHECK(judged(large, kPlenty).outcome == Outcome::Ok);
  CHECK(judged(numbers, 10'000).outcome == Outcome::Local);
  CHECK(judged(numbers, kPlenty).outcome == Outcome::Ok);
  large.status = 404;
  most = kPlenty;
  BodyCheck fresh(rules);
  most = 10'000;
  const auto negative = fresh.validate({}, large);
  most = static_cast<std::size_t>(-1);
  CHECK(negative.outcome == Outcome::Local);
  CHECK(negative.reason == "no memory to read it");
}
