#include "http/content_coding.h"

#include <zlib.h>

#include <limits>

#include "http/field_syntax.h"

namespace holdfast::http {
namespace {

// gzip's header and trailer around the deflate stream, in zlib's terms: 15 bits of
// window, and 16 for gzip.
constexpr int kGzipWindowBits = 15 + 16;
constexpr int kMemoryLevel = 8;

// A weight (RFC 9110, 12.4.2) in thousandths, from what follows the coding's
// name: "" or ";q=0.5". 0 if malformed.
int weight_of(std::string_view parameters) {
  parameters = trim(parameters);
  if (parameters.empty()) return 1000;
  if (parameters[0] != ';') return 0;
  parameters = trim(parameters.substr(1));
  if (parameters.size() < 3 || (parameters[0] != 'q' && parameters[0] != 'Q') ||
      parameters[1] != '=') {
    return 0;
  }
  const auto digits = parameters.substr(2);
  if ((digits[0] != '0' && digits[0] != '1') || digits.size() > 5) return 0;
  if (digits.size() > 1 && digits[1] != '.') return 0;
  int weight = 1000 * (digits[0] - '0');
  int place = 100;
  for (const char c : digits.substr(digits.size() > 1 ? 2 : 1)) {
    if (!is_digit(c)) return 0;
    weight += place * (c - '0');
    place /= 10;
  }
  return weight <= 1000 ? weight : 0;
}

}  // namespace

bool accepts_gzip(std::string_view accept_encoding) {
  constexpr int kUnsaid = -1;
  int gzip_weight = kUnsaid, identity_weight = kUnsaid, any_weight = kUnsaid;
  for_each_token(accept_encoding, [&](std::string_view element) {
    std::size_t size = 0;
    while (size < element.size() && is_token_char(element[size])) ++size;
    const auto name = element.substr(0, size);
    const int weight = weight_of(element.substr(size));
    if (equals_ignoring_case(name, "gzip") || equals_ignoring_case(name, "x-gzip")) {
      gzip_weight = weight;
    } else if (equals_ignoring_case(name, "identity")) {
      identity_weight = weight;
    } else if (name == "*") {
      any_weight = weight;
    }
  });
  if (gzip_weight == kUnsaid) gzip_weight = any_weight;
  return gzip_weight > 0 && gzip_weight >= identity_weight;
}

std::optional<std::string> gzip(std::string_view content) {
  if (content.size() > std::numeric_limits<uInt>::max()) return std::nullopt;
  z_stream stream{};
  if (deflateInit2(&stream, Z_BEST_SPEED, Z_DEFLATED, kGzipWindowBits, kMemoryLevel,
                   Z_DEFAULT_STRATEGY) != Z_OK) {
    return std::nullopt;
  }
  // No room for more than is worth having: zlib then stops early.
  std::string out(content.size(), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(content.data()));
  stream.avail_in = static_cast<uInt>(content.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  const bool complete = deflate(&stream, Z_FINISH) == Z_STREAM_END;
  out.resize(out.size() - stream.avail_out);
  deflateEnd(&stream);
  if (!complete) return std::nullopt;
  return out;
}

}  // namespace holdfast::http
