// What a request has when it goes out, besides what its route says: the token, and the fields that
// are ours. The transport sends it, and people are shown it, from here. Pure; any thread.
#pragma once

#include <string>
#include <string_view>

#include "upstream/message.h"

namespace holdfast::upstream {

// How the token goes with a request.
struct Credential {
  enum class In { Bearer, Field, Query };
  In in = In::Bearer;  // Authorization: Bearer
  std::string name;    // of the field, or of the parameter that is added to the query
};

// The token in place of whatever the request says by that name: it is nobody else's to choose.
Request with_credential(Request request, const Credential& credential, const std::string& token);

// As a server may read a field's name: in whichever case, and with `-` for each `_`, as those do
// that hand fields on as variables (CGI). What may not be said by one spelling of a name may not
// by any other.
std::string name_as_read(std::string_view name);

// No control character is in it.
bool printable(std::string_view text);

std::string escaped_for_query(std::string_view text);

// What a field's name and its value may be (RFC 9110, 5.1 and 5.5).
bool is_field_name(std::string_view text);
bool is_field_value(std::string_view text);

// The lines of a request's head, but for a Host of the URL's, which goes without saying. `host`: of
// every request that brings none; empty: the URL's. What may not stand in a line is left out.
Fields head_fields(const Fields& fields, const std::string& host, const std::string& user_agent);

// The same of what goes through as it is: with fields that have no value, and none of ours.
Fields verbatim_fields(const Fields& fields, const std::string& host);

}  // namespace holdfast::upstream
