#include "upstream/reply_head.h"

#include <algorithm>
#include <optional>
#include <string>

namespace holdfast::upstream {
namespace {

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

bool frames_content(const Field& field) {
  return is_field(field, "Content-Length") || is_field(field, "Transfer-Encoding");
}

// The last of all codings, without its parameters.
std::string_view last_coding(const Fields& fields) {
  std::string_view last;
  for (const Field& field : fields) {
    if (!is_field(field, "Transfer-Encoding")) continue;
    const std::string_view codings = field.value;
    last = codings.substr(codings.rfind(',') + 1);  // npos + 1 is 0
    last = trimmed(last.substr(0, last.find(';')));
  }
  return last;
}

bool states_one_length(const Fields& fields) {
  if (find_field(fields, "Transfer-Encoding") != nullptr) {
    // Chunked as the last it overrides a Content-Length. Any other leaves the end to the
    // connection's; a Content-Length beside it says something else (RFC 9112, 6.3).
    return is_field({std::string(last_coding(fields)), {}}, "chunked") ||
           find_field(fields, "Content-Length") == nullptr;
  }
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

bool ReplyHead::take(std::string_view line, long status) {
  bytes_ += line.size();
  if (too_large()) return false;
  if (whole_) return true;
  if (!inside_) {
    // The status line. An interim head may have come before: forget its fields.
    inside_ = true;
    fields_.clear();
    dropped_ = false;
    unframed_ = coding_missed_ = false;
  } else if (line.starts_with('\r') && line.size() > 1 && line != "\r\n") {
    broken_ = true;
    return false;
  } else if (line.starts_with('\r') || line.starts_with('\n')) {
    inside_ = false;
    whole_ = status >= 200;
    const bool has_content = status != 204 && status != 304;
    unframed_ = whole_ && has_content && (unframed_ || !states_one_length(fields_));
  } else if (line.starts_with(' ') || line.starts_with('\t')) {
    fold(line);
  } else {
    add(line);
  }
  return !(whole_ && unframed_);
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

// Obsolete, but to be understood (RFC 9112, 5.2): the value before goes on.
void ReplyHead::fold(std::string_view line) {
  if (fields_.empty() || dropped_) return;
  Field& field = fields_.back();
  const std::string_view more = trimmed(line);
  if (!field.value.empty() && !more.empty()) field.value += ' ';
  field.value += more;
  not_plain(field);
}

void ReplyHead::not_plain(const Field& field) {
  if (frames_content(field)) unframed_ = true;
  if (is_field(field, "Content-Encoding") && !field.value.empty() &&
      !is_field({field.value, {}}, "identity")) {
    coding_missed_ = true;
  }
}

}  // namespace holdfast::upstream
