#include "fleet/value.h"

#include <openssl/crypto.h>
#include <openssl/hmac.h>
#include <xxhash.h>
#include <zstd.h>

#include <array>
#include <concepts>
#include <utility>

namespace holdfast::fleet {
namespace {

constexpr std::string_view kMagic = "HF";
constexpr std::size_t kHeadBytes = 2 + 1 + 1 + 4;
constexpr unsigned char kCompressed = 1;
constexpr unsigned char kKeyed = 2;
// Level 1 takes 3 ms for a megabyte, which the loop can bear; higher ones gain a tenth.
constexpr int kLevel = 1;

constexpr std::array<std::int64_t Value::*, 7> kNumbers{
    &Value::status,
    &Value::kind,
    &Value::response_time,
    &Value::initial_age,
    &Value::freshness_lifetime,
    &Value::stale_while_revalidate,
    &Value::stale_if_error,
};
constexpr std::array<std::string Value::*, 8> kTexts{
    &Value::route,
    &Value::key,
    &Value::fetched,
    &Value::upstream_etag,
    &Value::upstream_last_modified,
    &Value::fields,
    &Value::tags,
    &Value::body,
};

template <std::unsigned_integral Number>
void append(std::string& bytes, Number number) {
  for (std::size_t i = 0; i < sizeof number; ++i) {
    bytes.push_back(static_cast<char>((number >> (8 * i)) & 0xff));
  }
}

// Takes a number off the front; false if there are not that many bytes.
template <std::unsigned_integral Number>
bool take(std::string_view& bytes, Number& number) {
  if (bytes.size() < sizeof number) return false;
  number = 0;
  for (std::size_t i = 0; i < sizeof number; ++i) {
    number |= static_cast<Number>(static_cast<unsigned char>(bytes[i])) << (8 * i);
  }
  bytes.remove_prefix(sizeof number);
  return true;
}

tl::unexpected<base::Error> corrupt(std::string message) {
  return base::internal_error(base::ErrorKind::Corrupt, std::move(message));
}

// Empty if zstd refuses, or gains nothing.
std::string compressed(std::string_view payload) {
  std::string out(ZSTD_compressBound(payload.size()), '\0');
  const std::size_t size =
      ZSTD_compress(out.data(), out.size(), payload.data(), payload.size(), kLevel);
  if (ZSTD_isError(size) != 0 || size >= payload.size()) return {};
  out.resize(size);
  return out;
}

bool read_payload(std::string_view payload, Value& value) {
  for (const auto number : kNumbers) {
    std::uint64_t bits = 0;
    if (!take(payload, bits)) return false;
    value.*number = static_cast<std::int64_t>(bits);
  }
  for (const auto text : kTexts) {
    std::uint32_t length = 0;
    if (!take(payload, length) || payload.size() < length) return false;
    value.*text = payload.substr(0, length);
    payload.remove_prefix(length);
  }
  return payload.empty();
}

}  // namespace

ValueFormat::ValueFormat(Settings settings) : settings_(std::move(settings)) {}

std::string ValueFormat::encode(const Value& value) const {
  std::size_t length = kNumbers.size() * 8;
  for (const auto text : kTexts) length += 4 + (value.*text).size();
  if (length > settings_.limit_bytes) return {};

  std::string payload;
  payload.reserve(length);
  for (const auto number : kNumbers) append(payload, static_cast<std::uint64_t>(value.*number));
  for (const auto text : kTexts) {
    append(payload, static_cast<std::uint32_t>((value.*text).size()));
    payload += value.*text;
  }
  unsigned char flags = settings_.secret.empty() ? 0 : kKeyed;
  if (length >= settings_.compress_from_bytes) {
    if (std::string smaller = compressed(payload); !smaller.empty()) {
      payload = std::move(smaller);
      flags |= kCompressed;
    }
  }
  std::string bytes(kMagic);
  bytes.push_back(static_cast<char>(kValueVersion));
  bytes.push_back(static_cast<char>(flags));
  append(bytes, static_cast<std::uint32_t>(length));
  bytes += payload;
  bytes += sum(bytes);
  return bytes.size() > settings_.limit_bytes ? std::string() : bytes;
}

base::Result<Value> ValueFormat::decode(std::string_view key, std::string_view bytes) const {
  if (bytes.size() > settings_.limit_bytes) {
    return base::internal_error(base::ErrorKind::Full, "longer than the limit");
  }
  if (bytes.size() < kHeadBytes || !bytes.starts_with(kMagic)) {
    return corrupt("not a value of ours");
  }
  if (static_cast<unsigned char>(bytes[2]) != kValueVersion) {
    return base::internal_error(base::ErrorKind::TooNew, "of another version");
  }
  const auto flags = static_cast<unsigned char>(bytes[3]);
  if (((flags & kKeyed) != 0) == settings_.secret.empty()) {
    return corrupt(settings_.secret.empty() ? "its sum is keyed, and there is no key here"
                                            : "its sum is not keyed");
  }
  const std::size_t sum_bytes = settings_.secret.empty() ? 8 : 32;
  if (bytes.size() < kHeadBytes + sum_bytes) return corrupt("cut short");
  const std::string_view summed = bytes.substr(0, bytes.size() - sum_bytes);
  const std::string expected = sum(summed);
  // In a time that tells nothing of how much of it is right.
  if (expected.size() != sum_bytes ||
      CRYPTO_memcmp(expected.data(), bytes.data() + summed.size(), sum_bytes) != 0) {
    return corrupt("its sum does not match");
  }

  std::string_view rest = summed.substr(4);
  std::uint32_t length = 0;
  take(rest, length);
  if (length > settings_.limit_bytes) {
    return base::internal_error(base::ErrorKind::Full, "longer than the limit");
  }
  std::string room;
  if ((flags & kCompressed) != 0) {
    room.resize(length);
    const std::size_t size = ZSTD_decompress(room.data(), length, rest.data(), rest.size());
    if (ZSTD_isError(size) != 0 || size != length) return corrupt("cannot be decompressed");
    rest = room;
  }
  Value value;
  if ((flags & ~(kCompressed | kKeyed)) != 0 || rest.size() != length ||
      !read_payload(rest, value)) {
    return corrupt("its payload is not a value's");
  }
  if (value.key != key) return corrupt("of another key");
  return value;
}

std::string ValueFormat::sum(std::string_view bytes) const {
  std::string sum;
  if (settings_.secret.empty()) {
    append(sum, static_cast<std::uint64_t>(XXH3_64bits(bytes.data(), bytes.size())));
    return sum;
  }
  unsigned int length = 0;
  sum.resize(EVP_MAX_MD_SIZE);
  const auto* const text = reinterpret_cast<const unsigned char*>(bytes.data());
  auto* const out = reinterpret_cast<unsigned char*>(sum.data());
  if (HMAC(EVP_sha256(), settings_.secret.data(), static_cast<int>(settings_.secret.size()), text,
           bytes.size(), out, &length) == nullptr) {
    length = 0;
  }
  sum.resize(length);
  return sum;
}

}  // namespace holdfast::fleet
