// RawClient is a client below HTTP: bytes in, bytes out, over a socket of its own,
// for what no HTTP library would send. Everything waits for kPatience at most.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace holdfast::scenario {

class RawClient {
 public:
  // Connects to the loopback. `receive_buffer` > 0 keeps the kernel from reading ahead.
  explicit RawClient(std::uint16_t port, int receive_buffer = 0);
  ~RawClient();
  RawClient(RawClient&& other) noexcept;
  RawClient& operator=(RawClient&&) = delete;
  RawClient(const RawClient&) = delete;

  bool connected() const { return fd_ >= 0; }

  // False if the other side is gone.
  bool send(std::string_view bytes);
  // What the socket takes now, without waiting.
  std::size_t send_some(std::string_view bytes);
  void half_close();

  struct Answer {
    int status = 0;  // 0: the connection ended first
    std::string head, body;
  };
  // The next answer, which must have a Content-Length.
  Answer read();
  Answer ask(std::string_view request) {
    send(request);
    return read();
  }
  // True if nothing more comes before the other side closes or resets.
  bool ends();
  // Whether there is something to read, or the end, right now.
  bool readable_now() const;

 private:
  bool more();

  int fd_ = -1;
  std::string buffer_;
};

// "GET /lookup/8.8.8.8 HTTP/1.1", with Host and these field lines.
std::string get_request(std::string_view path, std::string_view fields = {});

// Lets this process have as many descriptors as it may; returns how many.
std::size_t raise_descriptor_limit();

}  // namespace holdfast::scenario
