// ClockWatch knows whether an origin's clock and ours differ, from the Date of its answers.
// Lifetimes and moments that it states then mean something else than it meant; which of the
// two clocks is wrong, nobody can tell from here. One thread.
#pragma once

#include <chrono>
#include <optional>

namespace holdfast::upstream {

class ClockWatch {
 public:
  // How far it was ahead of ours in one answer, see clock_ahead(). Returns whether off()
  // has become something, or nothing. A clock that is off is so by the same each time; what a
  // cache has kept without saying so is of any age.
  bool heard(std::chrono::seconds ahead) {
    const bool fits = std::chrono::abs(ahead) <= kTolerance;
    const bool like_the_last =
        fits ? last_fits_ : !last_fits_ && std::chrono::abs(ahead - last_) <= kSpread;
    in_a_row_ = like_the_last ? in_a_row_ + 1 : 1;
    last_fits_ = fits;
    last_ = ahead;
    if (in_a_row_ < kThatTell || fits != off_.has_value()) return false;
    off_ = fits ? std::nullopt : std::optional(ahead);
    return true;
  }

  // How far ahead of ours it is; null: it is not off, as far as is known.
  std::optional<std::chrono::seconds> off() const { return off_; }

 private:
  static constexpr std::chrono::seconds kTolerance{30};
  static constexpr std::chrono::seconds kSpread{5};
  static constexpr int kThatTell = 5;

  int in_a_row_ = 0;
  bool last_fits_ = true;
  std::chrono::seconds last_{0};
  std::optional<std::chrono::seconds> off_;
};

}  // namespace holdfast::upstream
