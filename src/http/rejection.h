// Why the server itself refuses a request, a connection or lets go of one: the
// label values of its metrics, in one place. Pure data; any thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace holdfast::http {

enum class RejectReason : std::uint8_t {
  Malformed,       // not the grammar of RFC 9112, or an ambiguous framing
  BadHost,         // none, several or an invalid one
  TargetTooLong,   // 414
  HeadTooLarge,    // 431: bytes
  TooManyFields,   // 431: lines
  BodyTooLarge,    // 413
  Version,         // 505
  Method,          // 501
  TransferCoding,  // 501
  Expectation,     // 417
  HeadTimeout,     // 408
  BodyTimeout,     // 408
  Overload,        // 503: too many contents at a time
  kCount,
};

inline constexpr std::array<std::string_view, static_cast<std::size_t>(RejectReason::kCount)>
    kRejectNames = {"malformed",       "host",           "target_too_long", "head_too_large",
                    "fields",          "body_too_large", "version",         "method",
                    "transfer_coding", "expectation",    "head_timeout",    "body_timeout",
                    "overload"};

// How a connection ended.
enum class CloseReason : std::uint8_t {
  Client,        // the client closed it, or asked us to
  Idle,          // no request within the idle timeout
  HeadTimeout,   // its request head did not come in time
  BodyTimeout,   // nor its content
  WriteTimeout,  // a reader too slow
  Rejected,      // after an error that the server itself answered
  Server,        // the handler asked for it
  Limit,         // requests per connection; memory for answers that nobody reads
  Evicted,       // its place was needed: idle for longest, or silent in the middle of something
  Drain,
  Error,  // reset, or another error of the socket
  kCount,
};

inline constexpr std::array<std::string_view, static_cast<std::size_t>(CloseReason::kCount)>
    kCloseNames = {"client", "idle",  "head_timeout", "body_timeout", "write_timeout", "rejected",
                   "server", "limit", "evicted",      "drain",        "error"};

// Why a new connection was turned away.
enum class RefuseReason : std::uint8_t {
  Connections,        // no place left, and none idle to close
  ClientConnections,  // max_connections_per_client
  Descriptors,        // the process or the system has none left
  Credentials,        // same_user_only, and it is another's
  kCount,
};

inline constexpr std::array<std::string_view, static_cast<std::size_t>(RefuseReason::kCount)>
    kRefuseNames = {"connections", "client_connections", "descriptors", "credentials"};

}  // namespace holdfast::http
