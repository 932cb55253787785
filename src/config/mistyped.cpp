// A name is compared with a setting's word by word. In a short word, a letter in place of another
// makes another word, and not a slip: API_URL and APP_URL, HEAD_TIMEOUT and READ_TIMEOUT. What is
// left out, doubled or swapped there is one.
#include "config/mistyped.h"

#include <algorithm>
#include <optional>
#include <string_view>

#include "base/ascii.h"
#include "base/suggest.h"
#include "config/apply.h"
#include "config/setting_table.h"

namespace holdfast::config {
namespace {

constexpr std::size_t kLongestName = 64;
constexpr std::size_t kShortWord = 4;
constexpr std::size_t kLongWord = 7;
constexpr std::size_t kMostEdits = 2;
// A name of so many words is hardly anybody else's.
constexpr std::size_t kManyWords = 3;
constexpr std::size_t kLongName = 8;  // without its underscores
constexpr std::string_view kPrefix = "holdfast_";

using Words = std::vector<std::string>;

Words words_of(std::string_view name) {
  Words words(1);
  for (const char c : name) {
    if (c == '_' || c == '-') {
      words.emplace_back();
    } else {
      words.back() += base::ascii_lower(c);
    }
  }
  return words;
}

std::string together(const Words& words) {
  std::string out;
  for (const std::string& word : words) out += word;
  return out;
}

bool same_letters(std::string a, std::string b) {
  std::sort(a.begin(), a.end());
  std::sort(b.begin(), b.end());
  return a == b;
}

// How many edits make a setting's word of this one, if that looks like a slip.
std::optional<std::size_t> slip(const std::string& word, const std::string& wanted, bool alone) {
  const std::size_t cost = base::edits(word, wanted);
  if (cost == 0) return cost;
  if (wanted.size() <= kShortWord) {
    const bool swapped = same_letters(word, wanted);
    const bool other_length = word.size() != wanted.size() && !alone;
    return cost == 1 && (swapped || other_length) ? std::optional(cost) : std::nullopt;
  }
  const std::size_t most = wanted.size() >= kLongWord && word[0] == wanted[0] ? kMostEdits : 1;
  const bool same_begin = !word.empty() && (word[0] == wanted[0] || same_letters(word, wanted));
  return cost <= most && (!alone || same_begin) ? std::optional(cost) : std::nullopt;
}

// The same for a whole name.
std::optional<std::size_t> slips(const Words& words, const Words& wanted) {
  if (words.size() != wanted.size()) {
    // An underscore is missing, or one too many.
    const std::string a = together(words), b = together(wanted);
    const std::size_t cost = base::edits(a, b);
    if (cost > (b.size() >= kLongName ? 1U : 0U)) return std::nullopt;
    return cost + 1;
  }
  if (wanted.size() >= kManyWords) {
    std::size_t cost = 0;
    for (std::size_t i = 0; i < words.size(); ++i) cost += base::edits(words[i], wanted[i]);
    return cost <= kMostEdits ? std::optional(cost) : std::nullopt;
  }
  std::size_t all = 0;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const auto cost = slip(words[i], wanted[i], wanted.size() == 1);
    if (!cost) return std::nullopt;
    all += *cost;
  }
  return all <= kMostEdits ? std::optional(all) : std::nullopt;
}

// The variable it was to be; empty: none.
std::string meant(std::string_view name) {
  const Words words = words_of(name);
  std::string found;
  std::size_t best = kMostEdits + 1;
  const auto consider = [&](const std::string& variable) {
    const auto cost = slips(words, words_of(variable));
    if (!cost || *cost >= best) return;
    best = *cost;
    found = variable;
  };
  for (const Setting& setting : setting_table()) consider(setting.environment_variable());
  consider(kFileVariable);
  return found;
}

bool is_variable(std::string_view name) {
  if (name == kFileVariable) return true;
  const auto& table = setting_table();
  return std::any_of(table.begin(), table.end(), [&](const Setting& setting) {
    return setting.environment_variable() == name;
  });
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = base::ascii_lower(c);
  return out;
}

}  // namespace

std::vector<std::string> mistyped_variables(const std::vector<std::string>& names) {
  // Kubernetes tells every pod of its services by such names; HOLDFAST_PORT is one of them.
  const bool has_service =
      std::find(names.begin(), names.end(), "HOLDFAST_SERVICE_HOST") != names.end();
  std::vector<std::string> warnings;
  for (const std::string& name : names) {
    if (name.empty() || name.size() > kLongestName || is_variable(name)) continue;
    std::string wanted = meant(name);
    if (wanted.empty() && lower(name).starts_with(kPrefix)) {
      const std::string_view rest = std::string_view(name).substr(kPrefix.size());
      if (has_service && name == "HOLDFAST_PORT") continue;
      wanted = lower(rest).starts_with("conf") ? kFileVariable : meant(rest);
    }
    if (wanted.empty()) continue;
    warnings.push_back("the environment's " + name + " is no setting and changes nothing" +
                       did_you_mean(wanted));
  }
  return warnings;
}

}  // namespace holdfast::config
