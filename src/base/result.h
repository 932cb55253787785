// How a part of Holdfast says that something expected went wrong. Exceptions
// may stop start-up; none crosses a libevent, libcurl or SQLite callback.
#pragma once

#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>

namespace holdfast::base {

enum class ErrorKind {
  InvalidInput,  // the caller's or client's input is wrong; asking again cannot help
  NotOurs,       // a file that another program wrote
  TooNew,        // a file that a later version of Holdfast wrote
  Corrupt,       // stored bytes do not match their checksum or format
  Io,            // the disk or the system refused
  Full,          // no room: disk, queue or limit
  Busy,          // somebody else holds it; may pass
  Unavailable,   // the part is switched off or not there
};

// Whose fault it is: decides the status code and who is paged.
enum class Side { Client, Upstream, Internal };

struct Error {
  ErrorKind kind = ErrorKind::Io;
  Side side = Side::Internal;
  bool retryable = false;
  std::string message;  // for people; never holds a secret
};

template <typename T>
using Result = tl::expected<T, Error>;

inline tl::unexpected<Error> invalid_input(std::string message) {
  return tl::unexpected<Error>(
      Error{ErrorKind::InvalidInput, Side::Client, false, std::move(message)});
}

inline tl::unexpected<Error> internal_error(ErrorKind kind, std::string message) {
  return tl::unexpected<Error>(
      Error{kind, Side::Internal, kind == ErrorKind::Busy, std::move(message)});
}

}  // namespace holdfast::base
