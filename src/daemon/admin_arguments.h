// What stands in the query of an admin request. Whoever changes something by hand must
// get what was asked for or an error, never something else: so each name is one that the
// verb knows, stands there once, and is decoded once. Pure functions; any thread.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace holdfast::daemon {

struct AdminArgument {
  std::string name;
  std::optional<std::string> value;  // none: there was no "="
};

// The argument that may be given several times.
inline constexpr std::string_view kAdminField = "field";

class AdminArguments {
 public:
  // "a=b&c", each name one of `known`, once, but for one that may be repeated. A plus sign is one:
  // addresses and names of origins have no blanks. Errors: InvalidInput, naming what is wrong.
  static base::Result<AdminArguments> read(std::string_view query,
                                           std::span<const std::string_view> known,
                                           std::string_view repeatable = {});

  // Null if it is absent; empty also if it has no value.
  const std::string* find(std::string_view name) const;
  // The values of a name that may be repeated, in their order.
  std::vector<std::string> all_of(std::string_view name) const;
  // Whether that was asked for: by "all", "all=true" or "all=1". Any other value is an error,
  // "false" too: who writes that may mean this address or that block.
  base::Result<bool> flag(std::string_view name) const;
  // For the log: no key of an origin's URL is in it.
  std::string text() const;

 private:
  std::vector<AdminArgument> arguments_;
};

// "host:port/path" or a URL, as somebody names an origin, with what may be a key masked.
std::string masked_origin(std::string_view text);

// What to say more of a text that is no address or block, if it may be half a path or URL.
std::string_view hint_at_path(std::string_view text);

// Every address of "A/N", 4096 at most, as text that a route takes. Errors: InvalidInput.
base::Result<std::vector<std::string>> addresses_of_block(const std::string& block);

}  // namespace holdfast::daemon
