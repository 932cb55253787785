#include "cache/stored_response.h"

#include <doctest/doctest.h>

#include <cstdint>

namespace holdfast::cache {
namespace {

using namespace std::chrono_literals;

TEST_CASE("the head is the fields followed by a strong ETag of the content") {
  const auto stored = make_stored({.fields = "Content-Type: application/json\r\n", .body = "{}"});
  CHECK(stored->etag.size() == 34);
  CHECK(stored->etag.front() == '"');
  CHECK(stored->etag.back() == '"');
  CHECK(stored->head == "Content-Type: application/json\r\nETag: " + stored->etag + "\r\n");
}

TEST_CASE("the ETag depends on the content alone and stays the same between releases") {
  const auto a = make_stored({.fields = "A: 1\r\n", .body = "content"});
  const auto b = make_stored({.status = 404, .fields = "B: 2\r\n", .body = "content"});
  const auto c = make_stored({.body = "Content"});
  CHECK(a->etag == b->etag);
  CHECK(a->etag != c->etag);
  // XXH3-128 of nothing, from the algorithm's reference vectors: clients keep
  // validators for days, so a new release must not change them.
  CHECK(make_stored({})->etag == "\"99aa06d3014798d86001c324468d497f\"");
}

TEST_CASE("times out of range are brought into it, so that no sum can overflow") {
  const auto stored = make_stored({.initial_age = -5s,
                                   .freshness_lifetime = std::chrono::seconds::max(),
                                   .stale_while_revalidate = std::chrono::seconds::min(),
                                   .stale_if_error = 1s});
  CHECK(stored->initial_age == 0s);
  CHECK(stored->freshness_lifetime == std::chrono::seconds(std::int64_t{1} << 31));
  CHECK(stored->stale_while_revalidate == 0s);
  CHECK(stored->stale_if_error == 1s);
}

TEST_CASE("every byte of key, fields and content adds to the cost") {
  const auto cost = [](std::size_t key, std::size_t body, std::size_t fields) {
    return cost_bytes(std::string(key, 'k'), *make_stored({.fields = std::string(fields, 'f'),
                                                           .body = std::string(body, 'b')}));
  };
  CHECK(cost(10, 100, 30) >= 10 + 100 + 2 * 30);
  CHECK(cost(10, 100'000, 30) - cost(10, 0, 30) >= 100'000);
  CHECK(cost(10'000, 0, 30) - cost(10, 0, 30) >= 10'000);
  // The fields are there twice: by themselves and in the head.
  CHECK(cost(10, 0, 10'000) - cost(10, 0, 0) >= 20'000);
}

TEST_CASE("room that the parts had to grow is not kept") {
  std::string body = "short, in a large buffer";
  body.reserve(1 << 20);
  const auto stored = make_stored({.body = std::move(body)});
  CHECK(stored->body.capacity() < 1000);
}

}  // namespace
}  // namespace holdfast::cache
