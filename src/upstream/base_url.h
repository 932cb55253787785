// What a base URL says of where to connect. The settings have checked it already; this
// reads it, and refuses what it cannot read.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace holdfast::upstream {

struct BaseUrl {
  bool tls = false;        // https
  std::string host;        // as written, in lower case, without brackets
  std::uint16_t port = 0;  // the scheme's if none is written
  bool numeric = false;    // the host is an address: there is no name to look up
  std::string address;     // then: in the form that inet_ntop() writes
};

// "https://api.example.com:8443/v1". Errors: InvalidInput.
base::Result<BaseUrl> read_base_url(std::string_view text);

}  // namespace holdfast::upstream
