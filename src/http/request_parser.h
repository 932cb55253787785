// RequestParser reads one request head out of contiguous bytes. It accepts what
// RFC 9112 says a client sends and refuses whatever two parsers could read in
// two ways: that is how requests are smuggled. One thread; never blocks; one
// parser serves any number of connections, as nothing is kept between heads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "http/rejection.h"
#include "http/request.h"

namespace holdfast::http {

enum class Framing : std::uint8_t { None, Length, Chunked };

// A complete head. The request's views point into the parsed bytes, or into the
// parser (fields joined from several lines), until its next parse().
struct RequestHead {
  Request request;
  std::size_t bytes = 0;  // of the input, including the empty line
  Framing framing = Framing::None;
  std::uint64_t content_length = 0;
  bool http10 = false;
  bool keep_alive = true;  // the client wants the connection kept
  bool expects_continue = false;
};

// What to answer to a head that is refused.
struct Refusal {
  int status = 400;
  RejectReason reason = RejectReason::Malformed;
  std::string_view detail;  // static text
};

class RequestParser {
 public:
  struct Limits {
    std::size_t head_bytes = 16U << 10;
    std::size_t target_bytes = 8U << 10;
    unsigned fields = 100;
  };
  enum class Outcome : std::uint8_t { Incomplete, Complete, Refused };

  explicit RequestParser(Limits limits);
  ~RequestParser();
  RequestParser(const RequestParser&) = delete;
  RequestParser& operator=(const RequestParser&) = delete;

  // Reads the head that `input` starts with into `head`, which is as it was made, or as an
  // Incomplete left it. `checked` is the caller's, 0 for a
  // new head: how much of it earlier calls found in order, so that a head that
  // trickles in is not read anew from its start each time. An incomplete head is
  // refused as soon as what is there cannot become a good one.
  Outcome parse(std::string_view input, std::size_t& checked, RequestHead& head);

  // Why parse() last said Refused. `head.request.method` is right even then if
  // the request line was readable.
  const Refusal& refusal() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace holdfast::http
