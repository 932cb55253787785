// Addresses are what an origin's name stands for at present, each with a health of its
// own: one that is dark is left out after its first failures and knocked at now and then,
// without a client's request. What is learned of connecting is kept per address, since
// they may be continents apart. One origin; one thread; time is an argument.
//
// An address is
//   good --set-up failed, or another one overtook it while it was being set up--> dark
//   dark --a knock or a set-up that succeeded--> good
// While all are dark the one that has been so for longest is still chosen: nobody else
// is there to ask.
//
// An address that the name leaves while it is good stays behind the others until one of those
// is set up, or it fails.
//
// The order is that of the names' answer (RFC 6724, RFC 8305); it does not go round.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/clock.h"
#include "upstream/latency_window.h"
#include "upstream/message.h"

namespace holdfast::upstream {

class Addresses {
 public:
  struct Settings {
    // While nothing is known of an address and there is another: the head start of the
    // first (RFC 8305, 5: "Connection Attempt Delay", 250 ms).
    base::Duration head_start = std::chrono::milliseconds(250);
    // While nothing is known and there is no other: a lost SYN is sent again after 1 s
    // (RFC 6298), and the answer to that must have its time.
    base::Duration patience_unknown = std::chrono::milliseconds(1500);
    // Of what is known: so many times what 95 % of set-ups took, plus the slack; never
    // below the head start.
    // 95 % are capped at so many medians: beyond that it is lost packets (a SYN is sent again
    // after a second), not distance, and those are what a race is for.
    double headroom = 2.0;
    double most_of_median = 3.0;
    base::Duration slack = std::chrono::milliseconds(50);
    std::size_t min_samples = 3;
    // A dark address is knocked at after this, then after twice as long, up to the cap.
    base::Duration knock_base = std::chrono::seconds(1);
    base::Duration knock_cap = std::chrono::seconds(60);
  };

  explicit Addresses(Settings settings) : settings_(settings) {}

  // What the names say now, most preferred first, numeric. What is known of those that
  // stay is kept. Those that leave are kept behind all others if they ever were set up, four at
  // most, until one of the others is: a name may come to stand for what cannot be reached. Empty:
  // nothing is known any more.
  void set(const std::vector<std::string>& addresses);
  bool known() const { return !all_.empty(); }
  std::size_t size() const { return all_.size(); }

  // Where the next attempt should go: the first good one that is not among `avoided` (where
  // attempts of the same fetch are stuck); else the first good one; else, all being dark, the
  // one whose failure is oldest, of those not avoided if there are any. A view that holds
  // until set(). Requires known().
  const std::string& choose(std::span<const std::string> avoided) const;
  // Whether choose() has another than `address` to offer that is good.
  bool has_other(const std::string& address) const;

  // A connection was set up: what its phases took. TLS is zero where there is none.
  void connected(const std::string& address, base::Duration connect, base::Duration tls);
  // It could not be: refused, unreachable, no answer, no handshake, not its certificate.
  // Other outcomes say nothing of an address and are ignored.
  void failed(base::SteadyTime now, const std::string& address, Outcome outcome);
  // A set-up is late, and one to another address, begun after it, has ended well.
  void overtaken(base::SteadyTime now, const std::string& address);

  // Whether each of them has failed, and none was set up since: then nobody is there.
  bool all_failed() const;

  // How long to wait in that phase before a race is worth its cost. Of the answer nothing is
  // known here: max().
  base::Duration patience(const std::string& address, Phase phase) const;
  // The smallest connect times lately seen: about a round trip. Zero if unknown.
  base::Duration round_trip(const std::string& address) const;

  // The dark one that should be knocked at now, if any; it is then under way until
  // knocked(). `next_knock` is when the next is due, max() if none.
  const std::string* due(base::SteadyTime now) const;
  base::SteadyTime next_knock() const;
  void knocking(const std::string& address);
  // Ok: good again. A set-up's failure: twice as long until the next. Anything else
  // (Cancelled): again after the same time.
  void knocked(base::SteadyTime now, const std::string& address, Outcome outcome);

  struct View {  // for people
    std::string address;
    bool dark = false;
    std::string last_error;    // empty: none
    base::Duration connect{};  // median; zero: not known
    base::Duration tls{};
  };
  std::vector<View> view() const;

 private:
  struct Address {
    std::string text;
    bool dark = false;
    bool former = false;  // the name does not stand for it any more
    bool knocking = false;
    Outcome last = Outcome::Ok;
    base::SteadyTime failed_at{};
    base::SteadyTime knock_at = base::SteadyTime::max();
    base::Duration knock_interval{};
    LatencyWindow connect{64};
    LatencyWindow tls{64};
  };

  Address* find(const std::string& address);
  const Address* find(const std::string& address) const;
  void darken(Address& address, base::SteadyTime now, Outcome outcome);
  static void brighten(Address& address);
  void forget_former();

  Settings settings_;
  std::vector<Address> all_;
};

}  // namespace holdfast::upstream
