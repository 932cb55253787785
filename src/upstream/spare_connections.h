// SpareConnections decides when an idle address needs a connection made for it ahead of
// requests, or its idle one used so that it stays: the first miss then costs one round
// trip. libcurl keeps only connections that have carried a request, so a spare costs the
// upstream a light one. One that closes its connections is left alone for longer and
// longer. One preferred address; one thread; time is an argument.
//
//   ready --gone before it was used, or failed--> resting --its time--> missing
//   missing --make--> ready;  ready --idle for refresh_after--> used --> ready
#pragma once

#include <cstddef>

#include "base/clock.h"

namespace holdfast::upstream {

class SpareConnections {
 public:
  struct Settings {
    std::size_t wanted = 1;  // UPSTREAM_SPARE; 0: off
    // How often idle addresses are looked at.
    base::Duration check_interval = std::chrono::seconds(5);
    // Connections idle for so long are used, before they are too old to be.
    base::Duration refresh_after = std::chrono::seconds(45);
    // Without requests for so long nobody is expected.
    base::Duration traffic_memory = std::chrono::minutes(10);
    // No spare for so long after one was lost; then twice as long, up to the cap.
    base::Duration rest_base = std::chrono::minutes(1);
    base::Duration rest_cap = std::chrono::hours(1);
    // Between one and the next, whatever happens.
    base::Duration pause = std::chrono::seconds(10);
  };
  enum class Need {
    Nothing,
    Make,     // as many as are missing
    Refresh,  // a request on a connection that is there
  };

  // `now` counts as traffic: somebody will come soon.
  SpareConnections(const Settings& settings, base::SteadyTime now)
      : settings_(settings), traffic_(now) {}

  // What is ready now is not what was: another address, or connections set aside.
  void renewed() { expected_ = false; }

  // A request that was not ours was sent.
  void asked(base::SteadyTime now) { traffic_ = now; }

  // A request has ended, ours or not, with a whole answer; `kept`: on a connection that
  // had been used before.
  void answered(bool kept) {
    expected_ = true;
    if (kept) rest_ = {};
  }
  // It has ended otherwise, and its connection with it; not the upstream's doing.
  void ended() { expected_ = false; }
  // A spare could not be made.
  void failed(base::SteadyTime now) {
    expected_ = false;
    rest(now);
  }

  // While nothing is under way: how many connections are open at both ends, and since
  // when they have been idle at least. What is needed is then seen to by the caller.
  Need look(base::SteadyTime now, std::size_t ready, base::SteadyTime idle_since);

 private:
  void rest(base::SteadyTime now);

  Settings settings_;
  base::SteadyTime traffic_;
  base::SteadyTime paused_until_{};
  base::SteadyTime rests_until_{};
  base::Duration rest_{};  // the last one; zero: none of late
  // A connection was left open, so one is there; or the upstream has closed it.
  bool expected_ = false;
};

}  // namespace holdfast::upstream
