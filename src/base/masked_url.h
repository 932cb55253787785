// A URL as pages, metrics and the log may show it. Some upstreams take their key in the URL
// itself, and which part of a path is one nobody can tell. So a part is shown only if it
// looks like a word or a version: no more than two digits, and no run of 16 letters or
// digits ("v1", "geoip2", "geolocation-service"). Any other is "***", as are user info
// and all that follows a question mark. A key that looks like a word is not seen for one.
// Pure functions; any thread.
#pragma once

#include <string>
#include <string_view>

namespace holdfast::base {

// "https://api.example.com/v1/***". Takes any text, as a mistyped URL must not tell more.
std::string masked_url(std::string_view url);

}  // namespace holdfast::base
