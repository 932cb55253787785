#include "rfc9111/ranges.h"

#include <algorithm>
#include <cassert>
#include <limits>

#include "http/field_syntax.h"
#include "rfc9111/fields.h"
#include "rfc9111/letters.h"
#include "rfc9111/lines.h"

namespace holdfast::rfc9111 {
namespace {

constexpr std::uint64_t kMostPosition = std::numeric_limits<std::uint64_t>::max();

// 1*DIGIT; what is too large is the largest there is. Null of anything else.
std::optional<std::uint64_t> position_of(std::string_view digits) {
  if (digits.empty()) return std::nullopt;
  std::uint64_t position = 0;
  for (const char c : digits) {
    if (!http::is_digit(c)) return std::nullopt;
    const auto digit = static_cast<std::uint64_t>(c - '0');
    position = position > (kMostPosition - digit) / 10 ? kMostPosition : position * 10 + digit;
  }
  return position;
}

// One range-spec (RFC 9110, 14.1.1), of whatever length.
struct Spec {
  std::optional<std::uint64_t> first;  // null: the last so many bytes
  std::optional<std::uint64_t> last;   // null: up to the end
};

std::optional<Spec> spec_of(std::string_view text) {
  const std::size_t dash = text.find('-');
  if (dash == std::string_view::npos) return std::nullopt;
  const Spec spec{position_of(text.substr(0, dash)), position_of(text.substr(dash + 1))};
  const bool malformed = (dash > 0 && !spec.first) || (dash + 1 < text.size() && !spec.last) ||
                         (!spec.first && !spec.last) ||
                         (spec.first && spec.last && *spec.last < *spec.first);
  if (malformed) return std::nullopt;
  return spec;
}

// Null if nothing of it is there.
std::optional<ByteRange> range_of(const Spec& spec, std::uint64_t length) {
  if (length == 0) return std::nullopt;
  if (!spec.first) {
    if (*spec.last == 0) return std::nullopt;
    return ByteRange{length - std::min(length, *spec.last), length - 1};
  }
  if (*spec.first >= length) return std::nullopt;
  return ByteRange{*spec.first, std::min(length - 1, spec.last.value_or(length - 1))};
}

// RFC 9110, 15.3.7.2: parts that overlap may be joined; else their order is the client's.
void join_if_any_touch(std::vector<ByteRange>& ranges) {
  std::vector<ByteRange> joined = ranges;
  std::sort(joined.begin(), joined.end(),
            [](const ByteRange& a, const ByteRange& b) { return a.first < b.first; });
  std::size_t last = 0;
  for (std::size_t i = 1; i < joined.size(); ++i) {
    if (joined[i].first <= joined[last].last + 1) {
      joined[last].last = std::max(joined[last].last, joined[i].last);
    } else {
      joined[++last] = joined[i];
    }
  }
  if (last + 1 == ranges.size()) return;
  joined.resize(last + 1);
  ranges = std::move(joined);
}

// Of Content-Range, by its grammar alone.
struct StatedRange {
  std::uint64_t first = 0;
  std::uint64_t last = 0;
  std::optional<std::uint64_t> complete;
};

std::optional<StatedRange> stated_range(std::string_view value) {
  constexpr std::string_view kUnit = "bytes ";
  value = http::trim(value);
  if (!is_same_text(value.substr(0, kUnit.size()), kUnit)) return std::nullopt;
  value.remove_prefix(kUnit.size());
  const std::size_t dash = value.find('-');
  const std::size_t slash = value.find('/');
  if (dash == value.npos || slash == value.npos || slash < dash) return std::nullopt;
  const auto first = position_of(value.substr(0, dash));
  const auto last = position_of(value.substr(dash + 1, slash - dash - 1));
  const auto complete = position_of(value.substr(slash + 1));
  if (!first || !last || (!complete && value.substr(slash + 1) != "*")) return std::nullopt;
  return StatedRange{*first, *last, complete};
}

// The lines but those of `left_out`, in lower case.
std::string lines_without(std::string_view lines, std::span<const std::string_view> left_out) {
  std::string kept;
  for_each_line(lines, [&](const FieldLine& one) {
    const bool out = std::any_of(left_out.begin(), left_out.end(), [&one](std::string_view name) {
      return is_same_text(name, one.name);
    });
    if (!out) kept.append(one.line);
  });
  return kept;
}

}  // namespace

Ranges ranges_of(std::string_view range, std::uint64_t length) {
  range = http::trim(range);
  const std::size_t equals = range.find('=');
  if (equals == range.npos || !is_same_text(range.substr(0, equals), "bytes")) return {};
  Ranges out;
  std::size_t asked = 0;
  bool whole = false;
  http::for_each_token(range.substr(equals + 1), [&](std::string_view text) {
    const auto spec = spec_of(text);
    // Of empty content a suffix is all of it, and a 206 could not say so.
    whole =
        whole || !spec || ++asked > kMostRanges || (length == 0 && !spec->first && *spec->last > 0);
    if (whole) return;
    if (const auto found = range_of(*spec, length)) out.ranges.push_back(*found);
  });
  if (whole || asked == 0) return {};
  if (out.ranges.empty()) return {Ranged::Unsatisfiable, {}};
  out.verdict = Ranged::Partial;
  join_if_any_touch(out.ranges);
  return out;
}

std::optional<ContentRange> parse_content_range(std::string_view value) {
  const auto stated = stated_range(value);
  if (!stated || stated->last < stated->first || stated->last == kMostPosition ||
      (stated->complete && stated->last >= *stated->complete)) {
    return std::nullopt;
  }
  return ContentRange{{stated->first, stated->last}, stated->complete};
}

std::optional<ContentRange> content_range_of(std::string_view value, std::uint64_t content_bytes,
                                             bool lenient) {
  if (!lenient) {
    const auto range = parse_content_range(value);
    return range && range->range.length() == content_bytes ? range : std::nullopt;
  }
  const auto stated = stated_range(value);
  if (!stated || content_bytes == 0 || stated->first >= kMostPosition - content_bytes) {
    return std::nullopt;
  }
  const std::uint64_t end = stated->first + content_bytes;
  ContentRange range{{stated->first, end - 1}, stated->complete};
  if (range.complete && (stated->last >= *range.complete - 1 || end > *range.complete)) {
    range.complete = end;
  }
  return range;
}

std::string to_text(const ContentRange& range) {
  return "bytes " + std::to_string(range.range.first) + '-' + std::to_string(range.range.last) +
         '/' + (range.complete ? std::to_string(*range.complete) : "*");
}

std::string partial_lines(std::string_view stored_lines, const ContentRange& range) {
  static constexpr std::string_view kLeftOut[] = {"content-range", "content-md5", "content-digest"};
  return lines_without(stored_lines, kLeftOut) + "Content-Range: " + to_text(range) + "\r\n";
}

std::string unsatisfied_lines(std::uint64_t length) {
  return "Content-Range: bytes */" + std::to_string(length) + "\r\n";
}

Multipart multipart_of(std::string_view stored_lines, std::string_view content, std::uint64_t first,
                       std::uint64_t complete, std::span<const ByteRange> ranges,
                       std::string_view boundary) {
  static constexpr std::string_view kLeftOut[] = {"content-type", "content-range", "content-md5",
                                                  "content-digest"};
  Multipart out;
  out.lines = lines_without(stored_lines, kLeftOut)
                  .append("Content-Type: multipart/byteranges; boundary=")
                  .append(boundary)
                  .append("\r\n");
  const auto type = find_line(stored_lines, "content-type");
  for (const ByteRange& range : ranges) {
    assert(range.first >= first && range.last - first < content.size());
    out.content.append(out.content.empty() ? "--" : "\r\n--").append(boundary).append("\r\n");
    if (type) out.content.append("Content-Type: ").append(*type).append("\r\n");
    out.content.append("Content-Range: ").append(to_text({range, complete})).append("\r\n\r\n");
    out.content.append(content.substr(range.first - first, range.length()));
  }
  out.content.append("\r\n--").append(boundary).append("--\r\n");
  return out;
}

std::optional<std::vector<ByteRange>> contained(const ContentRange& stored,
                                                std::string_view range) {
  if (!stored.complete) return std::nullopt;
  Ranges wanted = ranges_of(range, *stored.complete);
  const auto is_there = [&stored](const ByteRange& one) {
    return one.first >= stored.range.first && one.last <= stored.range.last;
  };
  if (wanted.verdict != Ranged::Partial ||
      !std::all_of(wanted.ranges.begin(), wanted.ranges.end(), is_there)) {
    return std::nullopt;
  }
  return std::move(wanted.ranges);
}

std::optional<std::string> missing_range(const ContentRange& stored) {
  if (!stored.complete) return std::nullopt;
  const bool has_end = stored.range.last + 1 == *stored.complete;
  if (stored.range.first == 0 && !has_end) {
    return "bytes=" + std::to_string(stored.range.last + 1) + '-';
  }
  if (stored.range.first > 0 && has_end) {
    return "bytes=0-" + std::to_string(stored.range.first - 1);
  }
  return std::nullopt;
}

std::optional<Part> joined(const Part& stored, const Part& more) {
  const bool in_order = stored.first <= more.first;
  const Part& one = in_order ? stored : more;
  const Part& other = in_order ? more : stored;
  if (one.complete != other.complete) return std::nullopt;
  const std::uint64_t one_end = one.first + one.content.size();
  if (other.first > one_end) return std::nullopt;
  const std::string_view behind = other.content;
  const auto overlap =
      static_cast<std::size_t>(std::min<std::uint64_t>(one_end - other.first, behind.size()));
  // Two that claim to be of one content and are not: better neither.
  const std::size_t at = other.first - one.first;
  if (std::string_view(one.content).substr(at, overlap) != behind.substr(0, overlap)) {
    return std::nullopt;
  }
  Part whole{one.first, one.complete, one.content};
  whole.content.append(behind.substr(overlap));
  if (whole.first + whole.content.size() > whole.complete) return std::nullopt;
  return whole;
}

}  // namespace holdfast::rfc9111
