#include "http/chunked_decoder.h"

#include <algorithm>

#include "http/field_syntax.h"

namespace holdfast::http {
namespace {

// Nobody sends extensions or trailers to this server for a reason, and reading
// them without end is a known way to keep a server busy.
constexpr std::size_t kMaxOverheadBytes = 8U << 10;
// 15 hex digits cannot overflow 64 bits.
constexpr unsigned kMaxSizeDigits = 15;

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

ChunkedDecoder::Result ChunkedDecoder::feed(std::string_view input) {
  std::size_t used = 0;
  while (used < input.size() && at_ != At::Done) {
    if (at_ == At::Data) {
      const auto take =
          static_cast<std::size_t>(std::min<std::uint64_t>(chunk_left_, input.size() - used));
      if (keep_) content_.append(input.substr(used, take));
      used += take;
      chunk_left_ -= take;
      if (chunk_left_ == 0) at_ = At::DataCr;
      continue;
    }
    const Outcome outcome = step(input[used]);
    if (outcome != Outcome::Incomplete) return {outcome, used};
    ++used;
  }
  return {at_ == At::Done ? Outcome::Complete : Outcome::Incomplete, used};
}

// Every byte outside the content.
ChunkedDecoder::Outcome ChunkedDecoder::step(char c) {
  const auto go_on_if = [](bool good) { return good ? Outcome::Incomplete : Outcome::Malformed; };
  const auto costs = [this] {
    return ++overhead_bytes_ > kMaxOverheadBytes ? Outcome::TooLarge : Outcome::Incomplete;
  };
  switch (at_) {
    case At::SizeFirst:
    case At::Size: {
      const int digit = hex_value(c);
      if (digit >= 0) {
        if (++size_digits_ > kMaxSizeDigits) return Outcome::TooLarge;
        chunk_left_ = chunk_left_ * 16 + static_cast<unsigned>(digit);
        at_ = At::Size;
        return Outcome::Incomplete;
      }
      if (at_ == At::SizeFirst) return Outcome::Malformed;
      if (chunk_left_ > content_limit_ - content_bytes_) return Outcome::TooLarge;
      content_bytes_ += static_cast<std::size_t>(chunk_left_);
      if (c == '\r') {
        at_ = At::SizeLf;
        return Outcome::Incomplete;
      }
      at_ = c == ';' ? At::Extension : At::ExtensionGap;
      return go_on_if(c == ';' || c == ' ' || c == '\t');
    }
    case At::ExtensionGap:
      if (c == ';') at_ = At::Extension;
      return c == ';' || c == ' ' || c == '\t' ? costs() : Outcome::Malformed;
    case At::Extension:
      if (c == '\r') {
        at_ = At::SizeLf;
        return Outcome::Incomplete;
      }
      return is_forbidden_control(c) ? Outcome::Malformed : costs();
    case At::SizeLf:
      at_ = chunk_left_ == 0 ? At::TrailerStart : At::Data;
      size_digits_ = 0;
      return go_on_if(c == '\n');
    case At::DataCr:
      at_ = At::DataLf;
      return go_on_if(c == '\r');
    case At::DataLf:
      at_ = At::SizeFirst;
      return go_on_if(c == '\n');
    case At::TrailerStart:
      if (c == '\r') {
        at_ = At::FinalLf;
        return Outcome::Incomplete;
      }
      at_ = At::TrailerName;
      return is_token_char(c) ? costs() : Outcome::Malformed;
    case At::TrailerName:
      if (c == ':') at_ = At::TrailerValue;
      return c == ':' || is_token_char(c) ? costs() : Outcome::Malformed;
    case At::TrailerValue:
      if (c == '\r') {
        at_ = At::TrailerLf;
        return Outcome::Incomplete;
      }
      return is_forbidden_control(c) ? Outcome::Malformed : costs();
    case At::TrailerLf:
      at_ = At::TrailerStart;
      return go_on_if(c == '\n');
    case At::FinalLf:
      at_ = At::Done;
      return go_on_if(c == '\n');
    case At::Data:
    case At::Done:
      break;  // feed() does not ask
  }
  return Outcome::Malformed;
}

}  // namespace holdfast::http
