// StuckResolver is a resolver that hangs: while there is one, a lookup of its name lasts
// until it is destroyed; half a minute at most, so that a test ends that waits for the
// lookup's end. The lookups of this program go through it, on whatever thread.
#pragma once

#include <string_view>

namespace holdfast::upstream::test {

class StuckResolver {
 public:
  static constexpr std::string_view kName = "stuck.invalid";

  StuckResolver();
  ~StuckResolver();
  StuckResolver(const StuckResolver&) = delete;
  StuckResolver& operator=(const StuckResolver&) = delete;

  // How many lookups are under way.
  int stuck() const;
};

}  // namespace holdfast::upstream::test
