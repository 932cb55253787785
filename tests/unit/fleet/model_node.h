// ModelNode is a Redis node as far as fleet uses one, in memory and on a virtual clock: what it
// keeps, what it forgets, and how it fails. ModelLink is a link to one. tests/fleet holds what it
// answers against a real one.
#pragma once

#include <algorithm>
#include <charconv>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/random.h"
#include "base/scheduler.h"
#include "fleet/link.h"
#include "fleet/position.h"

namespace holdfast::fleet::test {

inline Reply text_reply(std::string text) {
  return {.kind = Reply::Kind::Text, .text = std::move(text)};
}
inline Reply error_reply(std::string text) {
  return {.kind = Reply::Kind::Error, .text = std::move(text)};
}
inline Reply integer_reply(std::int64_t integer) {
  return {.kind = Reply::Kind::Integer, .integer = integer};
}
inline Reply array_reply(std::vector<Reply> elements) {
  return {.kind = Reply::Kind::Array, .elements = std::move(elements)};
}

class ModelNode {
 public:
  using Command = Link::Command;
  struct Entry {
    Position at;
    std::vector<std::string> fields;
  };

  explicit ModelNode(base::Scheduler& scheduler) : scheduler_(scheduler) {}

  // What a test may change.
  bool up = true;
  bool stalled = false;                // takes commands, and answers none
  std::optional<std::string> refuses;  // what it says to everything instead
  std::size_t kept = SIZE_MAX;         // of the journal, whatever MAXLEN says
  std::chrono::milliseconds clock_offset{0};

  // Called when something is appended.
  std::vector<std::function<void()>> waiting;

  std::map<std::string, std::string> values;
  std::map<std::string, base::SteadyTime> expires;
  struct Stream {
    std::deque<Entry> entries;
    Position last;  // even when it has been cut
  };
  std::map<std::string, Stream> streams;

  void lose_all() {
    values.clear();
    expires.clear();
    streams.clear();
  }

  // None: it waits (XREAD BLOCK with nothing new).
  std::optional<Reply> run(const Command& command) {
    if (refuses) return error_reply(*refuses);
    const std::string& name = command.at(0);
    forget_expired();
    if (name == "GET") {
      const auto found = values.find(command.at(1));
      return found == values.end() ? Reply{} : text_reply(found->second);
    }
    if (name == "SET") return set(command);
    if (name == "UNLINK") {
      expires.erase(command.at(1));
      return integer_reply(static_cast<std::int64_t>(values.erase(command.at(1))));
    }
    if (name == "XADD") return append(command);
    if (name == "XRANGE") return range(command);
    if (name == "XREVRANGE") {
      std::vector<Reply> entries;
      const auto stream = streams.find(command.at(1));
      if (stream != streams.end()) entries.push_back(to_reply(stream->second.entries.back()));
      return array_reply(std::move(entries));
    }
    if (name == "EVAL") return replace(command);
    if (name == "XREAD") return read(command);
    throw std::logic_error("not modelled: " + name);
  }

 private:
  void forget_expired() {
    std::erase_if(expires, [&](const auto& entry) {
      const bool gone = entry.second <= scheduler_.now();
      if (gone) values.erase(entry.first);
      return gone;
    });
  }

  // SET key value [EX seconds | PX milliseconds] [NX]
  Reply set(const Command& command) {
    const std::string& key = command.at(1);
    std::optional<base::Duration> lifetime;
    for (std::size_t i = 3; i < command.size(); ++i) {
      if (command[i] == "NX" && values.contains(key)) return {};
      if (command[i] == "EX") lifetime = std::chrono::seconds(std::stoll(command.at(i + 1)));
      if (command[i] == "PX") lifetime = std::chrono::milliseconds(std::stoll(command.at(i + 1)));
    }
    values[key] = command.at(2);
    expires.erase(key);
    if (lifetime) expires[key] = scheduler_.now() + *lifetime;
    return text_reply("OK");
  }

  // EVAL (the script that replaces) 1 key before after
  Reply replace(const Command& command) {
    const auto found = values.find(command.at(3));
    if (found == values.end() || found->second != command.at(4)) return integer_reply(0);
    found->second = command.at(5);
    return integer_reply(1);
  }

  // XADD key [NOMKSTREAM] [MAXLEN ~ n] * field value ...
  Reply append(const Command& command) {
    std::size_t word = 2;
    const bool exists = streams.contains(command.at(1));
    if (command.at(word) == "NOMKSTREAM") {
      if (!exists) return {};
      ++word;
    }
    std::size_t most = SIZE_MAX;
    if (command.at(word) == "MAXLEN") {
      most = std::stoul(command.at(word + 2));
      word += 3;
    }
    if (command.at(word) != "*") throw std::logic_error("not modelled: an id");
    const auto wall = scheduler_.clock().wall().time_since_epoch() + clock_offset;
    Stream& stream = streams[command.at(1)];
    Position at{static_cast<std::uint64_t>(wall.count()), 0};
    if (at <= stream.last) at = {stream.last.time, stream.last.sequence + 1};
    stream.last = at;
    stream.entries.push_back(
        {at, {command.begin() + static_cast<std::ptrdiff_t>(word) + 1, command.end()}});
    while (stream.entries.size() > std::min(most, kept)) stream.entries.pop_front();
    for (auto& wake : std::exchange(waiting, {})) scheduler_.post(std::move(wake));
    return text_reply(to_string(at));
  }

  static Reply to_reply(const Entry& entry) {
    std::vector<Reply> fields;
    for (const std::string& field : entry.fields) fields.push_back(text_reply(field));
    return array_reply({text_reply(to_string(entry.at)), array_reply(std::move(fields))});
  }

  std::vector<Reply> entries_from(const std::string& key, const Position& from,
                                  std::size_t count) const {
    std::vector<Reply> entries;
    const auto stream = streams.find(key);
    if (stream == streams.end()) return entries;
    for (const Entry& entry : stream->second.entries) {
      if (entry.at >= from && entries.size() < count) entries.push_back(to_reply(entry));
    }
    return entries;
  }

  // XRANGE key start + COUNT n
  Reply range(const Command& command) const {
    const Position from = command.at(2) == "-" ? Position() : *parse_position(command.at(2));
    return array_reply(entries_from(command.at(1), from, std::stoul(command.at(5))));
  }

  // XREAD COUNT n BLOCK ms STREAMS key id
  std::optional<Reply> read(const Command& command) const {
    Position from = *parse_position(command.at(7));
    ++from.sequence;
    std::vector<Reply> entries = entries_from(command.at(6), from, std::stoul(command.at(2)));
    if (entries.empty()) return std::nullopt;
    return array_reply({array_reply({text_reply(command.at(6)), array_reply(std::move(entries))})});
  }

  base::Scheduler& scheduler_;
};

// Commands reach the node after a while and in order, and so do its replies.
class ModelLink final : public Link {
 public:
  ModelLink(base::Scheduler& scheduler, ModelNode& node, std::uint64_t seed = 1)
      : scheduler_(scheduler), node_(node), random_(seed) {}

  // Of each way, at most; by chance below that.
  base::Duration delay{std::chrono::milliseconds(1)};
  std::size_t calls = 0;

  bool ready() const override { return connected_ && node_.up; }

  bool call(const Command& command, base::SteadyTime deadline, Done done) override {
    if (!ready()) return false;
    ++calls;
    pending_.push_back({++last_, deadline, std::move(done), command, {}, false, false});
    const std::uint64_t id = last_;
    arrives_ = std::max(arrives_, scheduler_.now() + random_.up_to(delay));
    scheduler_.call_at(arrives_, [this, id] { reach(id); });
    scheduler_.call_at(deadline, [this, id] { overdue(id); });
    return true;
  }

  // What is under way is lost, on its way there or on its way back; later it is there again.
  void cut(base::Duration away) {
    connected_ = false;
    for (const Pending& pending : std::exchange(pending_, {})) {
      Reply reply;
      reply.kind = pending.deadline <= scheduler_.now() ? Reply::Kind::Late : Reply::Kind::Lost;
      // Never inside a call.
      scheduler_.post([done = pending.done, reply] { done(reply); });
    }
    scheduler_.call_at(scheduler_.now() + away, [this] { connected_ = true; });
  }

 private:
  struct Pending {
    std::uint64_t id;
    base::SteadyTime deadline;
    Done done;
    Command command;
    std::optional<Reply> reply;
    bool reached;
    bool returning;
  };

  std::deque<Pending>::iterator find(std::uint64_t id) {
    return std::find_if(pending_.begin(), pending_.end(),
                        [&](const Pending& one) { return one.id == id; });
  }

  void reach(std::uint64_t id) {
    const auto pending = find(id);
    if (pending == pending_.end()) return;
    pending->reached = true;
    serve();
  }

  // In order: one that waits holds up those behind it.
  void serve() {
    for (Pending& pending : pending_) {
      if (pending.returning) continue;
      if (!pending.reached) return;
      if (!node_.up) return cut(std::chrono::milliseconds(50));
      if (node_.stalled) return look_again(std::chrono::milliseconds(10));
      auto reply = node_.run(pending.command);
      if (!reply) {
        const base::SteadyTime now = scheduler_.now();
        if (began_waiting_ != pending.id) {
          began_waiting_ = pending.id;
          waits_until_ = now + std::chrono::milliseconds(std::stoll(pending.command.at(4)));
        }
        if (now < waits_until_) {
          node_.waiting.emplace_back([this] { serve(); });
          return look_again(waits_until_ - now);
        }
        reply = Reply{};
      }
      pending.reply = std::move(reply);
      pending.returning = true;
      returns_ = std::max(returns_, scheduler_.now() + random_.up_to(delay));
      scheduler_.call_at(returns_, [this, id = pending.id] { give_back(id); });
    }
  }

  void look_again(base::Duration after) {
    again_.set_after(scheduler_, after, [this] { serve(); });
  }

  void give_back(std::uint64_t id) {
    const auto pending = find(id);
    if (pending == pending_.end()) return;
    const Done done = std::move(pending->done);
    Reply reply = *std::move(pending->reply);
    pending_.erase(pending);
    done(std::move(reply));
  }

  void overdue(std::uint64_t id) {
    if (find(id) != pending_.end()) cut(std::chrono::milliseconds(50));
  }

  base::Scheduler& scheduler_;
  ModelNode& node_;
  base::Random random_;
  bool connected_ = true;
  std::uint64_t last_ = 0;
  std::uint64_t began_waiting_ = 0;
  base::SteadyTime waits_until_{};
  base::SteadyTime arrives_{};
  base::SteadyTime returns_{};
  std::deque<Pending> pending_;
  base::Timer again_;
};

}  // namespace holdfast::fleet::test
