// A parsed HTTP/1.x request as a handler sees it. Every view points into the
// connection's buffers and is valid only during Handler::handle().
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/clock.h"

namespace holdfast::http {

enum class Method : std::uint8_t { Get, Head, Post, Options, Other };

// The fields that are read of every request. The parser files them here as it meets them,
// so nobody searches a list.
enum class Known : std::uint8_t {
  Host,
  IfNoneMatch,      // several lines are joined with ", "
  IfModifiedSince,  // likewise, which makes two of them invalid, as they are
  AcceptEncoding,   // joined as well
  ContentType,
  ContentEncoding,  // joined as well
  CacheControl,     // likewise
  XRequestId,
  Traceparent,  // likewise, as IfModifiedSince
  Tracestate,   // likewise
  kCount,
};

// One line of a head, trimmed; the name as it was written.
struct FieldLine {
  std::string_view name;
  std::string_view value;
};

struct Request {
  Method method = Method::Get;
  std::string_view method_name;
  // Origin-form as sent, still percent-encoded (RFC 9112, 3.2.1); an
  // absolute-form target is reduced to its path and query.
  std::string_view path;
  std::string_view query;  // without "?"
  std::array<std::string_view, static_cast<std::size_t>(Known::kCount)> known{};
  std::span<const FieldLine> fields;  // all of them, in order
  std::string_view body;              // whole, only where Handler::body_limit() asked for it
  // Its content comes after handle(), by Handler::content(), with so many bytes or in chunks.
  bool streamed = false;
  bool chunked = false;
  bool too_large = false;  // and this is longer than it may be
  bool http10 = false;
  std::uint64_t content_length = 0;
  std::string_view client;    // peer address, without port
  base::SteadyTime received;  // when its head was complete

  // Its data() is null if the field is absent.
  std::string_view field(Known name) const { return known[static_cast<std::size_t>(name)]; }
};

}  // namespace holdfast::http
