#include "http_connection.h"

#include <llhttp.h>
#include <sys/socket.h>

namespace holdfast::flaky {
namespace {

constexpr std::size_t kReadBytes = 16 << 10;
// What a client may have sent ahead, or put into one message.
constexpr std::size_t kMostInputBytes = 64 << 10;

}  // namespace

struct HttpConnection::Parser {
  Parser() {
    llhttp_settings_init(&settings);
    settings.on_message_begin = &Parser::begin;
    settings.on_method = &Parser::method;
    settings.on_url = &Parser::target;
    settings.on_header_field = &Parser::field_name;
    settings.on_header_value = &Parser::field_value;
    settings.on_body = &Parser::content;
    settings.on_message_complete = &Parser::complete;
    llhttp_init(&state, HTTP_REQUEST, &settings);
    state.data = this;
  }

  static Parser& of(llhttp_t* state) { return *static_cast<Parser*>(state->data); }

  // A message in pieces costs memory until it is whole.
  static int append(llhttp_t* state, std::string& to, const char* at, std::size_t length) {
    Parser& self = of(state);
    self.bytes += length;
    if (self.bytes > kMostInputBytes) return HPE_USER;
    to.append(at, length);
    return HPE_OK;
  }

  static int begin(llhttp_t* state) {
    Parser& self = of(state);
    self.request = {};
    self.bytes = 0;
    self.in_value = true;
    return HPE_OK;
  }
  static int method(llhttp_t* state, const char* at, std::size_t length) {
    return append(state, of(state).request.method, at, length);
  }
  static int target(llhttp_t* state, const char* at, std::size_t length) {
    return append(state, of(state).request.target, at, length);
  }
  static int field_name(llhttp_t* state, const char* at, std::size_t length) {
    Parser& self = of(state);
    if (self.in_value) self.request.fields.emplace_back();
    self.in_value = false;
    return append(state, self.request.fields.back().first, at, length);
  }
  static int field_value(llhttp_t* state, const char* at, std::size_t length) {
    Parser& self = of(state);
    self.in_value = true;
    // A chunked message's trailer comes without a name of ours before it.
    if (self.request.fields.empty()) return HPE_OK;
    return append(state, self.request.fields.back().second, at, length);
  }
  static int content(llhttp_t* state, const char* at, std::size_t length) {
    return append(state, of(state).request.content, at, length);
  }
  static int complete(llhttp_t* state) {
    of(state).request.keep_alive = llhttp_should_keep_alive(state) != 0;
    return HPE_PAUSED;  // one request at a time
  }

  llhttp_t state{};
  llhttp_settings_t settings{};
  Request request;
  std::size_t bytes = 0;
  bool in_value = true;
};

HttpConnection::HttpConnection(HttpServer& server, ConnectionId id, base::UniqueFd fd,
                               std::unique_ptr<ByteStream> stream)
    : server_(server),
      id_(id),
      fd_(std::move(fd)),
      stream_(std::move(stream)),
      watch_(std::make_unique<base::FdWatch>(server.loop_, fd_.get(), &HttpConnection::on_event,
                                             this)),
      parser_(std::make_unique<Parser>()) {
  const auto delay = server_.handshake_delay();
  if (delay > base::Duration::zero()) {
    waiting_.set_after(server_.loop_, delay, [this] { watch_as_needed(); });
  } else {
    watch_as_needed();
  }
}

HttpConnection::~HttpConnection() = default;

void HttpConnection::on_event(void* self, unsigned events) {
  auto& connection = *static_cast<HttpConnection*>(self);
  const bool readable = (events & base::kFdReadable) != 0;
  const bool writable = (events & base::kFdWritable) != 0;
  if (writable || (readable && connection.write_waits_for_read_)) connection.write_some();
  if (connection.closed_) return;
  if (readable || (writable && connection.read_waits_for_write_)) connection.read_some();
}

void HttpConnection::read_some() {
  char buffer[kReadBytes];
  read_waits_for_write_ = false;
  do {
    const auto got = stream_->read(buffer, sizeof buffer);
    read_waits_for_write_ = got.state == ByteStream::State::WaitsForWrite;
    // A client that half-closes to say "no more requests" is taken for gone.
    if (got.state == ByteStream::State::Ended) return close(false);
    input_.append(buffer, got.bytes);
    pump();
  } while (!closed_ && stream_->has_read_ahead());
  if (!closed_) watch_as_needed();
}

// Serves what is in input_, a request at a time. An answer that ends within
// on_request() comes back here: the guard makes that a turn of the loop rather
// than a call within a call, however many requests a client has pipelined.
void HttpConnection::pump() {
  if (pumping_) return;
  pumping_ = true;
  while (!closed_ && !answering_ && !input_.empty()) {
    llhttp_t& state = parser_->state;
    if (llhttp_get_errno(&state) == HPE_PAUSED) llhttp_resume(&state);
    const auto error = llhttp_execute(&state, input_.data(), input_.size());
    if (error == HPE_OK) {
      input_.clear();
      break;
    }
    if (error == HPE_PAUSED) {
      answering_ = true;
      const auto* end = llhttp_get_error_pos(&state);
      input_.erase(0, static_cast<std::size_t>(end - input_.data()));
      keep_alive_ = parser_->request.keep_alive;
      server_.handler_.on_request(id_, std::move(parser_->request));
      continue;
    }
    // Not HTTP, an upgrade, or too long. The handler never hears of it.
    input_.clear();
    const WirePlan plan = plan_of(json_error(error == HPE_USER ? 431 : 400, "bad request"), false);
    (void)stream_->write(plan.bytes.data(), plan.bytes.size());
    close(false);
  }
  pumping_ = false;
}

void HttpConnection::send(WirePlan plan) {
  if (closed_ || !answering_ || sending_) return;
  plan_ = std::move(plan);
  sending_ = true;
  sent_ = 0;
  may_send_ =
      plan_.drip_interval > base::Duration::zero() ? plan_.at_once_bytes : plan_.bytes.size();
  write_some();
}

void HttpConnection::write_some() {
  if (!sending_) return;
  write_waits_for_read_ = false;
  while (sent_ < may_send_) {
    const auto put = stream_->write(plan_.bytes.data() + sent_, may_send_ - sent_);
    write_waits_for_read_ = put.state == ByteStream::State::WaitsForRead;
    if (put.state == ByteStream::State::Ended) return close(false);
    if (put.state != ByteStream::State::Moved) return watch_as_needed();
    sent_ += put.bytes;
  }
  if (sent_ == plan_.bytes.size()) return finish();
  watch_as_needed();
  drip_.set_after(server_.loop_, plan_.drip_interval, [this] {
    ++may_send_;
    write_some();
  });
}

void HttpConnection::finish() {
  if (plan_.end == WirePlan::End::Hang) return watch_as_needed();
  const bool stay = plan_.end == WirePlan::End::KeepAlive && keep_alive_;
  const bool with_reset = plan_.end == WirePlan::End::Reset;
  answering_ = sending_ = false;
  plan_ = {};
  server_.handler_.on_answer_end(id_, true);
  if (closed_) return;
  if (!stay) return close(with_reset);
  pump();
  if (!closed_) watch_as_needed();
}

void HttpConnection::close(bool with_reset) {
  if (closed_) return;
  closed_ = true;
  drip_.cancel();
  waiting_.cancel();
  watch_.reset();
  if (with_reset) {
    const linger at_once{1, 0};
    ::setsockopt(fd_.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  } else {
    stream_->finish();
  }
  fd_.reset();
  if (answering_) server_.handler_.on_answer_end(id_, false);
  server_.retire(id_);
}

void HttpConnection::watch_as_needed() {
  unsigned wanted = base::kFdNone;
  if (input_.size() < kMostInputBytes) wanted |= base::kFdReadable;
  if (sending_ && sent_ < may_send_ && !write_waits_for_read_) wanted |= base::kFdWritable;
  if (read_waits_for_write_) wanted |= base::kFdWritable;
  watch_->want(wanted);
}

}  // namespace holdfast::flaky
