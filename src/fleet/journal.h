// Journal is what the fleet has purged, as one node of the shared tier keeps it for its own keys: a
// Redis stream, bounded, that everybody appends to and everybody reads, each from where it had
// come to. Origin loop only; never blocks.
//
//   away -> loading (all that is kept, once) -> following (as it comes) -> away
//
// A purge counts for what is read here from the moment it is added, whether or not the node could
// be told. It is told later, in order, and again until it is there.
//
// A stream may be lost, with its node or by eviction, and one that begins anew says nothing of what
// the old one had. So each has a name of its own, its epoch, which another key points to; it is
// made together with its first entry and never again, and what was fetched in another epoch is to
// be validated. So is what was fetched before entries that were cut off before we had read them.
// That is a gap. Nothing is lost by it: what is to be validated may be used if the upstream fails.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/scheduler.h"
#include "fleet/link.h"
#include "fleet/position.h"
#include "fleet/purge_index.h"

namespace holdfast::fleet {

class Journal {
 public:
  struct Settings {
    // Of the key that says which epoch it is; the stream's is this, a colon and the epoch.
    std::string key = "holdfast:purges";
    // Who we are, another one for each run: our own entries are no news, and our epochs are
    // nobody else's.
    std::string writer;
    std::size_t kept = 10'000;  // entries, about
    std::size_t page = 500;     // of them at a time
    // Of a question that waits for the next entry; and of any other.
    base::Duration block = std::chrono::seconds(1);
    base::Duration deadline = std::chrono::seconds(1);
    // Before asking again, and telling again.
    base::Duration pause = std::chrono::milliseconds(100);
    // Told later than others at most so many; beyond, one of everything takes their place.
    std::size_t most_unsent = 10'000;
  };
  // Never called inside a call of ours.
  struct Handler {
    // What others have purged, in order.
    std::function<void(const Purge&)> purged;
    // Something may have been missed.
    std::function<void()> gap;
    // place() or unsent() is another: for who keeps them across restarts.
    std::function<void()> moved;
  };
  // How far it is read.
  struct Place {
    std::string epoch;
    Position position;
  };

  // `remembered`: how far an earlier run had read; what that had not told, in `unsent`. `follows`
  // may be occupied for as long as Settings::block. Destroyed behind its links, or what is under
  // way would reach nobody.
  Journal(base::Scheduler& scheduler, Settings settings, Link& follows, Link& writes,
          Handler handler, std::optional<Place> remembered = {}, std::vector<Purge> unsent = {});
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;

  // In force here when it returns.
  void add(const Purge& purge);

  // What a fetch that begins now is to remember. None while that is not known, or the node is
  // away: what is fetched then is not for the tier.
  std::optional<Place> place() const;
  std::vector<Purge> unsent() const;

  // What is asked of the node behind a value, to judge it by.
  Link::Command epoch_command() const { return {"GET", settings_.key}; }
  Link::Command last_command() const { return {"XREVRANGE", stream(), "+", "-", "COUNT", "1"}; }
  // Of a value whose fetch began there, read before the node answered those. What may have been
  // purged by something that we have not read yet counts as purged.
  PurgeIndex::Verdict judge(const PurgeIndex::Names& names, const Place& fetched,
                            const Reply& epoch, const Reply& last);

 private:
  enum class State { Away, Loading, Following };
  struct Entry {
    Position at;
    std::optional<Purge> purge;  // none: the first of an epoch
    bool ours = false;
  };
  struct Unsent {
    Purge purge;
    std::optional<Position> at;  // the node has it there, in this epoch
  };
  using Heard = void (Journal::*)(const Reply&);

  std::string stream() const { return settings_.key + ":" + epoch_; }
  void ask(const Link::Command& command, base::Duration within, Heard heard);
  void go_away();

  void load();
  void heard_epoch(const Reply& reply);
  void heard_first(const Reply& reply);
  void load_page();
  void heard_page(const Reply& reply);
  void follow();
  void heard_next(const Reply& reply);
  void heard_epoch_again(const Reply& reply);
  void heard_last(const Reply& reply);

  void begin_epoch(bool replace);
  void heard_begun(const Reply& reply);
  void heard_made(const Reply& reply);
  void enter(const std::string& epoch);

  bool take_entries(const Reply& reply, std::vector<Entry>& entries) const;
  void take(const Entry& entry);
  void forget_told();
  std::deque<Unsent>::iterator next_unsent();
  void send();
  void sent(const Reply& reply);

  base::Scheduler& scheduler_;
  const Settings settings_;
  Link& follows_;
  Link& writes_;
  const Handler handler_;

  State state_ = State::Away;
  std::optional<Place> remembered_;  // of that epoch, what is not behind it is no news
  std::string epoch_;                // empty: none is known
  std::string beginning_;            // the epoch that we begin
  std::size_t begun_ = 0;            // how many of them
  std::optional<Position> read_to_;  // of epoch_
  PurgeIndex index_;                 // of epoch_
  std::deque<Unsent> unsent_;
  bool sending_ = false;
  // Tell what was asked, or told, before from what is now.
  std::uint64_t turn_ = 0;
  std::uint64_t telling_ = 0;
  base::Timer again_;
  base::Timer send_again_;
};

// "epoch/1767225600123-0", as values have it, and the other way round.
std::string to_string(const Journal::Place& place);
std::optional<Journal::Place> parse_place(std::string_view text);

}  // namespace holdfast::fleet
