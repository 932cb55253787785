// Availability: is the whole upstream there? Plays up, down and what lies
// between, by itself where it is to alternate. Loop thread.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "http_server.h"

namespace holdfast::flaky {

struct Mode {
  enum class Kind {
    Up,         // answers
    Down,       // new connections are refused, those there are get an RST
    Refuse,     // new connections are refused, those there are served
    Blackhole,  // accepts and reads, never answers
    Flap,       // Up for `up`, then Down for `down`, and again
  };
  Kind kind = Kind::Up;
  base::Duration up{0}, down{0};
};

// "up", "down", "refuse", "blackhole", "flap:3s/2s". Errors: InvalidInput.
base::Result<Mode> parse_mode(std::string_view text);
std::string to_text(const Mode& mode);

class Availability {
 public:
  Availability(base::Scheduler& scheduler, HttpServer& server)
      : scheduler_(scheduler), server_(server) {}

  void set(const Mode& mode);
  const Mode& mode() const { return mode_; }
  // While true, no request is answered, also not once it has become false again.
  bool blackholed() const { return mode_.kind == Mode::Kind::Blackhole; }

 private:
  void flap(bool up);

  base::Scheduler& scheduler_;
  HttpServer& server_;
  Mode mode_;
  base::Timer timer_;
};

}  // namespace holdfast::flaky
