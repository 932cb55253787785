// Names keeps the addresses of the origins' host names at hand, so that no request ever
// waits for a look-up but the first: asked ahead of need, asked again before they lapse,
// and the last good ones used for as long as the name servers are silent, fail, or deny
// what they said before (RFC 8767). Origin loop only; never blocks.
//
// A host's life: resolving --first addresses--> resolved --lapsed, no answer--> stale
//                resolving --both families answered, no address--> failed
// and back to resolved with any answer that has an address.
//
// The families are asked side by side and wait for each other as RFC 8305, section 3,
// says: IPv4's answer waits 50 ms for IPv6's, IPv6's for nobody. A family that is silent
// keeps what it had.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/scheduler.h"
#include "observe/log.h"
#include "upstream/address_order.h"
#include "upstream/name_source.h"

namespace holdfast::upstream {

class Names {
 public:
  struct Settings {
    base::Duration resolution_delay = std::chrono::milliseconds(50);
    // An answer's time to live, clamped; asked again when so much of it has passed.
    base::Duration ttl_min = std::chrono::seconds(1);
    base::Duration ttl_max = std::chrono::minutes(5);
    double refresh_at = 0.85;
    // What has no time to live stands in the hosts file, and is read again after this.
    base::Duration reread = std::chrono::seconds(5);
    // After a failure: asked again after this, then twice as long, up to the cap; up to
    // the lower one while there is no address at all.
    base::Duration retry_base = std::chrono::seconds(1);
    base::Duration retry_cap = std::chrono::seconds(30);
    base::Duration retry_cap_unknown = std::chrono::seconds(5);
    base::Duration urgent_interval = std::chrono::seconds(1);
    // For so long after somebody was in need no longer than that interval is waited: it is
    // about as long as clients wait.
    base::Duration wanted_for = std::chrono::seconds(10);
  };

  // An origin's addresses, most preferred first, never empty, have changed, as a set or in
  // order. Never inside a call of ours; it may call back in, but not destroy us.
  using Changed =
      std::function<void(std::size_t origin, const std::vector<std::string>& addresses)>;

  // hosts[i] is origin i's host name; empty: it has none to look up. Starts asking.
  Names(base::Scheduler& scheduler, std::unique_ptr<NameSource> source, SourceOf source_of,
        Settings settings, std::vector<std::string> hosts, Changed changed, observe::Log& log);
  // At once, whatever is under way.
  ~Names();
  Names(const Names&) = delete;
  Names& operator=(const Names&) = delete;

  // Empty until the first answer.
  const std::vector<std::string>& addresses(std::size_t origin) const;

  // There is need: none of its addresses works, or there is none. Asks now, or as soon as
  // the last time is a second ago.
  void urgent(std::size_t origin);

  struct State {  // for people
    enum class Kind { Unnamed, Resolving, Resolved, Stale, Failed };
    Kind kind = Kind::Unnamed;                // Unnamed: there is no name to look up
    std::string error;                        // what the last look-up met, if anything
    std::optional<base::Duration> age;        // of the latest good answer
    std::optional<base::Duration> ttl;        // that it came with, clamped; none: hosts file
    std::optional<base::Duration> stale_for;  // Stale: since it lapsed
  };
  State state(std::size_t origin) const;

 private:
  struct FamilyState;
  struct Host;

  void ask(Host& host);
  void answered(Host& host, AddressFamily family, NameAnswer answer);
  void settle(Host& host);
  void schedule(Host& host);
  void set_timer(Host& host, base::SteadyTime when);
  void publish(Host& host);
  void note_trouble(Host& host, const std::string& error);
  void note_recovery(Host& host);
  base::Duration back_off(const Host& host, int failures) const;
  base::SteadyTime lapses(const FamilyState& family) const;

  base::Scheduler& scheduler_;
  const SourceOf source_of_;
  const Settings settings_;
  const Changed changed_;
  observe::Log& log_;
  std::vector<std::unique_ptr<Host>> hosts_;  // one per name, however many origins have it
  std::vector<Host*> of_origin_;              // null: none to look up
  std::unique_ptr<NameSource> source_;        // last: it calls into the others
};

std::string_view to_string(Names::State::Kind kind);  // "resolved", ...

}  // namespace holdfast::upstream
