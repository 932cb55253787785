// Turns a handler's Response into the bytes of an HTTP/1.1 message. One thread.
#pragma once

#include <array>
#include <string_view>

#include "base/clock.h"
#include "http/byte_buffer.h"
#include "http/server.h"

namespace holdfast::http {

// What of the exchange and the connection shapes the answer.
struct ResponseContext {
  bool to_head = false;    // no content, but the fields as if there were
  bool to_http10 = false;  // such a client is told that the connection stays
  bool keep_alive = true;
};

class ResponseWriter {
 public:
  explicit ResponseWriter(const base::Clock& clock) : clock_(clock) {}

  // Makes the Date line what it ought to be at `now`. Reads the wall clock only
  // when its second is over; call it once for a batch of answers.
  void update_date(base::SteadyTime now);

  // Appends the head of a message whose content comes in pieces: its framing is one of these.
  enum class ByPieces : std::uint8_t { None, Length, Chunked, ToEnd };
  void write_head(ByteBuffer& out, const ResponseHead& head, ByPieces framing,
                  const ResponseContext& context) const;

  // Appends an interim head: 103, say.
  static void write_interim(ByteBuffer& out, int status, std::string_view fields);

  // Appends the whole message.
  void write(ByteBuffer& out, const Response& response, const ResponseContext& context) const;

 private:
  const base::Clock& clock_;
  base::SteadyTime date_until_{};
  std::array<char, 37> date_line_{};  // "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
};

}  // namespace holdfast::http
