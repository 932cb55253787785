#include "cache/row.h"

#include <doctest/doctest.h>

#include "store_fixture.h"

namespace holdfast::cache {
namespace {

TEST_CASE("a response is the same after a trip through a row") {
  const auto stored = make_stored({.status = 301,
                                   .fields = "Content-Type: application/json\r\nX: y\r\n",
                                   .body = "body",
                                   .upstream_etag = "W/\"1\"",
                                   .upstream_last_modified = "then",
                                   .response_time = base::WallTime(1ms),
                                   .initial_age = 1s,
                                   .freshness_lifetime = 2s,
                                   .stale_while_revalidate = 3s,
                                   .stale_if_error = 4s});
  std::string packed;
  const auto back = from_row(to_row("key", *stored, packed));
  REQUIRE(back);
  CHECK(same(*back, *stored));
}

TEST_CASE("the checksum covers the key and every member, and where one text ends") {
  Row row{.key = "key",
          .status = 200,
          .response_time = 1,
          .initial_age = 2,
          .freshness_lifetime = 3,
          .stale_while_revalidate = 4,
          .stale_if_error = 5,
          .upstream_etag = "e",
          .upstream_last_modified = "m",
          .fields = "f",
          .body = "b"};
  const auto sum = checksum(row);
  CHECK(checksum(row) == sum);
  for (auto member :
       {&Row::status, &Row::response_time, &Row::initial_age, &Row::freshness_lifetime,
        &Row::stale_while_revalidate, &Row::stale_if_error}) {
    Row changed = row;
    changed.*member ^= std::int64_t{1} << 40;
    CHECK(checksum(changed) != sum);
  }
  for (auto member :
       {&Row::key, &Row::upstream_etag, &Row::upstream_last_modified, &Row::fields, &Row::body}) {
    Row changed = row;
    changed.*member = "x";
    CHECK(checksum(changed) != sum);
    changed.*member = "";
    CHECK(checksum(changed) != sum);
  }
  Row moved = row;
  moved.fields = "fb";
  moved.body = "";
  CHECK(checksum(moved) != sum);
}

TEST_CASE("the checksum of a row never changes, as files outlive releases") {
  const Row row{.key = "192.0.2.1",
                .status = 200,
                .response_time = 1'767'225'600'000,
                .freshness_lifetime = 86'400,
                .fields = "\x01",
                .body = "{}"};
  CHECK(checksum(row) == -1998357218255242165);
  CHECK(key_hash("192.0.2.1") == 1518514640);
}

TEST_CASE("common fields take a byte, others stay as they are, unknown codes are refused") {
  std::string packed;
  std::string fields;
  for (const std::string text :
       {"", "Content-Type: application/json\r\n", "Content-Type: text/plain\r\n",
        "Content-Type: application/json\r\nLast-Modified: x\r\n", "\t\r\n"}) {
    for (const Kind kind : {Kind::Response, Kind::Verbatim, Kind::Variants}) {
      Kind read = Kind::Response;
      REQUIRE(unpack_fields(pack_fields(text, kind, packed), read, fields));
      CHECK(fields == text);
      CHECK(read == kind);
    }
  }
  Kind kind = Kind::Response;
  const auto* const common = "Content-Type: application/json\r\n";
  CHECK(pack_fields(common, Kind::Response, packed).size() == 1);
  CHECK_FALSE(unpack_fields(std::string_view("\0", 1), kind, fields));
  CHECK_FALSE(unpack_fields("\x06", kind, fields));
}

TEST_CASE("a row that no response could have made is refused") {
  const Row good{.key = "k", .status = 200, .response_time = 1};
  CHECK(from_row(good));
  for (const std::int64_t status : {std::int64_t{0}, std::int64_t{99}, std::int64_t{600}}) {
    Row row = good;
    row.status = status;
    CHECK_FALSE(from_row(row));
  }
  for (const std::int64_t time : {std::int64_t{-1}, INT64_MAX}) {
    Row row = good;
    row.response_time = time;
    CHECK_FALSE(from_row(row));
  }
}

TEST_CASE("a response expires when its longest window has passed, rounded up to hours") {
  const base::WallTime at{std::chrono::hours(1000)};
  const auto hours = [&](std::chrono::seconds lifetime, std::chrono::seconds age,
                         std::chrono::seconds revalidate, std::chrono::seconds on_error) {
    return expiry_hour(*make_stored({.response_time = at,
                                     .initial_age = age,
                                     .freshness_lifetime = lifetime,
                                     .stale_while_revalidate = revalidate,
                                     .stale_if_error = on_error}));
  };
  CHECK(hours(2h, 0s, 0s, 0s) == 1003);
  CHECK(hours(2h, 1h, 0s, 0s) == 1002);
  CHECK(hours(2h, 0s, 5h, 3h) == 1008);
  CHECK(hours(2h, 0s, 3h, 5h) == 1008);
  CHECK(hour_of(at) == 1000);
}

}  // namespace
}  // namespace holdfast::cache
