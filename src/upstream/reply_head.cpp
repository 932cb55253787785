#include "upstream/reply_head.h"

#include <algorithm>
#include <optional>
#include <string>

namespace holdfast::upstream {
namespace {

constexpr int kMostInterims = 8;

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

bool frames_content(const Field& field) {
  return is_field(field, "Content-Length") || is_field(field, "Transfer-Encoding");
}

// RFC 9112, 4; and what libcurl makes of HTTP/2.
bool is_status_line(std::string_view line, bool http2) {
  for (const char end : {'\n', '\r'}) {
    if (line.ends_with(end)) line.remove_suffix(1);
  }
  const bool version = http2 ? line.starts_with("HTTP/2 ")
                             : line.starts_with("HTTP/1.1 ") || line.starts_with("HTTP/1.0 ");
  if (!version) return false;
  line.remove_prefix(line.find(' ') + 1);
  const std::string_view code = line.substr(0, 3);
  return code.size() == 3 && code.find_first_not_of("0123456789") == std::string_view::npos &&
         (line.size() == 3 || line[3] == ' ') && std::none_of(line.begin(), line.end(), is_control);
}

// Of whatever came where the status line should be. Its version says what is the matter, if it has
// one that nobody knows here.
std::string problem_with_status_line(std::string_view line) {
  constexpr std::string_view kName = "HTTP/";
  constexpr std::size_t kLongest = 16;
  const std::string_view version = line.substr(0, line.find_first_of(" \r\n"));
  const bool named = version.starts_with(kName) && version.size() > kName.size() &&
                     version.size() <= kLongest &&
                     version.find_first_not_of("0123456789.", kName.size()) == version.npos;
  const bool known = version == "HTTP/1.0" || version == "HTTP/1.1";
  return named && !known ? "the status line says " + std::string(version)
                         : "the status line is none";
}

std::string shown_name(std::string_view line) {
  constexpr std::size_t kLongest = 60;
  std::string name(trimmed(line.substr(0, std::min(line.find(':'), kLongest))));
  for (char& c : name) {
    if (is_control(c) || c < 0x20) c = '?';
  }
  return name;
}

struct Codings {
  std::size_t count = 0;
  std::size_t chunked = 0;
};
// Of all Transfer-Encoding lines together.
Codings transfer_codings(const Fields& fields) {
  Codings codings;
  for (const Field& field : fields) {
    if (!is_field(field, "Transfer-Encoding")) continue;
    for (std::size_t begin = 0; begin <= field.value.size();) {
      const std::size_t end = std::min(field.value.find(',', begin), field.value.size());
      const auto coding = trimmed(std::string_view(field.value).substr(begin, end - begin));
      begin = end + 1;
      if (coding.empty()) continue;  // an element with nothing in it (RFC 9110, 5.6.1)
      ++codings.count;
      if (is_field({std::string(coding), {}}, "chunked")) ++codings.chunked;
    }
  }
  return codings;
}

// "chunked", once, and nothing else.
bool is_one_chunked(const Fields& fields) {
  const Codings codings = transfer_codings(fields);
  return codings.count == 1 && codings.chunked == 1;
}
// Beside others, it says what nobody here can do.
bool says_chunked(const Fields& fields) {
  return transfer_codings(fields).chunked > 0;
}

bool states_one_length(const Fields& fields) {
  std::optional<std::string_view> stated;
  for (const Field& field : fields) {
    if (!is_field(field, "Content-Length")) continue;
    for (std::size_t begin = 0; begin <= field.value.size();) {
      const std::size_t end = std::min(field.value.find(',', begin), field.value.size());
      std::string_view length = trimmed(std::string_view(field.value).substr(begin, end - begin));
      if (length.empty() || length.find_first_not_of("0123456789") != std::string_view::npos) {
        return false;
      }
      length.remove_prefix(std::min(length.find_first_not_of('0'), length.size()));
      if (stated && *stated != length) return false;
      stated = length;
      begin = end + 1;
    }
  }
  return true;
}

}  // namespace

bool ReplyHead::take(std::string_view line, long status, bool http2) {
  bytes_ += line.size();
  interim_ = wants_content_ = false;
  if (!problem_.empty()) return false;
  if (too_large()) {
    judge_size(line);
    return false;
  }
  if (whole_) return true;
  if (!inside_) {
    // The status line. An interim head may have come before: forget its fields.
    inside_ = true;
    fields_.clear();
    dropped_ = false;
    obsolete_framing_ = false;
    version_1_0_ = line.starts_with("HTTP/1.0");
    if (!is_status_line(line, http2)) problem_ = problem_with_status_line(line);
  } else if (line.starts_with('\r') && line.size() > 1 && line != "\r\n") {
    // libcurl takes it for the end of the head, others for a field (RFC 9112, 2.2): what
    // follows may be content or not.
    problem_ = "a line of the head begins with a bare CR";
  } else if (line.starts_with('\r') || line.starts_with('\n')) {
    inside_ = false;
    // After 101 nothing that comes is HTTP/1.1 (RFC 9110, 15.2.2).
    switched_ = status == 101;
    whole_ = status >= 200 || switched_;
    wants_content_ = status == 100;
    interim_ = !whole_ && status > 101 && interims_++ < kMostInterims;
    const bool has_content = status != 204 && status != 304 && !switched_;
    if (whole_ && has_content) {
      if (const char* problem = problem_with_framing()) problem_ = problem;
    }
    const bool coded = find_field(fields_, "Transfer-Encoding") != nullptr;
    chunked_ = whole_ && has_content && coded && (!unknown_codings_ || says_chunked(fields_));
  } else if (line.starts_with(' ') || line.starts_with('\t')) {
    fold(line);
  } else {
    add(line);
  }
  return problem_.empty() && !switched_;
}

void ReplyHead::judge_size(std::string_view line) {
  problem_ = "the head takes more than " + std::to_string(limit_bytes_) + " bytes";
  if (inside_ && line.find(':') != line.npos) {
    problem_ += ", with " + std::to_string(line.size()) + " for the field " + shown_name(line);
  }
}

std::string ReplyHead::place() const {
  if (!inside_) return "in the status line";
  return fields_.empty() ? "in the first field"
                         : "in the field after " + shown_name(fields_.back().name);
}

// RFC 9112, 6.3.
const char* ReplyHead::problem_with_framing() const {
  if (find_field(fields_, "Transfer-Encoding") == nullptr) {
    return obsolete_framing_ || !states_one_length(fields_)
               ? "the head does not say how long the content is"
               : nullptr;
  }
  // Chunked overrides a Content-Length. No other coding was asked for (RFC 9110, 10.1.4), and
  // to HTTP/1.0 there is none (RFC 9112, 6.1).
  if (version_1_0_) return "an answer in HTTP/1.0 has a Transfer-Encoding";
  if (unknown_codings_ && !obsolete_framing_ && !says_chunked(fields_)) return nullptr;
  return obsolete_framing_ || !is_one_chunked(fields_)
             ? "the Transfer-Encoding is something else than chunked"
             : nullptr;
}

void ReplyHead::add(std::string_view line) {
  const auto colon = line.find(':');
  dropped_ = colon == std::string_view::npos;
  if (dropped_) return;
  // Space before the colon is no part of the name (RFC 9112, 5.1).
  const std::string_view name = trimmed(line.substr(0, colon));
  const Field& field =
      fields_.emplace_back(Field{std::string(name), std::string(trimmed(line.substr(colon + 1)))});
  if (name.size() < colon) not_plain(field);
}

// Obsolete, but to be understood (RFC 9112, 5.2): the value before goes on. Before the first field
// there is none, and readers differ (2.2); libcurl 7.88 takes no such answer.
void ReplyHead::fold(std::string_view line) {
  if (fields_.empty() && !dropped_) problem_ = "the head's first field begins with white space";
  if (fields_.empty() || dropped_) return;
  Field& field = fields_.back();
  const std::string_view more = trimmed(line);
  if (!field.value.empty() && !more.empty()) field.value += ' ';
  field.value += more;
  not_plain(field);
}

void ReplyHead::not_plain(const Field& field) {
  if (frames_content(field)) obsolete_framing_ = true;
}

}  // namespace holdfast::upstream
