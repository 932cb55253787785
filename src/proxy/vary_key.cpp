// The text of a selection: for each name its length, ":", and itself; then "-" if the field is
// absent, or "+", the length of its value, ":", and that. Read from the left it has one meaning.
#include "proxy/vary_key.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "http/field_syntax.h"

namespace holdfast::proxy {
namespace {

char in_lower_case(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
}

// `name` is in lower case already.
bool is_called(std::string_view text, std::string_view name) {
  return std::equal(text.begin(), text.end(), name.begin(), name.end(),
                    [](char c, char wanted) { return in_lower_case(c) == wanted; });
}

// The end of what is quoted from text[at] on: behind its closing quote, or the text's end.
std::size_t end_of_quotes(std::string_view text, std::size_t at) {
  for (++at; at < text.size() && text[at] != '"'; ++at) {
    if (text[at] == '\\') ++at;
  }
  return std::min(at + 1, text.size());
}

// What follows `start` is a list. Its elements become lower case but between quotes, in place: what
// is written is never ahead of what is read.
void normalise_list(std::size_t start, std::string& out) {
  std::size_t to = start;
  for (std::size_t at = start; at < out.size();) {
    std::size_t end = at;
    while (end < out.size() && out[end] != ',') {
      end = out[end] == '"' ? end_of_quotes(out, end) : end + 1;
    }
    const std::string_view element = http::trim(std::string_view(out).substr(at, end - at));
    at = end + 1;
    if (element.empty()) continue;
    if (to > start) out[to++] = ',';
    for (std::size_t i = 0; i < element.size();) {
      const bool quoted = element[i] == '"';
      const std::size_t next = quoted ? end_of_quotes(element, i) : i + 1;
      for (; i < next; ++i) out[to++] = quoted ? element[i] : in_lower_case(element[i]);
    }
  }
  out.resize(to);
}

void insert_length(std::size_t size, std::size_t at, std::string& out) {
  std::array<char, 20> digits{};
  char* const end = std::to_chars(digits.data(), digits.data() + digits.size(), size).ptr;
  out.insert(at, digits.data(), static_cast<std::size_t>(end - digits.data()));
}

void append_value(std::span<const RequestField> fields, std::string_view name, bool list,
                  std::string& out) {
  const std::size_t start = out.size();
  bool present = false;
  for (const RequestField& field : fields) {
    if (!is_called(field.name, name)) continue;
    out.append(present ? ", " : "+:").append(http::trim(field.value));
    present = true;
  }
  if (!present) {
    out += '-';
  } else {
    if (list) normalise_list(start + 2, out);
    insert_length(out.size() - start - 2, start + 1, out);
  }
}

}  // namespace

void VaryNames::add(std::string_view line) {
  http::for_each_token(line, [this](std::string_view name) { add_name(name); });
}

void VaryNames::add_name(std::string_view name) {
  if (any_) return;
  // A token may hold a "*", but no field's name does: who writes "accept-*" means more than one.
  bool all = !http::is_token(name) || name.find('*') != name.npos;
  if (!all) {
    std::string text(name);
    std::transform(text.begin(), text.end(), text.begin(), in_lower_case);
    const auto place = std::lower_bound(names_.begin(), names_.end(), text);
    if (place != names_.end() && *place == text) return;
    all = names_.size() == kMost;
    if (!all) names_.insert(place, std::move(text));
  }
  if (all) {
    any_ = true;
    names_.clear();
  }
}

bool VaryNames::append_key(std::span<const RequestField> fields,
                           std::span<const std::string> normalise, std::string& out) const {
  if (any_) return false;
  for (const std::string& name : names_) {
    insert_length(name.size(), out.size(), out);
    out.append(":").append(name);
    const bool list = std::find(normalise.begin(), normalise.end(), name) != normalise.end();
    append_value(fields, name, list, out);
  }
  return true;
}

}  // namespace holdfast::proxy
