// ReplyHead collects the fields of an answer from the lines of its head, as libcurl
// hands them over: with the interim (1xx) heads before it, which are another's to tell. libcurl
// takes much for a status line, and where the head leaves open how long the content is it takes
// what it can; such an answer is to be discarded (RFC 9112, 4 and 6.3). What says of lengths
// libcurl reads from plain lines alone, so in an obsolete form it has not been acted on; all other
// fields are read here and nowhere else. One for each answer; any thread.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "upstream/message.h"

namespace holdfast::upstream {

class ReplyHead {
 public:
  // `limit_bytes` counts all lines.
  explicit ReplyHead(std::size_t limit_bytes) : limit_bytes_(limit_bytes) {}

  // See Request::lenient_transfer_coding.
  void take_unknown_codings() { unknown_codings_ = true; }

  // A line with its line end. `status` is that of the head it belongs to, from its second
  // line on. `http2`: the connection speaks it, so libcurl has made the status line. False:
  // there is no use for the answer, see too_large() and problem().
  bool take(std::string_view line, long status, bool http2 = false);

  // The final head's last line has come. What follows is trailers, which are dropped.
  bool whole() const { return whole_; }
  bool too_large() const { return bytes_ > limit_bytes_; }
  // Why it cannot be told for sure what it says or where the content ends; empty if it can.
  const std::string& problem() const { return problem_; }
  // The server speaks something else from here on. Nobody asked for that.
  bool switched() const { return switched_; }
  // The line just taken was the last of an interim head, and fields() are its: of the first few of
  // an answer, but for 100, which is about this connection's content alone (RFC 9110, 15.2).
  bool interim() const { return interim_; }
  // The line just taken was the last of a 100.
  bool wants_content() const { return wants_content_; }
  // For people: behind which line of the head something went wrong.
  std::string place() const;
  // The content comes in chunks.
  bool chunked() const { return chunked_; }
  // The final head's, once it is whole, or the interim()'s; names and values without space around
  // them.
  Fields& fields() { return fields_; }

 private:
  void add(std::string_view line);
  void fold(std::string_view line);
  void not_plain(const Field& field);
  const char* problem_with_framing() const;
  void judge_size(std::string_view line);

  std::size_t limit_bytes_;
  std::size_t bytes_ = 0;
  bool inside_ = false;   // a head, past its status line
  bool dropped_ = false;  // the line before, so whatever goes on with it is too
  bool whole_ = false;
  bool version_1_0_ = false;
  bool obsolete_framing_ = false;
  bool chunked_ = false;
  bool unknown_codings_ = false;
  bool switched_ = false;
  bool interim_ = false;
  bool wants_content_ = false;
  int interims_ = 0;
  std::string problem_;
  Fields fields_;
};

}  // namespace holdfast::upstream
