// ByteStream is how the bytes of a connection travel: as they are, or within TLS
// (tls.h). It does not own the descriptor. Loop thread; nothing blocks.
#pragma once

#include <cstddef>

namespace holdfast::flaky {

class ByteStream {
 public:
  enum class State {
    Moved,          // `bytes` of them, one or more
    WaitsForRead,   // again once the descriptor is readable ...
    WaitsForWrite,  // ... or writable: within TLS, either operation may need either
    Ended,          // the other end has closed, or what it sends makes no sense
  };
  struct Outcome {
    State state = State::Ended;
    std::size_t bytes = 0;
  };

  virtual ~ByteStream() = default;
  virtual Outcome read(char* to, std::size_t most) = 0;
  virtual Outcome write(const char* from, std::size_t most) = 0;
  // True while there is something to read that no event will tell of.
  virtual bool has_read_ahead() const { return false; }
  // Says that no more will follow, where there is a way to say so: a FIN comes next.
  virtual void finish() {}
};

}  // namespace holdfast::flaky
