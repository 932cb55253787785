#include "http_message.h"

#include <array>
#include <ctime>

#include "text.h"

namespace holdfast::flaky {
namespace {

// IMF-fixdate (RFC 9110, 5.6.7), worked out once a second.
std::string_view http_date() {
  thread_local std::time_t shown = -1;
  thread_local std::array<char, 40> text{};
  const std::time_t now = std::time(nullptr);
  if (now != shown) {
    std::tm parts{};
    gmtime_r(&now, &parts);
    // The C locale is in force: nothing here calls setlocale.
    std::strftime(text.data(), text.size(), "%a, %d %b %Y %H:%M:%S GMT", &parts);
    shown = now;
  }
  return text.data();
}

}  // namespace

const std::string* Request::field(std::string_view name) const {
  for (const auto& [key, value] : fields) {
    if (equals_ignoring_case(key, name)) return &value;
  }
  return nullptr;
}

std::string_view Request::path() const {
  return std::string_view(target).substr(0, target.find('?'));
}

std::optional<std::string> Request::parameter(std::string_view name) const {
  const auto question = target.find('?');
  if (question == std::string::npos) return std::nullopt;
  for (const auto pair : split(std::string_view(target).substr(question + 1), '&')) {
    const auto equals = pair.find('=');
    if (pair.substr(0, equals) != name) continue;
    std::string value;
    if (equals == std::string_view::npos) return value;
    if (!percent_decode(pair.substr(equals + 1), value)) return std::nullopt;
    return value;
  }
  return std::nullopt;
}

std::string_view reason_phrase(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 301:
      return "Moved Permanently";
    case 304:
      return "Not Modified";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 502:
      return "Bad Gateway";
    case 503:
      return "Service Unavailable";
    default:
      return "Unknown";
  }
}

std::string head_of(const Message& message, std::optional<std::size_t> content_length,
                    bool keep_alive) {
  std::string head;
  head.reserve(256);
  head += "HTTP/1.1 ";
  head += std::to_string(message.status);
  head += ' ';
  head += reason_phrase(message.status);
  head += "\r\nDate: ";
  head += http_date();
  if (!message.content_type.empty()) {
    head += "\r\nContent-Type: ";
    head += message.content_type;
  }
  if (content_length) {
    head += "\r\nContent-Length: ";
    head += std::to_string(*content_length);
  }
  for (const auto& [name, value] : message.fields) {
    head += "\r\n";
    head += name;
    head += ": ";
    head += value;
  }
  if (!keep_alive) head += "\r\nConnection: close";
  head += "\r\n\r\n";
  return head;
}

WirePlan plan_of(const Message& message, bool keep_alive) {
  WirePlan plan;
  // What is said of the connection is what happens to it.
  if (!keep_alive) plan.end = WirePlan::End::Close;
  if (message.status == 304) {
    plan.bytes = head_of(message, std::nullopt, keep_alive);
  } else {
    plan.bytes = head_of(message, message.content.size(), keep_alive) + message.content;
  }
  return plan;
}

Message json_error(int status, std::string_view text) {
  Message message;
  message.status = status;
  message.content = "{\"error\":";
  append_json_string(message.content, text);
  message.content += '}';
  return message;
}

}  // namespace holdfast::flaky
