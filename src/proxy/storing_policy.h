// What is kept of an upstream's answer, and for how long, where a route says so. Plain data.
#pragma once

#include <chrono>
#include <cstddef>
#include <map>
#include <string>
#include <vector>

namespace holdfast::proxy {

// What `mode = "rfc9111"` has of its own: there the upstream and the client say what is stored and
// for how long, and all end-to-end fields go both ways.
struct HttpCaching {
  bool on = false;  // else none of the rest counts
  // Fields of an answer that are obeyed in place of Cache-Control and Expires, the first that is
  // there and valid (RFC 9213), in lower case.
  std::vector<std::string> targeted{"cdn-cache-control"};
  // Of one URL, so many stored responses that its Vary tells apart; the oldest goes.
  std::size_t max_variants = 64;
  // Request fields that are compared as lists of preferences, in lower case: accept-language,
  // accept-encoding.
  std::vector<std::string> vary_normalise;
  // Of a Content-Range that does not fit its content, the first position and the length count.
  bool lenient_ranges = false;
  // An answer in a transfer coding nobody here knows is read to the connection's end.
  bool lenient_transfer_coding = false;

  bool operator==(const HttpCaching&) const = default;
};

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
  HttpCaching http;

  bool operator==(const StoringPolicy&) const = default;
};

}  // namespace holdfast::proxy
