#include "daemon/client_request.h"

namespace holdfast::daemon {

ClientRequest::ClientRequest(const config::ExplainCommand& command)
    : parser_(http::RequestParser::Limits{}) {
  text_ = command.method + " " + command.target + " HTTP/1.1\r\nHost: " + command.host + "\r\n";
  for (const auto& [name, value] : command.fields) text_ += name + ": " + value + "\r\n";
  text_ += "\r\n";
  std::size_t checked = 0;
  const auto outcome = parser_.parse(text_, checked, head_);
  if (outcome == http::RequestParser::Outcome::Complete && head_.bytes == text_.size()) return;
  // A line break in one of its parts makes two requests of it, or half of one.
  refusal_ = outcome == http::RequestParser::Outcome::Refused
                 ? parser_.refusal()
                 : http::Refusal{400, http::RejectReason::Malformed, "not one request"};
}

}  // namespace holdfast::daemon
