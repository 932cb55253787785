// What else a change of a target invalidates (RFC 9111, 4.4). Pure functions; any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "upstream/message.h"

namespace holdfast::rfc9111 {

// The paths (with their queries) that Location and Content-Location name, where they are of the
// same origin as the request, which went to `host` (its Host field) for `target` ("/path?query"): a
// reference is resolved as RFC 3986, 5.2 says; one with an authority must have this one, by any
// letters' case and with or without the default port. Http or https is not told apart: which of
// both the client spoke is not known here. Each once, never `target` itself, without fragments.
// They are as the upstream spelt them; making them canonical is for whoever looks them up.
std::vector<std::string> also_invalidated(std::string_view host, std::string_view target,
                                          const upstream::Fields& fields);

// Whether Content-Location names the target itself: then the answer to a POST is also one to a GET
// of it (RFC 9110, 9.3.3), if its lifetime is stated.
bool locates_target(std::string_view host, std::string_view target, const upstream::Fields& fields);

}  // namespace holdfast::rfc9111
