// A connection ends in go_away() alone, which is never called from inside call(): what cannot be
// written there shows at the next event. So whoever is told something may ask the next thing at
// once.
#include "fleet/redis_link.h"

#include <hiredis/hiredis.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

namespace holdfast::fleet {
namespace {

// Room for them is made ahead of reading them, so who claims more is not believed.
constexpr std::size_t kMostElements = 65'536;
// As deep as hiredis 0.14 goes by itself; 1.2 has no bound, and to_reply() a stack.
constexpr int kDeepest = 7;
constexpr std::size_t kReadBytes = std::size_t{64} * 1024;

// hiredis' own way to make an array. The type of the number differs by version.
decltype(redisReplyObjectFunctions::createArray) make_array = nullptr;

template <typename Elements>
void* make_limited_array(const redisReadTask* task, Elements elements) {
  if (elements < 0 || static_cast<std::size_t>(elements) > kMostElements) return nullptr;
  int depth = 0;
  for (const auto* outer = task->parent; outer != nullptr; outer = outer->parent) {
    if (++depth >= kDeepest) return nullptr;
  }
  return make_array(task, elements);
}

redisReplyObjectFunctions* limited(const redisReplyObjectFunctions& own) {
  static redisReplyObjectFunctions functions = [&own] {
    make_array = own.createArray;
    redisReplyObjectFunctions copy = own;
    copy.createArray = make_limited_array;
    return copy;
  }();
  return &functions;
}

Reply to_reply(const redisReply& from) {
  Reply reply;
  switch (from.type) {
    case REDIS_REPLY_STRING:
    case REDIS_REPLY_STATUS:
      reply.kind = Reply::Kind::Text;
      reply.text.assign(from.str, static_cast<std::size_t>(from.len));
      break;
    case REDIS_REPLY_ERROR:
      reply.kind = Reply::Kind::Error;
      reply.text.assign(from.str, static_cast<std::size_t>(from.len));
      break;
    case REDIS_REPLY_INTEGER:
      reply.kind = Reply::Kind::Integer;
      reply.integer = from.integer;
      break;
    case REDIS_REPLY_ARRAY:
      reply.kind = Reply::Kind::Array;
      reply.elements.reserve(from.elements);
      for (std::size_t i = 0; i < from.elements; ++i) {
        reply.elements.push_back(to_reply(*from.element[i]));
      }
      break;
    default:  // nil; types of the later protocol are not asked for
      break;
  }
  return reply;
}

std::string of_errno(const char* what, int number) {
  return std::string(what) + ": " + std::generic_category().message(number);
}

// False if it is no address.
bool to_sockaddr(const std::string& address, std::uint16_t port, sockaddr_storage& storage,
                 socklen_t& length) {
  auto* const v4 = reinterpret_cast<sockaddr_in*>(&storage);
  auto* const v6 = reinterpret_cast<sockaddr_in6*>(&storage);
  storage = {};
  if (::inet_pton(AF_INET, address.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    length = sizeof *v4;
    return true;
  }
  if (::inet_pton(AF_INET6, address.c_str(), &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    length = sizeof *v6;
    return true;
  }
  return false;
}

void to_sockaddr_un(const std::string& path, sockaddr_storage& storage, socklen_t& length) {
  auto* const local = reinterpret_cast<sockaddr_un*>(&storage);
  storage = {};
  local->sun_family = AF_UNIX;
  const std::size_t size = std::min(path.size(), sizeof local->sun_path - 1);
  std::memcpy(local->sun_path, path.data(), size);
  length = sizeof *local;
}

}  // namespace

void RedisLink::ReaderDeleter::operator()(redisReader* reader) const {
  redisReaderFree(reader);
}

RedisLink::RedisLink(base::EventLoop& loop, Settings settings, Addresses addresses, Changed changed,
                     std::uint64_t seed)
    : loop_(loop),
      settings_(std::move(settings)),
      addresses_(std::move(addresses)),
      changed_(std::move(changed)),
      random_(seed) {
  next_.set_at(loop_, loop_.now(), [this] { connect(); });
}

RedisLink::~RedisLink() = default;

bool RedisLink::call(const Command& command, base::SteadyTime deadline, Done done) {
  return state_ == State::Ready && send(command, deadline, std::move(done));
}

// ---- Connecting ----------------------------------------------------------------------------

void RedisLink::connect() {
  reader_.reset(redisReaderCreate());
  const std::string problem = reader_ ? open_socket() : "no memory";
  if (!problem.empty()) return go_away(problem);
  ++connections_;
  reader_->fn = limited(*reader_->fn);
  state_ = State::Connecting;
  watch_ = std::make_unique<base::FdWatch>(loop_, fd_.get(), &RedisLink::on_event, this);
  watch_->want(base::kFdWritable);
  next_.set_after(loop_, settings_.greeting_deadline,
                  [this] { go_away("no answer to a greeting in time"); });
}

// What is wrong; empty: nothing.
std::string RedisLink::open_socket() {
  sockaddr_storage storage;
  socklen_t length = 0;
  const Endpoint& endpoint = settings_.endpoint;
  if (endpoint.host.empty()) {
    to_sockaddr_un(endpoint.path, storage, length);
  } else {
    const std::vector<std::string> addresses = addresses_();
    if (addresses.empty()) return "no address of " + endpoint.host + " is known";
    const std::string& address = addresses[next_address_ % addresses.size()];
    if (!to_sockaddr(address, endpoint.port, storage, length)) return "no address: " + address;
  }
  fd_.reset(::socket(storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd_) return of_errno("socket", errno);
  if (!endpoint.host.empty()) {
    const int on = 1;
    (void)::setsockopt(fd_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  }
  if (::connect(fd_.get(), reinterpret_cast<const sockaddr*>(&storage), length) != 0 &&
      errno != EINPROGRESS) {
    return of_errno("connect", errno);
  }
  return {};
}

void RedisLink::greet() {
  state_ = State::Greeting;
  watch_->want(base::kFdReadable);
  const base::SteadyTime deadline = loop_.now() + settings_.greeting_deadline;
  const auto step = [&](Command command) {
    std::string name = command.front();
    send(command, deadline,
         [this, name = std::move(name)](const Reply& reply) { greeted(name, reply); });
  };
  if (!settings_.password.empty()) {
    const std::string& user = settings_.endpoint.user;
    step(user.empty() ? Command{"AUTH", settings_.password}
                      : Command{"AUTH", user, settings_.password});
  }
  if (settings_.endpoint.database != 0) {
    step({"SELECT", std::to_string(settings_.endpoint.database)});
  }
  step({"PING"});
}

void RedisLink::greeted(const std::string& step, const Reply& reply) {
  if (state_ != State::Greeting) return;
  if (reply.kind != Reply::Kind::Text) {
    // What a node says to a password it does not know may repeat a user, and nothing else.
    return go_away(step + ": " +
                   (reply.kind == Reply::Kind::Error ? reply.text : "not answered as expected"));
  }
  if (step != "PING") return;
  state_ = State::Ready;
  next_.cancel();
  changed_(true, {});
}

// ---- Commands ------------------------------------------------------------------------------

bool RedisLink::send(const Command& command, base::SteadyTime deadline, Done done) {
  std::vector<const char*> words;
  std::vector<std::size_t> lengths;
  for (const std::string& word : command) {
    words.push_back(word.data());
    lengths.push_back(word.size());
  }
  char* text = nullptr;
  const auto length =
      redisFormatCommandArgv(&text, static_cast<int>(words.size()), words.data(), lengths.data());
  if (length < 0) return false;
  const auto bytes = static_cast<std::size_t>(length);
  const bool room =
      pending_.size() < settings_.most_commands && pending_bytes_ + bytes <= settings_.most_bytes;
  if (room) {
    out_.append(text, bytes);
    pending_.push_back({deadline, bytes, std::move(done)});
    pending_bytes_ += bytes;
    arm_deadline(deadline);
    write();
  }
  redisFreeCommand(text);
  return room;
}

// False if the connection is of no use; it is not ended here.
bool RedisLink::write() {
  std::size_t written = 0;
  bool good = true;
  while (written < out_.size()) {
    const ssize_t count =
        ::send(fd_.get(), out_.data() + written, out_.size() - written, MSG_NOSIGNAL);
    if (count >= 0) {
      written += static_cast<std::size_t>(count);
    } else if (errno != EINTR) {
      good = errno == EAGAIN || errno == EWOULDBLOCK;
      break;
    }
  }
  out_.erase(0, written);
  watch_->want(base::kFdReadable | (out_.empty() ? base::kFdNone : base::kFdWritable));
  return good;
}

void RedisLink::arm_deadline(base::SteadyTime when) {
  if (when >= armed_for_) return;
  armed_for_ = when;
  deadline_.set_at(loop_, when, [this] { check_deadlines(); });
}

void RedisLink::check_deadlines() {
  armed_for_ = base::SteadyTime::max();
  const base::SteadyTime now = loop_.now();
  base::SteadyTime next = base::SteadyTime::max();
  bool late = false;
  for (const Pending& pending : pending_) {
    late = late || pending.deadline <= now;
    next = std::min(next, pending.deadline);
  }
  if (late) return go_away("a reply is overdue");
  if (next != base::SteadyTime::max()) arm_deadline(next);
}

void RedisLink::go_away(const std::string& reason) {
  state_ = State::Away;
  watch_.reset();
  fd_.reset();
  reader_.reset();
  out_.clear();
  deadline_.cancel();
  armed_for_ = base::SteadyTime::max();
  pending_bytes_ = 0;
  ++next_address_;  // another one, if there is

  const int doublings = std::min(failures_++, 20);
  base::Duration bound = settings_.backoff_base;
  for (int i = 0; i < doublings && bound < settings_.backoff_cap; ++i) bound *= 2;
  next_.set_after(loop_, random_.up_to(std::min(bound, settings_.backoff_cap)),
                  [this] { connect(); });

  const base::SteadyTime now = loop_.now();
  for (const Pending& pending : std::exchange(pending_, {})) {
    Reply reply;
    reply.kind = pending.deadline <= now ? Reply::Kind::Late : Reply::Kind::Lost;
    pending.done(std::move(reply));
  }
  changed_(false, reason);
}

// ---- Events --------------------------------------------------------------------------------

void RedisLink::on_event(void* self, unsigned events) {
  auto& link = *static_cast<RedisLink*>(self);
  if (link.state_ == State::Connecting) {
    int error = 0;
    socklen_t length = sizeof error;
    (void)::getsockopt(link.fd_.get(), SOL_SOCKET, SO_ERROR, &error, &length);
    if (error != 0) return link.go_away(of_errno("connect", error));
    return link.greet();
  }
  if ((events & base::kFdWritable) != 0 && !link.write()) {
    return link.go_away(of_errno("send", errno));
  }
  if ((events & base::kFdReadable) != 0) link.read();
}

void RedisLink::read() {
  // Once an event: what else is there comes with the next one, after others had their turn.
  std::array<char, kReadBytes> buffer;
  const ssize_t count = ::recv(fd_.get(), buffer.data(), buffer.size(), 0);
  if (count < 0) {
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) return;
    return go_away(of_errno("recv", errno));
  }
  if (count == 0) return go_away("the node closed the connection");
  if (redisReaderFeed(reader_.get(), buffer.data(), static_cast<std::size_t>(count)) != REDIS_OK) {
    return go_away("no memory");
  }
  if (!take_replies()) return;
  if (reader_->len - reader_->pos > settings_.longest_reply_bytes) {
    go_away("a reply is longer than " + std::to_string(settings_.longest_reply_bytes) + " bytes");
  }
}

// False if the connection has ended.
bool RedisLink::take_replies() {
  const std::uint64_t connection = connections_;
  while (true) {
    void* found = nullptr;
    if (redisReaderGetReply(reader_.get(), &found) != REDIS_OK) {
      go_away(std::string("not a reply: ") + reader_->errstr);
      return false;
    }
    if (found == nullptr) return true;
    Reply reply = to_reply(*static_cast<redisReply*>(found));
    freeReplyObject(found);
    if (pending_.empty()) {
      go_away(reply.kind == Reply::Kind::Error ? reply.text : "a reply that nobody asked for");
      return false;
    }
    Pending pending = std::move(pending_.front());
    pending_.pop_front();
    pending_bytes_ -= pending.bytes;
    if (state_ == State::Ready) failures_ = 0;
    pending.done(std::move(reply));
    if (state_ == State::Away || connections_ != connection) return false;
  }
}

}  // namespace holdfast::fleet
