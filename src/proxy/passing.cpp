// A Passage is the end of an exchange on the origin loop. It is the peer of the transfer there, and
// says what it has to say to the worker by post, in order; both keep it alive. It is told of what
// happens inside libcurl, so whatever may touch another transfer is posted too: pieces that come
// before the head was told wait for it.
#include "proxy/passing.h"

#include <algorithm>
#include <cstring>
#include <deque>
#include <optional>
#include <utility>
#include <vector>

#include "http/field_syntax.h"
#include "http/problem.h"
#include "proxy/fetch_words.h"
#include "proxy/passed_fields.h"
#include "proxy/response_fields.h"

namespace holdfast::proxy {
namespace {

using upstream::StreamRequest;

// In the log alone: nobody was told anything.
constexpr int kClientHasLeft = 499;

constexpr const char* kNotSent = "; this request was not sent";

// At least in part: who got as far as a connection has begun to.
bool was_sent(const upstream::FetchResult& result) {
  return result.attempts_sent > 0 &&
         (result.reply.phase == upstream::Phase::Answer || result.reply.status != 0);
}

StreamRequest stream_request(const http::Request& request, upstream::Request upstream) {
  StreamRequest stream{.method = std::string(request.method_name), .request = std::move(upstream)};
  // What content these may have means nothing (RFC 9110, 9.3.1), and is not kept.
  if (request.method == http::Method::Get || request.method == http::Method::Head) return stream;
  if (request.streamed) {
    stream.content =
        request.chunked ? StreamRequest::Content::Chunked : StreamRequest::Content::Length;
    stream.content_length = request.content_length;
    return stream;
  }
  // An empty one is told where the client told it, and where one is expected (RFC 9110, 8.6).
  const bool told =
      std::any_of(request.fields.begin(), request.fields.end(), [](const http::FieldLine& line) {
        return http::equals_ignoring_case(line.name, "content-length");
      });
  const std::string& method = stream.method;
  if (told || method == "POST" || method == "PUT" || method == "PATCH") {
    stream.content = StreamRequest::Content::Length;
  }
  return stream;
}

}  // namespace

// Origin loop only, but for its making.
class Passage final : public upstream::StreamPeer, public std::enable_shared_from_this<Passage> {
 public:
  Passage(Passing& passing, http::ExchangeId id, Passing::Order order, std::string request_id,
          bool awaits_content, std::size_t window_bytes)
      : passing_(passing),
        window_bytes_(window_bytes),
        id_(id),
        plan_(order.plan),
        passer_(order.passer),
        observer_(std::move(order.observer)),
        hold_(std::move(order.hold)),
        request_id_(std::move(request_id)),
        forward_(order.forward),
        large_(std::move(order.large)),
        asked_for_content_(!awaits_content) {}

  void start(StreamRequest request, base::SteadyTime deadline) {
    whole_ = request.content == StreamRequest::Content::None ||
             (request.content == StreamRequest::Content::Length && request.content_length == 0);
    started_ = true;
    pass_ = passer_.pass(
        std::move(request), deadline, *this,
        [self = shared_from_this()](upstream::FetchResult result) {
          self->started_ = false;
          self->was_sent_ = result.attempts_sent > 0;
          if (self->refused_) return;  // that is told by itself
          const bool whole = result.end == upstream::FetchEnd::Answered;
          if (whole) self->keep();
          self->tell([self, result = std::move(result)] { self->passing_.end(self->id_, result); });
        });
  }
  void add(std::string piece, bool last) {
    if (!piece.empty()) content_.push_back(std::move(piece));
    whole_ = whole_ || last;
    if (std::exchange(waits_for_content_, false)) passer_.go_on(pass_);
  }
  void taken(std::size_t bytes) {
    on_way_ -= bytes;
    const bool room = on_way_ <= window_bytes_ / 2;
    if (!waits_for_room_ || !room) return;
    waits_for_room_ = false;
    passer_.go_on(pass_);
  }
  // Whether it had been sent, as far as anybody knows.
  bool leave() {
    if (std::exchange(started_, false)) was_sent_ = passer_.end_pass(pass_);
    return was_sent_;
  }
  // The client has its answer. The transfer comes to its own end, but where content is missing.
  void answered() {
    if (!whole_) leave();
  }

  std::optional<std::size_t> read(char* at, std::size_t most) override {
    std::size_t count = 0;
    while (count < most && !content_.empty()) {
      const std::string_view front = std::string_view(content_.front()).substr(front_read_);
      const std::size_t bytes = std::min(front.size(), most - count);
      std::memcpy(at + count, front.data(), bytes);
      count += bytes;
      front_read_ += bytes;
      if (bytes < front.size()) break;
      content_.pop_front();
      front_read_ = 0;
    }
    read_ += count;
    if (!whole_) ask_for_content();
    if (count > 0 || whole_) return count;
    waits_for_content_ = true;
    return std::nullopt;
  }

  void interim(int status, const upstream::Fields& fields) override {
    tell([self = shared_from_this(), status, lines = passed_interim_fields(fields, plan_)] {
      self->passing_.interim(self->id_, status, lines);
    });
  }
  void head(const upstream::StreamHead& head) override {
    if (large_) {
      if (auto verdict = large_->judge(head); verdict.outcome != upstream::Outcome::Ok) {
        return refuse(head, std::move(verdict));
      }
    }
    PassedHead passed =
        large_ ? large_response_fields(head.fields, plan_, head.status, request_id_, forward_)
               : passed_response_fields(head.fields, plan_, head.status, request_id_, forward_);
    upstream::Fields fields;
    if (observer_) {
      fields = head.fields;
      if (observer_->wants_content(head.status, head.fields, head.length)) kept_.emplace();
      length_ = head.length;
    }
    // A 203 whose head is right is the 200 that it was, as what is kept of one is.
    const int status = large_ && head.status == 203 ? 200 : head.status;
    passing_.origin_.post([self = shared_from_this(), passed = std::move(passed),
                           fields = std::move(fields), status, length = head.length] {
      if (self->observer_) self->observer_->answered(status, fields);
      self->told_ = true;
      self->tell([self, passed, status, length] {
        self->passing_.begin(self->id_, {.status = status,
                                         .fields = passed.lines,
                                         .has_date = passed.has_date,
                                         .length = length});
      });
      for (std::string& piece : std::exchange(self->early_, {})) self->tell_piece(std::move(piece));
      if (self->large_ && self->large_->head_only) self->end_behind_head(status);
    });
  }
  bool has_room(std::size_t bytes) override {
    if (refused_) return true;
    waits_for_room_ = on_way_ + bytes >= window_bytes_;
    return !waits_for_room_;
  }
  void write(std::string piece) override {
    if (refused_ || (large_ && large_->head_only)) return;
    on_way_ += piece.size();
    if (kept_) {
      kept_->append(piece);
      // Not only at the transfer's end: the client is told of the last byte now, and may ask again.
      if (kept_->size() == length_) {
        keep();
      } else if (kept_->size() > observer_->most_bytes) {
        kept_.reset();
      }
    }
    if (!told_) {
      early_.push_back(std::move(piece));
    } else {
      tell_piece(std::move(piece));
    }
  }

 private:
  // No such answer goes to a client, and nothing behind its head is of use. Not from here, which is
  // the middle of the transfer.
  void refuse(const upstream::StreamHead& head, upstream::Verdict verdict) {
    refused_ = true;
    upstream::FetchResult result;
    result.end = upstream::FetchEnd::GaveUp;
    result.outcome = verdict.outcome;
    result.reply.status = head.status;
    result.reply.phase = upstream::Phase::Answer;
    result.attempts_sent = 1;
    std::string reason = "status " + std::to_string(head.status) + ": " + verdict.reason;
    result.attempts.push_back({0, verdict.outcome, head.status, false, {}, std::move(reason)});
    passing_.origin_.post([self = shared_from_this(), result = std::move(result)]() mutable {
      self->leave();
      self->tell([self, result = std::move(result)] { self->passing_.end(self->id_, result); });
    });
  }
  void end_behind_head(int status) {
    leave();
    upstream::FetchResult result;
    result.end = upstream::FetchEnd::Answered;
    result.reply.status = status;
    result.attempts_sent = 1;
    tell([self = shared_from_this(), result] { self->passing_.end(self->id_, result); });
  }
  void keep() {
    if (!kept_) return;
    passing_.origin_.post([self = shared_from_this(), whole = *std::move(kept_)]() mutable {
      self->observer_->content(std::move(whole));
    });
    kept_.reset();
  }
  template <typename Function>
  void tell(Function function) {
    passing_.worker_.post(std::move(function));
  }
  void tell_piece(std::string piece) {
    tell([self = shared_from_this(), piece = std::move(piece)] {
      self->passing_.piece(self->id_, piece);
    });
  }
  // What was read makes room for as much; told in large enough parts.
  void ask_for_content() {
    const std::size_t window = passing_.settings_.content_window_bytes;
    if (!std::exchange(asked_for_content_, true)) {
      tell(
          [self = shared_from_this(), window] { self->passing_.wants_content(self->id_, window); });
    } else if (read_ >= window / 2 || (content_.empty() && read_ > 0)) {
      tell([self = shared_from_this(), bytes = std::exchange(read_, 0)] {
        self->passing_.wants_content(self->id_, bytes);
      });
    }
  }

  Passing& passing_;
  const std::size_t window_bytes_;  // of the answer
  const http::ExchangeId id_;
  const RoutePlan& plan_;
  upstream::Passer& passer_;
  const std::shared_ptr<Passing::Observer> observer_;
  const std::shared_ptr<const void> hold_;
  const std::string request_id_;
  const Forward forward_;
  const std::optional<Passing::Large> large_;
  bool refused_ = false;  // by its head
  upstream::Passer::PassId pass_ = 0;
  bool started_ = false;  // and not ended
  bool was_sent_ = false;

  // The content.
  std::deque<std::string> content_;
  std::size_t front_read_ = 0;  // of its first piece
  std::size_t read_ = 0;        // and not asked for anew
  bool asked_for_content_;
  bool whole_ = false;  // nothing comes behind what is there
  bool waits_for_content_ = false;

  // The answer.
  bool told_ = false;  // its head
  std::vector<std::string> early_;
  std::optional<std::string> kept_;  // of the content, for the observer
  std::optional<std::uint64_t> length_;
  std::size_t on_way_ = 0;  // to the client
  bool waits_for_room_ = false;
};

Passing::~Passing() = default;

void Passing::start(http::Server& server, http::ExchangeId id, const http::Request& request,
                    Order order, Facts facts) {
  const upstream::Passer& passer = order.passer;
  if (!places_.take(&passer)) {
    const std::string cause = "too many requests are passed on already";
    if (order.without_place && order.without_place(cause)) return;
    return send_error(server, id, facts, 503, cause + kNotSent, std::chrono::seconds(1));
  }
  const bool awaits_content = request.streamed && expects_continue(request);
  StreamRequest stream = stream_request(request, std::move(order.request));
  stream.expects_continue = awaits_content;
  base::SteadyTime deadline = request.received + settings_.request_deadline;
  std::function<bool(const upstream::FetchResult&)> fall_back;
  const bool repeatable = order.large.has_value();
  if (repeatable) {
    stream.method = "GET";
    stream.as_fetched = true;
    deadline = order.large->deadline;
    // The worker's own from here.
    fall_back = std::exchange(order.large->fall_back, {});
  }
  stream.reads_much = pending_.size() < settings_.few;
  const std::size_t window_bytes =
      stream.reads_much ? settings_.wide_window_bytes : settings_.answer_window_bytes;
  auto passage = std::make_shared<Passage>(*this, id, std::move(order), facts.request_id,
                                           awaits_content, window_bytes);
  Pending& pending = pending_[id];
  pending.server = &server;
  pending.passage = passage;
  pending.passer = &passer;
  pending.facts = std::move(facts);
  pending.fall_back = std::move(fall_back);
  pending.repeatable = repeatable;
  // A content is there by the time that it may go, but where the client waits to be asked for it.
  server.for_client_alone(id);
  if (request.streamed && !awaits_content) server.take_content(id, settings_.content_window_bytes);
  origin_.post([passage = std::move(passage), stream = std::move(stream), deadline]() mutable {
    passage->start(std::move(stream), deadline);
  });
}

void Passing::refuse(http::Server& server, http::ExchangeId id, Facts facts, int status,
                     std::string_view detail) {
  facts.by_client = true;
  send_error(server, id, facts, status, std::string(detail), std::chrono::seconds(0));
}

Passing::Pending* Passing::find(http::ExchangeId id) {
  const auto found = pending_.find(id);
  return found == pending_.end() ? nullptr : &found->second;
}

void Passing::content(http::ExchangeId id, std::string_view piece, bool last) {
  const Pending* pending = find(id);
  if (pending == nullptr) return;
  origin_.post([passage = pending->passage, piece = std::string(piece), last]() mutable {
    passage->add(std::move(piece), last);
  });
}

void Passing::written(http::ExchangeId id) {
  if (Pending* pending = find(id)) taken(*pending);
}

void Passing::taken(Pending& pending) {
  if (pending.not_taken == 0) return;
  origin_.post([passage = pending.passage, bytes = std::exchange(pending.not_taken, 0)] {
    passage->taken(bytes);
  });
}

Passing::PendingMap::node_type Passing::take_out(http::ExchangeId id) {
  auto taken = pending_.extract(id);
  if (!taken.empty()) places_.leave(taken.mapped().passer);
  return taken;
}

bool Passing::abandoned(http::ExchangeId id) {
  const auto left = take_out(id);
  if (left.empty()) return false;
  Facts& facts = left.mapped().facts;
  if (!left.mapped().begun) facts.status = kClientHasLeft;
  facts.cause = "the client's connection ended before its answer";
  facts.by_client = facts.left = true;
  leave(left.mapped());
  return true;
}

bool Passing::refused(http::ExchangeId id, const http::Rejection& rejection) {
  auto refused = take_out(id);
  if (refused.empty()) return false;
  Facts& facts = refused.mapped().facts;
  facts.ours = !refused.mapped().begun;
  if (facts.ours) facts.status = rejection.status;
  facts.cause = rejection.detail;
  facts.by_client = true;
  leave(refused.mapped());
  return true;
}

// Only the origin loop knows whether it was sent.
void Passing::leave(Pending& pending) {
  if (pending.begun) pending.facts.upstream_status = pending.facts.status;
  origin_.post([this, passage = std::move(pending.passage), facts = std::move(pending.facts)] {
    const bool sent = passage->leave();
    worker_.post([this, facts, sent]() mutable {
      facts.attempts = sent ? 1 : 0;
      record_(facts);
    });
  });
}

// Told now, and not at the end of the transfer: the process may come to its own end before.
void Passing::answered(http::ExchangeId id) {
  auto ended = take_out(id);
  if (ended.empty()) return;
  Facts& facts = ended.mapped().facts;
  origin_.post([passage = std::move(ended.mapped().passage)] { passage->answered(); });
  facts.attempts = 1;
  facts.upstream_status = facts.status;
  record_answered(facts);
}

void Passing::record_answered(Facts& facts) {
  if (facts.status >= 500 && facts.cause.empty()) {
    facts.cause = "the upstream answered " + std::to_string(facts.status);
  }
  record_(facts);
}

void Passing::wants_content(http::ExchangeId id, std::size_t bytes) {
  if (Pending* pending = find(id)) pending->server->take_content(id, bytes);
}

void Passing::interim(http::ExchangeId id, int status, std::string_view fields) {
  // It may find the client gone.
  if (Pending* pending = find(id)) pending->server->interim(id, status, fields);
}

void Passing::begin(http::ExchangeId id, const http::ResponseHead& head) {
  Pending* pending = find(id);
  if (pending == nullptr) return;
  pending->begun = true;
  pending->facts.status = head.status;
  pending->server->begin(id, head);  // may find the client gone
}

void Passing::piece(http::ExchangeId id, std::string_view piece) {
  Pending* pending = find(id);
  if (pending == nullptr) return;
  pending->facts.bytes += piece.size();
  pending->not_taken += piece.size();
  const bool with_kernel = pending->server->write(id, piece);
  // Told in large enough parts, but all of it where the rest waits for that.
  pending = find(id);
  if (pending != nullptr && with_kernel &&
      pending->not_taken >= settings_.answer_window_bytes / 4) {
    taken(*pending);
  }
}

void Passing::end(http::ExchangeId id, const upstream::FetchResult& result) {
  auto ended = take_out(id);
  if (ended.empty()) return;
  Pending& pending = ended.mapped();
  Facts& facts = pending.facts;
  facts.attempts = result.attempts_sent;
  facts.upstream_status = result.reply.status;
  const bool whole = result.end == upstream::FetchEnd::Answered;
  if (!whole) facts.cause = cause_of(result);
  if (pending.begun) {
    whole ? pending.server->end(id) : pending.server->cut(id);
    return record_answered(facts);
  }
  if (pending.fall_back && pending.fall_back(result)) return;
  ErrorText error = error_for(result);
  if (!pending.repeatable)
    error.detail +=
        was_sent(result) ? "; this request was sent once, and is not repeated" : kNotSent;
  if (facts.cause.empty()) facts.cause = error.detail;
  send_error(*pending.server, id, facts, error.status, error.detail, result.retry_after);
}

void Passing::send_error(http::Server& server, http::ExchangeId id, Facts& facts, int status,
                         const std::string& detail, std::chrono::seconds retry_after) {
  std::string fields;
  if (retry_after.count() > 0) append_retry_after(fields, retry_after);
  append_request_id(fields, facts.request_id);
  const std::string body = http::problem_json(status, detail);
  server.respond(
      id, {.status = status, .fields = http::kProblemFields, .more_fields = fields, .body = body});
  facts.status = status;
  facts.ours = true;
  facts.bytes = body.size();
  if (facts.cause.empty()) facts.cause = detail;
  record_(facts);
}

}  // namespace holdfast::proxy
