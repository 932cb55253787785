// How a fetch that failed is told, to clients and to people. Nobody who answers is called
// down, and what was found by a status says so. Pure functions; any thread.
#pragma once

#include <string>

#include "upstream/fetcher.h"

namespace holdfast::proxy {

// A 403 is about what was asked for, unless our token counts as refused; a 401 is about us.
bool is_forbidden(const upstream::FetchResult& result);

// The failures in their order: "timeout; 5xx: status 503 (3 times)".
std::string cause_of(const upstream::FetchResult& result);

struct ErrorText {
  int status;
  std::string detail;
};

// Which error it is to a client (RFC 9110, 15.6): 502 the upstream answered badly, 503 we did
// not ask it, 504 it did not answer in time.
ErrorText error_for(const upstream::FetchResult& result);

}  // namespace holdfast::proxy
