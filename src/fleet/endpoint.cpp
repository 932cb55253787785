#include "fleet/endpoint.h"

#include <algorithm>
#include <charconv>

#include "base/ascii.h"

namespace holdfast::fleet {
namespace {

constexpr std::string_view kTcp = "redis://";
constexpr std::string_view kUnix = "unix:";
// sockaddr_un has room for 107 bytes and the one that ends them.
constexpr std::size_t kLongestPath = 107;

template <typename Number>
bool read_number(std::string_view text, Number& number) {
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  return error == std::errc() && stop == end;
}

// Of a host, in lower case.
constexpr std::string_view kNameBytes = "abcdefghijklmnopqrstuvwxyz0123456789.-_";
constexpr std::string_view kAddressBytes = "0123456789abcdef.:";

base::Result<Endpoint> parse_unix(std::string_view text) {
  Endpoint endpoint;
  endpoint.path = text.substr(kUnix.size());
  if (!endpoint.path.starts_with('/') || endpoint.path.size() > kLongestPath) {
    return base::invalid_input("unix: wants an absolute path of at most 107 bytes: " +
                               std::string(text));
  }
  endpoint.name = text;
  return endpoint;
}

base::Result<Endpoint> parse_tcp(std::string_view text) {
  Endpoint endpoint;
  std::string_view rest = text.substr(kTcp.size());
  // An @ may be part of a password, so the last one before the path counts.
  const std::size_t at = rest.substr(0, rest.find('/')).rfind('@');
  if (at != std::string_view::npos) {
    endpoint.user = rest.substr(0, at);
    rest.remove_prefix(at + 1);
    if (endpoint.user.find(':') != std::string::npos) {
      // Which is not repeated here.
      return base::invalid_input("a URL holds no password: it goes into a file");
    }
    if (endpoint.user.empty()) return base::invalid_input("no user before the @");
  }
  const std::string_view authority = rest.substr(0, rest.find('/'));
  const bool brackets = authority.starts_with('[');
  const std::size_t host_end = brackets ? authority.find(']') : authority.find(':');
  if (brackets && host_end == std::string_view::npos) {
    return base::invalid_input("a bracket is not closed: " + std::string(rest));
  }
  endpoint.host = brackets ? authority.substr(1, host_end - 1) : authority.substr(0, host_end);
  std::transform(endpoint.host.begin(), endpoint.host.end(), endpoint.host.begin(),
                 base::ascii_lower);
  if (endpoint.host.empty() ||
      endpoint.host.find_first_not_of(brackets ? kAddressBytes : kNameBytes) != std::string::npos) {
    return base::invalid_input("no host: " + std::string(rest));
  }
  std::string_view port;
  if (host_end != std::string_view::npos) port = authority.substr(host_end + (brackets ? 1 : 0));
  if (!port.empty() && (!port.starts_with(':') || !read_number(port.substr(1), endpoint.port) ||
                        endpoint.port == 0)) {
    return base::invalid_input("not a port: " + std::string(rest));
  }
  const std::string_view path = rest.substr(authority.size());
  if (path.size() > 1 &&
      (!read_number(path.substr(1), endpoint.database) || endpoint.database < 0)) {
    return base::invalid_input("behind the / stands the number of a database: " +
                               std::string(rest));
  }
  endpoint.name =
      (brackets ? "[" + endpoint.host + "]" : endpoint.host) + ":" + std::to_string(endpoint.port);
  if (endpoint.database != 0) endpoint.name += "/" + std::to_string(endpoint.database);
  return endpoint;
}

}  // namespace

base::Result<std::vector<Endpoint>> parse_endpoints(std::string_view text) {
  std::vector<Endpoint> endpoints;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    const std::string_view one = text.substr(begin, end - begin);
    begin = end + 1;
    auto endpoint = one.starts_with(kTcp)    ? parse_tcp(one)
                    : one.starts_with(kUnix) ? parse_unix(one)
                                             : base::invalid_input("neither redis:// nor unix:");
    if (!endpoint) return tl::unexpected<base::Error>(endpoint.error());
    const bool twice = std::any_of(endpoints.begin(), endpoints.end(), [&](const Endpoint& other) {
      return other.name == endpoint->name;
    });
    if (twice) return base::invalid_input("stands there twice: " + endpoint->name);
    endpoints.push_back(*std::move(endpoint));
  }
  return endpoints;
}

}  // namespace holdfast::fleet
