// What libcurl's end of a transfer means to us, as a finding and in words.
// Private to CurlTransport. Any thread.
#pragma once

#include <curl/curl.h>
#include <sys/socket.h>

#include <optional>
#include <string>

#include "upstream/message.h"

namespace holdfast::upstream {

struct Ending {
  CURLcode code = CURLE_OK;
  Phase phase = Phase::Connect;
  bool whole_head = false;
  bool over_limit = false;
  bool knock = false;      // nothing was asked
  bool lacking = false;    // something of ours
  const char* words = "";  // libcurl's, maybe none
  int error = 0;           // errno of the last call that failed, maybe 0
  long verify_result = 0;  // OpenSSL's, of the certificate
};

// What this machine lacked where a connection could not be made, by errno. That it has no
// address of its own to reach `to` from is not a lack of ports, though errno is the same: it
// is `to` that cannot be reached from here.
std::optional<base::Resource> resource_lacking(int error, const sockaddr* to, socklen_t size);

Outcome outcome_of(const Ending& ending);

// For logs. Empty where there is nothing to say.
std::string detail_of(const Ending& ending, Outcome outcome);

}  // namespace holdfast::upstream
