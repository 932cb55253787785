// NameSource answers what addresses a host name has now, asked anew each time: the hosts
// file and the name servers, or a test's. When to ask, and what to make of the answers,
// is Names' business. One loop's thread.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"

namespace holdfast::upstream {

enum class AddressFamily { V4, V6 };

struct NameAnswer {
  enum class Kind {
    Found,   // addresses of that family
    NoData,  // the name exists, without an address of that family
    NoName,  // there is no such name (NXDOMAIN)
    Failed,  // no answer, or one that says nothing: silence, SERVFAIL, no server
  };
  Kind kind = Kind::Failed;
  std::vector<std::string> addresses;  // numeric, in the answer's order; Found only
  // How long it may be relied on; none if nobody says so (the hosts file).
  std::optional<base::Duration> ttl;
  std::string error;  // for people: "NXDOMAIN", "no answer from the name servers"
};

class NameSource {
 public:
  using Done = std::function<void(NameAnswer)>;
  // Destroyed at once whatever is under way; what is, is not answered any more.
  virtual ~NameSource() = default;

  // Calls `done` once, on the loop and never inside this call. Never blocks for the
  // network, and ends within the tries of its settings.
  virtual void ask(const std::string& host, AddressFamily family, Done done) = 0;
};

}  // namespace holdfast::upstream
