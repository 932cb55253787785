// Attempt: running (in the multi handle) -> done (reply built, posted) -> delivered
//
// libcurl tells us which sockets to watch and when to call it again; we call
// curl_multi_socket_action() from the loop only, never from one of its callbacks:
// the timer callback merely sets a timer, the socket callback merely changes a
// watch. A finished attempt leaves the multi handle at once, and its callback is
// posted, so that it may start, cancel or destroy attempts as it likes.
#include "upstream/curl_transport.h"

#include <curl/curl.h>

#include <algorithm>
#include <array>
#include <mutex>
#include <new>
#include <stdexcept>
#include <string_view>

#include "upstream/reply_head.h"

namespace holdfast::upstream {
namespace {

constexpr std::chrono::seconds kLongestRetryAfter = std::chrono::hours(24);
constexpr long kKeepaliveIdleSeconds = 30;
constexpr long kKeepaliveIntervalSeconds = 10;
constexpr std::size_t kPooledHandles = 256;

void require_libcurl() {
  static std::once_flag once;
  std::call_once(once, [] {
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
      throw std::runtime_error("libcurl cannot be set up");
    }
  });
  if ((curl_version_info(CURLVERSION_NOW)->features & CURL_VERSION_ASYNCHDNS) == 0) {
    throw std::runtime_error("libcurl was built without an asynchronous resolver");
  }
}

bool printable(std::string_view text) {
  return std::none_of(text.begin(), text.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte < 0x20 || byte == 0x7f;
  });
}

bool valid_target(std::string_view target) {
  return !target.empty() && target.front() == '/' && printable(target) &&
         target.find(' ') == std::string_view::npos;
}

long milliseconds(base::Duration duration) {
  // Zero would mean "no limit" to libcurl.
  return std::max(
      1L, static_cast<long>(std::chrono::floor<std::chrono::milliseconds>(duration).count()));
}

// What `code` means depends on how far the attempt had come.
Outcome outcome_of(CURLcode code, bool whole_head, bool was_sent, bool over_limit) {
  if (over_limit) return Outcome::TooLarge;
  switch (code) {
    // libcurl calls it a success when the connection ends inside the head.
    case CURLE_OK:
      return whole_head ? Outcome::Ok : Outcome::Reset;
    // Not even connected: the host is not there, which is another finding than
    // a host that does not answer.
    case CURLE_OPERATION_TIMEDOUT:
      return was_sent ? Outcome::Timeout : Outcome::Connect;
    case CURLE_COULDNT_CONNECT:
      return Outcome::Connect;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
      return Outcome::Dns;
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
      return Outcome::Tls;
    case CURLE_PARTIAL_FILE:
      return Outcome::Truncated;
    case CURLE_FILESIZE_EXCEEDED:
      return Outcome::TooLarge;
    default:
      return whole_head ? Outcome::Truncated : Outcome::Reset;
  }
}

struct EasyDeleter {
  void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
};
using Easy = std::unique_ptr<CURL, EasyDeleter>;

struct ListDeleter {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
using List = std::unique_ptr<curl_slist, ListDeleter>;

void append(List& list, const std::string& line) {
  curl_slist* longer = curl_slist_append(list.get(), line.c_str());
  if (longer == nullptr) throw std::bad_alloc();
  (void)list.release();
  list.reset(longer);
}

}  // namespace

struct CurlTransport::Multi {
  CURLM* handle = nullptr;
  std::vector<Easy> idle;

  Multi() {
    require_libcurl();
    handle = curl_multi_init();
    if (handle == nullptr) throw std::runtime_error("libcurl: out of memory");
  }
  ~Multi() {
    idle.clear();
    curl_multi_cleanup(handle);
  }
  Multi(const Multi&) = delete;
  Multi& operator=(const Multi&) = delete;

  static int socket_changed(CURL*, curl_socket_t fd, int what, void* self, void*);
  static int timer_changed(CURLM*, long timeout_ms, void* self);
};

struct CurlTransport::Socket {
  CurlTransport* transport;
  int fd;
  base::FdWatch watch;

  Socket(CurlTransport& owner, int descriptor)
      : transport(&owner), fd(descriptor), watch(owner.loop_, descriptor, &Socket::ready, this) {}

  static void ready(void* self, unsigned events) {
    auto& socket = *static_cast<Socket*>(self);
    socket.transport->on_socket_event(socket.fd, events);  // may destroy `socket`
  }
};

struct CurlTransport::Attempt {
  AttemptId id;
  const Settings& settings;
  Callback callback;
  base::SteadyTime started;
  Easy easy;
  List fields;  // the request's
  ReplyHead head{settings.head_limit_bytes};
  bool content_too_large = false;
  bool running = false;  // in the multi handle
  std::array<char, CURL_ERROR_SIZE> error{};
  Reply reply;

  Attempt(AttemptId number, const Settings& limits, Callback told, base::SteadyTime now)
      : id(number), settings(limits), callback(std::move(told)), started(now) {}

  // From the content on: to libcurl, silence before the answer is a low speed too.
  void watch_speed() {
    curl_easy_setopt(easy.get(), CURLOPT_LOW_SPEED_LIMIT, settings.low_speed_bytes_per_second);
    curl_easy_setopt(easy.get(), CURLOPT_LOW_SPEED_TIME,
                     static_cast<long>(settings.low_speed_time.count()));
  }

  static std::size_t on_head_line(char* data, std::size_t size, std::size_t count, void* self);
  static std::size_t on_body(char* data, std::size_t size, std::size_t count, void* self);
};

int CurlTransport::Multi::socket_changed(CURL*, curl_socket_t fd, int what, void* self, void*) {
  auto& transport = *static_cast<CurlTransport*>(self);
  if (what == CURL_POLL_REMOVE) {
    transport.sockets_.erase(fd);
    return 0;
  }
  try {
    auto& socket = transport.sockets_[fd];
    if (!socket) socket = std::make_unique<Socket>(transport, fd);
    socket->watch.want(((what & CURL_POLL_IN) ? base::kFdReadable : 0U) |
                       ((what & CURL_POLL_OUT) ? base::kFdWritable : 0U));
  } catch (const std::bad_alloc&) {
    return -1;
  }
  return 0;
}

int CurlTransport::Multi::timer_changed(CURLM*, long timeout_ms, void* self) {
  auto& transport = *static_cast<CurlTransport*>(self);
  if (timeout_ms < 0) {
    transport.timer_.cancel();
  } else {
    transport.timer_.set_after(transport.loop_, std::chrono::milliseconds(timeout_ms),
                               [&transport] { transport.on_timeout(); });
  }
  return 0;
}

std::size_t CurlTransport::Attempt::on_head_line(char* data, std::size_t size, std::size_t count,
                                                 void* self) try {
  auto& attempt = *static_cast<Attempt*>(self);
  const std::string_view line(data, size * count);
  long status = 0;
  curl_easy_getinfo(attempt.easy.get(), CURLINFO_RESPONSE_CODE, &status);
  const bool had_whole_head = attempt.head.whole();
  if (!attempt.head.take(line, status)) return 0;
  if (attempt.head.whole() && !had_whole_head) attempt.watch_speed();
  return line.size();
} catch (const std::bad_alloc&) {
  return 0;  // fails this attempt; nothing may be thrown through libcurl
}

std::size_t CurlTransport::Attempt::on_body(char* data, std::size_t size, std::size_t count,
                                            void* self) try {
  auto& attempt = *static_cast<Attempt*>(self);
  const std::size_t bytes = size * count;
  if (bytes > attempt.settings.body_limit_bytes - attempt.reply.body.size()) {
    attempt.content_too_large = true;
    return 0;
  }
  attempt.reply.body.append(data, bytes);
  return bytes;
} catch (const std::bad_alloc&) {
  return 0;
}

CurlTransport::CurlTransport(base::EventLoop& loop, Settings settings, std::string token)
    : loop_(loop), settings_(std::move(settings)), multi_(std::make_unique<Multi>()) {
  if (!set_token(std::move(token))) throw std::runtime_error("the token holds a control character");
  for (std::string& url : settings_.base_urls) {
    while (url.ends_with('/')) url.pop_back();
  }
  CURLM* multi = multi_->handle;
  curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, &Multi::socket_changed);
  curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, this);
  curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, &Multi::timer_changed);
  curl_multi_setopt(multi, CURLMOPT_TIMERDATA, this);
  curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, static_cast<long>(settings_.kept_connections));
  curl_multi_setopt(multi, CURLMOPT_PIPELINING, settings_.http2 ? CURLPIPE_MULTIPLEX : 0L);
}

CurlTransport::~CurlTransport() {
  for (auto& [id, attempt] : attempts_) {
    if (attempt->running) curl_multi_remove_handle(multi_->handle, attempt->easy.get());
  }
  attempts_.clear();
  multi_.reset();  // closes kept connections, through the socket callback: sockets_ must live
}

bool CurlTransport::set_token(std::string token) {
  if (!printable(token)) return false;
  token_ = std::move(token);
  return true;
}

Transport::AttemptId CurlTransport::start(std::size_t origin, const Request& request,
                                          base::Duration timeout, Callback callback) {
  const AttemptId id = ++last_id_;
  auto made = std::make_unique<Attempt>(id, settings_, std::move(callback), loop_.now());
  Attempt& attempt = *attempts_.emplace(id, std::move(made)).first->second;
  if (origin >= settings_.base_urls.size() || !valid_target(request.target)) {
    fail_later(id, "not a valid request target");
    return id;
  }
  if (multi_->idle.empty()) {
    attempt.easy.reset(curl_easy_init());
  } else {
    attempt.easy = std::move(multi_->idle.back());
    multi_->idle.pop_back();
  }
  if (!attempt.easy) {
    fail_later(id, "out of memory");
    return id;
  }
  configure(attempt, settings_.base_urls[origin] + request.target, request, timeout);
  const CURLMcode code = curl_multi_add_handle(multi_->handle, attempt.easy.get());
  if (code != CURLM_OK) {
    fail_later(id, curl_multi_strerror(code));
    return id;
  }
  attempt.running = true;
  return id;
}

void CurlTransport::configure(Attempt& attempt, const std::string& url, const Request& request,
                              base::Duration timeout) {
  CURL* easy = attempt.easy.get();
  for (const Field& field : request.fields) {
    if (field.name.empty() || !printable(field.name) || !printable(field.value)) continue;
    append(attempt.fields, field.name + ": " + field.value);
  }
  // A request without it takes any coding (RFC 9110, 12.5.3), and nobody here decodes.
  append(attempt.fields, "Accept-Encoding: identity");
  if (!token_.empty()) append(attempt.fields, "Authorization: Bearer " + token_);

  curl_easy_setopt(easy, CURLOPT_URL, url.c_str());
  curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);  // the target is ours, already canonical
  curl_easy_setopt(easy, CURLOPT_HTTPHEADER, attempt.fields.get());
  curl_easy_setopt(easy, CURLOPT_USERAGENT, settings_.user_agent.c_str());
  curl_easy_setopt(easy, CURLOPT_PRIVATE, &attempt);
  curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, attempt.error.data());
  curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, &Attempt::on_head_line);
  curl_easy_setopt(easy, CURLOPT_HEADERDATA, &attempt);
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, &Attempt::on_body);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, &attempt);
  curl_easy_setopt(easy, CURLOPT_MAXFILESIZE_LARGE,
                   static_cast<curl_off_t>(settings_.body_limit_bytes));

  curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(easy, CURLOPT_PROXY, "");
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  // Or the end of an attempt whose name is being looked up waits for that thread, and
  // all others with it, as long as the resolver likes.
  curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
  curl_easy_setopt(
      easy, CURLOPT_HTTP_VERSION,
      static_cast<long>(settings_.http2 ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_1_1));
  // Rather wait for a connection that may take streams than open one more.
  curl_easy_setopt(easy, CURLOPT_PIPEWAIT, settings_.http2 ? 1L : 0L);
  if (!settings_.ca_file.empty()) {
    curl_easy_setopt(easy, CURLOPT_CAINFO, settings_.ca_file.c_str());
  }

  curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, milliseconds(timeout));
  curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
                   milliseconds(std::min(timeout, settings_.connect_timeout)));
  curl_easy_setopt(easy, CURLOPT_DNS_CACHE_TIMEOUT, static_cast<long>(settings_.dns_cache.count()));
  curl_easy_setopt(easy, CURLOPT_MAXLIFETIME_CONN,
                   static_cast<long>(settings_.connection_lifetime.count()));
  curl_easy_setopt(easy, CURLOPT_MAXAGE_CONN, static_cast<long>(settings_.connection_idle.count()));
  curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
  curl_easy_setopt(easy, CURLOPT_TCP_KEEPIDLE, kKeepaliveIdleSeconds);
  curl_easy_setopt(easy, CURLOPT_TCP_KEEPINTVL, kKeepaliveIntervalSeconds);
}

void CurlTransport::cancel(AttemptId id) {
  const auto found = attempts_.find(id);
  if (found == attempts_.end()) return;
  Attempt& attempt = *found->second;
  if (attempt.running) {
    // Unfinished, so libcurl closes its HTTP/1 connection.
    curl_multi_remove_handle(multi_->handle, attempt.easy.get());
    attempt.running = false;
    recycle(attempt);
  }
  attempts_.erase(found);
}

void CurlTransport::fail_later(AttemptId id, std::string detail) {
  Attempt& attempt = *attempts_.at(id);
  attempt.reply.transport = Outcome::Connect;
  attempt.reply.detail = std::move(detail);
  loop_.post([this, id, alive = std::weak_ptr(alive_)] {
    if (!alive.expired()) deliver(id);
  });
}

void CurlTransport::on_socket_event(int fd, unsigned events) {
  const int mask = ((events & base::kFdReadable) ? CURL_CSELECT_IN : 0) |
                   ((events & base::kFdWritable) ? CURL_CSELECT_OUT : 0);
  int running = 0;
  curl_multi_socket_action(multi_->handle, fd, mask, &running);
  collect();
}

void CurlTransport::on_timeout() {
  int running = 0;
  curl_multi_socket_action(multi_->handle, CURL_SOCKET_TIMEOUT, 0, &running);
  collect();
}

// Takes what has finished out of the multi handle and posts its callback.
void CurlTransport::collect() {
  int left = 0;
  while (const CURLMsg* message = curl_multi_info_read(multi_->handle, &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    CURL* easy = message->easy_handle;
    const CURLcode code = message->data.result;  // before the handle is removed
    void* pointer = nullptr;
    curl_easy_getinfo(easy, CURLINFO_PRIVATE, &pointer);
    Attempt& attempt = *static_cast<Attempt*>(pointer);
    ReplyHead& head = attempt.head;
    Reply& reply = attempt.reply;

    curl_off_t sent_at = 0;  // microseconds from the start; 0: was never sent
    curl_easy_getinfo(easy, CURLINFO_PRETRANSFER_TIME_T, &sent_at);
    reply.duration = loop_.now() - attempt.started;
    reply.transport =
        outcome_of(code, head.whole(), sent_at > 0, head.too_large() || attempt.content_too_large);
    if (code == CURLE_OK && reply.transport == Outcome::Reset) {
      reply.detail = "the connection ended inside the head";
    } else if (head.unframed()) {
      reply.detail = "the head does not say how long the content is";
    } else if (code != CURLE_OK) {
      reply.detail = attempt.error[0] != '\0' ? attempt.error.data() : curl_easy_strerror(code);
    }
    if (head.whole()) {
      reply.fields = std::move(head.fields());
      long status = 0;
      curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
      reply.status = static_cast<int>(status);
      if (find_field(reply.fields, "Retry-After") != nullptr) {
        curl_off_t seconds = 0;
        curl_easy_getinfo(easy, CURLINFO_RETRY_AFTER, &seconds);
        reply.retry_after =
            std::clamp(std::chrono::seconds(seconds), std::chrono::seconds(0), kLongestRetryAfter);
      }
    }
    curl_multi_remove_handle(multi_->handle, easy);
    attempt.running = false;
    recycle(attempt);
    loop_.post([this, id = attempt.id, alive = std::weak_ptr(alive_)] {
      if (!alive.expired()) deliver(id);
    });
  }
}

void CurlTransport::deliver(AttemptId id) {
  const auto found = attempts_.find(id);
  if (found == attempts_.end()) return;  // cancelled meanwhile
  const auto attempt = std::move(found->second);
  attempts_.erase(found);
  attempt->callback(std::move(attempt->reply));  // may destroy us: nothing after this
}

void CurlTransport::recycle(Attempt& attempt) {
  // Options keep pointers into the attempt; connections and the DNS cache
  // belong to the multi handle and survive this.
  curl_easy_reset(attempt.easy.get());
  attempt.fields.reset();
  if (multi_->idle.size() < kPooledHandles) multi_->idle.push_back(std::move(attempt.easy));
  attempt.easy.reset();
}

}  // namespace holdfast::upstream
