// SimulatedNetwork is what lies between a simulated upstream and those who ask it, on the
// virtual clock: addresses that are dark or somebody else's, set-up that costs round trips,
// connections that are kept and die unnoticed, and packets that are lost and sent again.
// Without being told otherwise it costs nothing and loses nothing.
#pragma once

#include <algorithm>
#include <array>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/random.h"
#include "base/scheduler.h"
#include "upstream/transport.h"

namespace holdfast::upstream::test {

class SimulatedNetwork {
 public:
  enum class Path {
    Open,
    Dark,              // nothing comes back: a black hole, a firewall that drops
    Refuses,           // a reset comes back at once: the machine is there, the program is not
    WrongCertificate,  // somebody else lives there now
  };

  SimulatedNetwork(base::Scheduler& scheduler, base::Random& random)
      : scheduler_(scheduler), random_(random) {}

  // May be changed at any time. What is under way meets it with its next packet.
  base::Duration round_trip{};        // a connection costs one, and so does each answer
  base::Duration tls{};               // what the handshake takes beyond that; 0: none is made
  double loss = 0;                    // of exchanges that lose a packet
  std::map<std::string, Path> paths;  // by address; Open if missing
  std::map<std::string, base::Duration> further;        // round trips beyond the one above
  bool keeps_connections = true;                        // after an answer
  base::Duration idle_limit = std::chrono::hours(100);  // kept ones are closed in order then

  // What was seen.
  int connections = 0;  // set up, or tried to
  int lost = 0;
  std::map<std::string, int> connections_to;

  struct Arrival {
    Outcome outcome = Outcome::Ok;  // or why it did not arrive, or was not answered
    Phase phase = Phase::Connect;   // where it ended
    std::array<base::Duration, kPhases> phases{};
    bool kept = false;
  };
  using Callback = std::function<void(const Arrival&)>;
  using Id = std::uint64_t;

  // Takes a request there and its answer back, for which the upstream works so long. `keeps`:
  // the connection is as good as before then. `callback` never runs inside this.
  Id send(const Sending& sending, base::Duration work, bool keeps, Callback callback) {
    Trip trip = make(sending, std::move(callback));
    trip.work = work;
    trip.keeps = keeps;
    const auto idle = sending.new_connection ? idle_.end() : find_idle(place(sending));
    if (idle != idle_.end()) {
      trip.kept = true;
      trip.connection = idle->connection;
      idle_.erase(idle);
      trip.phase = Phase::Answer;
    }
    return begin(std::move(trip));
  }

  // Sets up a connection and drops it.
  void knock(const Sending& sending, Callback callback) {
    Trip trip = make(sending, std::move(callback));
    trip.knock = true;
    begin(std::move(trip));
  }

  void cancel(Id id) {
    const auto found = trips_.find(id);
    if (found == trips_.end()) return;
    scheduler_.cancel(found->second.timer);
    trips_.erase(found);
  }

  std::optional<Progress> progress(Id id) const {
    const auto found = trips_.find(id);
    if (found == trips_.end()) return std::nullopt;
    const Trip& trip = found->second;
    // Sent again after `again`, and after twice that.
    const bool unacknowledged =
        trip.kept && trip.connection.mute && scheduler_.now() - trip.since >= trip.again * 3;
    return Progress{trip.phase, trip.since, trip.kept, unacknowledged};
  }

  // Every connection there is says nothing any more, used or not: a NAT has forgotten them.
  void mute_all() {
    for (Idle& idle : idle_) idle.connection.mute = true;
    for (auto& [id, trip] : trips_) {
      if (trip.phase == Phase::Connect) continue;
      trip.connection.mute = true;
      wait(id, trip, trip.ends);
    }
  }

  // Any of those is left.
  bool any_mute() const {
    return std::any_of(idle_.begin(), idle_.end(),
                       [](const Idle& idle) { return idle.connection.mute; }) ||
           std::any_of(trips_.begin(), trips_.end(),
                       [](const auto& trip) { return trip.second.connection.mute; });
  }

  void distrust(std::size_t origin, const std::string& address) {
    std::erase_if(idle_, [&](const Idle& idle) { return idle.place == Place(origin, address); });
    distrusted_[{origin, address}] = scheduler_.now();
  }

  // The process that had them died.
  void forget_connections() { idle_.clear(); }

 private:
  using Place = std::pair<std::size_t, std::string>;
  struct Connection {
    base::SteadyTime made{};
    bool mute = false;
  };
  struct Idle {
    Place place;
    Connection connection;
    base::SteadyTime since{};
  };
  struct Trip {
    Place place;
    Callback callback;
    base::Duration work{};
    base::SteadyTime ends{};   // its timeout
    base::SteadyTime since{};  // when the phase began
    base::Duration again{};    // until a lost packet is sent again
    Phase phase = Phase::Connect;
    bool knock = false;
    bool keeps = false;
    bool kept = false;
    bool on_its_way = false;  // what the phase waits for, if nothing is in the way
    Connection connection;
    std::array<base::Duration, kPhases> phases{};
    base::Scheduler::TimerId timer = 0;
  };

  static Place place(const Sending& sending) { return {sending.origin, sending.address}; }

  Trip make(const Sending& sending, Callback callback) const {
    Trip trip;
    trip.place = place(sending);
    trip.callback = std::move(callback);
    trip.ends = scheduler_.now() + sending.timeout;
    return trip;
  }

  Id begin(Trip made) {
    const Id id = ++last_id_;
    Trip& trip = trips_[id] = std::move(made);
    if (trip.phase == Phase::Connect) {
      ++connections;
      ++connections_to[trip.place.second];
    }
    enter(id, trip, trip.phase);
    return id;
  }

  // The one used last: the others may grow old.
  std::vector<Idle>::iterator find_idle(const Place& wanted) {
    std::erase_if(idle_, [&](const Idle& idle) {
      return scheduler_.now() - idle.since >= idle_limit && !idle.connection.mute;
    });
    const auto found = std::find_if(idle_.rbegin(), idle_.rend(),
                                    [&](const Idle& idle) { return idle.place == wanted; });
    return found == idle_.rend() ? idle_.end() : std::prev(found.base());
  }

  Path path(const Trip& trip) const {
    const auto found = paths.find(trip.place.second);
    return found == paths.end() ? Path::Open : found->second;
  }

  base::Duration there_and_back(const Trip& trip) const {
    const auto found = further.find(trip.place.second);
    return round_trip + (found == further.end() ? base::Duration::zero() : found->second);
  }

  base::Duration length(const Trip& trip) const {
    switch (trip.phase) {
      case Phase::Connect:
        return there_and_back(trip);
      case Phase::Tls:
        return there_and_back(trip) + tls;
      case Phase::Answer:
        break;
    }
    return there_and_back(trip) + trip.work;
  }

  void enter(Id id, Trip& trip, Phase phase) {
    trip.phase = phase;
    trip.since = scheduler_.now();
    // RFC 6298, with Linux' lower bound of 200 ms once a round trip is known.
    trip.again = phase == Phase::Connect ? base::Duration(std::chrono::seconds(1))
                                         : std::chrono::milliseconds(200) + there_and_back(trip);
    attempt(id, trip);
  }

  void attempt(Id id, Trip& trip) {
    const bool is_lost = loss > 0 && random_.uniform() < loss;
    lost += is_lost;
    trip.on_its_way = !trip.connection.mute && !is_lost && path(trip) != Path::Dark;
    if (trip.connection.mute) return wait(id, trip, trip.ends);
    if (trip.on_its_way) {
      const base::Duration takes = length(trip);
      // Nothing to wait for, and nothing that could end it here.
      const bool at_once = trip.phase != Phase::Answer && takes == base::Duration::zero() &&
                           path(trip) == Path::Open && !trip.knock;
      return at_once ? go_on(id) : wait(id, trip, scheduler_.now() + takes);
    }
    wait(id, trip, scheduler_.now() + trip.again);
    trip.again *= 2;
  }

  void wait(Id id, Trip& trip, base::SteadyTime until) {
    scheduler_.cancel(trip.timer);
    trip.timer = scheduler_.call_at(std::min(until, trip.ends), [this, id] { go_on(id); });
  }

  void go_on(Id id) {
    Trip& trip = trips_.at(id);
    if (scheduler_.now() >= trip.ends) return end(id, timed_out(trip.phase));
    const Path now = path(trip);
    if (!trip.on_its_way || now == Path::Dark) {
      // The work is done: it is the answer that is lost.
      if (trip.on_its_way && trip.phase == Phase::Answer) trip.work = {};
      return attempt(id, trip);
    }
    trip.phases[static_cast<std::size_t>(trip.phase)] = scheduler_.now() - trip.since;
    if (trip.phase == Phase::Connect) {
      if (now == Path::Refuses) return end(id, Outcome::Connect);
      trip.connection.made = scheduler_.now();
      if (tls > base::Duration::zero() || now == Path::WrongCertificate) {
        return enter(id, trip, Phase::Tls);
      }
    }
    if (trip.phase == Phase::Tls && now == Path::WrongCertificate) {
      return end(id, Outcome::Certificate);
    }
    if (trip.phase == Phase::Answer || trip.knock) return end(id, Outcome::Ok);
    enter(id, trip, Phase::Answer);
  }

  static Outcome timed_out(Phase phase) {
    switch (phase) {
      case Phase::Connect:
        return Outcome::ConnectTimeout;
      case Phase::Tls:
        return Outcome::TlsTimeout;
      case Phase::Answer:
        break;
    }
    return Outcome::Timeout;
  }

  void end(Id id, Outcome outcome) {
    const Trip trip = std::move(trips_.extract(id).mapped());
    if (outcome == Outcome::Ok && trip.keeps && keeps_connections) {
      const auto doubted = distrusted_.find(trip.place);
      if (doubted == distrusted_.end() || doubted->second < trip.connection.made) {
        idle_.push_back({trip.place, trip.connection, scheduler_.now()});
      }
    }
    trip.callback({outcome, trip.phase, trip.phases, trip.kept});
  }

  base::Scheduler& scheduler_;
  base::Random& random_;
  std::unordered_map<Id, Trip> trips_;
  std::vector<Idle> idle_;
  std::map<Place, base::SteadyTime> distrusted_;
  Id last_id_ = 0;
};

}  // namespace holdfast::upstream::test
