#include "rfc9111/language.h"

#include <algorithm>
#include <vector>

#include "http/field_syntax.h"
#include "rfc9111/letters.h"

namespace holdfast::rfc9111 {
namespace {

struct Preference {
  std::string name;        // in lower case; all of it, if it is malformed
  int thousandths = 1000;  // of its quality; -1 if it is malformed
};

constexpr int kMalformed = -1;

// qvalue (RFC 9110, 12.4.2), in thousandths.
int quality_of(std::string_view text) {
  if (text.empty() || text.size() > 5 || (text[0] != '0' && text[0] != '1')) return kMalformed;
  if (text.size() > 1 && text[1] != '.') return kMalformed;
  int thousandths = (text[0] - '0') * 1000;
  int place = 100;
  for (const char c : text.substr(std::min<std::size_t>(2, text.size()))) {
    if (!http::is_digit(c)) return kMalformed;
    thousandths += (c - '0') * place;
    place /= 10;
  }
  return thousandths <= 1000 ? thousandths : kMalformed;
}

Preference preference_of(std::string_view element) {
  const std::size_t semicolon = element.find(';');
  const std::string_view name = http::trim(element.substr(0, semicolon));
  Preference out{in_lower_case(name)};
  bool well_formed = http::is_token(name);
  if (semicolon != element.npos) {
    const std::string_view weight = http::trim(element.substr(semicolon + 1));
    well_formed = well_formed && is_same_text(weight.substr(0, 2), "q=");
    if (well_formed) out.thousandths = quality_of(weight.substr(2));
  }
  if (!well_formed || out.thousandths == kMalformed) return {in_lower_case(element), kMalformed};
  return out;
}

std::vector<Preference> preferences_in(std::string_view list) {
  std::vector<Preference> found;
  http::for_each_token(
      list, [&found](std::string_view element) { found.push_back(preference_of(element)); });
  std::sort(found.begin(), found.end(), [](const Preference& a, const Preference& b) {
    return a.thousandths != b.thousandths ? a.thousandths > b.thousandths : a.name < b.name;
  });
  const auto same = [](const Preference& a, const Preference& b) {
    return a.thousandths == b.thousandths && a.name == b.name;
  };
  found.erase(std::unique(found.begin(), found.end(), same), found.end());
  return found;
}

void append_quality(int thousandths, std::string& out) {
  if (thousandths == 1000 || thousandths == kMalformed) return;
  out += ";q=0";
  if (thousandths == 0) return;
  std::string digits = std::to_string(1000 + thousandths).substr(1);
  digits.resize(digits.find_last_not_of('0') + 1);
  out.append(".").append(digits);
}

}  // namespace

std::string normalised_preferences(std::string_view list) {
  std::string out;
  for (const Preference& preference : preferences_in(list)) {
    if (!out.empty()) out += ", ";
    out += preference.name;
    append_quality(preference.thousandths, out);
  }
  return out;
}

std::optional<std::string> best_language(std::string_view accept_language) {
  const auto found = preferences_in(accept_language);
  if (found.empty() || found.front().thousandths <= 0 || found.front().name == "*" ||
      found.back().thousandths == kMalformed ||
      (found.size() > 1 && found[1].thousandths == found[0].thousandths)) {
    return std::nullopt;
  }
  return found.front().name;
}

}  // namespace holdfast::rfc9111
