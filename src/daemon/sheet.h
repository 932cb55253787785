// Sheet is text for people in two columns: a label, and lines that belong to it. One thread.
#pragma once

#include <algorithm>
#include <chrono>
#include <string>
#include <string_view>

#include "base/clock.h"

namespace holdfast::daemon {

class Sheet {
 public:
  static constexpr std::size_t kLabelWidth = 12;

  Sheet& row(std::string_view label, std::string_view line) {
    text_.append(label).append(kLabelWidth - std::min(label.size(), kLabelWidth - 1), ' ');
    return end(line);
  }
  // One more line of the label before.
  Sheet& more(std::string_view line) { return row({}, line); }
  std::string take() { return std::move(text_); }

 private:
  // A control character of somebody else's must not reach a terminal: also none of those above
  // 0x7f (C1), nor one that turns the line around.
  Sheet& end(std::string_view line) {
    for (const char c : line) text_ += c < ' ' || c >= 0x7f ? '?' : c;
    while (text_.ends_with(' ')) text_.pop_back();
    text_ += '\n';
    return *this;
  }
  std::string text_;
};

inline std::string padded(std::string text, std::size_t width) {
  text.resize(std::max(text.size() + 1, width), ' ');
  return text;
}

}  // namespace holdfast::daemon
