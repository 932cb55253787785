#include "upstream/stream_attempt.h"

#include <algorithm>
#include <charconv>
#include <limits>

#include "upstream/outgoing.h"

namespace holdfast::upstream {
namespace {

// What libcurl reads at a time, where it is to be much; it has a buffer of that size for each
// transfer, and keeps as much while there is no room.
constexpr long kReadBytes = 64L << 10;
// What goes to the peer at a time, at most.
constexpr std::size_t kPieceBytes = 2 * CURL_MAX_WRITE_SIZE;
constexpr std::size_t kLargePieceBytes = 128U << 10;
constexpr base::Duration kLookForEnd = std::chrono::milliseconds(50);

}  // namespace

StreamAttempt::StreamAttempt(Transport::AttemptId id, base::EventLoop& loop,
                             const CurlTransport::Settings& settings, const Sending& sending,
                             const StreamRequest& request, StreamPeer& peer,
                             Transport::Callback callback, Told told)
    : Attempt(id, loop, settings, Kind::Stream, sending, std::move(callback)),
      request_(request),
      peer_(peer),
      told_(std::move(told)),
      left_(request.content_length),
      asked_(request.expects_continue && request.content != StreamRequest::Content::None
                 ? Asked::NotYet
                 : Asked::Yes) {}

StreamAttempt::~StreamAttempt() {
  stop();  // before what libcurl's callbacks use
}

std::vector<std::string> StreamAttempt::lines(const Fields& fields) const {
  std::vector<std::string> lines = request_.as_fetched
                                       ? Attempt::lines(fields)
                                       : verbatim_lines(verbatim_fields(fields, settings().host));
  lines.emplace_back("Expect:");  // libcurl would add it, and act on it
  if (asked_ != Asked::Yes) lines.emplace_back("Expect: 100-continue");
  return lines;
}

void StreamAttempt::shape(CURL* easy) {
  // Of an answer to HEAD libcurl would wait for the content.
  if (!may_have_content()) curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
  curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request_.method.c_str());
  // Its connection is of no use to others: what a server says late, behind an answer to a method
  // that it may not know well, would be the next request's answer.
  curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
  curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
  curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  if (request_.reads_much) curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, kReadBytes);
  if (request_.content == StreamRequest::Content::None) return;
  const bool chunked = request_.content == StreamRequest::Content::Chunked;
  curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
  curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE,
                   chunked ? curl_off_t{-1} : static_cast<curl_off_t>(request_.content_length));
  // There is no function to seek: what has been read is gone.
  curl_easy_setopt(easy, CURLOPT_READFUNCTION, &StreamAttempt::on_read);
  curl_easy_setopt(easy, CURLOPT_READDATA, this);
}

void StreamAttempt::began() {
  curl_easy_setopt(easy(), CURLOPT_TIMEOUT_MS, 0L);
  moved_ = loop().now();
  watch();
}

bool StreamAttempt::may_send() {
  return !std::exchange(sent_, true);
}

void StreamAttempt::interim_came(int status, const Fields& fields) {
  moved();
  Fields shown = fields;
  told_.hide(shown);
  peer_.interim(status, shown);
}

void StreamAttempt::continue_came() {
  moved();
  if (asked_ == Asked::Waits || asked_ == Asked::NotYet) ask_for_content_at(loop().now());
}

void StreamAttempt::ask_for_content_at(base::SteadyTime when) {
  continue_timer_.set_at(loop(), when, [this] {
    if (ended()) return;
    asked_ = Asked::Yes;
    if (waits_for_content_) told_.ready();
  });
}

// Once it has read the connection's end libcurl gives up sending what is missing of a content, but
// ends only if it was not told to wait for that; and it does not say that it has read it. So it is
// for an answer up to that end, and for one that breaks off before its own. Where not even a head
// has come it would send the content all the same.
void StreamAttempt::look_for_end() {
  end_timer_.set_after(loop(), kLookForEnd, [this] {
    if (ended() || asked_ == Asked::Yes) return;
    look_for_end();  // first: what follows may end it
    if (asked_ == Asked::Waits) {
      if (pool()->is_closed(easy())) told_.over(false);
    } else if (waits_for_content_) {
      told_.ready();
    }
  });
}

bool StreamAttempt::head_came(long status) {
  moved();
  reply().status = static_cast<int>(status);
  Fields fields = head_fields_that_came();
  for (const Field& field : fields) {
    if (!is_field_name(field.name) || !is_field_value(field.value))
      refusal_ = "a field of it is none";
  }
  if (status < 200 || status > 599) refusal_ = "its status is none";
  if (asked_ == Asked::Waits || asked_ == Asked::NotYet) {
    asked_ = Asked::Never;
    continue_timer_.cancel();
  }
  StreamHead head{static_cast<int>(status), fields, std::nullopt};
  const std::string* const length = find_field(fields, "Content-Length");
  const bool has_length = status != 204 && status != 304;
  const bool has_content = has_length && may_have_content();
  const bool is_chunked = find_field(fields, "Transfer-Encoding") != nullptr;
  if (length != nullptr && has_length && !is_chunked) {
    // Several that agree are one.
    std::uint64_t bytes = 0;
    const char* const end = length->data() + length->size();
    const auto read = std::from_chars(length->data(), end, bytes);
    if (read.ec != std::errc()) refusal_ = "its length is none";
    head.length = bytes;
  }
  answer_left_ = has_content ? head.length : 0;
  if (!refusal_.empty()) return false;
  told_.hide(fields);
  peer_.head(head);
  look_whether_answered();
  if (asked_ == Asked::Never && !answer_is_whole()) look_for_end();
  return true;
}

std::size_t StreamAttempt::take_body(std::string_view bytes) {
  if (!peer_.has_room(gathered_.size())) {
    waits_for_room_ = true;
    return CURL_WRITEFUNC_PAUSE;
  }
  const std::size_t most = request_.reads_much ? kLargePieceBytes : kPieceBytes;
  if (gathered_.empty()) {
    // One that is as long as libcurl makes them has others behind it, most likely.
    if (bytes.size() == CURL_MAX_WRITE_SIZE) gathered_.reserve(most);
    pool()->at_end_of_turn([this] { hand_over(); });
  }
  moved();
  bool good = true;
  if (answer_is_chunked()) {
    good = take_chunks(bytes, gathered_, std::numeric_limits<std::size_t>::max());
  } else {
    gathered_.append(bytes);
    if (answer_left_) *answer_left_ -= std::min<std::uint64_t>(*answer_left_, bytes.size());
  }
  if (gathered_.size() + CURL_MAX_WRITE_SIZE > most) hand_over();
  return good ? bytes.size() : 0;
}

void StreamAttempt::hand_over() {
  if (!gathered_.empty()) peer_.write(std::exchange(gathered_, {}));
  look_whether_answered();
}

std::size_t StreamAttempt::on_read(char* at, std::size_t size, std::size_t count, void* self) {
  auto& attempt = *static_cast<StreamAttempt*>(self);
  const bool has_length = attempt.request_.content == StreamRequest::Content::Length;
  std::size_t most = size * count;
  if (has_length) most = static_cast<std::size_t>(std::min<std::uint64_t>(most, attempt.left_));
  if (most == 0) return 0;
  if (attempt.asked_ != Asked::Yes) {
    attempt.waits_for_content_ = true;
    if (attempt.asked_ == Asked::NotYet) {
      // The head has gone.
      attempt.asked_ = Asked::Waits;
      attempt.moved();
      if (!attempt.continue_timer_.pending()) {
        attempt.ask_for_content_at(attempt.loop().now() + attempt.settings().continue_wait);
      }
      attempt.look_for_end();
    }
    attempt.look_whether_answered();
    return CURL_READFUNC_PAUSE;
  }
  const auto got = attempt.peer_.read(at, most);
  if (!got) {
    attempt.waits_for_content_ = true;
    attempt.look_whether_answered();
    return CURL_READFUNC_PAUSE;
  }
  // Shorter than it was said to be: the server must not take it for whole.
  if (has_length && *got == 0) return CURL_READFUNC_ABORT;
  if (has_length) attempt.left_ -= *got;
  attempt.took_content_ = true;
  attempt.moved();
  return *got;
}

CURLcode StreamAttempt::go_on() {
  if (ended() || !running() || (!waits_for_content_ && !waits_for_room_)) return CURLE_OK;
  waits_for_content_ = waits_for_room_ = false;
  // To look for the end is no movement.
  if (asked_ != Asked::Never) moved();
  const CURLcode code = curl_easy_pause(easy(), CURLPAUSE_CONT);
  pool()->end_turn();
  return code;
}

void StreamAttempt::end(CURLcode code) {
  watch_timer_.cancel();
  answered_timer_.cancel();
  continue_timer_.cancel();
  end_timer_.cancel();
  Attempt::end(code);
  if (refusal_.empty()) return;
  reply().transport = Outcome::InvalidBody;
  reply().detail = "no client can be told the answer's head: " + refusal_;
  reply().unreadable = true;
}

void StreamAttempt::stall() {
  stop();
  watch_timer_.cancel();
  answered_timer_.cancel();
  continue_timer_.cancel();
  end_timer_.cancel();
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(request_.patience).count();
  fail(Outcome::Timeout, "nothing moved for " + std::to_string(seconds) + " s");
}

// When it will have been still for too long, as far as can be told now.
base::SteadyTime StreamAttempt::due() const {
  const bool waits_for_peer = (waits_for_content_ && asked_ == Asked::Yes) || waits_for_room_;
  const base::SteadyTime since = waits_for_peer ? loop().now() : moved_;
  const bool head_is_next = !took_content_ && !head_is_whole() && !waits_for_peer;
  return head_is_next ? std::min(since + request_.patience, request_.head_by)
                      : since + request_.patience;
}

bool StreamAttempt::answer_is_whole() const {
  return answer_is_chunked() ? chunks_are_whole() : answer_left_ == 0;
}

// libcurl ends no transfer whose content it was told to wait for, even once the answer is whole:
// the server has read what it wanted, and the client may wait for that answer to send the rest.
// Not from here, which is the middle of the transfer; and what comes until then goes on.
void StreamAttempt::look_whether_answered() {
  const auto is_it = [this] { return waits_for_content_ && answer_is_whole() && refusal_.empty(); };
  if (!is_it() || answered_timer_.pending()) return;
  answered_timer_.set_at(loop(), loop().now(), [this, is_it] {
    if (!ended() && is_it()) told_.over(true);
  });
}

void StreamAttempt::moved() {
  moved_ = loop().now();
}

// Not set anew for each piece: when it comes it looks at how long it has been.
void StreamAttempt::watch() {
  watch_timer_.set_at(loop(), due(), [this] {
    if (ended()) return;
    if (loop().now() < due()) return watch();
    answer_is_whole() && refusal_.empty() ? told_.over(true) : told_.stalled();
  });
}

}  // namespace holdfast::upstream
