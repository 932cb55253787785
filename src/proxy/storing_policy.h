// What is kept of an upstream's answer, and for how long, where a route says so. Plain data.
#pragma once

#include <chrono>
#include <map>
#include <string>
#include <vector>

namespace holdfast::proxy {

struct StoringPolicy {
  // Freshness lifetime where the upstream states none.
  std::chrono::seconds ttl = std::chrono::hours(24);
  // Use `ttl` whatever the upstream states, and store whatever it forbids.
  bool ttl_override = false;
  // Lifetime of a 404 or 410 where the upstream states none.
  std::chrono::seconds negative_ttl = std::chrono::minutes(5);
  std::chrono::seconds stale_while_revalidate = std::chrono::hours(24 * 7);
  std::chrono::seconds stale_if_error = std::chrono::hours(24 * 30);
  // Our own lifetimes vary by this fraction either way, so that what was stored
  // together does not expire together. Lifetimes the upstream stated only shrink.
  double jitter = 0.1;
  // Lifetimes for statuses, before those above, where the upstream states none.
  std::map<int, std::chrono::seconds> ttl_by_status;

  // The content was found to be JSON, so that it is called that, whatever the upstream calls it.
  bool is_json = true;
  enum class SetCookie {
    Pass,   // to the one who asked: such an answer is not stored
    Strip,  // nobody gets it
    Store,  // everybody does
  };
  SetCookie set_cookie = SetCookie::Strip;
  // Clients get the upstream's own content with a status that is about the request (404, 410, and
  // of the others of 4xx those that are not about us), instead of a problem of ours.
  bool pass_client_errors = false;
  // Fields of the upstream's that clients do not get from us, in lower case.
  std::vector<std::string> fields_removed;
  // Of every answer, besides its own.
  std::vector<std::string> tags;

  bool operator==(const StoringPolicy&) const = default;
};

}  // namespace holdfast::proxy
