#include "fleet/journal.h"

#include <algorithm>
#include <utility>

namespace holdfast::fleet {
namespace {

// The fields of an entry. One without a kind begins an epoch.
constexpr std::string_view kKind = "kind";
constexpr std::string_view kSoft = "soft";
constexpr std::string_view kWhat = "what";
constexpr std::string_view kWriter = "writer";

// Which epoch it is, if it still is the one that was lost.
constexpr std::string_view kReplace =
    "if redis.call('GET',KEYS[1])==ARGV[1] then redis.call('SET',KEYS[1],ARGV[2]) return 1 "
    "else return 0 end";

std::string text_of(const Reply& reply) {
  return reply.kind == Reply::Kind::Text ? reply.text : std::string();
}

// The least position behind it.
Position behind(Position position) {
  if (++position.sequence == 0) ++position.time;
  return position;
}

}  // namespace

Journal::Journal(base::Scheduler& scheduler, Settings settings, Link& follows, Link& writes,
                 Handler handler, std::optional<Place> remembered, std::vector<Purge> unsent)
    : scheduler_(scheduler),
      settings_(std::move(settings)),
      follows_(follows),
      writes_(writes),
      handler_(std::move(handler)),
      remembered_(std::move(remembered)) {
  for (Purge& purge : unsent) {
    index_.add_unsent(purge);
    unsent_.push_back({std::move(purge), {}});
  }
  again_.set_at(scheduler_, scheduler_.now(), [this] { load(); });
}

std::optional<Journal::Place> Journal::place() const {
  if (state_ != State::Following) return std::nullopt;
  return Place{epoch_, *read_to_};
}

std::vector<Purge> Journal::unsent() const {
  std::vector<Purge> purges;
  for (const Unsent& one : unsent_) {
    if (!one.at) purges.push_back(one.purge);
  }
  return purges;
}

PurgeIndex::Verdict Journal::judge(const PurgeIndex::Names& names, const Place& fetched,
                                   const Reply& epoch, const Reply& last) {
  using Verdict = PurgeIndex::Verdict;
  std::vector<Entry> entries;
  const bool same = state_ == State::Following && text_of(epoch) == epoch_ &&
                    take_entries(last, entries) && !entries.empty();
  if (!same) {
    // Another one has begun, and maybe we wait for the old one to go on.
    if (state_ == State::Following) go_away();
    return Verdict::Purged;
  }
  // What was fetched in another epoch is from before all of this one.
  const Position from = fetched.epoch == epoch_ ? fetched.position : Position();
  const Verdict verdict = index_.judge(names, from);
  const bool unread = entries.front().at > *read_to_ && from < entries.front().at;
  return unread ? Verdict::Purged : verdict;
}

// ---- Reading -------------------------------------------------------------------------------

// What is asked after that makes an answer to this no longer wanted.
void Journal::ask(const Link::Command& command, base::Duration within, Heard heard) {
  const std::uint64_t turn = ++turn_;
  const auto answered = [this, turn, heard](const Reply& reply) {
    if (turn == turn_) (this->*heard)(reply);
  };
  if (!follows_.call(command, scheduler_.now() + within, answered)) go_away();
}

void Journal::go_away() {
  ++turn_;
  state_ = State::Away;
  again_.set_after(scheduler_, settings_.pause, [this] { load(); });
}

void Journal::load() {
  state_ = State::Loading;
  ask(epoch_command(), settings_.deadline, &Journal::heard_epoch);
}

void Journal::heard_epoch(const Reply& reply) {
  if (reply.kind == Reply::Kind::Nil) return begin_epoch(false);
  const std::string epoch = text_of(reply);
  if (epoch.empty()) return go_away();
  enter(epoch);
  ask({"XRANGE", stream(), "-", "+", "COUNT", "1"}, settings_.deadline, &Journal::heard_first);
}

// The oldest entry: whether something was cut off that we had not read.
void Journal::heard_first(const Reply& reply) {
  std::vector<Entry> entries;
  if (!take_entries(reply, entries)) return go_away();
  if (entries.empty()) return begin_epoch(true);
  const Position first = entries.front().at;
  std::optional<Position> known = read_to_;
  if (!known && remembered_ && remembered_->epoch == epoch_) known = remembered_->position;
  index_.raise_floor(first);
  if (known && first > *known) handler_.gap();
  load_page();
}

void Journal::load_page() {
  const Position from = behind(read_to_.value_or(Position()));
  ask({"XRANGE", stream(), to_string(from), "+", "COUNT", std::to_string(settings_.page)},
      settings_.deadline, &Journal::heard_page);
}

void Journal::heard_page(const Reply& reply) {
  std::vector<Entry> entries;
  if (!take_entries(reply, entries)) return go_away();
  for (const Entry& entry : entries) take(entry);
  if (entries.size() >= settings_.page) return load_page();
  if (!read_to_) return go_away();  // it was lost just now
  state_ = State::Following;
  handler_.moved();
  send();
  follow();
}

void Journal::follow() {
  const auto block = std::chrono::duration_cast<std::chrono::milliseconds>(settings_.block);
  ask({"XREAD", "COUNT", std::to_string(settings_.page), "BLOCK", std::to_string(block.count()),
       "STREAMS", stream(), to_string(*read_to_)},
      settings_.block + settings_.deadline, &Journal::heard_next);
}

void Journal::heard_next(const Reply& reply) {
  if (reply.kind != Reply::Kind::Nil) {  // that is: nothing new for so long
    // [[key, entries]]
    std::vector<Entry> entries;
    const bool shaped = reply.kind == Reply::Kind::Array && reply.elements.size() == 1 &&
                        reply.elements[0].elements.size() == 2;
    if (!shaped || !take_entries(reply.elements[0].elements[1], entries)) return go_away();
    for (const Entry& entry : entries) take(entry);
    handler_.moved();
  }
  ask(epoch_command(), settings_.deadline, &Journal::heard_epoch_again);
}

void Journal::heard_epoch_again(const Reply& reply) {
  if (text_of(reply) != epoch_) return go_away();
  ask(last_command(), settings_.deadline, &Journal::heard_last);
}

// One that was evicted would keep us waiting for good.
void Journal::heard_last(const Reply& reply) {
  if (reply.kind != Reply::Kind::Array || reply.elements.empty()) return go_away();
  follow();
}

// ---- Epochs --------------------------------------------------------------------------------

// What was known of another epoch says nothing of this one.
void Journal::enter(const std::string& epoch) {
  if (epoch == epoch_) return;
  const bool missed = !epoch_.empty() || (remembered_ && remembered_->epoch != epoch);
  epoch_ = epoch;
  read_to_.reset();
  index_ = PurgeIndex();
  // What the old one was told nobody may have read.
  for (Unsent& one : unsent_) {
    one.at.reset();
    index_.add_unsent(one.purge);
  }
  ++telling_;
  sending_ = false;
  if (missed) {
    remembered_.reset();
    handler_.gap();
  }
}

void Journal::begin_epoch(bool replace) {
  beginning_ = settings_.writer + "." + std::to_string(++begun_);
  if (replace) {
    ask({"EVAL", std::string(kReplace), "1", settings_.key, epoch_, beginning_}, settings_.deadline,
        &Journal::heard_begun);
  } else {
    ask({"SET", settings_.key, beginning_, "NX"}, settings_.deadline, &Journal::heard_begun);
  }
}

void Journal::heard_begun(const Reply& reply) {
  const bool begun = reply.kind == Reply::Kind::Text || reply.integer == 1;
  if (!begun) return go_away();  // somebody else was first, and is making it
  ask({"XADD", settings_.key + ":" + beginning_, "*", std::string(kWriter), settings_.writer},
      settings_.deadline, &Journal::heard_made);
}

void Journal::heard_made(const Reply& reply) {
  if (!parse_position(text_of(reply))) return go_away();
  load();
}

// ---- Entries -------------------------------------------------------------------------------

// False if it is no list of entries. Each is [id, [field, value, ...]].
bool Journal::take_entries(const Reply& reply, std::vector<Entry>& entries) const {
  if (reply.kind != Reply::Kind::Array) return false;
  for (const Reply& one : reply.elements) {
    if (one.kind != Reply::Kind::Array || one.elements.size() != 2) return false;
    const auto at = parse_position(text_of(one.elements[0]));
    if (!at || (!entries.empty() && *at <= entries.back().at)) return false;
    Entry entry{.at = *at};
    Purge purge;
    bool known = false;
    const std::vector<Reply>& fields = one.elements[1].elements;
    for (std::size_t i = 0; i + 1 < fields.size(); i += 2) {
      const std::string& name = fields[i].text;
      const std::string& value = fields[i + 1].text;
      if (name == kKind) {
        // What a later release purges by is more than nothing.
        known = true;
        if (!parse_purge_kind(value, purge.kind)) purge.kind = Purge::Kind::All;
      } else if (name == kSoft) {
        purge.soft = value == "1";
      } else if (name == kWhat) {
        purge.what = value;
      } else if (name == kWriter) {
        entry.ours = value == settings_.writer;
      }
    }
    if (known) {
      if (purge.kind == Purge::Kind::All) purge.what.clear();
      entry.purge = std::move(purge);
    }
    entries.push_back(std::move(entry));
  }
  return true;
}

void Journal::take(const Entry& entry) {
  if (read_to_ && entry.at <= *read_to_) return;
  read_to_ = entry.at;
  if (entry.purge) {
    index_.add(*entry.purge, entry.at);
    const bool news = !entry.ours && (!remembered_ || entry.at > remembered_->position);
    if (news) handler_.purged(*entry.purge);
  }
  forget_told();
}

// What we have told, and have read again since, stands in the index by its position.
void Journal::forget_told() {
  while (!unsent_.empty() && unsent_.front().at && read_to_ && *unsent_.front().at <= *read_to_) {
    index_.remove_unsent(unsent_.front().purge);
    unsent_.pop_front();
  }
}

// ---- Telling -------------------------------------------------------------------------------

void Journal::add(const Purge& purge) {
  if (unsent_.size() < settings_.most_unsent) {
    index_.add_unsent(purge);
    unsent_.push_back({purge, {}});
  } else {
    for (const Unsent& one : std::exchange(unsent_, {})) index_.remove_unsent(one.purge);
    const Purge everything;
    index_.add_unsent(everything);
    unsent_.push_back({everything, {}});
    // Whatever is being told does not stand for all of them.
    ++telling_;
    sending_ = false;
  }
  if (!send_again_.pending()) send_again_.set_at(scheduler_, scheduler_.now(), [this] { send(); });
}

std::deque<Journal::Unsent>::iterator Journal::next_unsent() {
  return std::find_if(unsent_.begin(), unsent_.end(),
                      [](const Unsent& one) { return !one.at.has_value(); });
}

// One at a time, so that they stay in order. Not while the epoch may be about to change: that it
// was told to an old one would help nobody.
void Journal::send() {
  const auto next = next_unsent();
  if (sending_ || state_ != State::Following || next == unsent_.end()) return;
  const Purge& purge = next->purge;
  const std::uint64_t telling = ++telling_;
  sending_ =
      writes_.call({"XADD", stream(), "NOMKSTREAM", "MAXLEN", "~", std::to_string(settings_.kept),
                    "*", std::string(kKind), std::string(to_string(purge.kind)), std::string(kSoft),
                    purge.soft ? "1" : "0", std::string(kWhat), purge.what, std::string(kWriter),
                    settings_.writer},
                   scheduler_.now() + settings_.deadline, [this, telling](const Reply& reply) {
                     if (telling == telling_) sent(reply);
                   });
  if (!sending_) send_again_.set_after(scheduler_, settings_.pause, [this] { send(); });
}

void Journal::sent(const Reply& reply) {
  sending_ = false;
  const auto next = next_unsent();
  const auto at = parse_position(text_of(reply));
  if (!at || next == unsent_.end()) {
    // The stream is gone, or the node is. It may be there twice then, which does no harm.
    if (reply.kind == Reply::Kind::Nil && state_ == State::Following) go_away();
    send_again_.set_after(scheduler_, settings_.pause, [this] { send(); });
    return;
  }
  next->at = at;
  forget_told();  // it may have been read before the node's answer was
  handler_.moved();
  send();
}

// ---- Places --------------------------------------------------------------------------------

std::string to_string(const Journal::Place& place) {
  return place.epoch + "/" + to_string(place.position);
}

std::optional<Journal::Place> parse_place(std::string_view text) {
  const std::size_t slash = text.rfind('/');
  if (slash == std::string_view::npos || slash == 0) return std::nullopt;
  const auto position = parse_position(text.substr(slash + 1));
  if (!position) return std::nullopt;
  return Journal::Place{std::string(text.substr(0, slash)), *position};
}

}  // namespace holdfast::fleet
