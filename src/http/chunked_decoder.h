// ChunkedDecoder takes the chunked transfer coding off a request's content
// (RFC 9112, 7.1), strictly: only CRLF ends a line, a size is nothing but hex
// digits, and what chunk extensions and trailers may cost is bounded. Any
// split of the input gives the same result. One thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "http/byte_buffer.h"

namespace holdfast::http {

class ChunkedDecoder {
 public:
  enum class Outcome : std::uint8_t {
    Incomplete,
    Complete,
    Malformed,
    TooLarge,  // more content than `content_limit`, or more trailers than we read
  };
  struct Result {
    Outcome outcome = Outcome::Incomplete;
    std::size_t used = 0;  // bytes of the input that belong to the content's framing
  };

  // `keep`: decoded content is appended to content(), else only counted.
  ChunkedDecoder(std::size_t content_limit, bool keep)
      : content_limit_(content_limit), keep_(keep) {}

  Result feed(std::string_view input);

  std::string_view content() const { return content_.view(); }
  // Forgets what content() holds: whoever takes it in pieces has it.
  void clear_content() { content_.clear(); }

 private:
  enum class At : std::uint8_t {
    SizeFirst,     // the first digit of a chunk's size
    Size,          // further digits
    ExtensionGap,  // white space after the size: only an extension may follow
    Extension,     // after its semicolon, to the end of the line
    SizeLf,        // the LF of that line
    Data,          // content
    DataCr,        // the CR after it
    DataLf,        // and the LF
    TrailerStart,  // the start of a trailer line or the empty line
    TrailerName,   // up to its colon
    TrailerValue,  // up to its CR
    TrailerLf,     // its LF
    FinalLf,       // the LF of the empty line
    Done,
  };
  Outcome step(char c);

  ByteBuffer content_;
  std::size_t content_limit_;
  std::size_t content_bytes_ = 0;
  std::size_t overhead_bytes_ = 0;  // extensions and trailers
  std::uint64_t chunk_left_ = 0;
  std::uint8_t size_digits_ = 0;
  At at_ = At::SizeFirst;
  bool keep_;
};

}  // namespace holdfast::http
