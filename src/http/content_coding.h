// gzip for answers that are worth it: whether a client wants it, and the coding
// itself, by zlib. Pure functions; any thread.
#pragma once

#include <string>
#include <string_view>

namespace holdfast::http {

// Whether Accept-Encoding (RFC 9110, 12.5.3) asks for gzip: by name or by "*",
// with a quality above 0 and no lower than that of sending it as it is, where the
// client gives one. No field is no: whoever wants gzip says so.
bool prefers_gzip(std::string_view accept_encoding);

// `content` in the gzip format. Throws std::bad_alloc as any string does, and
// std::length_error past zlib's 4 GiB.
std::string gzip(std::string_view content);

}  // namespace holdfast::http
