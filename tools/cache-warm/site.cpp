#include "site.h"

#include "config/values.h"

namespace holdfast::warm {
namespace {

using base::invalid_input;

constexpr std::string_view kSchemeEnd = "://";

std::string_view scheme_of(std::string_view url) {
  const std::size_t end = url.find(kSchemeEnd);
  return end == url.npos ? "" : url.substr(0, end);
}

std::string_view default_port(std::string_view scheme) {
  return config::same_word(scheme, "https") ? "443" : "80";
}

}  // namespace

base::Result<std::string> parse_host(std::string_view text) {
  const auto url = config::parse_base_url("http://" + std::string(text));
  if (!url || text.find_first_of("/?#") != text.npos) {
    return invalid_input("expected a host such as www.example.com, and a port at most");
  }
  return url->substr(url->find(kSchemeEnd) + kSchemeEnd.size());
}

bool is_url(std::string_view text) {
  const std::string_view scheme = scheme_of(text);
  return config::same_word(scheme, "http") || config::same_word(scheme, "https");
}

Site::Authority Site::parts_of(std::string_view authority) {
  const std::size_t bracket = authority.find(']');
  const std::size_t colon = authority.find(':', bracket == authority.npos ? 0 : bracket);
  return {std::string(authority.substr(0, colon)),
          std::string(colon == authority.npos ? "" : authority.substr(colon + 1))};
}

Site::Site(const std::string& base_url, const std::string& host) {
  const std::string_view scheme = scheme_of(base_url);
  const std::string_view rest =
      std::string_view(base_url).substr(scheme.size() + kSchemeEnd.size());
  const std::string_view authority = rest.substr(0, rest.find('/'));
  if (!host.empty()) {
    // Its URLs say nothing of the way to the daemon.
    ours_ = parts_of(host);
    return;
  }
  ours_ = parts_of(authority);
  if (ours_.port.empty()) ours_.port = default_port(scheme);
  base_path_ = rest.substr(authority.size());
}

base::Result<std::string> Site::target_of(std::string_view url) const {
  const std::string_view scheme = scheme_of(url);
  std::string_view rest = url.substr(scheme.size() + kSchemeEnd.size());
  rest = rest.substr(0, rest.find('#'));
  const std::string_view authority = rest.substr(0, rest.find_first_of("/?"));
  rest.remove_prefix(authority.size());
  if (authority.find('@') != authority.npos) return invalid_input("a URL with credentials in it");
  const auto host = parse_host(authority);
  if (!host) return invalid_input("not a URL: " + host.error().message);
  const Authority theirs = parts_of(*host);
  const std::string_view standard = default_port(scheme);
  const std::string_view port = theirs.port.empty() ? standard : std::string_view(theirs.port);
  const std::string_view wanted = ours_.port.empty() ? standard : std::string_view(ours_.port);
  const bool ours = theirs.host == ours_.host && port == wanted;
  // A base path that ends within a segment is another's.
  if (!ours || !rest.starts_with(base_path_) ||
      (!base_path_.empty() && rest.size() > base_path_.size() &&
       std::string_view("/?").find(rest[base_path_.size()]) == std::string_view::npos)) {
    return invalid_input("a URL of another site than " + ours_.host +
                         (ours_.port.empty() ? "" : ":" + ours_.port) + base_path_ +
                         " (--host HOST asks the daemon for another's)");
  }
  rest.remove_prefix(base_path_.size());
  return (rest.starts_with('/') ? "" : "/") + std::string(rest);
}

}  // namespace holdfast::warm
