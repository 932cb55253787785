// What goes through a connection in pieces. A content goes to the handler as far as that has asked
// for it: the connection is not read meanwhile, so that a client waits for who takes its content.
// An answer is written as it comes; what the socket does not take waits in pending_, under the
// write timeout, and the handler is told when that is empty.
//
// Either may be broken off. Then the connection is reset, if the answer has begun: short of its
// length, or of its last chunk, nobody takes it for whole, and where it goes up to the
// connection's end only a reset says that this was not it.
#include <algorithm>
#include <array>
#include <cassert>
#include <charconv>
#include <utility>

#include "http/connection_content.h"
#include "http/problem.h"

namespace holdfast::http {

// The content

void Connection::allow_content(std::size_t bytes) {
  if (!content_ || !content_->passes()) return;
  content_->may_come += bytes;
  // Not from in here: the caller is the handler, in the middle of something.
  core_.resume_soon(*this);
}

void Connection::read_content() {
  const std::size_t room = std::min(core_.read_buffer_bytes, content_->may_come);
  std::size_t got = 0;
  if (!inbox_.empty() || room == 0) return pass_inbox();
  const Read read = read_into(core_.read_buffer.get(), room, got);
  if (read == Read::Ended && !whole_) core_.count_abandoned();
  if (read == Read::Some) {
    const std::string_view input(core_.read_buffer.get(), got);
    const std::size_t used = pass_content(input);
    inbox_.append(input.substr(used));  // of a next request
  }
  settle();
}

void Connection::pass_inbox() {
  Content& content = *content_;
  if (content.wants_continue && content.may_come > 0 && pieces_ == Pieces::None) {
    content.wants_continue = false;
    core_.late.append("HTTP/1.1 100 Continue\r\n\r\n");
    flush(core_.late);
  }
  while (content_ && exchange_ != 0 && content_->may_come > 0 && !inbox_.empty()) {
    inbox_.consume(pass_content(inbox_.view()));
  }
  if (inbox_.empty()) inbox_.release();
  settle();
}

// Returns how much of it belongs to the content, if anything more may come of this exchange.
std::size_t Connection::pass_content(std::string_view input) {
  Content& content = *content_;
  input = input.substr(0, content.may_come);
  restart_wait_ = true;
  std::size_t used = 0;
  std::string_view piece;
  bool last = false;
  if (content.chunked) {
    const auto result = content.decoder.feed(input);
    used = result.used;
    if (result.outcome == ChunkedDecoder::Outcome::Malformed) {
      refuse_exchange(400, RejectReason::Malformed, "malformed chunked content");
      return input.size();
    }
    if (result.outcome == ChunkedDecoder::Outcome::TooLarge) {
      refuse_exchange(413, RejectReason::BodyTooLarge, content.too_large);
      return input.size();
    }
    last = result.outcome == ChunkedDecoder::Outcome::Complete;
    piece = content.decoder.content();
  } else {
    used = static_cast<std::size_t>(std::min<std::uint64_t>(content.left, input.size()));
    piece = input.substr(0, used);
    content.left -= used;
    last = content.left == 0;
  }
  content.may_come -= piece.size();
  if (last || !piece.empty()) core_.handler.content(exchange_, piece, last);
  content.decoder.clear_content();
  if (last) content_.reset();
  return used;
}

// While the handler has the request, and not the whole of its content.
void Connection::settle_content() {
  // The rest will never come.
  if (ended_) return core_.close(*this, CloseReason::Client);
  const bool reads = content_->may_come > 0 && !resume_queued;
  const Wait next = reads ? Wait::Body : Wait::None;
  if (waiting_for_ != next || restart_wait_) wait(next);
  restart_wait_ = false;
  watch_.want(reads ? base::kFdReadable : base::kFdNone);
}

// What came of the content is an error of the client's, and the server's own to answer.
void Connection::refuse_exchange(int status, RejectReason reason, std::string_view detail) {
  const ExchangeId id = exchange_;
  end_exchange();
  core_.count_rejected(reason);
  const std::string text(detail);  // may be the content's
  if (pieces_ == Pieces::None) {
    core_.writer.update_date(now_);
    write_refusal(status, text);
    flush(core_.batch);
  } else {
    content_.reset();
    reset_on_close();
    fail(CloseReason::Rejected);
  }
  core_.handler.refused(
      id, {status, kRejectNames[static_cast<std::size_t>(reason)], text, address_.text()});
}

// The answer

void Connection::begin_answer(const ResponseHead& head) {
  assert(pieces_ == Pieces::None);
  now_ = core_.loop.woken();
  core_.writer.update_date(now_);
  using ByPieces = ResponseWriter::ByPieces;
  ByPieces framing = ByPieces::None;
  keeps_after_pieces_ = stays_after_answer(false);
  if (to_head_ || head.status == 204 || head.status == 304) {
    pieces_ = Pieces::Dropped;
    const bool tells_length = to_head_ && head.status != 204 && head.status != 304;
    if (tells_length && head.length) framing = ByPieces::Length;
  } else if (head.length) {
    pieces_ = Pieces::Length;
    framing = ByPieces::Length;
    pieces_left_ = *head.length;
  } else if (!to_http10_) {
    pieces_ = Pieces::Chunked;
    framing = ByPieces::Chunked;
  } else {
    pieces_ = Pieces::ToEnd;
    framing = ByPieces::ToEnd;
    // Whoever closes it before it is out whole, and be it the kernel for a process that died.
    up_to_end_ = true;
    reset_on_close();
    keeps_after_pieces_ = false;
  }
  core_.writer.write_head(core_.late, head, framing, {to_head_, to_http10_, keeps_after_pieces_});
  whole_ = pieces_ == Pieces::Dropped || (pieces_ == Pieces::Length && pieces_left_ == 0);
  end_if_whole();
}

void Connection::write_piece(std::string_view piece) {
  if (piece.empty() || pieces_ == Pieces::Dropped) return;
  now_ = core_.loop.woken();
  if (pieces_ == Pieces::Length) {
    if (piece.size() > pieces_left_) return cut_answer();
    pieces_left_ -= piece.size();
  }
  if (pieces_ == Pieces::Chunked) {
    std::array<char, 18> size;
    char* end = std::to_chars(size.data(), size.data() + 16, piece.size(), 16).ptr;
    *end++ = '\r';
    *end++ = '\n';
    send({std::string_view(size.data(), static_cast<std::size_t>(end - size.data())), piece,
          "\r\n"});
  } else {
    send({piece});
  }
  whole_ = pieces_ == Pieces::Length && pieces_left_ == 0;
  end_if_whole();
}

// Not while its content comes: who takes that has not done with it.
void Connection::end_if_whole() {
  if (!whole_ || content_) {
    flush(core_.late);
    return settle();
  }
  const ExchangeId id = exchange_;
  pieces_ = Pieces::None;
  answered(keeps_after_pieces_);
  core_.handler.answered(id);
  go_on_after_answer();
}

void Connection::end_answer() {
  if (pieces_ == Pieces::Length && pieces_left_ > 0) return cut_answer();
  now_ = core_.loop.woken();
  if (pieces_ == Pieces::Chunked) core_.late.append("0\r\n\r\n");
  pieces_ = Pieces::None;
  answered(keeps_after_pieces_);
  go_on_after_answer();
}

void Connection::cut_answer() {
  // What fails once its client has had all of it is nothing to that.
  if (whole_) return end_answer();
  now_ = core_.loop.woken();
  end_exchange();
  cut_off(CloseReason::Server);
}

}  // namespace holdfast::http
