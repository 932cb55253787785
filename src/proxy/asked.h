// Asked is a client's request to a route of mode rfc9111, for as long as somebody looks for its
// answer: what selects a stored response, what the client wants of one, and what goes upstream.
// Immutable, shared between the threads.
#pragma once

#include <memory>
#include <string>

#include "http/request.h"
#include "proxy/kept_request.h"
#include "proxy/variants.h"
#include "rfc9111/directives.h"
#include "upstream/message.h"

namespace holdfast::proxy {

struct Asked {
  Asked(const http::Request& request, std::string url_key)
      : kept(request), key(std::move(url_key)) {}

  std::span<const http::FieldLine> fields() const { return kept.request().fields; }

  const KeptRequest kept;
  const std::string key;  // the URL's
  // What a fetch sends for whoever waits: without the client's preconditions and ranges, which are
  // held against what comes.
  upstream::Request upstream;
  rfc9111::RequestDirectives wanted;
  bool authorization = false;  // the client's own goes upstream
  RangeAsked range;            // views of `kept`
};
using AskedPtr = std::shared_ptr<const Asked>;

}  // namespace holdfast::proxy
