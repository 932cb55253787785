// ReplyHead collects the fields of an answer from the lines of its head, as libcurl
// hands them over: with the interim (1xx) heads before it and the trailers after it.
// Where the head leaves open how long the content is, libcurl takes what it can; such
// an answer is to be discarded (RFC 9112, 6.3). What libcurl acts on itself it reads from
// plain lines alone, so such a field in an obsolete form has not been acted on; all others
// are read here and nowhere else. One for each answer; any thread.
#pragma once

#include <cstddef>
#include <string_view>

#include "upstream/message.h"

namespace holdfast::upstream {

class ReplyHead {
 public:
  // `limit_bytes` counts all lines, trailers too.
  explicit ReplyHead(std::size_t limit_bytes) : limit_bytes_(limit_bytes) {}

  // A line with its line end. `status` is that of the head it belongs to, from its second
  // line on. False: there is no use for the answer, see too_large(), broken() and unframed().
  bool take(std::string_view line, long status);

  // The final head's last line has come. What follows is trailers, which are dropped.
  bool whole() const { return whole_; }
  bool too_large() const { return bytes_ > limit_bytes_; }
  // A line begins with CR and goes on: libcurl takes it for the end of the head, others for a
  // field (RFC 9112, 2.2). What follows may be content or not.
  bool broken() const { return broken_; }
  // It does not say for sure where the content ends, or libcurl has not understood it.
  bool unframed() const { return unframed_; }
  // The content has a coding that libcurl has not seen, and not undone.
  bool coding_missed() const { return coding_missed_; }
  // The final head's, once it is whole; names and values without space around them.
  Fields& fields() { return fields_; }

 private:
  void add(std::string_view line);
  void fold(std::string_view line);
  void not_plain(const Field& field);

  std::size_t limit_bytes_;
  std::size_t bytes_ = 0;
  bool inside_ = false;   // a head, past its status line
  bool dropped_ = false;  // the line before, so whatever goes on with it is too
  bool whole_ = false;
  bool unframed_ = false;
  bool broken_ = false;
  bool coding_missed_ = false;
  Fields fields_;
};

}  // namespace holdfast::upstream
