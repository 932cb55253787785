// A connection's life. process() alone moves it from request to request, and
// every way in ends in settle(), which alone decides what to wait for next and
// alone destroys the connection.
//
//   silent      nothing of the first request yet                    Wait::Silent
//   idle        nothing of the next request yet                     Wait::Idle
//   head        part of a head is in the inbox                      Wait::Head
//   content     the head is complete, its content is coming in      Wait::Body
//   in flight   the handler has the request (exchange_ != 0)        Wait::None
//               and takes its content in pieces                     Wait::Body, or None
//   writing     pending_ holds what the socket did not take         Wait::Write
//   lingering   answered for the last time, reading to the end      Wait::Linger
//
// In flight and writing can be both at once: the answers before a request may
// still be on their way. While either lasts no request is parsed. In flight we
// read on into the inbox, up to the size of one read buffer, as that is how the
// client's end is noticed; a client that has sent its end still gets its answer.
//
// Lingering: closing a socket with unread bytes in it sends a reset, which can
// overtake the answer (RFC 9112, 9.6). So where the client may still be sending,
// only our side is closed first.
//
// What goes through in pieces, a content or an answer, is in connection_pieces.cpp.
#include "http/connection.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <string>
#include <utility>

#include "http/connection_content.h"
#include "http/problem.h"

namespace holdfast::http {
namespace {

// What a client may still send once it has had its last answer.
constexpr std::size_t kMaxDiscardedBytes = 1U << 20;
// The shared buffer of answers keeps its memory up to this size.
constexpr std::size_t kMaxIdleBatchBytes = 1U << 20;
// How many requests of one connection are served before the others have a turn:
// one read brings hundreds, and some answers are packed anew each time.
constexpr int kRequestsPerTurn = 32;
// Interim answers to one request.
constexpr int kMostInterims = 8;

}  // namespace

Connection::Connection(ServerCore& core, base::UniqueFd fd, const ClientAddress& address,
                       std::uint32_t slot)
    : core_(core),
      fd_(std::move(fd)),
      watch_(core.loop, fd_.get(), &Connection::on_events, this),
      slot_(slot),
      address_(address) {}

Connection::~Connection() {
  if (in_flight_counted_) core_.count_in_flight(-1);
  core_.count_unsent(unsent_, 0);
}

void Connection::start() {
  now_ = core_.loop.woken();
  on_readable();
}

void Connection::on_events(void* self, unsigned events) {
  auto& connection = *static_cast<Connection*>(self);
  // Also for what waited behind others of the same wake-up: its duration says so.
  connection.now_ = connection.core_.loop.woken();
  if (!connection.pending_.empty()) {
    connection.on_writable();
  } else if ((events & base::kFdReadable) != 0) {
    connection.on_readable();
  }
}

// Reading

Connection::Read Connection::read_into(char* at, std::size_t room, std::size_t& got) {
  const ssize_t count = ::recv(fd_.get(), at, room, 0);
  if (count > 0) {
    got = static_cast<std::size_t>(count);
    return Read::Some;
  }
  if (count == 0) {
    ended_ = true;
    return Read::Ended;
  }
  if (errno != EAGAIN && errno != EINTR) fail(CloseReason::Error);
  return Read::Nothing;
}

void Connection::on_readable() {
  if (lingering_) return discard();
  if (exchange_ != 0) return content_ ? read_content() : read_ahead();
  // First what is here already: to read the client's end now would be to forget it.
  if (resume_queued) return resume();
  char* const buffer = core_.read_buffer.get();
  const std::size_t held = inbox_.size();
  std::size_t got = 0;
  if (read_into(buffer + held, core_.read_buffer_bytes - held, got) != Read::Some) {
    return settle();
  }
  if (held > 0) std::memcpy(buffer, inbox_.data(), held);
  process({buffer, held + got});
}

void Connection::read_ahead() {
  std::size_t got = 0;
  const std::size_t room = core_.read_buffer_bytes - inbox_.size();
  if (room > 0) {
    const Read read = read_into(core_.read_buffer.get(), room, got);
    if (read == Read::Some) inbox_.append({core_.read_buffer.get(), got});
    if (read == Read::Ended && !whole_) core_.count_abandoned();
  }
  settle();
}

void Connection::discard() {
  std::size_t got = 0;
  if (read_into(core_.read_buffer.get(), core_.read_buffer_bytes, got) == Read::Some) {
    discarded_ += got;
    if (discarded_ > kMaxDiscardedBytes) fail(close_reason_);
  }
  settle();
}

void Connection::resume() {
  resume_queued = false;
  now_ = core_.loop.woken();
  if (exchange_ != 0 && content_) return pass_inbox();
  if (!may_go_on() || inbox_.empty()) return settle();
  const std::size_t held = inbox_.size();
  std::memcpy(core_.read_buffer.get(), inbox_.data(), held);
  process({core_.read_buffer.get(), held});
}

void Connection::read_last_and_drain() {
  now_ = core_.loop.woken();
  // All others come to their end by themselves.
  if (may_go_on() && !resume_queued) on_readable();
}

// Requests

bool Connection::may_go_on() const {
  return exchange_ == 0 && pending_.empty() && !closing_ && !has_failed_ && !lingering_;
}

// Serves what `input` holds: the inbox's bytes and those just read.
void Connection::process(std::string_view input) {
  assert(may_go_on() && core_.batch.empty());
  core_.set_current(this);
  core_.writer.update_date(now_);
  int left_of_turn = kRequestsPerTurn;
  while (!input.empty() && may_go_on() && left_of_turn-- > 0) {
    const std::size_t used = content_ ? take_content(input) : next_request(input);
    if (used == 0) break;
    input.remove_prefix(used);
    if (core_.batch.size() >= core_.settings.max_pending_write_bytes) flush(core_.batch);
  }
  core_.set_current(nullptr);
  if (closing_) {
    more_may_come_ = more_may_come_ || !input.empty();
    input = {};
  }
  if (input.empty()) {
    inbox_.release();
  } else {
    inbox_.clear();
    inbox_.append(input);
  }
  flush(core_.batch);
  if (core_.batch.capacity() > kMaxIdleBatchBytes) core_.batch.release();
  if (left_of_turn < 0 && may_go_on() && !inbox_.empty()) {
    wait(Wait::None);
    return core_.resume_soon(*this);
  }
  settle();
}

// Takes one head, and with it the request if that has no content. Returns the
// bytes used; 0 if the head is not complete.
std::size_t Connection::next_request(std::string_view input) {
  // Empty lines before a request are to be ignored (RFC 9112, 2.2).
  std::size_t skipped = 0;
  while (input.substr(skipped, 2) == "\r\n") skipped += 2;
  if (skipped > 0) return skipped;

  RequestHead head;
  switch (core_.parser.parse(input, checked_, head)) {
    case RequestParser::Outcome::Incomplete:
      return 0;
    case RequestParser::Outcome::Refused: {
      const Refusal refusal = core_.parser.refusal();
      to_head_ = head.request.method == Method::Head;
      refuse(refusal.status, refusal.reason, refusal.detail);
      return 0;
    }
    case RequestParser::Outcome::Complete:
      break;
  }
  restart_wait_ = true;
  if (head.framing == Framing::None) {
    hand_over(head, {});
  } else {
    start_content(head, input.substr(0, head.bytes), input.size() > head.bytes);
  }
  return head.bytes;
}

void Connection::start_content(RequestHead& head, std::string_view head_bytes, bool more_is_here) {
  if (const auto limit = core_.handler.stream_limit(head.request)) {
    const bool too_large = head.content_length > limit->bytes;
    if (too_large) core_.count_rejected(RejectReason::BodyTooLarge);
    const auto use = too_large ? Content::Use::Discard : Content::Use::Pass;
    content_ = std::make_unique<Content>(head_bytes, head, limit->bytes, use, core_.contents_held);
    content_->too_large = limit->too_large;
    content_->wants_continue = head.expects_continue && !more_is_here;
    head.request.streamed = true;
    head.request.too_large = too_large;
    head.request.chunked = content_->chunked;
    head.request.content_length = head.content_length;
    return hand_over(head, {});
  }
  const std::size_t wanted = core_.handler.body_limit(head.request.method, head.request.path);
  const std::size_t limit = wanted > 0 ? wanted : core_.settings.max_discarded_body_bytes;
  to_head_ = head.request.method == Method::Head;
  if (head.content_length > limit) {
    return refuse(413, RejectReason::BodyTooLarge, "the content is too large");
  }
  if (wanted > 0 && core_.contents_held >= core_.settings.max_contents_held) {
    return refuse(503, RejectReason::Overload, "too many requests with content at a time");
  }
  content_ = std::make_unique<Content>(head_bytes, head, limit,
                                       wanted > 0 ? Content::Use::Collect : Content::Use::Discard,
                                       core_.contents_held);
  if (!head.expects_continue || more_is_here) return;
  // Who waits to be asked for what nobody reads is answered without (RFC 9110, 10.1.1). Whether it
  // comes all the same nobody waits to see: the connection ends behind the answer.
  if (wanted == 0) return hand_over(head, {});
  core_.batch.append("HTTP/1.1 100 Continue\r\n\r\n");
}

std::size_t Connection::take_content(std::string_view input) {
  Content& content = *content_;
  std::size_t used = 0;
  if (content.chunked) {
    const auto result = content.decoder.feed(input);
    used = result.used;
    switch (result.outcome) {
      case ChunkedDecoder::Outcome::Incomplete:
        return used;
      case ChunkedDecoder::Outcome::Malformed:
        refuse(400, RejectReason::Malformed, "malformed chunked content");
        return used;
      case ChunkedDecoder::Outcome::TooLarge:
        refuse(413, RejectReason::BodyTooLarge, "the content is too large");
        return used;
      case ChunkedDecoder::Outcome::Complete:
        break;
    }
  } else {
    used = static_cast<std::size_t>(std::min<std::uint64_t>(content.left, input.size()));
    if (content.use == Content::Use::Collect) content.bytes.append(input.substr(0, used));
    content.left -= used;
    if (content.left > 0) return used;
  }

  // The head was good when it came. Its views are needed only now, so it is read
  // again rather than kept in pieces.
  const auto complete = std::move(content_);
  RequestHead head;
  std::size_t checked = 0;
  [[maybe_unused]] const auto outcome = core_.parser.parse(complete->head, checked, head);
  assert(outcome == RequestParser::Outcome::Complete);
  restart_wait_ = true;
  hand_over(head, complete->collected());
  return used;
}

void Connection::hand_over(RequestHead& head, std::string_view content) {
  ++requests_;
  to_head_ = head.request.method == Method::Head;
  to_http10_ = head.http10;
  interims_ = 0;
  keep_alive_ = head.keep_alive;
  head.request.body = content;
  head.request.client = address_.text();
  head.request.received = now_;
  head.request.http10 = head.http10;
  if (const auto wait = core_.take_token(address_, now_); wait > base::Duration::zero()) {
    return answer_limited(wait);
  }
  exchange_ = core_.new_exchange(slot_);
  core_.handler.handle(core_.server, exchange_, head.request);
  if (exchange_ != 0) {
    in_flight_counted_ = true;
    core_.count_in_flight(+1);
  }
}

// Answers

void Connection::answer_now(const Response& response) {
  write_answer(core_.batch, response);
}

void Connection::write_interim(int status, std::string_view fields, bool inside) {
  const bool of_use = !to_http10_ && pieces_ == Pieces::None && pending_.empty() && !has_failed_;
  if (!of_use || interims_ >= kMostInterims) return;
  ++interims_;
  if (inside) return ResponseWriter::write_interim(core_.batch, status, fields);
  now_ = core_.loop.woken();
  ResponseWriter::write_interim(core_.late, status, fields);
  flush(core_.late);
  settle();
}

void Connection::answer_late(const Response& response) {
  now_ = core_.loop.woken();
  core_.writer.update_date(now_);
  write_answer(core_.late, response);
  go_on_after_answer();
}

// Sends what `late` has of the answer's end.
void Connection::go_on_after_answer() {
  if (closing_) {
    more_may_come_ = more_may_come_ || !inbox_.empty();
    inbox_.release();
  }
  flush(core_.late);
  if (may_go_on() && !inbox_.empty()) {
    // Not from in here: the caller is the handler, in the middle of something.
    wait(Wait::None);
    return core_.resume_soon(*this);
  }
  settle();
}

// Not behind a content that has not come whole: where the next request begins nobody waits to see.
bool Connection::stays_after_answer(bool close) const {
  const auto most = core_.settings.max_requests_per_connection;
  const bool used_up = most > 0 && requests_ >= most;
  return keep_alive_ && !used_up && !close && !core_.draining() && !content_;
}

void Connection::write_answer(ByteBuffer& out, const Response& response) {
  const bool keep = stays_after_answer(response.close);
  core_.writer.write(out, response, {to_head_, to_http10_, keep});
  answered(keep);
}

// The exchange is over, as far as the handler is concerned.
void Connection::answered(bool keep) {
  end_exchange();
  const bool more_of_content = std::exchange(content_, nullptr) != nullptr;
  if (keep) return;
  const auto most = core_.settings.max_requests_per_connection;
  const bool used_up = most > 0 && requests_ >= most;
  if (!keep_alive_) {
    end_after_answer(CloseReason::Client, more_of_content);
  } else if (core_.draining()) {
    end_after_answer(CloseReason::Drain, true);
  } else {
    end_after_answer(used_up ? CloseReason::Limit : CloseReason::Server, true);
  }
}

void Connection::end_exchange() {
  exchange_ = 0;
  for_client_alone_ = whole_ = false;
  if (!in_flight_counted_) return;
  in_flight_counted_ = false;
  core_.count_in_flight(-1);
}

// The connection stays: its requests are well formed, and a new one would cost
// both sides more.
void Connection::answer_limited(base::Duration wait) {
  const auto seconds = std::chrono::ceil<std::chrono::seconds>(wait).count();
  const std::string fields = "Retry-After: " + std::to_string(seconds) + "\r\n";
  const std::string body = problem_json(429, "too many requests from this address");
  write_answer(core_.batch,
               {.status = 429, .fields = kProblemFields, .more_fields = fields, .body = body});
}

void Connection::end_after_answer(CloseReason reason, bool more_may_come) {
  closing_ = true;
  close_reason_ = reason;
  more_may_come_ = more_may_come;
}

// Answers an error in the request's stead. For process() and time_out().
void Connection::refuse(int status, RejectReason reason, std::string_view detail) {
  core_.reject(reason, status, detail, address_.text());
  write_refusal(status, detail);
}

void Connection::write_refusal(int status, std::string_view detail) {
  const std::string body = problem_json(status, detail);
  core_.writer.write(core_.batch,
                     {.status = status, .fields = kProblemFields, .body = body, .close = true},
                     {.to_head = to_head_, .to_http10 = false, .keep_alive = false});
  content_.reset();
  end_after_answer(CloseReason::Rejected, true);
}

// Sends what it can, behind what waits already; the rest waits too. Every hit comes by here, in one
// part. The last answer goes in one segment with the connection's end, which settle() sends at
// once: two would cost both sides half as much again as the answer does.
void Connection::flush(ByteBuffer& out) {
  if (out.empty()) return;
  std::size_t sent = 0;
  if (pending_.empty() && !has_failed_) {
    const int flags = closing_ ? MSG_NOSIGNAL | MSG_MORE : MSG_NOSIGNAL;
    sent = taken_by_kernel(::send(fd_.get(), out.data(), out.size(), flags));
  }
  if (sent < out.size() && !has_failed_) {
    out.consume(sent);
    pending_.append(out.view());
  }
  out.clear();
}

// Likewise.
void Connection::send(const std::array<std::string_view, 3>& parts) {
  std::size_t sent = 0;
  if (pending_.empty() && !has_failed_) {
    std::array<iovec, 3> vectors{};
    std::size_t count = 0;
    for (const std::string_view part : parts) {
      if (!part.empty()) vectors[count++] = {const_cast<char*>(part.data()), part.size()};
    }
    msghdr message{};
    message.msg_iov = vectors.data();
    message.msg_iovlen = count;
    sent = taken_by_kernel(::sendmsg(fd_.get(), &message, MSG_NOSIGNAL));
  }
  if (has_failed_) return;
  for (std::string_view part : parts) {
    const std::size_t gone = std::min(sent, part.size());
    sent -= gone;
    pending_.append(part.substr(gone));
  }
}

// Of what a send returned: so many bytes.
std::size_t Connection::taken_by_kernel(ssize_t count) {
  if (count >= 0) return static_cast<std::size_t>(count);
  if (errno != EAGAIN && errno != EINTR) fail(CloseReason::Error);
  return 0;
}

void Connection::on_writable() {
  const ssize_t count = ::send(fd_.get(), pending_.data(), pending_.size(), MSG_NOSIGNAL);
  if (count > 0) {
    pending_.consume(static_cast<std::size_t>(count));
    progressed_ = true;
  } else if (count < 0 && errno != EAGAIN && errno != EINTR) {
    fail(CloseReason::Error);
  }
  if (pending_.empty()) {
    pending_.release();
    restart_wait_ = true;
    if (exchange_ != 0 && pieces_ != Pieces::None) core_.handler.written(exchange_);
    if (may_go_on() && !inbox_.empty()) return resume();
  }
  settle();
}

// What next

void Connection::wait(Wait what) {
  looked_again_ = false;
  core_.wait(*this, what, now_);
}

void Connection::settle() {
  if (pending_.capacity() != unsent_) {
    core_.count_unsent(unsent_, pending_.capacity());
    unsent_ = pending_.capacity();
  }
  if (has_failed_) return core_.close(*this, failed_);
  if (!pending_.empty()) {
    watch_.want(base::kFdWritable);
    if (waiting_for_ != Wait::Write || progressed_) wait(Wait::Write);
    progressed_ = false;
    return;
  }
  if (closing_) {
    if (std::exchange(up_to_end_, false)) reset_on_close(false);
    if (ended_ || !more_may_come_) {
      // First: to close with something unread would take back what has not been sent.
      ::shutdown(fd_.get(), SHUT_WR);
      return core_.close(*this, close_reason_);
    }
    if (!lingering_) begin_lingering();
    return;
  }
  if (exchange_ != 0) {
    if (content_) return settle_content();
    if (ended_ && for_client_alone_) return core_.close(*this, CloseReason::Client);
    wait(Wait::None);
    const bool reads = !ended_ && inbox_.size() < core_.read_buffer_bytes;
    return watch_.want(reads ? base::kFdReadable : base::kFdNone);
  }
  // Nothing that is still incomplete can become complete.
  if (ended_) return core_.close(*this, CloseReason::Client);
  // Until then its next request may be on its way, and not every client asks again.
  if (core_.draining() && core_.drain_grace_over() && inbox_.empty() && !content_) {
    return core_.close(*this, CloseReason::Drain);
  }
  const Wait next = content_          ? Wait::Body
                    : !inbox_.empty() ? Wait::Head
                    : requests_ == 0  ? Wait::Silent
                                      : Wait::Idle;
  if (waiting_for_ != next || restart_wait_) wait(next);
  restart_wait_ = false;
  watch_.want(base::kFdReadable);
}

void Connection::begin_lingering() {
  lingering_ = true;
  ::shutdown(fd_.get(), SHUT_WR);
  wait(Wait::Linger);
  watch_.want(base::kFdReadable);
}

void Connection::time_out() {
  now_ = core_.loop.woken();
  // A loop that was held up meets its timers with what came in time still unread, and
  // what was taken in time not yet noticed. It counts: one look before the verdict.
  if (waiting_for_ != Wait::Linger && !std::exchange(looked_again_, true) && is_ready()) {
    return pending_.empty() ? on_readable() : on_writable();
  }
  switch (waiting_for_) {
    case Wait::None:
      return;
    case Wait::Silent:
    case Wait::Idle:
      fail(CloseReason::Idle);
      break;
    case Wait::Head:
    case Wait::Body: {
      const bool head = waiting_for_ == Wait::Head;
      if (exchange_ != 0) {
        refuse_exchange(408, RejectReason::BodyTimeout, "the request content did not come in time");
        close_reason_ = CloseReason::BodyTimeout;
        break;
      }
      if (head) to_head_ = inbox_.view().starts_with("HEAD ");
      core_.writer.update_date(now_);
      refuse(408, head ? RejectReason::HeadTimeout : RejectReason::BodyTimeout,
             head ? "the request head did not come in time"
                  : "the request content did not come in time");
      close_reason_ = head ? CloseReason::HeadTimeout : CloseReason::BodyTimeout;
      inbox_.release();
      flush(core_.batch);
      break;
    }
    case Wait::Write:
      reset_on_close();
      fail(CloseReason::WriteTimeout);
      break;
    case Wait::Linger:
      fail(close_reason_);
      break;
  }
  settle();
}

void Connection::cut_off(CloseReason reason) {
  reset_on_close();
  fail(reason);
  settle();
}

// The kernel need not keep what this client does not read.
void Connection::reset_on_close(bool on) {
  const linger reset{on ? 1 : 0, 0};
  ::setsockopt(fd_.get(), SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
}

// As the loop would be told: not for the little room that a send might still find.
bool Connection::is_ready() const {
  pollfd events{fd_.get(), static_cast<short>(pending_.empty() ? POLLIN : POLLOUT), 0};
  return ::poll(&events, 1, 0) > 0;
}

bool Connection::has_unread() const {
  char byte;
  return ::recv(fd_.get(), &byte, 1, MSG_PEEK) > 0;
}

}  // namespace holdfast::http
