// A block of addresses, in CIDR notation. Any thread.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "geo_answer.h"

namespace holdfast::flaky {

class Block {
 public:
  // "10.0.0.0/8", "2001:db8::/32", or a single address. Errors: InvalidInput.
  static base::Result<Block> parse(std::string_view text);

  bool contains(const Address& address) const;
  const std::string& text() const { return text_; }  // as it was given

 private:
  Address first_;
  unsigned bits_ = 128;  // that must match, of the sixteen bytes
  std::string text_;
};

}  // namespace holdfast::flaky
