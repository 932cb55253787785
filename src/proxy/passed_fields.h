// Which fields of a request that is passed through go upstream, and which of its answer come back:
// all that are end to end (RFC 9110, 7.6.1), but those that only we can say, and those that nobody
// behind us may believe of a stranger. Pure functions; any thread.
#pragma once

#include <string>
#include <string_view>

#include "http/request.h"
#include "proxy/answer.h"
#include "proxy/route.h"
#include "upstream/message.h"

namespace holdfast::proxy {

// `of_route`: what goes upstream by the route, its trace and the key; it replaces the client's.
// Authorization and Cookie stay here, but by a route of mode rfc9111, which passes Authorization
// too where the upstream has none of ours.
upstream::Fields passed_request_fields(const http::Request& request, const RoutePlan& plan,
                                       const upstream::Fields& of_route);

struct PassedHead {
  std::string lines;  // as http::ResponseHead::fields
  bool has_date = false;
};
PassedHead passed_response_fields(const upstream::Fields& fields, const RoutePlan& plan, int status,
                                  std::string_view request_id, const Forward& forward);
// The same of an answer of mode resilient that is too large to be kept: what its clients get of
// any.
PassedHead large_response_fields(const upstream::Fields& fields, const RoutePlan& plan, int status,
                                 std::string_view request_id, const Forward& forward);
// The lines of an interim answer, which is the upstream's alone to say.
std::string passed_interim_fields(const upstream::Fields& fields, const RoutePlan& plan);

// It asks for another protocol than ours, and not for the next version of the same.
bool asks_for_upgrade(const http::Request& request);
bool expects_continue(const http::Request& request);

// RFC 9110, 9.2.1, and those that read by another name: nothing is changed by them.
bool is_safe(std::string_view method);

}  // namespace holdfast::proxy
