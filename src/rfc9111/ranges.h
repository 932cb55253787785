// Byte ranges (RFC 9110, 14) of what is stored, and partial content that is (RFC 9111, 3.3 and
// 3.4). `stored_lines` as in fields.h. Pure functions; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace holdfast::rfc9111 {

// Both inclusive.
struct ByteRange {
  std::uint64_t first = 0;
  std::uint64_t last = 0;

  std::uint64_t length() const { return last - first + 1; }
  bool operator==(const ByteRange&) const = default;
};

// More than so many in one Range are ignored, that is, answered with the whole (14.2).
inline constexpr std::size_t kMostRanges = 32;

enum class Ranged {
  Whole,          // no Range, one of another unit, malformed, or too many: 200
  Partial,        // 206
  Unsatisfiable,  // 416
};
struct Ranges {
  Ranged verdict = Ranged::Whole;
  // Of Partial: those that there are, in the order of the request; in ascending order and joined,
  // if any two of them overlap or touch.
  std::vector<ByteRange> ranges;
};
// `range`: the field's value, empty if it is absent; of content with `length` bytes.
Ranges ranges_of(std::string_view range, std::uint64_t length);

// Content-Range of a 206 (14.4).
struct ContentRange {
  ByteRange range;
  std::optional<std::uint64_t> complete;  // the whole content's length; null: "*"

  bool operator==(const ContentRange&) const = default;
};
// Null if it is malformed, or not one of bytes that can be.
std::optional<ContentRange> parse_content_range(std::string_view value);
// What `content_bytes` bytes that came under it are. Strict: null unless they are what it says.
// Lenient: its first position counts, and the bytes there are; a range that it says goes up to the
// end does so, which may change the complete length too. For origins that count wrong.
std::optional<ContentRange> content_range_of(std::string_view value, std::uint64_t content_bytes,
                                             bool lenient);
std::string to_text(const ContentRange& range);  // "bytes 0-4/10"

// The fields of a 206 with that one range: all that are stored, which includes those 15.3.7 asks
// for, and Content-Range; without what is true of the whole content only (Content-MD5,
// Content-Digest).
std::string partial_lines(std::string_view stored_lines, const ContentRange& range);
// Of a 416: "Content-Range: bytes */10\r\n".
std::string unsatisfied_lines(std::uint64_t length);

// A 206 with several ranges, multipart/byteranges (14.6).
struct Multipart {
  std::string lines;
  std::string content;
};
// `content`: the bytes from `first` on of `complete`, with all `ranges` in them. `boundary`: up to
// 70 characters of a token, that are not in the content (so: many, and by chance).
Multipart multipart_of(std::string_view stored_lines, std::string_view content, std::uint64_t first,
                       std::uint64_t complete, std::span<const ByteRange> ranges,
                       std::string_view boundary);

// Of a stored 206. The ranges that a request wants, if they are all in it; else null, and also if
// it asks for the whole, or the complete length is not known.
std::optional<std::vector<ByteRange>> contained(const ContentRange& stored, std::string_view range);
// The Range that asks for what it lacks: "bytes=5-", or "bytes=0-3" if it has the end. Null if it
// lacks both, or nothing, or nobody knows.
std::optional<std::string> missing_range(const ContentRange& stored);
// What both make together, if there is no gap between them and they are of one length; null else.
// Whether they are parts of one content is share_strong_validator()'s to say.
struct Part {
  std::uint64_t first = 0;
  std::uint64_t complete = 0;
  std::string content;

  bool whole() const { return first == 0 && content.size() == complete; }
};
std::optional<Part> joined(const Part& stored, const Part& more);

}  // namespace holdfast::rfc9111
