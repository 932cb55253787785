#include "upstream/base_url.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>

#include "base/ascii.h"

namespace holdfast::upstream {
namespace {

std::string lower_case(std::string_view text) {
  std::string copy(text);
  std::transform(copy.begin(), copy.end(), copy.begin(), base::ascii_lower);
  return copy;
}

std::string address_text(int family, const void* bytes) {
  char text[INET6_ADDRSTRLEN];
  return ::inet_ntop(family, bytes, text, sizeof text) == nullptr ? "" : text;
}

}  // namespace

base::Result<BaseUrl> read_base_url(std::string_view text) {
  BaseUrl url;
  const std::size_t scheme_end = text.find("://");
  const std::string scheme = lower_case(text.substr(0, scheme_end));
  if (scheme_end == std::string_view::npos || (scheme != "http" && scheme != "https")) {
    return base::invalid_input("not an http or https URL: " + std::string(text));
  }
  url.tls = scheme == "https";
  url.port = url.tls ? 443 : 80;

  const std::string_view rest = text.substr(scheme_end + 3);
  std::string_view authority = rest.substr(0, rest.find_first_of("/?#"));
  // What stands before an @ may be a secret, and is not ours to repeat.
  if (authority.find('@') != std::string_view::npos) {
    return base::invalid_input("a base URL holds no credentials");
  }
  const bool brackets = authority.starts_with('[');
  const std::size_t host_end = brackets ? authority.find(']') : authority.find(':');
  if (brackets && host_end == std::string_view::npos) {
    return base::invalid_input("a bracket is not closed: " + std::string(text));
  }
  url.host =
      lower_case(brackets ? authority.substr(1, host_end - 1) : authority.substr(0, host_end));
  std::string_view port;
  if (host_end != std::string_view::npos) port = authority.substr(host_end + (brackets ? 1 : 0));
  if (url.host.empty() || url.host.find('\0') != std::string::npos ||
      (!port.empty() && !port.starts_with(':'))) {
    return base::invalid_input("no host: " + std::string(text));
  }
  if (port.size() > 1) {
    const char* const end = port.data() + port.size();
    const auto [stop, error] = std::from_chars(port.data() + 1, end, url.port);
    if (error != std::errc() || stop != end || url.port == 0) {
      return base::invalid_input("not a port: " + std::string(text));
    }
  }

  in6_addr v6;
  in_addr v4;
  if (brackets) {
    if (::inet_pton(AF_INET6, url.host.c_str(), &v6) != 1) {
      return base::invalid_input("not an IPv6 address: " + std::string(text));
    }
    url.address = address_text(AF_INET6, &v6);
  } else if (url.host.find_first_of(" \t") == std::string::npos &&
             ::inet_aton(url.host.c_str(), &v4) != 0) {
    // "127.1" too: it is an address to everything else that reads URLs.
    url.address = address_text(AF_INET, &v4);
  }
  url.numeric = !url.address.empty();
  return url;
}

}  // namespace holdfast::upstream
