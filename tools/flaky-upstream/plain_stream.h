// PlainStream: the bytes as they are.
#pragma once

#include <sys/socket.h>

#include <cerrno>

#include "byte_stream.h"

namespace holdfast::flaky {

class PlainStream final : public ByteStream {
 public:
  explicit PlainStream(int fd) : fd_(fd) {}

  Outcome read(char* to, std::size_t most) override {
    return outcome(::recv(fd_, to, most, 0), State::WaitsForRead);
  }
  Outcome write(const char* from, std::size_t most) override {
    return outcome(::send(fd_, from, most, MSG_NOSIGNAL), State::WaitsForWrite);
  }

 private:
  static Outcome outcome(ssize_t moved, State waits) {
    if (moved > 0) return {State::Moved, static_cast<std::size_t>(moved)};
    if (moved < 0 && (errno == EAGAIN || errno == EINTR)) return {waits, 0};
    return {State::Ended, 0};
  }

  int fd_;
};

}  // namespace holdfast::flaky
