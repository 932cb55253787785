// What may be found in the shared tier, where others write too. The first line is the key that was
// asked for; the rest is the bytes found, and once more a payload that comes with a head and a
// checksum that are right.
//
// Promises: what is read is under its own key, within the limit, and reads back as it is when it is
// written again.
#include <xxhash.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

#include "fleet/value.h"
#include "require.h"

using namespace holdfast;
using namespace holdfast::fleet;

namespace {

constexpr std::size_t kLimit = 16'384;

void append(std::string& bytes, std::uint64_t number, int size) {
  for (int i = 0; i < size; ++i) bytes.push_back(static_cast<char>((number >> (8 * i)) & 0xff));
}

std::string with_head(std::string_view payload, std::size_t length, bool compressed) {
  std::string bytes = "HF";
  append(bytes, kValueVersion, 1);
  append(bytes, compressed ? 1 : 0, 1);
  append(bytes, length, 4);
  bytes += payload;
  append(bytes, XXH3_64bits(bytes.data(), bytes.size()), 8);
  return bytes;
}

void read(const ValueFormat& format, std::string_view key, std::string_view bytes) {
  const auto value = format.decode(key, bytes);
  if (!value) {
    REQUIRE_HOLDS(!value.error().message.empty());
    return;
  }
  REQUIRE_HOLDS(value->key == key);
  REQUIRE_HOLDS(value->body.size() <= kLimit);
  const std::string written = format.encode(*value);
  // What was compressed by somebody who does it better may be too long now.
  if (written.empty()) return;
  const auto again = format.decode(key, written);
  REQUIRE_HOLDS(again.has_value() && *again == *value);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const ValueFormat open({.limit_bytes = kLimit});
  static const ValueFormat keyed({.limit_bytes = kLimit, .secret = "secret"});
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::string_view key = input.substr(0, input.find('\n'));
  const std::string_view rest = input.substr(std::min(input.size(), key.size() + 1));
  read(open, key, rest);
  read(keyed, key, rest);
  read(open, key, with_head(rest, rest.size(), false));
  // The first two bytes say what it would come to.
  if (rest.size() >= 2) {
    const std::size_t length =
        static_cast<unsigned char>(rest[0]) * 256U + static_cast<unsigned char>(rest[1]);
    read(open, key, with_head(rest.substr(2), length, true));
  }
  return 0;
}
