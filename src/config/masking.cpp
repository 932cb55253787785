#include "config/masking.h"

#include <algorithm>
#include <array>
#include <functional>
#include <set>

#include "base/masked_url.h"

namespace holdfast::config {
namespace {

constexpr std::string_view kBetweenPieces = "/?&=;";

// A piece of a URL that may be a key. What has a parameter in it is a template's.
bool looks_like_a_key(std::string_view piece) {
  return piece.find('{') == piece.npos &&
         base::masked_url("http://h/" + std::string(piece)).find("***") != std::string::npos;
}

template <typename IsSecret>
std::string masked(std::string_view target, const IsSecret& is_secret) {
  std::string out;
  while (!target.empty()) {
    const std::size_t end = std::min(target.find_first_of(kBetweenPieces), target.size());
    const std::string_view piece = target.substr(0, end);
    out += is_secret(piece) ? std::string_view("***") : piece;
    if (end < target.size()) out += target[end];
    target.remove_prefix(std::min(end + 1, target.size()));
  }
  return out;
}

}  // namespace

std::string masked_target(std::string_view target) {
  return masked(target, looks_like_a_key);
}

std::string masked_target(std::string_view made, std::string_view target) {
  std::set<std::string, std::less<>> secrets;
  static_cast<void>(masked(target, [&](std::string_view piece) {
    if (looks_like_a_key(piece)) secrets.emplace(piece);
    return false;
  }));
  return masked(made, [&](std::string_view piece) { return secrets.contains(piece); });
}

bool is_secret_field(std::string_view name) {
  std::string lower(name);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  constexpr std::array kParts = {"auth", "key", "token", "secret", "cookie", "pass", "credential"};
  return std::any_of(kParts.begin(), kParts.end(),
                     [&](const char* part) { return lower.find(part) != std::string::npos; });
}

}  // namespace holdfast::config
