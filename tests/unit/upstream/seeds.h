// How many seeds a case of chance is tried with.
#pragma once

namespace holdfast::upstream::test {

// Instrumented code takes twenty times as long, and what it looks for one seed shows as well as
// many: what is said of chance is for the plain build to hold.
constexpr int of_seeds(int plain) {
#ifdef SANITIZED
  return plain > 0 ? 1 : 0;
#else
  return plain;
#endif
}

}  // namespace holdfast::upstream::test
