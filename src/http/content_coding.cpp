#include "http/content_coding.h"

#include <zlib.h>

#include <limits>
#include <new>
#include <optional>
#include <stdexcept>

#include "http/field_syntax.h"

namespace holdfast::http {
namespace {

constexpr int kAsIs = 1000;  // qualities are counted in thousandths

// weight (RFC 9110, 12.4.2): "0.5" is 500. None if malformed.
std::optional<int> quality(std::string_view text) {
  if (text.empty() || (text[0] != '0' && text[0] != '1')) return std::nullopt;
  if (text.size() > 5 || (text.size() > 1 && text[1] != '.')) return std::nullopt;
  int value = (text[0] - '0') * 1000;
  int unit = 100;
  for (std::size_t i = 2; i < text.size(); ++i, unit /= 10) {
    if (!is_digit(text[i])) return std::nullopt;
    value += (text[i] - '0') * unit;
  }
  if (value > 1000) return std::nullopt;
  return value;
}

// Of one element, "gzip;q=0.5". None: malformed, so it asks for nothing.
std::optional<int> weight_of(std::string_view parameters) {
  int weight = kAsIs;
  while (!parameters.empty()) {
    parameters.remove_prefix(1);  // the semicolon
    const auto end = parameters.find(';');
    const std::string_view parameter = trim(parameters.substr(0, end));
    parameters = end == parameters.npos ? std::string_view() : parameters.substr(end);
    if (parameter.size() < 2 || (parameter[0] != 'q' && parameter[0] != 'Q') ||
        parameter[1] != '=') {
      return std::nullopt;
    }
    const auto value = quality(parameter.substr(2));
    if (!value) return std::nullopt;
    weight = *value;
  }
  return weight;
}

}  // namespace

bool prefers_gzip(std::string_view accept_encoding) {
  std::optional<int> gzip;
  std::optional<int> any;
  std::optional<int> identity;
  for_each_token(accept_encoding, [&](std::string_view element) {
    const auto semicolon = element.find(';');
    const std::string_view coding = trim(element.substr(0, semicolon));
    const auto weight =
        weight_of(semicolon == element.npos ? std::string_view() : element.substr(semicolon));
    if (!weight) return;
    if (coding == "*") {
      any = weight;
    } else if (equals_ignoring_case(coding, "gzip") || equals_ignoring_case(coding, "x-gzip")) {
      gzip = weight;
    } else if (equals_ignoring_case(coding, "identity")) {
      identity = weight;
    }
  });
  const int wanted = gzip.value_or(any.value_or(0));
  return wanted > 0 && wanted >= identity.value_or(0);
}

std::string gzip(std::string_view content) {
  constexpr int kGzipFormat = 16 + MAX_WBITS;
  constexpr int kDefaultMemory = 8;
  if (content.size() > std::numeric_limits<uInt>::max()) throw std::length_error("gzip: too long");
  z_stream stream{};
  if (deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, kGzipFormat, kDefaultMemory,
                   Z_DEFAULT_STRATEGY) != Z_OK) {
    throw std::bad_alloc();
  }
  std::string out(deflateBound(&stream, static_cast<uLong>(content.size())), '\0');
  // zlib reads from here and writes not; its type is from before const.
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(content.data()));
  stream.avail_in = static_cast<uInt>(content.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  const int result = deflate(&stream, Z_FINISH);
  out.resize(out.size() - stream.avail_out);
  deflateEnd(&stream);
  if (result != Z_STREAM_END) throw std::bad_alloc();  // deflateBound() leaves no other reason
  return out;
}

}  // namespace holdfast::http
