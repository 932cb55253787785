// c-ares calls back from within its own functions, and must not be destroyed there; nor
// may a caller of ours be called inside its own call. So answers are put by, and handed
// out by a timer that is due at once.
//
// A change of resolv.conf makes a new channel and asks on it what was being asked on the
// old one; the callers do not notice.
#include "upstream/cares_source.h"

#include <ares.h>
#include <arpa/inet.h>

#include <algorithm>
#include <climits>
#include <deque>
#include <fstream>
#include <iterator>
#include <map>
#include <stdexcept>
#include <utility>

#include "upstream/hosts_file.h"

namespace holdfast::upstream {
namespace {

// c-ares reads it too, and its path is not to be chosen.
constexpr const char* kNsswitch = "/etc/nsswitch.conf";

void require_cares() {
  static const int status = ::ares_library_init(ARES_LIB_INIT_ALL);
  if (status != ARES_SUCCESS) {
    throw std::runtime_error(std::string("c-ares: ") + ::ares_strerror(status));
  }
}

NameAnswer without_addresses(int status) {
  switch (status) {
    case ARES_ENOTFOUND:
    case ARES_ENONAME:
      return {NameAnswer::Kind::NoName, {}, {}, "NXDOMAIN"};
    case ARES_ENODATA:
      return {NameAnswer::Kind::NoData, {}, {}, "no address"};
    case ARES_ETIMEOUT:
      return {NameAnswer::Kind::Failed, {}, {}, "no answer from the name servers"};
    case ARES_ECONNREFUSED:  // also what c-ares 1.18 makes of SERVFAIL and REFUSED from all of them
      return {NameAnswer::Kind::Failed, {}, {}, "the name servers fail or refuse"};
    case ARES_ESERVFAIL:
      return {NameAnswer::Kind::Failed, {}, {}, "SERVFAIL"};
    case ARES_EREFUSED:
      return {NameAnswer::Kind::Failed, {}, {}, "REFUSED"};
    default:
      return {NameAnswer::Kind::Failed, {}, {}, ::ares_strerror(status)};
  }
}

// The time to live is the shortest on the way: of the addresses and of each alias.
NameAnswer with_addresses(const ares_addrinfo& info) {
  NameAnswer answer{NameAnswer::Kind::Found, {}, {}, {}};
  int ttl = INT_MAX;
  for (const auto* node = info.nodes; node != nullptr; node = node->ai_next) {
    char text[INET6_ADDRSTRLEN];
    const void* const bytes =
        node->ai_family == AF_INET
            ? static_cast<void*>(&reinterpret_cast<sockaddr_in*>(node->ai_addr)->sin_addr)
            : static_cast<void*>(&reinterpret_cast<sockaddr_in6*>(node->ai_addr)->sin6_addr);
    if (::inet_ntop(node->ai_family, bytes, text, sizeof text) == nullptr) continue;
    answer.addresses.emplace_back(text);
    ttl = std::min(ttl, node->ai_ttl);
  }
  for (const auto* alias = info.cnames; alias != nullptr; alias = alias->next) {
    ttl = std::min(ttl, alias->ttl);
  }
  // Lengths of time over 31 bits are none (RFC 2181, 8).
  answer.ttl = std::chrono::seconds(std::max(ttl, 0));
  return answer;
}

class CaresSource final : public NameSource {
 public:
  CaresSource(base::EventLoop& loop, NameServers settings);
  ~CaresSource() override;

  void ask(const std::string& host, AddressFamily family, Done done) override;

 private:
  struct Query {
    CaresSource* source;
    std::uint64_t id;
    std::string host;
    AddressFamily family;
    Done done;
  };
  struct Socket {
    CaresSource* source;
    int fd;
    std::unique_ptr<base::FdWatch> watch;
  };

  void open();
  static std::string look_up_order();
  void close();
  void reopen_if_changed();
  void watch_files();
  void send(Query& query);
  void process(int readable, int writable);
  void set_timeout();
  std::vector<std::string> in_hosts(const std::string& host);
  void put_by(std::uint64_t id, NameAnswer answer);
  void hand_out();

  static void on_answer(void* query, int status, int timeouts, ares_addrinfo* info);
  static void on_socket_state(void* self, int fd, int readable, int writable);
  static void on_fd(void* socket, unsigned events);

  base::EventLoop& loop_;
  const NameServers settings_;
  FileStamp hosts_stamp_;
  FileStamp resolv_stamp_;
  FileStamp nsswitch_stamp_{kNsswitch};
  std::string hosts_;  // the file's content
  std::string order_;  // "fb": files first; "bf"; "f"; "b"
  ares_channel channel_ = nullptr;
  bool closing_ = false;  // what c-ares says of queries now is our own doing
  std::uint64_t last_id_ = 0;
  std::map<std::uint64_t, std::unique_ptr<Query>> queries_;
  std::map<int, std::unique_ptr<Socket>> sockets_;
  std::deque<std::pair<std::uint64_t, NameAnswer>> answers_;
  base::Timer timeout_;   // c-ares' own
  base::Timer delivery_;  // of answers_
  base::Timer watch_;     // of the files, while something is being asked
};

CaresSource::CaresSource(base::EventLoop& loop, NameServers settings)
    : loop_(loop),
      settings_(std::move(settings)),
      hosts_stamp_(settings_.hosts_file),
      resolv_stamp_(settings_.resolv_conf) {
  require_cares();
  resolv_stamp_.changed();
  nsswitch_stamp_.changed();
  open();
}

CaresSource::~CaresSource() {
  close();
}

void CaresSource::open() {
  order_ = look_up_order();
  ares_options options{};
  int mask = ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB | ARES_OPT_RESOLVCONF |
             ARES_OPT_LOOKUPS;
#ifdef ARES_OPT_QUERY_CACHE
  // How long an answer is used is for whoever asks: since 1.31 it would keep them itself, an hour.
  mask |= ARES_OPT_QUERY_CACHE;
  options.qcache_max_ttl = 0;
#endif
  options.timeout = static_cast<int>(
      std::chrono::duration_cast<std::chrono::milliseconds>(settings_.try_timeout).count());
  options.tries = settings_.tries;
  options.sock_state_cb = &CaresSource::on_socket_state;
  options.sock_state_cb_data = this;
  std::string servers_alone = "b";  // the hosts file is read here
  options.lookups = servers_alone.data();
  std::string path = settings_.resolv_conf;
  options.resolvconf_path = path.data();
  int status = ::ares_init_options(&channel_, &options, mask);
  if (status != ARES_SUCCESS) {
    channel_ = nullptr;
    throw std::runtime_error(std::string("c-ares: ") + ::ares_strerror(status));
  }
  if (!settings_.servers.empty()) {
    std::string list;
    for (const std::string& server : settings_.servers) list += (list.empty() ? "" : ",") + server;
    status = ::ares_set_servers_ports_csv(channel_, list.c_str());
    if (status != ARES_SUCCESS) {
      close();
      throw std::runtime_error("not a list of name servers: " + list);
    }
  }
}

// "fb": the files, then the name servers ("bind"). What c-ares has read of nsswitch.conf.
std::string CaresSource::look_up_order() {
  std::string order = "fb";
  ares_channel channel = nullptr;
  if (::ares_init_options(&channel, nullptr, 0) != ARES_SUCCESS) return order;
  ares_options read{};
  int mask = 0;
  if (::ares_save_options(channel, &read, &mask) == ARES_SUCCESS) {
    if (read.lookups != nullptr) order = read.lookups;
    ::ares_destroy_options(&read);
  }
  ::ares_destroy(channel);
  return order;
}

void CaresSource::close() {
  if (channel_ == nullptr) return;
  closing_ = true;
  ::ares_destroy(std::exchange(channel_, nullptr));
  closing_ = false;
  sockets_.clear();
  timeout_.cancel();
}

void CaresSource::reopen_if_changed() {
  // Both, or the second would be noticed a second time.
  const bool resolv = resolv_stamp_.changed();
  const bool nsswitch = nsswitch_stamp_.changed();
  if (!resolv && !nsswitch) return;
  close();
  try {
    open();
  } catch (const std::runtime_error&) {
    // Out of memory or descriptors: send() fails what is asked, and the stamps, made
    // anew, have the next ask() try again.
    resolv_stamp_ = FileStamp(settings_.resolv_conf);
  }
  for (auto& [id, query] : queries_) send(*query);
}

void CaresSource::watch_files() {
  if (watch_.pending() || queries_.empty()) return;
  watch_.set_after(loop_, settings_.watch_interval, [this] {
    reopen_if_changed();
    watch_files();
  });
}

void CaresSource::ask(const std::string& host, AddressFamily family, Done done) {
  reopen_if_changed();
  const std::uint64_t id = ++last_id_;
  auto& query = queries_[id];
  query = std::make_unique<Query>(Query{this, id, host, family, std::move(done)});
  // A name in the hosts file has what stands there, and nothing of the other family.
  if (order_.starts_with('f')) {
    const std::vector<std::string> known = in_hosts(host);
    if (!known.empty() || order_ == "f") {
      std::vector<std::string> those = of_family(known, family);
      if (!those.empty()) {
        put_by(id, {NameAnswer::Kind::Found, std::move(those), {}, {}});
      } else {
        put_by(id, without_addresses(known.empty() ? ARES_ENOTFOUND : ARES_ENODATA));
      }
      return;
    }
  }
  send(*query);
  watch_files();
}

void CaresSource::send(Query& query) {
  for (const auto& [id, answer] : answers_) {
    if (id == query.id) return;
  }
  if (channel_ == nullptr) {
    put_by(query.id, without_addresses(ARES_ENOMEM));
    return;
  }
  ares_addrinfo_hints hints{};
  hints.ai_family = query.family == AddressFamily::V4 ? AF_INET : AF_INET6;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = ARES_AI_NOSORT;  // across the families, that is for whoever has both
  ::ares_getaddrinfo(channel_, query.host.c_str(), nullptr, &hints, &CaresSource::on_answer,
                     &query);
  set_timeout();
}

void CaresSource::process(int readable, int writable) {
  if (channel_ == nullptr) return;
  ::ares_process_fd(channel_, readable, writable);
  set_timeout();
}

void CaresSource::set_timeout() {
  timeval wait{};
  if (::ares_timeout(channel_, nullptr, &wait) == nullptr) {
    timeout_.cancel();
    return;
  }
  // One more millisecond: it counts in those, and being early would have us come twice.
  const base::Duration delay = std::chrono::seconds(wait.tv_sec) +
                               std::chrono::microseconds(wait.tv_usec) +
                               std::chrono::milliseconds(1);
  timeout_.set_after(loop_, delay, [this] { process(ARES_SOCKET_BAD, ARES_SOCKET_BAD); });
}

std::vector<std::string> CaresSource::in_hosts(const std::string& host) {
  if (hosts_stamp_.changed()) {
    std::ifstream file(settings_.hosts_file, std::ios::binary);
    hosts_.assign(std::istreambuf_iterator<char>(file), {});
  }
  return addresses_in_hosts(hosts_, host);
}

void CaresSource::put_by(std::uint64_t id, NameAnswer answer) {
  answers_.emplace_back(id, std::move(answer));
  if (!delivery_.pending()) delivery_.set_at(loop_, loop_.now(), [this] { hand_out(); });
}

void CaresSource::hand_out() {
  std::deque<std::pair<std::uint64_t, NameAnswer>> answers;
  answers.swap(answers_);
  for (auto& [id, answer] : answers) {
    const auto found = queries_.find(id);
    if (found == queries_.end()) continue;
    const Done done = std::move(found->second->done);
    queries_.erase(found);
    done(std::move(answer));
  }
  if (queries_.empty()) watch_.cancel();
}

void CaresSource::on_answer(void* query_pointer, int status, int, ares_addrinfo* info) {
  auto& query = *static_cast<Query*>(query_pointer);
  CaresSource& self = *query.source;
  NameAnswer answer = status == ARES_SUCCESS && info != nullptr && info->nodes != nullptr
                          ? with_addresses(*info)
                          : without_addresses(status == ARES_SUCCESS ? ARES_ENODATA : status);
  if (info != nullptr) ::ares_freeaddrinfo(info);
  if (self.closing_) return;  // asked again on the next channel, if there is one
  const std::size_t files = self.order_.find('f');
  if (answer.kind != NameAnswer::Kind::Found && files != std::string::npos && files > 0) {
    auto known = of_family(self.in_hosts(query.host), query.family);
    if (!known.empty()) answer = {NameAnswer::Kind::Found, std::move(known), {}, {}};
  }
  self.put_by(query.id, std::move(answer));
}

void CaresSource::on_socket_state(void* self_pointer, int fd, int readable, int writable) {
  auto& self = *static_cast<CaresSource*>(self_pointer);
  if (readable == 0 && writable == 0) {  // about to be closed
    self.sockets_.erase(fd);
    return;
  }
  auto& socket = self.sockets_[fd];
  if (!socket) {
    socket = std::make_unique<Socket>(Socket{&self, fd, nullptr});
    socket->watch =
        std::make_unique<base::FdWatch>(self.loop_, fd, &CaresSource::on_fd, socket.get());
  }
  socket->watch->want((readable != 0 ? base::kFdReadable : base::kFdNone) |
                      (writable != 0 ? base::kFdWritable : base::kFdNone));
}

void CaresSource::on_fd(void* socket_pointer, unsigned events) {
  const auto& socket = *static_cast<Socket*>(socket_pointer);
  const int fd = socket.fd;
  // The socket may be gone when this returns.
  socket.source->process((events & base::kFdReadable) != 0 ? fd : ARES_SOCKET_BAD,
                         (events & base::kFdWritable) != 0 ? fd : ARES_SOCKET_BAD);
}

}  // namespace

std::unique_ptr<NameSource> make_name_source(base::EventLoop& loop, NameServers settings) {
  return std::make_unique<CaresSource>(loop, std::move(settings));
}

}  // namespace holdfast::upstream
