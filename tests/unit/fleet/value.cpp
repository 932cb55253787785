#include "fleet/value.h"

#include <doctest/doctest.h>

#include <string>

#include "base/random.h"

using namespace holdfast;
using fleet::Value;
using fleet::ValueFormat;

namespace {

Value sample() {
  return {.status = 200,
          .kind = 1,
          .response_time = 1'767'225'600'123,
          .initial_age = 3,
          .freshness_lifetime = 86'400,
          .stale_while_revalidate = 604'800,
          .stale_if_error = 2'592'000,
          .route = "lookup",
          .key = "lookup/192.0.2.7",
          .fetched = "1767225600123-0",
          .upstream_etag = "\"a\"",
          .fields = "Content-Type: application/json\r\n",
          .tags = "geo",
          .body = R"({"ip":"192.0.2.7"})"};
}

Value long_one() {
  Value value = sample();
  for (int i = 0; i < 500; ++i) value.body += "the same again, ";
  return value;
}

base::ErrorKind refusal(const ValueFormat& format, const std::string& key, std::string_view bytes) {
  const auto value = format.decode(key, bytes);
  REQUIRE_FALSE(value.has_value());
  return value.error().kind;
}

}  // namespace

TEST_CASE("a value reads back as it was written, keyed or not, compressed or not") {
  for (const std::string secret : {"", "a secret"}) {
    for (const Value& value : {sample(), long_one(), Value{.key = "k"}}) {
      const ValueFormat format({.secret = secret});
      const auto read = format.decode(value.key, format.encode(value));
      REQUIRE(read.has_value());
      CHECK(*read == value);
    }
  }
}

TEST_CASE("what repeats itself takes less room, and what does not is left as it is") {
  const ValueFormat format({});
  const Value repeating = long_one();
  CHECK(format.encode(repeating).size() < repeating.body.size() / 4);
  Value noise = sample();
  base::Random random(1);
  for (int i = 0; i < 4'000; ++i) noise.body.push_back(static_cast<char>(random.below(256)));
  const std::string bytes = format.encode(noise);
  CHECK(bytes.size() > noise.body.size());
  CHECK(format.decode(noise.key, bytes).value() == noise);
}

TEST_CASE("a value that was cut, or has a bit flipped anywhere, is not read") {
  for (const std::string secret : {"", "a secret"}) {
    const ValueFormat format({.secret = secret});
    for (const Value& value : {sample(), long_one()}) {
      const std::string bytes = format.encode(value);
      for (std::size_t length = 0; length < bytes.size(); ++length) {
        CHECK_FALSE(format.decode(value.key, bytes.substr(0, length)).has_value());
      }
      for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
        std::string flipped = bytes;
        flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
        CHECK_FALSE(format.decode(value.key, flipped).has_value());
      }
      CHECK_FALSE(format.decode(value.key, bytes + "x").has_value());
    }
  }
}

TEST_CASE("a value is read under its own key alone") {
  const ValueFormat format({});
  CHECK(refusal(format, "lookup/192.0.2.8", format.encode(sample())) == base::ErrorKind::Corrupt);
}

TEST_CASE("with a secret, only what was written with it is read") {
  const ValueFormat open({});
  const ValueFormat ours({.secret = "ours"});
  const ValueFormat theirs({.secret = "theirs"});
  const Value value = sample();
  CHECK(refusal(ours, value.key, theirs.encode(value)) == base::ErrorKind::Corrupt);
  CHECK(refusal(ours, value.key, open.encode(value)) == base::ErrorKind::Corrupt);
  CHECK(refusal(open, value.key, ours.encode(value)) == base::ErrorKind::Corrupt);
}

TEST_CASE("a value of another version is told as that") {
  const ValueFormat format({});
  std::string bytes = format.encode(sample());
  bytes[2] = 2;
  CHECK(refusal(format, sample().key, bytes) == base::ErrorKind::TooNew);
}

TEST_CASE("what is longer than the limit is not written, and not read") {
  const Value value = long_one();
  const ValueFormat narrow({.limit_bytes = 1'000});
  const std::string bytes = ValueFormat({}).encode(value);
  CHECK(narrow.encode(value).empty());
  // Few bytes that would become many.
  REQUIRE(bytes.size() < 1'000);
  CHECK(refusal(narrow, value.key, bytes) == base::ErrorKind::Full);
  Value noise = sample();
  base::Random random(1);
  for (int i = 0; i < 4'000; ++i) noise.body.push_back(static_cast<char>(random.below(256)));
  CHECK(refusal(narrow, noise.key, ValueFormat({}).encode(noise)) == base::ErrorKind::Full);
}
