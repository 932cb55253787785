// What passing a request through does to what is stored (RFC 9111, 4.3.5 and 4.4; RFC 9110, 9.3.3).
// Made by a worker, used on the origin loop.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "proxy/asked.h"
#include "proxy/passing.h"
#include "proxy/routes.h"

namespace holdfast::proxy {

// Of a request whose method may have changed what its target is: what is stored of that, and of
// what the answer names beside it, is not what it was, whichever route reads it. A reload may come
// in between: what was asked for by `then` still goes by those routes, and what is asked for since
// by those of `now`.
std::shared_ptr<Passing::Observer> invalidation(const http::Request& request,
                                                std::shared_ptr<const Routes> then,
                                                std::function<std::shared_ptr<const Routes>()> now,
                                                std::uint64_t seen);

// Of a GET or HEAD by a route of mode rfc9111 that nothing stored answers: part of a content may be
// kept, and what a HEAD says of a stored one counts. `seen`: the last purge by now.
std::shared_ptr<Passing::Observer> keeping(const Routes::Entry& entry, AskedPtr asked,
                                           std::uint64_t seen);

}  // namespace holdfast::proxy
