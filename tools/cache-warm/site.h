// A list may have URLs in it, as sitemaps do: those of the site that the daemon answers for are
// asked for by their path and query, and no other. Data; any thread.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace holdfast::warm {

// "example.com", "[::1]:8443": a host, and a port at most, in lower case.
base::Result<std::string> parse_host(std::string_view text);

// Whether the text means to be an http or https URL.
bool is_url(std::string_view text);

class Site {
 public:
  // `base_url` is the daemon's, as config::parse_base_url() gives it. `host`, as parse_host() does,
  // is the Host that is sent to it; empty: the URL's.
  explicit Site(const std::string& base_url, const std::string& host = "");

  // What to ask the daemon for, still as it was written, without a fragment. Errors say why not.
  base::Result<std::string> target_of(std::string_view url) const;

 private:
  struct Authority {
    std::string host;
    std::string port;  // empty: the scheme's
  };
  static Authority parts_of(std::string_view authority);

  Authority ours_;
  std::string base_path_;  // of the daemon's URL: targets are put behind it
};

}  // namespace holdfast::warm
