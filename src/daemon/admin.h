// Admin is the HTTP API on the Unix socket (ADMIN_SOCKET), for `holdfast admin`
// and for curl --unix-socket. JSON out; arguments in the query, of which none is guessed
// or passed over; POST for whatever changes something:
//
//   GET  /status                       what runs, what is stored, what the upstream does
//   GET  /inspect?WHAT                 what is stored for it, and its age
//   GET  /explain?path=/P[&host=H][&method=M][&field=Name: value]...[&text]
//                                      what would become of that request now, and why; `text`:
//                                      for people
//   POST /purge?WHAT | SET             forget it, in memory and store
//   POST /stale?WHAT | SET             keep it, but refresh it with its next use
//   POST /breaker?state=open|close|auto[&origin=NAME][&upstream=NAME]
//   POST /log-level?level=debug|info|warn|error     until the next reload
//   POST /drain                        as SIGTERM
//
// WHAT is ip=A, block=A/N (not to inspect), both of the first route that takes batches, or
// path=/P[&host=H][&field=Name: value]..., as a client would ask for it, its query with it.
//
// SET is route=NAME, tag=TAG, path=/P[&host=H]&variants (whatever the query and the fields) or all.
// Either is in force at once, and answered when it is on the disk, which it says ("durable") of a
// SET, and of anything that is not within two seconds.
//
// Only our own user and root get in. Lives on the control loop and asks the
// origin loop for what that owns, a few keys at a time; if that hangs, the client
// gets a 504 that says so. Everything given outlives it, and both loops' last
// callbacks come before its end.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/event_loop.h"
#include "daemon/admin_arguments.h"
#include "daemon/origin.h"
#include "http/server.h"

namespace holdfast::daemon {

class Admin final : public http::Handler {
 public:
  struct Parts {
    base::EventLoop& control;
    Origin& origin;
    cache::MemoryCache& memory;
    cache::Store& store;
    observe::Log& log;
    observe::Metrics& metrics;
    observe::Shard& shard;  // the control loop's
    observe::Health& health;
    std::function<void()> drain;
    // Settings that have changed and wait for a restart. On the control loop.
    std::function<std::vector<std::string>()> needs_restart;
    std::function<base::Duration()> request_deadline;
  };
  // `socket` listens already.
  Admin(Parts parts, base::UniqueFd socket);

  void handle(http::Server& server, http::ExchangeId id, const http::Request& request) override;
  void abandoned(http::ExchangeId id) override;
  std::size_t body_limit(http::Method, std::string_view) const override;
  void rejected(const http::Rejection& rejection) override;

 private:
  struct Reply {
    int status = 200;
    std::string body;              // JSON; for an error what is wrong, for people
    std::string_view fields = {};  // lines of literals, besides the usual ones
    bool text = false;             // the body is no JSON
    // How far the store is to have written before this is answered; 0: no matter.
    std::uint64_t written_through = 0;
    bool says_durable = false;  // also when it is
  };

  // What is to be done to a number of keys, on the origin loop.
  struct Errand {
    http::ExchangeId id;
    std::shared_ptr<const proxy::Routes> routes;  // that the keys are of
    std::vector<proxy::Routes::Named> keys;
    std::size_t next = 0;
    std::size_t count = 0;  // of those to whom it was done
    std::string note;
  };
  using Step = bool (Admin::*)(Errand&, const proxy::Routes::Named& named, Reply& failure);

  struct Waiting {
    std::string verb;
    std::optional<std::string> arguments;  // for the log; none: the verb changes nothing
    base::Timer timer;
  };

  // On the control loop.
  void wait_for_origin(http::ExchangeId id, std::string verb, std::optional<std::string> arguments);
  void log_change(const std::string& verb, const std::string& arguments, int status);
  void answer_waiting(http::ExchangeId id, const Reply& reply);
  void answer_when_written(http::ExchangeId id, Reply reply, base::SteadyTime until);
  void answer(http::ExchangeId id, const Reply& reply);
  // On the origin loop.
  void reply(http::ExchangeId id, Reply reply);
  void work(http::ExchangeId id, std::string_view verb, const AdminArguments& arguments);
  Reply status(const std::vector<std::string>& needs_restart);
  Reply inspect(const AdminArguments& arguments);
  Reply explain(const AdminArguments& arguments);
  Reply breaker(const AdminArguments& arguments);
  // What is named by more than its key; none: single keys.
  struct Set {
    cache::Purge::Kind kind;
    std::string what;
    std::string_view name;  // of the argument
    std::string shown;
  };
  base::Result<std::optional<Set>> set_of(const AdminArguments& arguments) const;
  void purge(http::ExchangeId id, const AdminArguments& arguments, bool soft);
  void start_errand(http::ExchangeId id, const AdminArguments& arguments, std::string_view done,
                    Step step);
  void continue_errand(std::shared_ptr<Errand> errand, std::string_view done, Step step);
  bool purge_key(Errand& errand, const proxy::Routes::Named& named, Reply& failure);
  bool mark_stale(Errand& errand, const proxy::Routes::Named& named, Reply& failure);

  base::Result<std::vector<proxy::Routes::Named>> keys_of(const AdminArguments& arguments) const;

  Parts parts_;
  std::unordered_map<http::ExchangeId, Waiting> waiting_;  // for the origin loop
  http::Server server_;
};

}  // namespace holdfast::daemon
