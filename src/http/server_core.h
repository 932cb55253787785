// ServerCore is what the connections of one Server share: settings, the handler,
// buffers, timeouts, counters and the table of exchanges. Internal to this
// folder. Loop's thread, but for the two relaxed counters.
#pragma once

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <vector>

#include "base/resource.h"
#include "base/scheduler.h"
#include "base/timeout_list.h"
#include "http/byte_buffer.h"
#include "http/client_address.h"
#include "http/client_limits.h"
#include "http/connection_places.h"
#include "http/listener.h"
#include "http/rejection.h"
#include "http/request_parser.h"
#include "http/response_writer.h"
#include "http/server.h"

namespace holdfast::http {

class Connection;

// What a connection waits for, each with its own timeout.
enum class Wait : std::uint8_t { None, Silent, Idle, Head, Body, Write, Linger };

class ServerCore {
 public:
  ServerCore(Server& server, base::EventLoop& loop, const Server::Settings& settings,
             Handler& handler, observe::Metrics& metrics, observe::Shard& shard);
  ~ServerCore();
  ServerCore(const ServerCore&) = delete;
  ServerCore& operator=(const ServerCore&) = delete;

  // For Server.
  void take(const Server::Settings& now);
  void listen(base::UniqueFd socket);
  void respond(ExchangeId id, const Response& response);
  void interim(ExchangeId id, int status, std::string_view fields);
  // The one whose exchange this is; null: it is over.
  Connection* find(ExchangeId id);
  void drain(std::function<void()> done);
  Server::Stats stats() const;

  // For Connection: what is shared.
  Server& server;
  base::EventLoop& loop;
  Server::Settings settings;
  Handler& handler;
  RequestParser parser;
  ResponseWriter writer;
  // Each read goes here, and requests are parsed here, whichever connection they
  // are of. What is left over moves to the connection.
  const std::size_t read_buffer_bytes;
  const std::unique_ptr<char[]> read_buffer;
  ByteBuffer batch;  // the answers of the connection that is being served
  ByteBuffer late;   // an answer on its way to any other; empty between calls

  std::size_t contents_held = 0;  // contents being collected for the handler

  bool draining() const { return draining_; }
  bool drain_grace_over() const { return !grace_timer_.pending(); }
  // The connection whose requests are being handled; at most one.
  void set_current(Connection* connection) { current_ = connection; }
  // A new exchange of the connection in `slot`.
  ExchangeId new_exchange(std::uint32_t slot);
  void count_in_flight(int change) {
    in_flight_.store(in_flight_.load(std::memory_order_relaxed) + static_cast<std::size_t>(change),
                     std::memory_order_relaxed);
  }
  // The memory of a connection's unsent answers was `before` bytes and is `after`.
  void count_unsent(std::size_t before, std::size_t after);
  // The client has left, as far as can be told, and its request was not answered.
  void count_abandoned() { shard_.add(abandoned_); }
  // Puts the connection on the list of `wait`, with its full timeout from `now`.
  void wait(Connection& connection, Wait wait, base::SteadyTime now);
  // Lets the connection go on with what it has buffered, soon but not now: the
  // caller may be inside the handler.
  void resume_soon(Connection& connection);
  // Whether the client may have another request now: zero, or how long to wait.
  base::Duration take_token(const ClientAddress& client, base::SteadyTime now);
  void count_rejected(RejectReason reason) {
    shard_.add(rejected_[static_cast<std::size_t>(reason)]);
  }
  void reject(RejectReason reason, int status, std::string_view detail, std::string_view client);
  // Destroys the connection.
  void close(Connection& connection, CloseReason reason);

 private:
  struct Slot {
    std::unique_ptr<Connection> connection;
    ExchangeId sequence = 0;  // of the last exchange; goes on over connections
    bool counted = false;     // by limits_
  };

  void stop_counting(Slot& slot);
  void accept(base::UniqueFd fd, const ClientAddress& address);
  bool take_place();
  bool give_way();
  bool evict_idlest();
  bool make_room();
  Listener::Relief lacks(base::Resource resource);
  void note_idle(const base::TimeoutHook* moved);
  void note_silent(Wait before, Wait now);
  void cut_off_slowest_readers();
  void refuse(int fd, RefuseReason reason, int status, std::string_view detail,
              const ClientAddress& address);
  void start_drain();
  void read_last_of_all();
  void finish_drain_if_empty();
  void arm_sweep();
  void sweep();
  void resume_all();

  observe::Shard& shard_;
  observe::Counter accepted_;
  observe::Counter abandoned_;
  std::array<observe::Counter, kRefuseNames.size()> refused_;
  std::array<observe::Counter, kCloseNames.size()> closed_;
  std::array<observe::Counter, kRejectNames.size()> rejected_;
  observe::Counter limited_;
  std::array<observe::Counter, base::kResources.size()> shortages_;
  std::atomic<std::size_t> connections_{0};
  std::atomic<std::size_t> in_flight_{0};

  std::vector<std::unique_ptr<Listener>> listeners_;
  base::TimeoutList silent_, idle_, head_, body_, write_, linger_;
  std::vector<Slot> slots_;
  std::vector<std::uint32_t> free_slots_;
  ClientLimits* const limits_;                      // the settings'; null: none
  const std::shared_ptr<ConnectionPlaces> places_;  // the settings', or our own
  ConnectionPlaces::Member member_;
  const base::TimeoutHook* idlest_ = nullptr;  // as member_ says; may be gone
  const base::TimeoutHook* most_silent_ = nullptr;
  std::atomic<bool> nudged_{false};
  // Posted work outlives us in the loop's mailbox; it asks this first.
  std::shared_ptr<char> alive_ = std::make_shared<char>();
  Connection* current_ = nullptr;
  std::vector<std::uint32_t> to_resume_;
  std::size_t unsent_ = 0;

  bool draining_ = false;
  std::function<void()> drained_;
  base::Timer sweep_timer_, resume_timer_, drain_timer_, grace_timer_, unsent_timer_;
};

}  // namespace holdfast::http
