// How often a case of chance is tried. Instrumented code takes twenty times as long, and what a
// sanitizer looks for shows in a few rounds as well as in many: what is said of chance is for the
// plain build to hold.
#pragma once

#include <algorithm>
#include <initializer_list>
#include <vector>

namespace holdfast::test {

// Of rounds that take seconds each.
constexpr int of_seeds(int plain) {
#ifdef SANITIZED
  return std::min(plain, 1);
#else
  return plain;
#endif
}

// Of thousands.
constexpr int of_rounds(int plain) {
#ifdef SANITIZED
  return (plain + 9) / 10;
#else
  return plain;
#endif
}

// Of what is tried in every combination: the first alone.
template <typename Choice>
std::vector<Choice> of_choices(std::initializer_list<Choice> plain) {
#ifdef SANITIZED
  return {*plain.begin()};
#else
  return plain;
#endif
}

}  // namespace holdfast::test
