// The content of one request while it comes in, and its head until then. Internal to Connection.
// Loop's thread.
#pragma once

#include <string>

#include "http/byte_buffer.h"
#include "http/chunked_decoder.h"
#include "http/connection.h"

namespace holdfast::http {

struct Connection::Content {
  enum class Use { Collect, Discard, Pass };

  // `contents_held` is the server's count of those that are collected.
  Content(std::string_view head_bytes, const RequestHead& parsed, std::size_t limit, Use what_for,
          std::size_t& contents_held)
      : held(contents_held),
        use(what_for),
        head(use == Use::Pass ? std::string_view() : head_bytes),
        chunked(parsed.framing == Framing::Chunked),
        left(parsed.content_length),
        decoder(limit, use != Use::Discard) {
    if (use == Use::Collect) ++held;
  }
  ~Content() {
    if (use == Use::Collect) --held;
  }
  Content(const Content&) = delete;
  Content& operator=(const Content&) = delete;

  bool passes() const { return use == Use::Pass; }
  std::string_view collected() const { return chunked ? decoder.content() : bytes.view(); }

  std::size_t& held;
  Use use;
  std::string head;
  bool chunked;
  std::uint64_t left;      // of a content with a length
  ByteBuffer bytes;        // likewise
  ChunkedDecoder decoder;  // of a chunked one

  // Of one that passes.
  std::size_t may_come = 0;     // so many bytes are wanted now
  bool wants_continue = false;  // 100 has to be said first
  std::string too_large;        // what is told then
};

}  // namespace holdfast::http
