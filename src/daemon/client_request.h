// ClientRequest is a request that nobody has sent: what people ask about, written down as a client
// would send it and read as the service reads one. One thread.
#pragma once

#include <optional>
#include <string>

#include "config/explain_command.h"
#include "http/request_parser.h"

namespace holdfast::daemon {

class ClientRequest {
 public:
  explicit ClientRequest(const config::ExplainCommand& command);
  ClientRequest(const ClientRequest&) = delete;
  ClientRequest& operator=(const ClientRequest&) = delete;

  // What the server itself would answer, before anybody looks for a route; none: nothing.
  const std::optional<http::Refusal>& refusal() const { return refusal_; }
  // Of one that is not refused; as long as this lives.
  const http::Request& request() const { return head_.request; }

 private:
  std::string text_;
  http::RequestParser parser_;
  http::RequestHead head_;
  std::optional<http::Refusal> refusal_;
};

}  // namespace holdfast::daemon
