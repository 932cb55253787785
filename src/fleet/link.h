// Link is one node of the shared tier, as those see it who ask something of it. RedisLink
// is the real one; tests and the simulation have their own. Origin loop only.
//
// It never costs anybody more than the deadline that came with the question: what cannot be
// asked now is not queued for later.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"

namespace holdfast::fleet {

// What came of a command.
struct Reply {
  enum class Kind : std::uint8_t {
    Nil,      // there is nothing
    Text,     // `text`: a bulk string or a status
    Integer,  // `integer`
    Array,    // `elements`
    Error,    // the node said so; `text` is what it said
    Late,     // no reply by the deadline; what comes of it later nobody hears
    Lost,     // the connection ended first
  };
  Kind kind = Kind::Nil;
  std::string text;
  std::int64_t integer = 0;
  std::vector<Reply> elements;
};

// The class of an error as metrics and logs name it, by the word it begins with: "oom",
// "loading", "readonly", "misconf", "noauth", "noperm", "moved", "wrongtype", "busy", or "other".
std::string_view error_class(std::string_view text);

class Link {
 public:
  using Command = std::vector<std::string>;
  using Done = std::function<void(Reply)>;
  virtual ~Link() = default;

  // Whether there is a connection that has lately answered.
  virtual bool ready() const = 0;

  // Sends it. False if that cannot be done now, as the node is away or as much is under way as may
  // be: `done` is dropped then. Else it is called once, on the loop and never inside this
  // call, by `deadline` at the latest; it may call back in, but not destroy the link.
  virtual bool call(const Command& command, base::SteadyTime deadline, Done done) = 0;
};

}  // namespace holdfast::fleet
