// PurgeIndex answers whether a value of the shared tier was purged after its fetch began: it knows
// of each purge in the journal of the value's node what it was of and where it stands. Origin loop
// only.
//
// At most so many are known one by one. Values from before the oldest of those, and from before a
// gap in what was read of the journal, are to be validated before they are used: too much is asked
// then, never too little, and nothing is lost, as they may still be used if the upstream fails.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "fleet/position.h"

namespace holdfast::fleet {

// One purge as the journal has it.
struct Purge {
  enum class Kind : std::uint8_t { All, Route, Path, Tag, Url };
  Kind kind = Kind::All;
  bool soft = false;  // marked stale: may still be used as stale responses may
  std::string what;   // empty of All; of a Url, the key

  auto operator<=>(const Purge&) const = default;
};

std::string_view to_string(Purge::Kind kind);  // "all", "route", ...
// False if it is none of these words.
bool parse_purge_kind(std::string_view word, Purge::Kind& kind);

class PurgeIndex {
 public:
  // By what a value may have been purged.
  struct Names {
    std::string_view route;
    std::string_view path;
    std::string_view url;
    std::vector<std::string_view> tags;
    bool more_tags = false;  // than are known: any tag may be its own
  };
  enum class Verdict {
    Untouched,
    Stale,   // to be validated; may be used if the upstream fails
    Purged,  // as good as not there
  };

  explicit PurgeIndex(std::size_t most = 20'000) : most_(most) {}

  // What the journal has at that position, which is behind all before.
  void add(const Purge& purge, const Position& at);
  // What is not in the journal yet: it concerns every value, until it is taken back.
  void add_unsent(const Purge& purge);
  void remove_unsent(const Purge& purge);
  // Values whose fetch began before that are to be validated.
  void raise_floor(const Position& floor);

  // Of a value whose fetch began when the journal was read up to `fetched`.
  Verdict judge(const Names& names, const Position& fetched) const;

  std::size_t size() const { return entries_.size(); }

 private:
  struct Marks {
    Position hard;
    Position soft;
    std::size_t unsent_hard = 0;
    std::size_t unsent_soft = 0;

    bool empty() const { return *this == Marks(); }
    bool operator==(const Marks&) const = default;
  };
  struct Entry {
    Purge purge;
    Position at;
  };
  using Key = std::pair<Purge::Kind, std::string>;

  void make_room();

  std::size_t most_;
  Position floor_;
  std::deque<Entry> entries_;  // in order
  std::map<Key, Marks, std::less<>> marks_;
  Marks any_tag_;
};

}  // namespace holdfast::fleet
