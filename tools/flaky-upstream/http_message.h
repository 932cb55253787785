// HTTP/1.1 messages as flaky-upstream reads and writes them. Any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"

namespace holdfast::flaky {

using Fields = std::vector<std::pair<std::string, std::string>>;

struct Request {
  std::string method;
  std::string target;  // as received
  Fields fields;       // names as received
  std::string content;
  bool keep_alive = true;

  // The first field of that name, in any case; null if there is none.
  const std::string* field(std::string_view name) const;
  std::string_view path() const;
  // Percent-decoded; none if the query has no such parameter.
  std::optional<std::string> parameter(std::string_view name) const;
};

// What goes over the wire in reply to one request, and how the exchange ends.
struct WirePlan {
  enum class End {
    KeepAlive,  // a complete message: the connection serves the next request,
                // unless the request forbids that
    Close,      // FIN after the bytes
    Reset,      // RST after the bytes
    Hang,       // nothing more, until the client goes
  };
  std::string bytes;
  End end = End::KeepAlive;
  // If not zero, what follows the first `at_once_bytes` goes byte by byte.
  base::Duration drip_interval{0};
  std::size_t at_once_bytes = 0;
};

// How a body is framed: by its own length, by a length that lies, or chunked.
struct Message {
  int status = 200;
  std::string content_type = "application/json";
  Fields fields;
  std::string content;
};

// The head with the blank line. `content_length` may differ from the truth; none
// leaves the field out. The date is the system's.
std::string head_of(const Message& message, std::optional<std::size_t> content_length,
                    bool keep_alive);

// The whole message, framed truthfully; a 304 goes without content.
WirePlan plan_of(const Message& message, bool keep_alive);

// {"error": text}, with that status.
Message json_error(int status, std::string_view text);

std::string_view reason_phrase(int status);

}  // namespace holdfast::flaky
