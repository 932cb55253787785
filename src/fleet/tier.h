// Tier is the shared store as those see it who look something up: values by key, spread over
// nodes by rendezvous hashing, so that a node that is away costs its own keys alone, each a miss.
// Origin loop only; never blocks.
//
// With each value comes what the journal's last entry was just behind it, so that no purge that
// reached the node before is overlooked, whether or not it has reached us.
//
// Reads cost at most their deadline and are never queued. Writes go behind them, on connections
// of their own, so that no read waits for a megabyte that is being written; they are bounded, and
// the oldest are dropped. What is found is what a value can show of itself; what the reader's rules
// say of it is still to be asked.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/scheduler.h"
#include "fleet/journal.h"
#include "fleet/link.h"
#include "fleet/value.h"

namespace holdfast::fleet {

class Tier {
 public:
  struct Node {
    std::string name;  // what hashing goes by: the same on all machines
    Link& reads;
    Link& writes;
    Journal& journal;
  };
  // By what a value may have been purged.
  using NamesOf = std::function<PurgeIndex::Names(const Value&)>;
  struct Settings {
    std::string prefix = "holdfast:";                         // of all keys on the tier
    base::Duration deadline = std::chrono::milliseconds(20);  // of a read
    base::Duration write_deadline = std::chrono::seconds(2);
    // Values are kept no longer, whatever their freshness and stale windows come to.
    std::chrono::seconds longest_lifetime = std::chrono::hours(24 * 30);
    // Writes that wait, over all nodes; and how many of a node's are under way.
    std::size_t most_queued = 256;
    std::size_t most_queued_bytes = std::size_t{4} * 1024 * 1024;
    std::size_t most_writing = 16;
    ValueFormat::Settings format;
  };

  enum class Outcome : std::uint8_t {
    Hit,
    Miss,     // the node has none
    Late,     // no answer within the deadline
    Away,     // there is no connection to the node, or it ended
    Error,    // the node said so
    Refused,  // what is there is no value for that key
    Purged,   // it was purged since, or may have been: it is as good as not there
  };
  static constexpr std::size_t kOutcomes = 7;
  struct Found {
    Outcome outcome = Outcome::Miss;
    Value value;  // of a Hit
    bool stale =
        false;  // to be validated, whatever its lifetime; may be used if the upstream fails
    std::string reason;  // of Error and Refused, for people
  };
  using Done = std::function<void(Found)>;

  struct Stats {
    std::array<std::uint64_t, kOutcomes> reads{};  // by Outcome
    std::uint64_t written = 0;
    std::uint64_t dropped = 0;    // for want of room, or as the node was away
    std::uint64_t unwritten = 0;  // the node refused, or did not answer
    std::uint64_t too_large = 0;  // not offered
    std::map<std::string, std::uint64_t, std::less<>> errors;  // by error_class(), of both
    std::size_t queued = 0;
    std::size_t queued_bytes = 0;
  };

  // `nodes` is not empty. Destroyed behind its links, or what is under way would reach nobody.
  Tier(base::Scheduler& scheduler, Settings settings, std::vector<Node> nodes, NamesOf names_of);
  Tier(const Tier&) = delete;
  Tier& operator=(const Tier&) = delete;

  // `done` is called once, on the loop and never inside this call. False if the key's node is
  // away: it is counted, and `done` is dropped.
  bool find(std::string_view key, Done done);

  // What a fetch for the key that begins now is to remember, as Value::fetched. Empty: what it
  // brings is not for the tier.
  std::string place_for(std::string_view key) const;
  // Writes it behind, unless there is no such place. `lifetime`: for how long anybody may use
  // it.
  void put(const Value& value, std::chrono::seconds lifetime);
  // Takes what is there away, behind what is already to be written.
  void erase(std::string_view key);

  // The name of a key on the tier. It tells nothing of the key to who reads along: keys may hold
  // cookies and credentials, where an answer varies by them.
  std::string name_of(std::string_view key) const;
  // Which of the nodes a key belongs to.
  std::size_t node_of(std::string_view key) const { return node_of_name(name_of(key)); }

  Stats stats() const;

 private:
  struct Write {
    Link::Command command;
    std::size_t bytes;
  };
  struct Replies {
    Reply value{.kind = Reply::Kind::Lost};
    Reply epoch{.kind = Reply::Kind::Lost};
    Reply last{.kind = Reply::Kind::Lost};
  };
  struct Writing {
    std::deque<Write> queue;
    std::size_t under_way = 0;
  };

  std::size_t node_of_name(std::string_view name) const;
  Found judge(std::size_t node, const std::string& key, const Replies& replies);
  void count_error(std::string_view text);
  void queue(std::size_t node, Link::Command command);
  void drop_oldest();
  void write_on(std::size_t node);
  void look_again();

  base::Scheduler& scheduler_;
  const Settings settings_;
  const ValueFormat format_;
  std::vector<Node> nodes_;
  const NamesOf names_of_;
  std::vector<Writing> writing_;
  Stats stats_;
  base::Timer retry_;  // writes that wait for a node
};

}  // namespace holdfast::fleet
