#include "cache/purges.h"

#include <algorithm>
#include <mutex>
#include <utility>

namespace holdfast::cache {
namespace {

void raise(std::uint64_t& mark, std::uint64_t sequence) {
  mark = std::max(mark, sequence);
}

}  // namespace

std::string_view route_of(std::string_view key) {
  return key.substr(0, key.find_first_of("~/"));
}

std::string path_of(std::string_view key) {
  const std::string_view path = key.substr(0, key.find_first_of("? "));
  return std::string(route_of(path)).append(path.substr(std::min(path.find('/'), path.size())));
}

Purges::ByName& Purges::names(Purge::Kind kind) {
  return kind == Purge::Kind::Route ? routes_ : kind == Purge::Kind::Path ? paths_ : tags_;
}

// Of a kind, softness and name the last one says it all.
void Purges::insert(Purge purge) {
  raise(purge.soft ? any_tag_.soft : any_tag_.hard,
        purge.kind == Purge::Kind::Tag ? purge.sequence : 0);
  if (purge.kind == Purge::Kind::All) {
    return raise_floor(purge.soft, purge.sequence, purge.at);
  }
  if (purge.sequence <= all_.hard || (purge.soft && purge.sequence <= all_.soft)) return;
  Marks& there = names(purge.kind).try_emplace(purge.what).first->second;
  std::uint64_t& mark = purge.soft ? there.soft : there.hard;
  if (mark >= purge.sequence) return;
  if (mark != 0) entries_.erase(mark);
  mark = purge.sequence;
  entries_.insert_or_assign(purge.sequence, std::move(purge));
}

void Purges::forget(std::map<std::uint64_t, Purge>::iterator entry) {
  const Purge& purge = entry->second;
  if (purge.kind != Purge::Kind::All) {
    ByName& by_name = names(purge.kind);
    const auto named = by_name.find(purge.what);
    (purge.soft ? named->second.soft : named->second.hard) = 0;
    if (named->second.soft == 0 && named->second.hard == 0) by_name.erase(named);
  }
  entries_.erase(entry);
}

void Purges::raise_floor(bool soft, std::uint64_t sequence, base::WallTime at) {
  std::uint64_t& floor = soft ? all_.soft : all_.hard;
  if (sequence <= floor || (soft && sequence <= all_.hard)) return;
  floor = sequence;
  for (auto entry = entries_.begin(); entry != entries_.end() && entry->first <= sequence;) {
    const auto next = std::next(entry);
    // What is gone altogether need not be stale as well.
    if (!soft || entry->second.soft) forget(entry);
    entry = next;
  }
  if (!soft && all_.soft <= all_.hard) all_.soft = 0;
  entries_.insert_or_assign(sequence, Purge{Purge::Kind::All, soft, {}, sequence, at});
}

void Purges::make_room() {
  while (entries_.size() > most_) {
    // The two of everything are no more than two.
    const auto oldest = std::find_if(entries_.begin(), entries_.end(), [](const auto& entry) {
      return entry.second.kind != Purge::Kind::All;
    });
    if (oldest == entries_.end()) return;
    raise_floor(oldest->second.soft, oldest->first, oldest->second.at);
  }
}

void Purges::changed() {
  std::uint32_t next = changes_.load(std::memory_order_relaxed) + 1;
  if (next == 0) next = 1;
  changes_.store(next, std::memory_order_release);
}

std::uint64_t Purges::add(Purge::Kind kind, bool soft, std::string_view what, base::WallTime now) {
  const std::unique_lock lock(mutex_);
  const std::uint64_t sequence = latest_.load(std::memory_order_relaxed) + 1;
  insert({kind, soft, std::string(what), sequence, now});
  make_room();
  if (!soft) latest_hard_.store(sequence, std::memory_order_relaxed);
  latest_.store(sequence, std::memory_order_release);
  changed();
  return sequence;
}

Purges::Marks Purges::covering(std::string_view key, std::string_view tags) const {
  Marks marks = all_;
  const auto add = [&marks](const ByName& names, std::string_view name) {
    const auto found = names.find(name);
    if (found == names.end()) return;
    raise(marks.hard, found->second.hard);
    raise(marks.soft, found->second.soft);
  };
  if (!routes_.empty()) add(routes_, route_of(key));
  if (!paths_.empty()) add(paths_, path_of(key));
  for_each_tag(tags, [&](std::string_view tag) { add(tags_, tag); });
  if (has_more_tags(tags)) {
    raise(marks.hard, any_tag_.hard);
    raise(marks.soft, any_tag_.soft);
  }
  return marks;
}

Purges::Verdict Purges::judge(std::string_view key, const StoredResponse& stored) const {
  if (stored.seen >= latest()) return Verdict::Untouched;
  const std::shared_lock lock(mutex_);
  const Marks marks = covering(key, stored.tags);
  if (marks.hard > stored.seen) return Verdict::Purged;
  if (marks.soft <= stored.seen) return Verdict::Untouched;
  // One made of others may have taken the place of what was marked: its time will do.
  const auto entry = entries_.lower_bound(marks.soft);
  stored.mark_stale(entry == entries_.end() ? stored.response_time : entry->second.at);
  return Verdict::Stale;
}

bool Purges::purged(std::string_view key, std::uint64_t seen, std::string_view tags) const {
  if (seen >= latest_hard()) return false;
  const std::shared_lock lock(mutex_);
  return covering(key, tags).hard > seen;
}

std::vector<Purge> Purges::since(std::uint64_t sequence) const {
  std::vector<Purge> purges;
  const std::shared_lock lock(mutex_);
  for (auto entry = entries_.upper_bound(sequence); entry != entries_.end(); ++entry) {
    purges.push_back(entry->second);
  }
  return purges;
}

Purges::Floors Purges::floors() const {
  const std::shared_lock lock(mutex_);
  return {all_.hard, all_.soft};
}

std::vector<Purge> Purges::of_everything() const {
  std::vector<Purge> purges;
  const std::shared_lock lock(mutex_);
  for (const std::uint64_t sequence : {all_.hard, all_.soft}) {
    const auto found = entries_.find(sequence);
    if (found != entries_.end()) purges.push_back(found->second);
  }
  return purges;
}

std::uint64_t Purges::take_over(std::vector<Purge> from_file) {
  std::uint64_t last = 0;
  for (const Purge& purge : from_file) raise(last, purge.sequence);
  if (last == 0) return 0;
  const std::unique_lock lock(mutex_);
  std::map<std::uint64_t, Purge> ours = std::exchange(entries_, {});
  const std::uint64_t our_latest = latest_.load(std::memory_order_relaxed);
  const std::uint64_t our_latest_hard = latest_hard_.load(std::memory_order_relaxed);
  routes_.clear();
  paths_.clear();
  tags_.clear();
  all_ = {};
  any_tag_ = {any_tag_.hard ? any_tag_.hard + last : 0, any_tag_.soft ? any_tag_.soft + last : 0};
  std::uint64_t last_hard = our_latest_hard ? our_latest_hard + last : 0;
  for (Purge& purge : from_file) {
    if (!purge.soft) raise(last_hard, purge.sequence);
    insert(std::move(purge));
  }
  for (auto& [sequence, purge] : ours) {
    purge.sequence = sequence + last;
    insert(std::move(purge));
  }
  make_room();
  latest_hard_.store(last_hard, std::memory_order_relaxed);
  latest_.store(our_latest + last, std::memory_order_release);
  numbering_.fetch_add(1, std::memory_order_acq_rel);
  changed();
  return last;
}

std::size_t Purges::size() const {
  const std::shared_lock lock(mutex_);
  return entries_.size();
}

}  // namespace holdfast::cache
