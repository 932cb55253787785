// CallWatch is told of every call a loop makes: of a descriptor's function, of a timer's,
// of one from the mailbox. Loop's thread.
#pragma once

#include <string_view>

namespace holdfast::base {

class CallWatch {
 public:
  virtual ~CallWatch() = default;
  virtual void begins() = 0;
  // What began last is over, and the next call, if there is one, begins. `what` is of a
  // literal: "descriptor", "timer" or "mailbox".
  virtual void ended(std::string_view what) = 0;
};

}  // namespace holdfast::base
