#include "proxy/vary_key.h"

#include <algorithm>
#include <utility>

#include "base/ascii.h"
#include "http/field_syntax.h"
#include "proxy/percent_encoding.h"
#include "rfc9111/language.h"

namespace holdfast::proxy {
namespace {

constexpr std::string_view kAcceptLanguage = "accept-language";

template <typename Each>
void for_each_name(std::string_view names, Each each) {
  while (!names.empty()) {
    const std::string_view name = names.substr(0, names.find(','));
    names.remove_prefix(std::min(name.size() + 1, names.size()));
    each(name);
  }
}

bool is_preference(std::span<const std::string> preferences, std::string_view name) {
  return std::find(preferences.begin(), preferences.end(), name) != preferences.end();
}

// The end of what is quoted from text[at] on: behind its closing quote, or the text's end.
std::size_t end_of_quotes(std::string_view text, std::size_t at) {
  for (++at; at < text.size() && text[at] != '"'; ++at) {
    if (text[at] == '\\') ++at;
  }
  return std::min(at + 1, text.size());
}

// The elements of a list without the space around them, and without empty ones; between quotes
// nothing is changed. `first` is whether none has come yet.
void append_elements(std::string_view value, bool& first, std::string& out) {
  for (std::size_t at = 0; at < value.size();) {
    std::size_t end = at;
    while (end < value.size() && value[end] != ',') {
      end = value[end] == '"' ? end_of_quotes(value, end) : end + 1;
    }
    const std::string_view element = http::trim(value.substr(at, end - at));
    at = end + 1;
    if (element.empty()) continue;
    if (!std::exchange(first, false)) out += ',';
    append_key_value(element, out);
  }
}

// All lines of a field, if it is there.
bool combine(std::span<const http::FieldLine> fields, std::string_view name, std::string& value) {
  bool present = false;
  for (const http::FieldLine& field : fields) {
    if (!http::equals_ignoring_case(field.name, name)) continue;
    value.append(std::exchange(present, true) ? "," : "").append(field.value);
  }
  return present;
}

void append_one(std::string_view name, std::span<const http::FieldLine> fields, bool preference,
                std::string& out) {
  out.append(" ").append(name);
  if (preference) {
    std::string value;
    if (!combine(fields, name, value)) return;
    out += '=';
    append_key_value(rfc9111::normalised_preferences(value), out);
    return;
  }
  bool present = false;
  bool first = true;
  for (const http::FieldLine& field : fields) {
    if (!http::equals_ignoring_case(field.name, name)) continue;
    if (!std::exchange(present, true)) out += '=';
    append_elements(field.value, first, out);
  }
}

// What the upstream gets of these is ours (passed_fields.cpp), and says who asks, or which request
// it is. The client's own, by which a variant is selected, says nothing of it.
bool is_made_here(std::string_view name) {
  constexpr std::string_view kOurs[] = {"forwarded", "traceparent",     "tracestate",
                                        "via",       "x-forwarded-for", "x-forwarded-host"};
  return std::find(std::begin(kOurs), std::end(kOurs), name) != std::end(kOurs);
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
    std::transform(text.begin(), text.end(), text.begin(), base::ascii_lower);
    const auto place = std::lower_bound(names_.begin(), names_.end(), text);
    if (place != names_.end() && *place == text) return;
    all = names_.size() == kMost || is_made_here(text);
    if (!all) names_.insert(place, std::move(text));
  }
  if (all) {
    any_ = true;
    names_.clear();
  }
}

std::string VaryNames::list() const {
  std::string list;
  for (const std::string& name : names_) list.append(list.empty() ? "" : ",").append(name);
  return list;
}

void append_selection(std::string_view names, std::span<const http::FieldLine> fields,
                      std::span<const std::string> preferences, std::string& out) {
  for_each_name(names, [&](std::string_view name) {
    append_one(name, fields, is_preference(preferences, name), out);
  });
}

bool append_language_selection(std::string_view names, std::span<const http::FieldLine> fields,
                               std::span<const std::string> preferences, std::string_view language,
                               std::string& out) {
  if (!is_preference(preferences, kAcceptLanguage)) return false;
  bool named = false;
  for_each_name(names, [&](std::string_view name) {
    if (name != kAcceptLanguage) {
      return append_one(name, fields, is_preference(preferences, name), out);
    }
    named = true;
    out.append(" ").append(name).append(":");
    const std::size_t start = out.size();
    append_key_value(language, out);
    std::transform(out.begin() + static_cast<std::ptrdiff_t>(start), out.end(),
                   out.begin() + static_cast<std::ptrdiff_t>(start), base::ascii_lower);
  });
  return named;
}

std::string wanted_language(std::span<const http::FieldLine> fields) {
  std::string value;
  if (!combine(fields, kAcceptLanguage, value)) return {};
  return rfc9111::best_language(value).value_or("");
}

}  // namespace holdfast::proxy
