// The content of POST /lookup. Promises: another parser reads the same strings out
// of it, or agrees that it is no array of strings; each error says where.
#include <simdjson.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/batch_request.h"
#include "require.h"

using namespace holdfast::proxy;

namespace {

constexpr std::size_t kMost = 20;

std::optional<std::vector<std::string>> by_simdjson(std::string_view content) {
  if (content.empty()) return std::nullopt;  // simdjson copies from no null pointer
  static simdjson::dom::parser parser;
  simdjson::dom::array array;
  if (parser.parse(content.data(), content.size(), true).get(array) != simdjson::SUCCESS) {
    return std::nullopt;
  }
  std::vector<std::string> strings;
  for (const auto element : array) {
    std::string_view text;
    if (element.get(text) != simdjson::SUCCESS) return std::nullopt;
    strings.emplace_back(text);
  }
  return strings;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 16'384) return 0;
  const std::string_view content(reinterpret_cast<const char*>(data), size);
  const BatchRequest batch = parse_batch(content, kMost);
  switch (batch.status) {
    case 0:
      REQUIRE_HOLDS(batch.elements.size() <= kMost && batch.detail.empty());
      break;
    case 400:
    case 413:
      REQUIRE_HOLDS(batch.elements.empty() && !batch.detail.empty());
      break;
    default:
      REQUIRE_HOLDS(false);
  }
  // The two differ on a byte order mark, which RFC 8259 lets parsers ignore.
  if (content.substr(0, 1) == "\xEF") return 0;
  const auto theirs = by_simdjson(content);
  if (batch.status == 0) REQUIRE_HOLDS(theirs && *theirs == batch.elements);
  if (batch.status == 400) REQUIRE_HOLDS(!theirs);
  if (batch.status == 413) REQUIRE_HOLDS(!theirs || theirs->size() > kMost);
  return 0;
}
