// Listener accepts connections from one listening socket. When the system or
// the process has run out of something it pauses for a moment rather than spin,
// as a listening socket with a waiting client stays readable. Loop's thread.
#pragma once

#include <functional>

#include "base/event_loop.h"
#include "base/resource.h"
#include "base/scheduler.h"
#include "base/unique_fd.h"
#include "http/client_address.h"

namespace holdfast::http {

class Listener {
 public:
  using OnAccepted = std::function<void(base::UniqueFd, const ClientAddress&)>;
  // What comes of it that something is lacking here that another client takes.
  enum class Relief {
    Now,   // there is some
    Soon,  // somebody else is giving it back
    None,
  };
  using OnLack = std::function<Relief(base::Resource)>;
  using OnRefused = std::function<void()>;  // a client was turned away for want of descriptors

  Listener(base::EventLoop& loop, base::UniqueFd socket, OnAccepted on_accepted, OnLack on_lack,
           OnRefused on_refused);
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  // Accepts what has already been queued for us, for the last time. Whoever
  // closes a listening socket resets the clients in its queue.
  void accept_rest();

 private:
  enum class Step { Accepted, Skipped, Empty, Exhausted };
  static void on_readable(void* self, unsigned events);
  void accept_some(int most);
  Step accept_one();
  bool has_waiting() const;
  void turn_one_away();
  void pause(base::Duration time);

  base::EventLoop& loop_;
  base::UniqueFd socket_;
  OnAccepted on_accepted_;
  OnLack on_lack_;
  OnRefused on_refused_;
  // Given up to accept and close one client when no descriptor is left, so that
  // clients are told rather than left waiting.
  base::UniqueFd reserve_;
  int waits_ = 0;  // in a row, for what was to come soon
  base::Timer pause_timer_;
  base::FdWatch watch_;  // last: destroyed before the socket is closed
};

}  // namespace holdfast::http
