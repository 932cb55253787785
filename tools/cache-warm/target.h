// What is asked of the daemon: a path with its query, in the one form that the daemon itself
// makes of it. Pure functions and data; any thread.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace holdfast::warm {

// Of "/path?query". Errors say what is wrong with it, for people.
base::Result<std::string> canonical_target(std::string_view text);

// A pattern makes a target of a line of a list: "/lookup/{ip}" of an address, of which a block has
// many, and "/v1/users/{}" of any text, percent-encoded so that it stays within the segment, or the
// query's value, that it stands in.
class Pattern {
 public:
  // The lookup's.
  Pattern() = default;
  static base::Result<Pattern> parse(std::string_view text);

  bool takes_addresses() const { return takes_addresses_; }
  // Of an address in its canonical form, which needs no escape.
  std::string of_address(std::string_view address) const;
  // Errors as of canonical_target(): a text may be a dot segment.
  base::Result<std::string> of_text(std::string_view text) const;

 private:
  std::string before_ = "/lookup/";
  std::string after_;
  bool takes_addresses_ = true;
};

}  // namespace holdfast::warm
