// libcurl tells when an attempt opens a connection (on_open), begins its TLS handshake
// (on_tls) and is about to send the request (on_ready): these are its phases. An attempt
// that finds its kept connection dead begins again on a new one; so do its phases.
#include "upstream/curl_attempt.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <new>

#include "upstream/curl_outcome.h"
#include "upstream/outgoing.h"
#include "upstream/reply_times.h"

namespace holdfast::upstream {
namespace {

long milliseconds(base::Duration duration) {
  // Zero would mean "no limit" to libcurl.
  return std::max(
      1L, static_cast<long>(std::chrono::floor<std::chrono::milliseconds>(duration).count()));
}

void append(std::unique_ptr<curl_slist, ListDeleter>& list, const std::string& line) {
  curl_slist* longer = curl_slist_append(list.get(), line.c_str());
  if (longer == nullptr) throw std::bad_alloc();
  (void)list.release();
  list.reset(longer);
}

// Any host and port of the URL's: that address, on the URL's port.
std::string connect_to(const std::string& address) {
  const bool version6 = address.find(':') != std::string::npos;
  return version6 ? "::[" + address + "]:" : "::" + address + ":";
}

// What libcurl says of a line of a head that is longer than it puts up with: before 8.6 the same as
// without memory, since then CURLE_TOO_LARGE, which an older header does not name.
bool is_for_long_lines(CURLcode code) {
  return code == CURLE_OUT_OF_MEMORY || static_cast<int>(code) == 100;
}

// What libcurl found no sense in.
bool is_refused_by_libcurl(CURLcode code) {
  return code == CURLE_WEIRD_SERVER_REPLY || code == CURLE_UNSUPPORTED_PROTOCOL;
}

}  // namespace

Attempt::Attempt(Transport::AttemptId id, base::EventLoop& loop,
                 const CurlTransport::Settings& settings, Kind kind, const Sending& sending,
                 Transport::Callback callback)
    : id_(id),
      loop_(loop),
      settings_(settings),
      kind_(kind),
      sending_(sending),
      callback_(std::move(callback)),
      started_(loop.now()),
      head_(settings.head_limit_bytes),
      since_(started_),
      body_limit_bytes_(settings.body_limit_bytes) {}

Attempt::~Attempt() {
  stop();
}

Progress Attempt::progress() const {
  Progress progress{phase_, since_, phase_ == Phase::Answer && !opened_};
  progress.unacknowledged = progress.kept && running_ && pool_->unacknowledged(easy_.get());
  return progress;
}

Attempt& Attempt::of(CURL* easy) {
  void* pointer = nullptr;
  curl_easy_getinfo(easy, CURLINFO_PRIVATE, &pointer);
  return *static_cast<Attempt*>(pointer);
}

base::Duration Attempt::time_left() const {
  return std::max(base::Duration{0}, started_ + sending_.timeout - loop_.now());
}

void Attempt::ask(const std::string& url, const Request& request) {
  verbatim_ = request.verbatim;
  if (request.lenient_transfer_coding) head_.take_unknown_codings();
  if (request.body_limit_bytes > 0) {
    body_limit_bytes_ = std::min(body_limit_bytes_, request.body_limit_bytes);
  }
  easy_.reset(curl_easy_init());
  if (!easy_) throw std::bad_alloc();
  CURL* easy = easy_.get();
  for (const std::string& line : lines(request.fields)) append(fields_, line);
  if (!sending_.address.empty()) append(connect_to_, connect_to(sending_.address));

  curl_easy_setopt(easy, CURLOPT_URL, url.c_str());
  curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
  // The target is ours, already canonical: libcurl 8 drops the mark of an empty query.
  if (const auto target = url.find('/', url.find("://") + 3); target != url.npos) {
    curl_easy_setopt(easy, CURLOPT_REQUEST_TARGET, url.c_str() + target);
  }
  curl_easy_setopt(easy, CURLOPT_HTTPHEADER, fields_.get());
  curl_easy_setopt(easy, CURLOPT_HTTP_TRANSFER_DECODING, 0L);  // see reply_content.h
  // Of a coding that libcurl does not know either it hands over nothing, but with this.
  if (request.lenient_transfer_coding) {
    curl_easy_setopt(easy, CURLOPT_HTTP_CONTENT_DECODING, 0L);
  }
  curl_easy_setopt(easy, CURLOPT_CONNECT_TO, connect_to_.get());
  curl_easy_setopt(easy, CURLOPT_PRIVATE, this);
  curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, error_.data());
  curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, &Attempt::on_open);
  curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, this);
  curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, &Attempt::on_ready);
  curl_easy_setopt(easy, CURLOPT_PREREQDATA, this);
  curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, &Attempt::on_tls);
  curl_easy_setopt(easy, CURLOPT_SSL_CTX_DATA, this);
  curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, &Attempt::on_head_line);
  curl_easy_setopt(easy, CURLOPT_HEADERDATA, this);
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, &Attempt::on_body);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, this);

  curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(easy, CURLOPT_PROXY, "");
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(
      easy, CURLOPT_HTTP_VERSION,
      static_cast<long>(settings_.http2 ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_1_1));
  // Trust is ours to give (on_tls): libcurl would read the machine's for each connection,
  // after its callback, and with a cache of its own put the first one it saw over ours.
  curl_easy_setopt(easy, CURLOPT_CAINFO, nullptr);
  curl_easy_setopt(easy, CURLOPT_CAPATH, nullptr);
  curl_easy_setopt(easy, CURLOPT_CA_CACHE_TIMEOUT, 0L);
  curl_easy_setopt(easy, CURLOPT_NOBODY, kind_ == Kind::Spare ? 1L : 0L);
  curl_easy_setopt(easy, CURLOPT_CONNECT_ONLY, kind_ == Kind::Knock ? 1L : 0L);
  curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, sending_.new_connection ? 1L : 0L);
  curl_easy_setopt(easy, CURLOPT_MAXLIFETIME_CONN,
                   static_cast<long>(settings_.connection_lifetime.count()));
  curl_easy_setopt(easy, CURLOPT_MAXAGE_CONN, static_cast<long>(settings_.connection_idle.count()));
  shape(easy);
}

std::vector<std::string> Attempt::lines(const Fields& fields) const {
  if (verbatim_) {
    Fields all = verbatim_fields(fields, settings_.host);
    if (find_field(all, "Accept-Encoding") == nullptr)
      all.push_back({"Accept-Encoding", "identity"});
    return verbatim_lines(all);
  }
  std::vector<std::string> lines;
  for (const Field& field : head_fields(fields, settings_.host, settings_.user_agent)) {
    lines.push_back(field.name + ": " + field.value);
  }
  return lines;
}

std::vector<std::string> Attempt::verbatim_lines(const Fields& fields) {
  std::vector<std::string> lines;
  for (const Field& field : fields) {
    const bool blank = field.value.find_first_not_of(" \t") == std::string::npos;
    lines.push_back(field.name + (blank ? ";" : ": " + field.value));
  }
  if (find_field(fields, "Accept") == nullptr) lines.emplace_back("Accept:");
  return lines;
}

const char* Attempt::run(std::shared_ptr<Pool> pool, std::shared_ptr<const TlsState> tls) {
  CURL* easy = easy_.get();
  pool_ = std::move(pool);
  tls_ = std::move(tls);
  if (tls_) curl_easy_setopt(easy, CURLOPT_SHARE, tls_->sessions.get());
  curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, milliseconds(time_left()));
  curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
                   milliseconds(std::min(time_left(), settings_.connect_timeout)));
  // To wait for a connection that others may share costs those a set-up more that turn
  // out to have one each: only where it is known that they will not.
  curl_easy_setopt(easy, CURLOPT_PIPEWAIT, pool_->speaks_http2() ? 1L : 0L);
  curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, &Pool::close_socket);
  curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, pool_.get());
  enter(Phase::Connect);
  began();
  const char* problem = pool_->add(easy);
  running_ = problem == nullptr;
  return problem;
}

void Attempt::stop() {
  if (!running_) return;
  running_ = false;
  pool_->remove(easy_.get());
}

void Attempt::wait_in(Phase phase) {
  enter(phase);
}

void Attempt::leave_phase() {
  reply_.phases[static_cast<std::size_t>(phase_)] += loop_.now() - since_;
}

void Attempt::enter(Phase phase) {
  phase_ = phase;
  since_ = loop_.now();
}

curl_socket_t Attempt::on_open(void* self, curlsocktype, curl_sockaddr* address) {
  auto& attempt = *static_cast<Attempt*>(self);
  const curl_socket_t fd = attempt.pool_->open_socket(
      *address, attempt.kind_ == Kind::Stream ? attempt.easy_.get() : nullptr);
  if (fd == CURL_SOCKET_BAD) {
    attempt.error_number_ = errno;
    attempt.lack_ = base::resource_lacking(errno);
  }
  attempt.to_size_ = std::min<socklen_t>(address->addrlen, sizeof attempt.to_);
  std::memcpy(&attempt.to_, &address->addr, attempt.to_size_);
  attempt.opened_ = true;
  attempt.reply_.phases = {};
  attempt.enter(Phase::Connect);
  return fd;
}

CURLcode Attempt::on_tls(CURL*, void* context, void* self) {
  auto& attempt = *static_cast<Attempt*>(self);
  attempt.leave_phase();
  attempt.enter(Phase::Tls);
  const bool equipped = attempt.tls_ && attempt.tls_->trust->apply(context);
  return equipped ? CURLE_OK : CURLE_SSL_CERTPROBLEM;
}

int Attempt::on_ready(void* self, char*, char*, int, int) {
  auto& attempt = *static_cast<Attempt*>(self);
  if (!attempt.may_send()) return CURL_PREREQFUNC_ABORT;
  if (attempt.opened_) attempt.leave_phase();
  attempt.enter(Phase::Answer);
  return CURL_PREREQFUNC_OK;
}

std::size_t Attempt::on_head_line(char* data, std::size_t size, std::size_t count, void* self) try {
  auto& attempt = *static_cast<Attempt*>(self);
  const std::string_view line(data, size * count);
  long status = 0;
  curl_easy_getinfo(attempt.easy_.get(), CURLINFO_RESPONSE_CODE, &status);
  const bool had_whole_head = attempt.head_.whole();
  if (!attempt.head_.take(line, status, line.starts_with("HTTP/2") && attempt.negotiated_http2())) {
    return 0;
  }
  if (attempt.head_.interim()) attempt.tell_interim(status);
  if (attempt.head_.wants_content()) attempt.continue_came();
  if (attempt.head_.whole() && !had_whole_head) {
    const bool asked = attempt.kind_ == Kind::Request || attempt.kind_ == Kind::Stream;
    const bool chunked = attempt.head_.chunked() && asked && attempt.may_have_content();
    if (chunked) attempt.chunks_.emplace(attempt.settings_.head_limit_bytes);
    if (!attempt.head_came(status)) return 0;
  }
  return line.size();
} catch (const std::bad_alloc&) {
  static_cast<Attempt*>(self)->lack_ = base::Resource::Memory;
  return 0;  // fails this attempt; nothing may be thrown through libcurl
}

void Attempt::tell_interim(long status) {
  const Fields& fields = head_.fields();
  const bool harmless = std::all_of(fields.begin(), fields.end(), [](const Field& field) {
    return is_field_name(field.name) && is_field_value(field.value);
  });
  if (harmless && status < 200) interim_came(static_cast<int>(status), fields);
}

void Attempt::interim_came(int status, const Fields& fields) {
  if (sending_.on_interim) sending_.on_interim(status, fields);
}

bool Attempt::head_came(long status) {
  watch_speed();
  // Not by libcurl, which would end in the middle of the head: its status says that somebody
  // is there.
  content_too_large_ = !chunks_ && states_too_much(status);
  return !content_too_large_;
}

bool Attempt::states_too_much(long status) {
  if (kind_ != Kind::Request || status == 204 || status == 304) return false;
  const std::string* length = find_field(head_.fields(), "Content-Length");
  if (length == nullptr) return false;
  std::uint64_t bytes = 0;
  const auto read = std::from_chars(length->data(), length->data() + length->size(), bytes);
  return read.ec == std::errc::result_out_of_range ||
         (read.ec == std::errc() && bytes > body_limit_bytes_);
}

// libcurl believes a status line that says so, on whatever connection.
bool Attempt::negotiated_http2() const {
  curl_tlssessioninfo* session = nullptr;
  curl_easy_getinfo(easy_.get(), CURLINFO_TLS_SSL_PTR, &session);
  return session != nullptr && session->backend == CURLSSLBACKEND_OPENSSL &&
         session->internals != nullptr && speaks_http2(session->internals);
}

// From the content on: to libcurl, silence before the answer is a low speed too.
void Attempt::watch_speed() {
  curl_easy_setopt(easy_.get(), CURLOPT_LOW_SPEED_LIMIT, settings_.low_speed_bytes_per_second);
  curl_easy_setopt(easy_.get(), CURLOPT_LOW_SPEED_TIME,
                   static_cast<long>(settings_.low_speed_time.count()));
}

std::size_t Attempt::on_body(char* data, std::size_t size, std::size_t count, void* self) try {
  return static_cast<Attempt*>(self)->take_body({data, size * count});
} catch (const std::bad_alloc&) {
  static_cast<Attempt*>(self)->lack_ = base::Resource::Memory;
  return 0;
}

std::size_t Attempt::take_body(std::string_view bytes) {
  if (chunks_) {
    return take_chunks(bytes, reply_.body, body_limit_bytes_) ? bytes.size() : 0;
  }
  if (bytes.size() > body_limit_bytes_ - reply_.body.size()) {
    content_too_large_ = true;
    return 0;
  }
  reply_.body.append(bytes);
  return bytes.size();
}

bool Attempt::take_chunks(std::string_view bytes, std::string& content, std::size_t limit_bytes) {
  const bool good = chunks_->take(bytes, content, limit_bytes);
  content_too_large_ = content_too_large_ || chunks_->too_large();
  // libcurl drops it and would keep the connection, of which nobody knows what comes next
  // (RFC 9112, 9.2).
  if (chunks_->something_behind()) curl_easy_setopt(easy_.get(), CURLOPT_FORBID_REUSE, 1L);
  return good;
}

void Attempt::end(CURLcode code) {
  ended_ = true;
  leave_phase();
  reply_.duration = loop_.now() - started_;
  reply_.phase = phase_;
  reply_.kept = phase_ == Phase::Answer && !opened_;

  Ending ending{.code = code, .phase = phase_, .whole_head = head_.whole()};
  ending.over_limit = head_.too_large() || content_too_large_;
  ending.knock = kind_ == Kind::Knock;
  ending.words = error_.data();
  long number = 0;
  curl_easy_getinfo(easy_.get(), CURLINFO_OS_ERRNO, &number);
  ending.error = error_number_ != 0 ? error_number_ : static_cast<int>(number);
  // Memory that is short elsewhere, and at that moment, would be a coincidence.
  const bool line_too_long = is_for_long_lines(code) && !lack_ && phase_ == Phase::Answer &&
                             !head_.whole() && kind_ != Kind::Knock;
  ending.over_limit = ending.over_limit || line_too_long;
  if (code == CURLE_OUT_OF_MEMORY && !line_too_long) lack_ = base::Resource::Memory;
  if (code == CURLE_COULDNT_CONNECT && !lack_ && to_size_ > 0) {
    lack_ = resource_lacking(ending.error, reinterpret_cast<const sockaddr*>(&to_), to_size_);
  }
  ending.lacking = lack_.has_value();
  curl_easy_getinfo(easy_.get(), CURLINFO_SSL_VERIFYRESULT, &ending.verify_result);
  reply_.transport = outcome_of(ending);
  reply_.detail = detail_of(ending, reply_.transport);
  if (content_too_large_ && reply_.transport == Outcome::TooLarge) {
    reply_.detail =
        "more than " + std::to_string(body_limit_bytes_) + " bytes of content, beyond max_body";
  }
  if (line_too_long) {
    reply_.detail =
        "a line of more than " + std::to_string(CURL_MAX_HTTP_HEADER) + " bytes, " + head_.place();
  }
  judge_form(code);
  // libcurl is content with less than whole ones.
  if (chunks_ && !chunks_->whole() && reply_.transport == Outcome::Ok) {
    reply_.transport = Outcome::Truncated;
    reply_.detail = "the connection ended inside the last chunk";
  }
  if (chunks_ && chunks_->broken() && reply_.transport == Outcome::Truncated) {
    reply_.detail = "the content's chunks are broken";
    reply_.unreadable = true;
  }
  reply_.own_lack = reply_.transport == Outcome::Local;
  if (reply_.own_lack) reply_.lack = lack_;
  if (head_.whole()) {
    take_head();
    // What goes through in pieces goes as it is, too.
    if (reply_.transport == Outcome::Ok && kind_ != Kind::Stream && !verbatim_) {
      undo_content_codings();
    }
  }
  stop();
}

// What of the head decided, if anything did.
void Attempt::judge_form(CURLcode code) {
  if (head_.switched()) {
    // It is known for sure what came: a status that means nothing here.
    reply_.transport = Outcome::Ok;
    reply_.detail.clear();
  } else if (!head_.problem().empty()) {
    reply_.detail = head_.problem();
    reply_.unreadable = !head_.too_large();
  } else if (is_refused_by_libcurl(code) && !head_.whole()) {
    reply_.detail += ", " + head_.place();
    reply_.unreadable = true;
  }
}

void Attempt::take_head() {
  CURL* easy = easy_.get();
  reply_.fields = std::move(head_.fields());
  long number = 0;
  curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &number);
  reply_.status = static_cast<int>(number);
  curl_easy_getinfo(easy, CURLINFO_HTTP_VERSION, &number);
  const bool http2 = number == CURL_HTTP_VERSION_2_0;
  pool_->set_speaks_http2(http2);
  reply_.open_ended = !http2 && !chunks_ && find_field(reply_.fields, "Content-Length") == nullptr;
  const base::WallTime received = loop_.clock().wall();
  reply_.retry_after = wait_told(reply_.fields, received);
  reply_.clock_ahead = clock_ahead(reply_.fields, received);
}

void Attempt::undo_content_codings() {
  Undoing undoing = Undoing::Impossible;
  try {
    undoing = undo_codings(reply_.fields, reply_.body, body_limit_bytes_);
  } catch (const std::bad_alloc&) {
    return fail(Outcome::Local, "out of memory");
  }
  if (undoing == Undoing::Done) return;
  reply_.body.clear();
  if (undoing == Undoing::TooLarge) {
    reply_.transport = Outcome::TooLarge;
    reply_.detail = "the content is too large once it is decoded";
    return;
  }
  // It may be whole, but nobody can read it. Where the status alone says what is to be done,
  // that is known; else it is no answer. A 404 is the API's own or a balancer's by its content.
  const bool is_success = reply_.status >= 200 && reply_.status < 300;
  if (!is_success && !is_negative(reply_.status)) return;
  reply_.transport = Outcome::InvalidBody;
  reply_.detail = cannot_be_undone(reply_.fields);
}

void Attempt::fail(Outcome outcome, std::string detail, bool own_lack) {
  ended_ = true;
  reply_.duration = loop_.now() - started_;
  reply_.phase = phase_;
  reply_.transport = outcome;
  reply_.detail = std::move(detail);
  reply_.own_lack = own_lack || outcome == Outcome::Local;
  // Before there was a connection to make, libcurl lacks nothing else.
  if (outcome == Outcome::Local) reply_.lack = base::Resource::Memory;
}

}  // namespace holdfast::upstream
