#include "fleet/purge_index.h"

#include <algorithm>
#include <array>

namespace holdfast::fleet {
namespace {

constexpr std::array<std::string_view, 5> kKinds{"all", "route", "path", "tag", "url"};

}  // namespace

std::string_view to_string(Purge::Kind kind) {
  return kKinds[static_cast<std::size_t>(kind)];
}

bool parse_purge_kind(std::string_view word, Purge::Kind& kind) {
  const auto* const found = std::find(kKinds.begin(), kKinds.end(), word);
  if (found == kKinds.end()) return false;
  kind = static_cast<Purge::Kind>(found - kKinds.begin());
  return true;
}

void PurgeIndex::add(const Purge& purge, const Position& at) {
  const auto mark = [&](Marks& marks) {
    Position& last = purge.soft ? marks.soft : marks.hard;
    last = std::max(last, at);
  };
  mark(marks_[{purge.kind, purge.what}]);
  if (purge.kind == Purge::Kind::Tag) mark(any_tag_);
  entries_.push_back({purge, at});
  make_room();
}

void PurgeIndex::make_room() {
  while (entries_.size() > most_) {
    const Entry& oldest = entries_.front();
    raise_floor(oldest.at);
    const auto found = marks_.find(Key{oldest.purge.kind, oldest.purge.what});
    // Unless it was purged again since.
    if (found != marks_.end()) {
      Marks& marks = found->second;
      if (marks.hard <= oldest.at) marks.hard = {};
      if (marks.soft <= oldest.at) marks.soft = {};
      if (marks.empty()) marks_.erase(found);
    }
    entries_.pop_front();
  }
}

void PurgeIndex::add_unsent(const Purge& purge) {
  Marks& marks = marks_[{purge.kind, purge.what}];
  ++(purge.soft ? marks.unsent_soft : marks.unsent_hard);
  if (purge.kind == Purge::Kind::Tag) ++(purge.soft ? any_tag_.unsent_soft : any_tag_.unsent_hard);
}

void PurgeIndex::remove_unsent(const Purge& purge) {
  const auto found = marks_.find(Key{purge.kind, purge.what});
  if (found == marks_.end()) return;
  std::size_t& count = purge.soft ? found->second.unsent_soft : found->second.unsent_hard;
  if (count == 0) return;
  --count;
  if (found->second.empty()) marks_.erase(found);
  if (purge.kind == Purge::Kind::Tag) --(purge.soft ? any_tag_.unsent_soft : any_tag_.unsent_hard);
}

void PurgeIndex::raise_floor(const Position& floor) {
  floor_ = std::max(floor_, floor);
}

PurgeIndex::Verdict PurgeIndex::judge(const Names& names, const Position& fetched) const {
  Verdict verdict = fetched < floor_ ? Verdict::Stale : Verdict::Untouched;
  const auto weigh = [&](const Marks& marks) {
    if (marks.unsent_hard > 0 || marks.hard > fetched) {
      verdict = Verdict::Purged;
    } else if (verdict == Verdict::Untouched && (marks.unsent_soft > 0 || marks.soft > fetched)) {
      verdict = Verdict::Stale;
    }
  };
  const auto weigh_named = [&](Purge::Kind kind, std::string_view what) {
    const auto found = marks_.find(Key{kind, std::string(what)});
    if (found != marks_.end()) weigh(found->second);
  };
  weigh_named(Purge::Kind::All, {});
  weigh_named(Purge::Kind::Route, names.route);
  weigh_named(Purge::Kind::Path, names.path);
  weigh_named(Purge::Kind::Url, names.url);
  for (const std::string_view tag : names.tags) weigh_named(Purge::Kind::Tag, tag);
  if (names.more_tags) weigh(any_tag_);
  return verdict;
}

}  // namespace holdfast::fleet
