// The size of a message is known before its first byte, so the buffer grows once
// and the pieces are copied behind each other.
#include "http/response_writer.h"

#include <algorithm>
#include <cassert>
#include <charconv>
#include <cstring>

#include "base/http_date.h"
#include "http/problem.h"

namespace holdfast::http {
namespace {

constexpr std::string_view kStatus200 = "HTTP/1.1 200 OK\r\n";
constexpr std::string_view kClose = "Connection: close\r\n";
constexpr std::string_view kKeepAlive = "Connection: keep-alive\r\n";
constexpr std::string_view kLengthName = "Content-Length: ";

char* put(char* at, std::string_view text) {
  if (!text.empty()) std::memcpy(at, text.data(), text.size());
  return at + text.size();
}

struct Digits {
  explicit Digits(std::size_t value) {
    size = static_cast<std::size_t>(
        std::to_chars(text.data(), text.data() + text.size(), value).ptr - text.data());
  }
  std::string_view view() const { return {text.data(), size}; }
  std::array<char, 20> text;
  std::size_t size;
};

void append_status_line(ByteBuffer& out, int status) {
  out.append(kStatus200.substr(0, 9));
  out.append(Digits(static_cast<std::size_t>(status)).view());
  out.append(" ");
  out.append(reason_phrase(status));
  out.append("\r\n");
}

}  // namespace

void ResponseWriter::update_date(base::SteadyTime now) {
  if (now < date_until_) return;
  const auto wall = clock_.wall();
  const auto second = std::chrono::floor<std::chrono::seconds>(wall);
  date_until_ = now + (second + std::chrono::seconds(1) - wall);
  char* at = put(date_line_.data(), "Date: ");
  at = put(at, base::format_http_date(wall));
  put(at, "\r\n");
}

void ResponseWriter::write_interim(ByteBuffer& out, int status, std::string_view fields) {
  assert(status > 101 && status <= 199);
  append_status_line(out, status);
  out.append(fields);
  out.append("\r\n");
}

void ResponseWriter::write_head(ByteBuffer& out, const ResponseHead& head, ByPieces framing,
                                const ResponseContext& context) const {
  assert(head.status >= 200 && head.status <= 599);
  append_status_line(out, head.status);
  if (!head.has_date) out.append({date_line_.data(), date_line_.size()});
  if (framing == ByPieces::Chunked) out.append("Transfer-Encoding: chunked\r\n");
  if (framing == ByPieces::Length) {
    out.append(kLengthName);
    out.append(Digits(head.length.value_or(0)).view());
    out.append("\r\n");
  }
  if (!context.keep_alive) {
    out.append(kClose);
  } else if (context.to_http10) {
    out.append(kKeepAlive);
  }
  out.append(head.fields);
  out.append("\r\n");
}

void ResponseWriter::write(ByteBuffer& out, const Response& response,
                           const ResponseContext& context) const {
  assert(response.status >= 200 && response.status <= 599);
  const bool has_length = response.status != 204 && response.status != 304;
  const auto body = has_length && !context.to_head ? response.body : std::string_view{};
  const Digits length(response.body.size());
  const std::string_view connection = !context.keep_alive ? kClose
                                      : context.to_http10 ? kKeepAlive
                                                          : std::string_view{};
  std::array<char, 64> status_text;
  std::string_view status = kStatus200;
  if (response.status != 200) {
    char* at = put(status_text.data(), kStatus200.substr(0, 9));
    at = put(at, Digits(static_cast<std::size_t>(response.status)).view());
    at = put(at, " ");
    at = put(at, reason_phrase(response.status));
    at = put(at, "\r\n");
    status = {status_text.data(), static_cast<std::size_t>(at - status_text.data())};
  }

  const std::string_view date = response.has_date
                                    ? std::string_view{}
                                    : std::string_view{date_line_.data(), date_line_.size()};
  const std::size_t size =
      status.size() + date.size() + (has_length ? kLengthName.size() + length.size + 2 : 0) +
      connection.size() + response.fields.size() + response.more_fields.size() + 2 + body.size();
  char* at = put(out.extend(size), status);
  at = put(at, date);
  if (has_length) {
    at = put(at, kLengthName);
    at = put(at, length.view());
    at = put(at, "\r\n");
  }
  at = put(at, connection);
  at = put(at, response.fields);
  at = put(at, response.more_fields);
  at = put(at, "\r\n");
  put(at, body);
}

}  // namespace holdfast::http
