#include "proxy/cache_tags.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "cache/stored_response.h"
#include "http/field_syntax.h"

namespace holdfast::proxy {
namespace {

// Calls `each` with what stands between the separators.
template <typename Each>
void for_each_between(std::string_view text, std::string_view separators, Each each) {
  while (true) {
    const std::size_t begin = text.find_first_not_of(separators);
    if (begin == text.npos) return;
    text.remove_prefix(begin);
    const std::string_view word = text.substr(0, text.find_first_of(separators));
    each(word);
    text.remove_prefix(word.size());
  }
}

// A reader of the part of RFC 9651 that a list of strings needs. Its parameters may be of any type.
class StringList {
 public:
  explicit StringList(std::string_view text) : left_(text) {}

  // None: it is no such list.
  std::optional<std::vector<std::string>> read() {
    std::vector<std::string> strings;
    skip(" ");
    while (!left_.empty()) {
      auto string = read_string();
      if (!string || !skip_parameters()) return std::nullopt;
      strings.push_back(*std::move(string));
      skip(" \t");
      if (left_.empty()) break;
      if (!take(',')) return std::nullopt;
      skip(" \t");
      if (left_.empty()) return std::nullopt;  // a comma at the end
    }
    return strings;
  }

 private:
  void skip(std::string_view characters) {
    left_.remove_prefix(std::min(left_.find_first_not_of(characters), left_.size()));
  }
  bool take(char c) {
    if (!left_.starts_with(c)) return false;
    left_.remove_prefix(1);
    return true;
  }
  std::optional<std::string> read_string() {
    std::string string;
    if (!take('"')) return std::nullopt;
    while (!left_.empty()) {
      char c = left_.front();
      left_.remove_prefix(1);
      if (c == '"') return string;
      if (c == '\\') {
        if (!left_.starts_with('"') && !left_.starts_with('\\')) return std::nullopt;
        c = left_.front();
        left_.remove_prefix(1);
      }
      if (c < ' ' || c > '~') return std::nullopt;
      string += c;
    }
    return std::nullopt;
  }
  bool skip_parameters() {
    while (take(';')) {
      skip(" ");
      // key [ "=" bare-item ]
      const std::size_t key = std::min(left_.find_first_of("=;, \t"), left_.size());
      if (key == 0) return false;
      left_.remove_prefix(key);
      if (!take('=')) continue;
      if (left_.starts_with('"')) {
        if (!read_string()) return false;
        continue;
      }
      const std::size_t value = std::min(left_.find_first_of(";, \t\""), left_.size());
      if (value == 0) return false;
      left_.remove_prefix(value);
    }
    return true;
  }

  std::string_view left_;
};

}  // namespace

void CacheTags::add(std::string_view tag) {
  if (std::find(tags_.begin(), tags_.end(), tag) != tags_.end()) return;
  if (tags_.size() == cache::kMostTags || !cache::is_kept_tag(tag)) {
    ++left_out_;
  } else {
    tags_.emplace_back(tag);
  }
}

void CacheTags::add_cache_tag(std::string_view value) {
  for_each_between(value, ", \t", [this](std::string_view tag) { add(tag); });
}

void CacheTags::add_surrogate_key(std::string_view value) {
  for_each_between(value, " \t", [this](std::string_view tag) { add(tag); });
}

void CacheTags::add_cache_groups(std::string_view joined_lines) {
  const auto groups = StringList(joined_lines).read();
  if (!groups) {
    ++left_out_;
    return;
  }
  for (const std::string& group : *groups) add(group);
}

std::string CacheTags::take() {
  std::string text = left_out_ > 0 ? "\n" : "";
  const char* between = "";
  for (const std::string& tag : tags_) {
    text.append(between).append(tag);
    between = "\n";
  }
  return text;
}

bool has_cache_tags(const upstream::Fields& fields) {
  return std::any_of(fields.begin(), fields.end(), [](const upstream::Field& field) {
    return upstream::is_field(field, "Cache-Tag") || upstream::is_field(field, "Surrogate-Key") ||
           upstream::is_field(field, "Cache-Groups");
  });
}

CacheTags cache_tags_of(const upstream::Fields& fields, const std::vector<std::string>& of_route) {
  CacheTags tags;
  for (const std::string& tag : of_route) tags.add(tag);
  std::optional<std::string> groups;
  for (const upstream::Field& field : fields) {
    if (upstream::is_field(field, "Cache-Tag")) {
      tags.add_cache_tag(field.value);
    } else if (upstream::is_field(field, "Surrogate-Key")) {
      tags.add_surrogate_key(field.value);
    } else if (upstream::is_field(field, "Cache-Groups")) {
      groups = groups ? *groups + "," + field.value : field.value;
    }
  }
  if (groups) tags.add_cache_groups(*groups);
  return tags;
}

}  // namespace holdfast::proxy
