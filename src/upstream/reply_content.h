// What an answer's content was wrapped in, taken off by the letter: chunks (RFC 9112, 7.1) while
// they come, and codings (RFC 9110, 8.4) once all of it is there. libcurl finds the end of the
// content and hands it over as it came: it undoes both itself, but takes what is left of a broken
// wrapping for whole. Any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "upstream/message.h"

namespace holdfast::upstream {

// Any split of the input gives the same. Lines may end with LF alone, as a head's may.
class ChunkedContent {
 public:
  // What all extensions and trailers may take, beyond a little for each chunk with data.
  explicit ChunkedContent(std::size_t overhead_limit_bytes)
      : overhead_limit_(overhead_limit_bytes), overhead_left_(overhead_limit_bytes) {}

  // Appends what is content to `content`, never beyond `limit_bytes`. False: it is broken, or
  // too_large().
  bool take(std::string_view bytes, std::string& content, std::size_t limit_bytes);

  // The last chunk came, and the end of the trailers.
  bool whole() const { return at_ == At::Behind; }
  bool broken() const { return at_ == At::Broken; }
  bool too_large() const { return too_large_; }
  // Something came behind the end: it belongs to no answer.
  bool something_behind() const { return something_behind_; }

 private:
  enum class At : std::uint8_t {
    Size,       // digits
    SizeSpace,  // white space after them, which some send
    Extension,  // after its semicolon
    SizeLf,     // after the CR
    Data,
    DataEnd,  // the line end after it
    DataLf,
    Trailer,  // the begin of a line
    TrailerLine,
    TrailerLf,
    LastLf,
    Behind,
    Broken,
  };
  bool is_overhead() const;
  At after(char c);
  At end_of_size();

  std::size_t overhead_limit_;
  std::size_t overhead_left_;
  std::uint64_t size_ = 0;  // what is left of the chunk
  bool digits_ = false;     // of the size there was one
  bool too_large_ = false;
  bool something_behind_ = false;
  At at_ = At::Size;
};

enum class Undoing {
  Done,
  Impossible,  // a coding nobody knows here, content that has not that coding, or not all of it
  TooLarge,    // more than the limit
};
// Makes `content` what it was before it was coded, by all Content-Encoding fields there are.
// Untouched unless Done. Throws std::bad_alloc.
Undoing undo_codings(const Fields& fields, std::string& content, std::size_t limit_bytes);
// Why that was Impossible, for people.
std::string cannot_be_undone(const Fields& fields);
// Of an Accept-Encoding the codings that can be undone, with their weights; empty: none.
std::string codings_to_undo(std::string_view accept_encoding);

}  // namespace holdfast::upstream
