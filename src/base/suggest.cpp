// Optimal string alignment distance: insert, delete, replace, and swap of
// neighbours, each of cost one.
#include "base/suggest.h"

#include <algorithm>

#include "base/ascii.h"

namespace holdfast::base {
namespace {

// Names are short; a longer word is no misspelling of one.
constexpr std::size_t kLongestName = 64;

std::string normal_form(std::string_view word) {
  word.remove_prefix(std::min(word.find_first_not_of('-'), word.size()));
  std::string out(word);
  for (char& c : out) {
    if (c == '-') c = '_';
    c = ascii_lower(c);
  }
  return out;
}

}  // namespace

std::size_t edits(std::string_view a, std::string_view b) {
  std::vector<std::vector<std::size_t>> cost(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
  for (std::size_t i = 0; i <= a.size(); ++i) cost[i][0] = i;
  for (std::size_t j = 0; j <= b.size(); ++j) cost[0][j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replace = cost[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      cost[i][j] = std::min({cost[i - 1][j] + 1, cost[i][j - 1] + 1, replace});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        cost[i][j] = std::min(cost[i][j], cost[i - 2][j - 2] + 1);
      }
    }
  }
  return cost[a.size()][b.size()];
}

std::string nearest(std::string_view word, const std::vector<std::string>& names) {
  const std::string wanted = normal_form(word);
  if (wanted.empty() || wanted.size() > kLongestName) return {};
  std::size_t best = std::max<std::size_t>(1, wanted.size() / 3) + 1;
  std::string found;
  for (const std::string& name : names) {
    const std::size_t cost = edits(wanted, normal_form(name));
    if (cost < best) {
      best = cost;
      found = name;
    }
  }
  return found;
}

}  // namespace holdfast::base
