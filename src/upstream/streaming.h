// Streaming makes single attempts whose content and answer go through in pieces, whatever their
// length: one request to one address, sent once. It knows nothing of routes and policies. Origin
// loop only; nothing blocks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "upstream/transport.h"

namespace holdfast::upstream {

struct StreamRequest {
  std::string method;
  // All fields that go, but what the transport adds itself: Host, the framing, the credential.
  Request request;
  // The request is one of ours, and goes with the fields that a fetch's has beside.
  bool as_fetched = false;
  enum class Content { None, Length, Chunked };
  Content content = Content::None;
  std::uint64_t content_length = 0;  // of Length
  // The peer's own client waits to be asked for its content (Expect: 100-continue): so does the
  // transfer wait to be asked, and read() is not called before that. Where the server says nothing,
  // for so long as CurlTransport::Settings has it (RFC 9110, 10.1.1): it may not know of it. Once
  // it has answered without having asked, it never is.
  bool expects_continue = false;
  // Much of the answer is read and handed over at a time: faster, for some 200 KiB more.
  bool reads_much = false;
  // It ends as Outcome::Timeout once nothing has moved for so long; not while it is the peer that
  // is waited for.
  base::Duration patience{};
  // What has no content to send has its answer's head by then.
  base::SteadyTime head_by = base::SteadyTime::max();
};

struct StreamHead {
  int status = 200;  // from 200 up
  // As they came, the connection's own among them. No name and no value can split a message.
  const Fields& fields;
  std::optional<std::uint64_t> length;  // of the content, if it was told
};

// Who has the content and takes the answer. Called on the loop, in the middle of a transfer: must
// not call the transport. Outlives the attempt.
class StreamPeer {
 public:
  virtual ~StreamPeer() = default;

  // Fills in up to `most` bytes of the content and says how many: 0 is its end. None: nothing is
  // there now, and the transfer waits for go_on().
  virtual std::optional<std::size_t> read(char* at, std::size_t most) = 0;

  // An interim answer (103, say) before that: a status from 102 to 199; a few at most.
  virtual void interim(int /*status*/, const Fields& /*fields*/) {}
  // The answer's head, once.
  virtual void head(const StreamHead& head) = 0;
  // For more than the so many bytes that it is about to be given. False: behind those the transfer
  // waits for go_on(), with what has come.
  virtual bool has_room(std::size_t bytes) = 0;
  // The next piece of its content: what was read at a time, up to 32 KiB, or 128 KiB where it
  // reads_much. Its end is the attempt's.
  virtual void write(std::string piece) = 0;
};

class Streaming {
 public:
  virtual ~Streaming() = default;

  // As Transport::start(); `callback` is told the attempt's end, with a status if a head came, and
  // never a content. Outcome::Ok: the whole answer went to the peer. Whatever happens, what was
  // sent is not sent again.
  virtual Transport::AttemptId stream(const Sending& sending, const StreamRequest& request,
                                      StreamPeer& peer, Transport::Callback callback) = 0;

  // There is content again, or room. Nothing for an attempt that has ended.
  virtual void go_on(Transport::AttemptId id) = 0;
};

}  // namespace holdfast::upstream
