#include "proxy/asked.h"

#include <algorithm>
#include <utility>

#include "http/field_syntax.h"
#include "rfc9111/reasons.h"

namespace holdfast::proxy {

HttpFields::HttpFields(const http::Request& request) {
  std::string_view pragma;
  for (const http::FieldLine& line : request.fields) {
    // By length first: of most names nothing else is looked at.
    switch (line.name.size()) {
      case 5:
        if (http::equals_ignoring_case(line.name, "range")) range.range = line.value;
        break;
      case 6:
        if (http::equals_ignoring_case(line.name, "pragma")) pragma = line.value;
        break;
      case 8:
        if (http::equals_ignoring_case(line.name, "if-range")) range.if_range = line.value;
        if (http::equals_ignoring_case(line.name, "if-match")) origins_precondition = true;
        break;
      case 13:
        if (http::equals_ignoring_case(line.name, "authorization")) authorization = true;
        break;
      case 19:
        if (http::equals_ignoring_case(line.name, "if-unmodified-since")) {
          origins_precondition = true;
        }
        break;
      default:
        break;
    }
  }
  if (request.method != http::Method::Get) range = {};  // it means nothing (RFC 9110, 14.2)
  wanted = rfc9111::request_directives(request.field(http::Known::CacheControl), pragma);
}

std::string_view bypass_of(const HttpFields& read) {
  using rfc9111::Reason;
  if (read.origins_precondition) return rfc9111::word(Reason::Precondition);
  const bool no_store = read.wanted.no_store && !read.wanted.only_if_cached;
  return no_store ? rfc9111::word(Reason::ClientNoStore) : std::string_view();
}

bool is_ambiguous(const upstream::Fields& upstream, const upstream::Fields& of_route) {
  return std::any_of(upstream.begin(), upstream.end(), [&of_route](const upstream::Field& field) {
    return field.name.find('_') != std::string::npos && !upstream::find_field(of_route, field.name);
  });
}

Asked::Asked(const http::Request& request, std::string url_key)
    : kept(request), key(std::move(url_key)) {
  const HttpFields read(kept.request());
  wanted = read.wanted;
  range = read.range;
}

}  // namespace holdfast::proxy
