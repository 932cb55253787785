// Server and ServerCore: the table of connections and what they share. An
// ExchangeId is the connection's slot in its low bits and a sequence number of
// that slot above, which goes on when the slot is used again: so an id is never
// given out twice, and an answer that comes too late finds nobody.
#include "http/server.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "http/connection.h"
#include "http/listener.h"
#include "http/problem.h"
#include "http/server_core.h"

namespace holdfast::http {
namespace {

using namespace std::chrono_literals;

// A million connections; 44 bits of sequence last for years at any rate.
constexpr unsigned kSlotBits = 20;
constexpr std::size_t kMaxSlots = std::size_t{1} << kSlotBits;
// Read beyond the largest head, so that a read is worth its system call.
constexpr std::size_t kReadBytes = 16U << 10;
constexpr base::Duration kLingerTimeout = 2s;
// How many idle connections are looked at to find one without unread bytes.
constexpr int kMostVictims = 8;
// How long a client may keep a place that another needs while it sends nothing more,
// or takes nothing.
constexpr base::Duration kPlaceKept = 1s;

// Whether the other end of a Unix socket is of our own user, or root's.
bool is_own_peer(int fd) {
  ucred peer{};
  socklen_t size = sizeof peer;
  return ::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 &&
         (peer.uid == ::geteuid() || peer.uid == 0);
}

}  // namespace

ServerCore::ServerCore(Server& the_server, base::EventLoop& the_loop,
                       const Server::Settings& the_settings, Handler& the_handler,
                       observe::Metrics& metrics, observe::Shard& shard)
    : server(the_server),
      loop(the_loop),
      settings(the_settings),
      handler(the_handler),
      parser({.head_bytes = settings.max_head_bytes,
              .target_bytes = settings.max_target_bytes,
              .fields = settings.max_fields}),
      writer(the_loop.clock()),
      read_buffer_bytes(settings.max_head_bytes + kReadBytes),
      read_buffer(std::make_unique_for_overwrite<char[]>(read_buffer_bytes)),
      shard_(shard),
      accepted_(metrics.counter(observe::Family::ConnectionsAccepted)),
      abandoned_(metrics.counter(observe::Family::RequestsAbandoned)),
      silent_(settings.idle_timeout),
      idle_(settings.idle_timeout),
      head_(settings.head_timeout),
      body_(settings.body_timeout),
      write_(settings.write_timeout),
      linger_(kLingerTimeout),
      limits_(settings.client_limits.get()),
      places_(settings.places ? settings.places
                              : std::make_shared<ConnectionPlaces>(settings.max_connections, 1)) {
  const auto register_all = [&metrics](auto& counters, observe::Family family, const auto& names) {
    for (std::size_t i = 0; i < names.size(); ++i) {
      counters[i] = metrics.counter(family, {{"reason", std::string(names[i])}});
    }
  };
  register_all(refused_, observe::Family::ConnectionsRefused, kRefuseNames);
  register_all(closed_, observe::Family::ConnectionsClosed, kCloseNames);
  register_all(rejected_, observe::Family::RequestsRejected, kRejectNames);
  limited_ = metrics.counter(observe::Family::RequestsLimited, {{"reason", "client_rate"}});
  for (const base::Resource resource : base::kResources) {
    shortages_[static_cast<std::size_t>(resource)] = metrics.counter(
        observe::Family::ResourceShortages, {{"resource", std::string(to_string(resource))}});
  }
  member_.nudge = [this, alive = std::weak_ptr(alive_)] {
    if (nudged_.exchange(true)) return;
    loop.post([this, alive] {
      if (alive.expired()) return;
      nudged_ = false;
      for (std::size_t left = places_->claim_requests(); left > 0 && evict_idlest(); --left) {
      }
      (void)give_way();
    });
  };
  places_->join(member_);
}

ServerCore::~ServerCore() {
  places_->leave(member_);
  listeners_.clear();
  for (auto& slot : slots_) {
    if (!slot.connection) continue;
    const ExchangeId exchange = slot.connection->exchange();
    stop_counting(slot);
    places_->give_back();
    note_silent(slot.connection->waiting_for(), Wait::None);
    slot.connection.reset();
    if (exchange != 0) handler.abandoned(exchange);
  }
}

Server::Stats ServerCore::stats() const {
  return {connections_.load(std::memory_order_relaxed), in_flight_.load(std::memory_order_relaxed)};
}

void ServerCore::take(const Server::Settings& now) {
  settings.max_requests_per_connection = now.max_requests_per_connection;
  silent_.set_timeout(now.idle_timeout);
  idle_.set_timeout(now.idle_timeout);
  head_.set_timeout(now.head_timeout);
  body_.set_timeout(now.body_timeout);
  write_.set_timeout(now.write_timeout);
  settings.sweep_interval = now.sweep_interval;
  if (sweep_timer_.pending()) arm_sweep();
}

// Accepting

void ServerCore::stop_counting(Slot& slot) {
  if (std::exchange(slot.counted, false)) {
    limits_->remove_connection(slot.connection->address().key());
  }
}

void ServerCore::listen(base::UniqueFd socket) {
  listeners_.push_back(std::make_unique<Listener>(
      loop, std::move(socket),
      [this](base::UniqueFd fd, const ClientAddress& address) { accept(std::move(fd), address); },
      [this](base::Resource resource) { return lacks(resource); },
      [this] { shard_.add(refused_[static_cast<std::size_t>(RefuseReason::Descriptors)]); }));
}

void ServerCore::accept(base::UniqueFd fd, const ClientAddress& address) {
  shard_.add(accepted_);
  if (settings.same_user_only && !is_own_peer(fd.get())) {
    return refuse(fd.get(), RefuseReason::Credentials, 403, "another user's socket", address);
  }
  using Added = ClientLimits::Added;
  const Added added = limits_ ? limits_->add_connection(address.key()) : Added::Uncounted;
  if (added == Added::Refused) {
    return refuse(fd.get(), RefuseReason::ClientConnections, 429,
                  "too many connections from this address", address);
  }
  if (!take_place()) {
    if (added == Added::Counted) limits_->remove_connection(address.key());
    return refuse(fd.get(), RefuseReason::Connections, 503, "too many connections", address);
  }

  std::uint32_t index;
  if (free_slots_.empty()) {
    index = static_cast<std::uint32_t>(slots_.size());
    slots_.emplace_back();
    free_slots_.reserve(slots_.capacity());  // so that close() cannot fail
  } else {
    index = free_slots_.back();
    free_slots_.pop_back();
  }
  slots_[index].connection = std::make_unique<Connection>(*this, std::move(fd), address, index);
  slots_[index].counted = added == Added::Counted;
  connections_.store(connections_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  if (!sweep_timer_.pending()) arm_sweep();
  slots_[index].connection->start();
  places_->count_silent(-1);
}

bool ServerCore::take_place() {
  const std::size_t held = connections_.load(std::memory_order_relaxed);
  if (held >= kMaxSlots) return false;
  auto taken = places_->take();
  if (taken == ConnectionPlaces::Taken::No && make_room()) taken = places_->take();
  if (taken != ConnectionPlaces::Taken::Borrowed) return taken == ConnectionPlaces::Taken::Yes;
  // Where none is idle, those make room by and by that have more than their part.
  if (give_way() || places_->below_share(held) || make_room()) return true;
  places_->give_back();
  places_->count_silent(-1);
  return false;
}

// While there are too many, the longest idle one of all servers goes; this one closes its own,
// and leaves others' to them. False: there is none.
bool ServerCore::give_way() {
  while (places_->over()) {
    bool is_ours = false;
    if (!places_->nudge_idlest(&member_, &is_ours)) return false;
    if (!is_ours) return true;
    // Another's may have ended since: then it is no more the longest idle one, and there is
    // room again.
    if (places_->over() && !evict_idlest()) return false;
  }
  return true;
}

// A new client matters more than one that has said nothing for longest. But those that never
// said anything shall not push all others out: where they are most, it is one of them.
bool ServerCore::evict_idlest() {
  const base::TimeoutList* lists[] = {&silent_, &idle_};
  const base::TimeoutHook* const silent = silent_.front();
  const base::TimeoutHook* const idle = idle_.front();
  if (!places_->mostly_silent() && idle != nullptr &&
      (silent == nullptr || idle_.since(*idle) <= silent_.since(*silent))) {
    std::swap(lists[0], lists[1]);
  }
  for (const base::TimeoutList* list : lists) {
    base::TimeoutHook* hook = list->front();
    for (int i = 0; i < kMostVictims && hook != nullptr; ++i, hook = list->after(*hook)) {
      auto& victim = static_cast<Connection&>(*hook);
      if (victim.has_unread()) continue;  // it has just spoken
      close(victim, CloseReason::Evicted);
      return true;
    }
  }
  return false;
}

// One of our own: an idle one; and if none is, one that we have waited for in vain for a while.
bool ServerCore::make_room() {
  if (evict_idlest()) return true;
  const auto long_ago = loop.now() - kPlaceKept;
  for (const base::TimeoutList* list : {&linger_, &write_, &head_, &body_}) {
    base::TimeoutHook* hook = list->front();
    if (hook == nullptr || list->since(*hook) > long_ago) continue;
    static_cast<Connection*>(hook)->cut_off(CloseReason::Evicted);
    return true;
  }
  return false;
}

Listener::Relief ServerCore::lacks(base::Resource resource) {
  shard_.add(shortages_[static_cast<std::size_t>(resource)]);
  if (resource != base::Resource::Descriptors) return Listener::Relief::None;
  if (evict_idlest()) return Listener::Relief::Now;
  return places_->make_room() ? Listener::Relief::Soon : Listener::Relief::None;
}

// On the serving path: what has not changed is not looked at, as it is far away in memory.
void ServerCore::note_idle(const base::TimeoutHook* moved) {
  const auto note = [moved](const base::TimeoutList& list, const base::TimeoutHook*& known,
                            std::atomic<base::Duration::rep>& since) {
    const base::TimeoutHook* const first = list.front();
    if (first == known && first != moved) return;
    known = first;
    since.store(first == nullptr ? ConnectionPlaces::Member::kNever
                                 : list.since(*first).time_since_epoch().count(),
                std::memory_order_release);  // behind the place that is given back
  };
  note(idle_, idlest_, member_.idle_since);
  note(silent_, most_silent_, member_.silent_since);
}

void ServerCore::note_silent(Wait before, Wait now) {
  if ((before == Wait::Silent) != (now == Wait::Silent)) {
    places_->count_silent(now == Wait::Silent ? 1 : -1);
  }
}

// Tells a client that there is no place for it: as well as can be done without
// giving it one.
void ServerCore::refuse(int fd, RefuseReason reason, int status, std::string_view detail,
                        const ClientAddress& address) {
  const auto index = static_cast<std::size_t>(reason);
  shard_.add(refused_[index]);
  handler.rejected({status, kRefuseNames[index], detail, address.text()});
  writer.update_date(loop.woken());
  const std::string body = problem_json(status, detail);
  writer.write(late,
               {.status = status,
                .fields = kProblemFields,
                .more_fields = "Retry-After: 1\r\n",
                .body = body,
                .close = true},
               {.to_head = false, .to_http10 = false, .keep_alive = false});
  (void)!::send(fd, late.data(), late.size(), MSG_NOSIGNAL);
  late.clear();
  ::shutdown(fd, SHUT_WR);
  // What has arrived must be read, or closing resets the connection.
  (void)!::recv(fd, read_buffer.get(), read_buffer_bytes, 0);
}

// Exchanges

ExchangeId ServerCore::new_exchange(std::uint32_t slot) {
  return (++slots_[slot].sequence << kSlotBits) | slot;
}

Connection* ServerCore::find(ExchangeId id) {
  if (id == 0) return nullptr;  // what a connection without an exchange has
  const std::size_t slot = id & (kMaxSlots - 1);
  Connection* connection = slot < slots_.size() ? slots_[slot].connection.get() : nullptr;
  return connection != nullptr && connection->exchange() == id ? connection : nullptr;
}

void ServerCore::respond(ExchangeId id, const Response& response) {
  Connection* const connection = find(id);
  if (connection == nullptr) return;
  if (connection == current_) {
    connection->answer_now(response);
  } else {
    connection->answer_late(response);
  }
}

void ServerCore::interim(ExchangeId id, int status, std::string_view fields) {
  Connection* const connection = find(id);
  if (connection != nullptr) connection->write_interim(status, fields, connection == current_);
}

void ServerCore::resume_soon(Connection& connection) {
  if (connection.resume_queued) return;
  connection.resume_queued = true;
  to_resume_.push_back(connection.slot());
  if (!resume_timer_.pending()) resume_timer_.set_at(loop, loop.now(), [this] { resume_all(); });
}

void ServerCore::resume_all() {
  std::vector<std::uint32_t> slots;
  slots.swap(to_resume_);
  for (const std::uint32_t slot : slots) {
    Connection* connection = slots_[slot].connection.get();
    if (connection != nullptr && connection->resume_queued) connection->resume();
  }
}

base::Duration ServerCore::take_token(const ClientAddress& client, base::SteadyTime now) {
  if (!limits_ || !limits_->limits_rate()) return {};
  const auto wait = limits_->take_token(client.key(), now);
  if (wait > base::Duration::zero()) {
    shard_.add(limited_);
    handler.rejected({429, "client_rate", "too many requests from this address", client.text()});
  }
  return wait;
}

void ServerCore::reject(RejectReason reason, int status, std::string_view detail,
                        std::string_view client) {
  count_rejected(reason);
  handler.rejected({status, kRejectNames[static_cast<std::size_t>(reason)], detail, client});
}

void ServerCore::close(Connection& connection, CloseReason reason) {
  shard_.add(closed_[static_cast<std::size_t>(reason)]);
  const ExchangeId exchange = connection.exchange();
  const bool answered = connection.answer_is_whole();
  if (exchange != 0 && !answered && !connection.client_ended()) count_abandoned();
  const std::uint32_t slot = connection.slot();
  stop_counting(slots_[slot]);
  places_->give_back();
  note_silent(connection.waiting_for(), Wait::None);
  slots_[slot].connection.reset();
  note_idle(nullptr);
  free_slots_.push_back(slot);
  connections_.store(connections_.load(std::memory_order_relaxed) - 1, std::memory_order_relaxed);
  finish_drain_if_empty();
  if (exchange == 0) return;
  answered ? handler.answered(exchange) : handler.abandoned(exchange);
}

// Not at once: the caller may be inside any of its connections.
void ServerCore::count_unsent(std::size_t before, std::size_t after) {
  unsent_ += after - before;
  if (unsent_ <= settings.max_unsent_bytes || unsent_timer_.pending()) return;
  unsent_timer_.set_at(loop, loop.now(), [this] { cut_off_slowest_readers(); });
}

void ServerCore::cut_off_slowest_readers() {
  while (unsent_ > settings.max_unsent_bytes) {
    base::TimeoutHook* slowest = write_.front();
    if (slowest == nullptr) return;
    static_cast<Connection*>(slowest)->cut_off(CloseReason::Limit);
  }
}

// Timeouts

void ServerCore::wait(Connection& connection, Wait wait, base::SteadyTime now) {
  note_silent(connection.waiting_for(), wait);
  connection.set_waiting_for(wait);
  switch (wait) {
    case Wait::None:
      connection.unlink();
      break;
    case Wait::Silent:
      silent_.add(connection, now);
      break;
    case Wait::Idle:
      idle_.add(connection, now);
      break;
    case Wait::Head:
      head_.add(connection, now);
      break;
    case Wait::Body:
      body_.add(connection, now);
      break;
    case Wait::Write:
      write_.add(connection, now);
      break;
    case Wait::Linger:
      linger_.add(connection, now);
      break;
  }
  note_idle(&connection);
}

void ServerCore::arm_sweep() {
  sweep_timer_.set_after(loop, settings.sweep_interval, [this] { sweep(); });
}

void ServerCore::sweep() {
  const auto now = loop.woken();
  for (base::TimeoutList* list : {&silent_, &idle_, &head_, &body_, &write_, &linger_}) {
    // Each either ends here or moves to another list, or to this one's end.
    while (base::TimeoutHook* hook = list->due(now)) static_cast<Connection*>(hook)->time_out();
  }
  // Those of others that were told to go may take a while: ours do not go in their place.
  if (places_->over() && !give_way()) {
    while (places_->wanted_back(connections_.load(std::memory_order_relaxed)) && make_room()) {
    }
  }
  if (connections_.load(std::memory_order_relaxed) > 0) arm_sweep();
}

// Draining

void ServerCore::drain(std::function<void()> done) {
  drained_ = std::move(done);
  // Not at once: the caller may be inside the handler, and so inside a connection.
  drain_timer_.set_at(loop, loop.now(), [this] { start_drain(); });
}

void ServerCore::start_drain() {
  draining_ = true;
  grace_timer_.set_after(loop, settings.drain_grace, [this] { read_last_of_all(); });
  for (const auto& listener : listeners_) listener->accept_rest();
  listeners_.clear();
  read_last_of_all();
}

void ServerCore::read_last_of_all() {
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    if (slots_[i].connection) slots_[i].connection->read_last_and_drain();
  }
  finish_drain_if_empty();
}

void ServerCore::finish_drain_if_empty() {
  if (!draining_ || !drained_ || connections_.load(std::memory_order_relaxed) > 0) return;
  // Not at once either: `done` may destroy the server.
  drain_timer_.set_at(loop, loop.now(), std::exchange(drained_, nullptr));
}

// Server

struct Server::State {
  ServerCore core;
};

Server::Server(base::EventLoop& loop, Settings settings, Handler& handler,
               observe::Metrics& metrics, observe::Shard& shard)
    : state_(new State{{*this, loop, settings, handler, metrics, shard}}) {}

Server::Server() = default;

Server::~Server() = default;

void Server::take(const Settings& settings) {
  state_->core.take(settings);
}

void Server::listen(base::UniqueFd socket) {
  state_->core.listen(std::move(socket));
}

void Server::respond(ExchangeId id, const Response& response) {
  state_->core.respond(id, response);
}

void Server::interim(ExchangeId id, int status, std::string_view fields) {
  state_->core.interim(id, status, fields);
}

void Server::begin(ExchangeId id, const ResponseHead& head) {
  if (Connection* connection = state_->core.find(id)) connection->begin_answer(head);
}

bool Server::write(ExchangeId id, std::string_view piece) {
  if (Connection* connection = state_->core.find(id)) connection->write_piece(piece);
  const Connection* connection = state_->core.find(id);  // it may be gone by now
  return connection == nullptr || !connection->has_unsent();
}

void Server::end(ExchangeId id) {
  if (Connection* connection = state_->core.find(id)) connection->end_answer();
}

void Server::cut(ExchangeId id) {
  if (Connection* connection = state_->core.find(id)) connection->cut_answer();
}

void Server::take_content(ExchangeId id, std::size_t bytes) {
  if (Connection* connection = state_->core.find(id)) connection->allow_content(bytes);
}

void Server::for_client_alone(ExchangeId id) {
  if (Connection* connection = state_->core.find(id)) connection->set_for_client_alone();
}

void Server::drain(std::function<void()> done) {
  state_->core.drain(std::move(done));
}

Server::Stats Server::stats() const {
  return state_->core.stats();
}

}  // namespace holdfast::http
