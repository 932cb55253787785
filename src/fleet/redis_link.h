// RedisLink is a connection to a Redis or Valkey node: opened by itself, kept, and opened
// anew when it ends, when a reply is overdue, or when what comes is no reply. Origin loop only;
// never blocks.
//
//   away -> connecting -> greeting -> ready -> away
//
// Greeting is AUTH and SELECT, where they are asked for, and PING. A connection is ready once PING
// was answered: a process that stands still takes connections all the same, so that after
// the first reply that is overdue nobody waits for it. Away lasts for a random part of a time that
// doubles, from 50 ms to 2 s, until a command is answered.
//
// Of hiredis its reader and its formatter are used, and not its asynchronous interface: a
// reply that nobody asked for ends the whole process there (an assertion: hiredis issue 1039), and
// a reply may be of any length.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/event_loop.h"
#include "base/random.h"
#include "base/unique_fd.h"
#include "fleet/endpoint.h"
#include "fleet/link.h"

struct redisReader;

namespace holdfast::fleet {

class RedisLink final : public Link {
 public:
  struct Settings {
    Endpoint endpoint;
    std::string password;  // empty: none is sent
    // From the attempt to connect until the answer to PING.
    base::Duration greeting_deadline = std::chrono::seconds(1);
    base::Duration backoff_base = std::chrono::milliseconds(50);
    base::Duration backoff_cap = std::chrono::seconds(2);
    // Commands under way, and their bytes.
    std::size_t most_commands = 256;
    std::size_t most_bytes = std::size_t{4} * 1024 * 1024;
    // What of a reply is held while its end is not there; more ends the connection.
    std::size_t longest_reply_bytes = std::size_t{1} * 1024 * 1024 + 64 * 1024;
  };
  // The addresses of the endpoint's host, numeric, most preferred first; empty while nobody knows
  // one. Asked for each time a connection is opened; not for a Unix socket.
  using Addresses = std::function<std::vector<std::string>()>;
  // Told when it becomes ready (then `reason` is empty), and why it no longer is, or could not be.
  // Never inside call(), nor may it destroy the link.
  using Changed = std::function<void(bool ready, const std::string& reason)>;

  RedisLink(base::EventLoop& loop, Settings settings, Addresses addresses, Changed changed,
            std::uint64_t seed);
  ~RedisLink() override;
  RedisLink(const RedisLink&) = delete;
  RedisLink& operator=(const RedisLink&) = delete;

  bool ready() const override { return state_ == State::Ready; }
  bool call(const Command& command, base::SteadyTime deadline, Done done) override;

 private:
  enum class State { Away, Connecting, Greeting, Ready };
  struct Pending {
    base::SteadyTime deadline;
    std::size_t bytes;
    Done done;
  };
  struct ReaderDeleter {
    void operator()(redisReader* reader) const;
  };

  void connect();
  std::string open_socket();
  void greet();
  void greeted(const std::string& step, const Reply& reply);
  bool send(const Command& command, base::SteadyTime deadline, Done done);
  void go_away(const std::string& reason);
  void arm_deadline(base::SteadyTime when);
  void check_deadlines();

  static void on_event(void* self, unsigned events);
  bool write();
  void read();
  bool take_replies();

  base::EventLoop& loop_;
  const Settings settings_;
  const Addresses addresses_;
  const Changed changed_;
  base::Random random_;

  State state_ = State::Away;
  int failures_ = 0;               // since a command was last answered
  std::size_t next_address_ = 0;   // which of them is tried next
  std::uint64_t connections_ = 0;  // how many there were: tells one from the next
  std::deque<Pending> pending_;    // in the order of their replies
  std::size_t pending_bytes_ = 0;
  std::string out_;  // not yet written
  base::SteadyTime armed_for_ = base::SteadyTime::max();
  base::Timer deadline_;
  base::Timer next_;  // connects; or ends what does not become ready
  base::UniqueFd fd_;
  std::unique_ptr<redisReader, ReaderDeleter> reader_;
  std::unique_ptr<base::FdWatch> watch_;
};

}  // namespace holdfast::fleet
