// A connection's byte stream through the request parser and the chunked decoder.
// Promises: the same requests come out however the bytes are cut; an accepted
// head holds nothing that another parser could take for a line end, and exactly
// one way to find its content's end.
#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "http/chunked_decoder.h"
#include "http/request_parser.h"
#include "require.h"

using namespace holdfast::http;

namespace {

constexpr RequestParser::Limits kLimits{.head_bytes = 2048, .target_bytes = 512, .fields = 20};
constexpr std::size_t kContentLimit = 4096;

void check_head(const RequestHead& head, std::string_view bytes) {
  const Request& request = head.request;
  REQUIRE_HOLDS(head.bytes <= kLimits.head_bytes);
  REQUIRE_HOLDS(bytes.size() >= 4 && bytes.substr(bytes.size() - 4) == "\r\n\r\n");
  REQUIRE_HOLDS(bytes.find("\r\n\r\n") == bytes.size() - 4);
  REQUIRE_HOLDS(bytes.find('\0') == std::string_view::npos);
  REQUIRE_HOLDS(std::count(bytes.begin(), bytes.end(), '\r') ==
                std::count(bytes.begin(), bytes.end(), '\n'));
  for (std::size_t at = bytes.find('\n'); at != std::string_view::npos;
       at = bytes.find('\n', at + 1)) {
    REQUIRE_HOLDS(at > 0 && bytes[at - 1] == '\r');
    REQUIRE_HOLDS(at + 1 == bytes.size() || (bytes[at + 1] != ' ' && bytes[at + 1] != '\t'));
  }
  REQUIRE_HOLDS(!request.method_name.empty());
  REQUIRE_HOLDS(request.path.substr(0, 1) == "/" ||
                (request.path == "*" && request.method == Method::Options));
  for (const std::string_view text : {request.path, request.query}) {
    for (const char c : text) REQUIRE_HOLDS(c > 0x20 && c < 0x7f && c != '#');
  }
  REQUIRE_HOLDS(request.path.find('?') == std::string_view::npos);
  for (const auto& value : request.known) {
    for (const char c : value) REQUIRE_HOLDS(c != '\r' && c != '\n' && c != '\0');
  }
  REQUIRE_HOLDS((head.framing == Framing::Length) == (head.content_length > 0));
  REQUIRE_HOLDS(!head.http10 || head.framing != Framing::Chunked);
}

struct Message {
  std::string path, query, host, content;
  bool keep_alive = false;
  bool operator==(const Message&) const = default;
};
struct Transcript {
  std::vector<Message> messages;
  bool refused = false;
  bool operator==(const Transcript&) const = default;
};

// What a connection does: heads from an inbox, content as it comes.
class Reader {
 public:
  void feed(std::string_view bytes) {
    inbox_ += bytes;
    while (!out_.refused && step()) {
    }
  }
  const Transcript& transcript() const { return out_; }

 private:
  bool step() {
    if (inbox_.empty()) return false;
    if (!decoder_ && left_ == 0) return read_head();
    std::size_t used = 0;
    bool complete = false;
    if (decoder_) {
      const auto result = decoder_->feed(inbox_);
      used = result.used;
      REQUIRE_HOLDS(used <= inbox_.size());
      REQUIRE_HOLDS(decoder_->content().size() <= kContentLimit);
      if (result.outcome == ChunkedDecoder::Outcome::Malformed ||
          result.outcome == ChunkedDecoder::Outcome::TooLarge) {
        out_.refused = true;
        return false;
      }
      complete = result.outcome == ChunkedDecoder::Outcome::Complete;
      REQUIRE_HOLDS(complete || used == inbox_.size());
      if (complete) {
        message_.content = decoder_->content();
        decoder_.reset();
      }
    } else {
      used = std::min(left_, inbox_.size());
      message_.content += inbox_.substr(0, used);
      left_ -= used;
      complete = left_ == 0;
    }
    inbox_.erase(0, used);
    if (complete) out_.messages.push_back(std::move(message_));
    return complete;
  }

  bool read_head() {
    RequestHead head;
    // A copy of just that size: reading beyond it is found by the sanitizer.
    const std::vector<char> bytes(inbox_.begin(), inbox_.end());
    const std::string_view input(bytes.data(), bytes.size());
    switch (parser_.parse(input, checked_, head)) {
      case RequestParser::Outcome::Incomplete:
        REQUIRE_HOLDS(checked_ <= inbox_.size() && inbox_.size() < kLimits.head_bytes);
        return false;
      case RequestParser::Outcome::Refused:
        REQUIRE_HOLDS(parser_.refusal().status >= 400 && parser_.refusal().status <= 505);
        REQUIRE_HOLDS(!parser_.refusal().detail.empty());
        out_.refused = true;
        return false;
      case RequestParser::Outcome::Complete:
        break;
    }
    REQUIRE_HOLDS(head.bytes <= inbox_.size());
    check_head(head, input.substr(0, head.bytes));
    message_ = {std::string(head.request.path),
                std::string(head.request.query),
                std::string(head.request.field(Known::Host)),
                {},
                head.keep_alive};
    inbox_.erase(0, head.bytes);
    if (head.content_length > kContentLimit) {
      out_.refused = true;
    } else if (head.framing == Framing::Chunked) {
      decoder_.emplace(kContentLimit, true);
    } else if (head.framing == Framing::Length) {
      left_ = static_cast<std::size_t>(head.content_length);
    } else {
      out_.messages.push_back(std::move(message_));
    }
    return true;
  }

  RequestParser parser_{kLimits};
  std::string inbox_;
  std::size_t checked_ = 0;
  std::optional<ChunkedDecoder> decoder_;
  std::size_t left_ = 0;
  Message message_;
  Transcript out_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 16'384) return 0;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  Reader whole;
  whole.feed(input);

  // Cut where the input's own bytes say, and byte by byte if it is short.
  Reader pieces;
  std::size_t step = 0;
  for (std::size_t at = 0; at < size; at += step) {
    step = size < 600 ? 1 : 1 + data[at] % 64;
    pieces.feed(input.substr(at, step));
  }
  REQUIRE_HOLDS(pieces.transcript() == whole.transcript());
  return 0;
}
