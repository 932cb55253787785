// Asked is a client's request to a route of mode rfc9111, for as long as somebody looks for its
// answer: what selects a stored response, what the client wants of one, and what goes upstream.
// Immutable, shared between the threads.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "http/request.h"
#include "proxy/kept_request.h"
#include "proxy/variants.h"
#include "rfc9111/directives.h"
#include "upstream/message.h"

namespace holdfast::proxy {

// The fields of a request that only routes of this mode read. Views of it.
struct HttpFields {
  explicit HttpFields(const http::Request& request);

  rfc9111::RequestDirectives wanted;
  RangeAsked range;
  bool authorization = false;
  bool origins_precondition = false;  // If-Match or If-Unmodified-Since: for the origin to judge
};

// Why such a request is passed through whatever is stored: a word of src/rfc9111/reasons.h; empty:
// it is not.
std::string_view bypass_of(const HttpFields& read);

// Whether a field of the client's, and none of the route's, goes upstream whose name has a `_`. Who
// reads that as a `-` (CGI) may answer by it, and Vary would name another one.
bool is_ambiguous(const upstream::Fields& upstream, const upstream::Fields& of_route);

struct Asked {
  Asked(const http::Request& request, std::string url_key);

  std::span<const http::FieldLine> fields() const { return kept.request().fields; }

  const KeptRequest kept;
  const std::string key;  // the URL's
  // What a fetch sends for whoever waits: without the client's preconditions and ranges, which are
  // held against what comes.
  upstream::Request upstream;
  rfc9111::RequestDirectives wanted;
  bool authorization = false;  // the client's own goes upstream
  bool ambiguous = false;      // is_ambiguous(): nobody else gets what it brings
  RangeAsked range;            // views of `kept`
};
using AskedPtr = std::shared_ptr<const Asked>;

}  // namespace holdfast::proxy
