#include "proxy/asked.h"

#include <utility>

#include "http/field_syntax.h"

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

Asked::Asked(const http::Request& request, std::string url_key)
    : kept(request), key(std::move(url_key)) {
  const HttpFields read(kept.request());
  wanted = read.wanted;
  range = read.range;
}

}  // namespace holdfast::proxy
