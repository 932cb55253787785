// Route knows what one kind of request means: which cache key it has, what to
// ask the upstream for it, and what a right answer looks like. Everything else
// in Holdfast is the same for every route.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "upstream/fetcher.h"

namespace holdfast::proxy {

class Route {
 public:
  virtual ~Route() = default;

  // A metric label and the first part of every key: "lookup".
  virtual std::string_view name() const = 0;
  // Requests whose path starts with this are the route's: "/lookup/".
  virtual std::string_view prefix() const = 0;

  // Writes the cache key of a request into `key`: `rest` is the path after
  // prefix(), still percent-encoded. Returns null, or why the request is a bad
  // one, for people. Any thread, on the serving path.
  virtual const char* key(std::string_view rest, std::string_view query,
                          std::string& key) const = 0;

  // Where POST takes a JSON array of subjects: "/lookup". Empty: nowhere.
  virtual std::string_view batch_path() const { return {}; }
  // Like key(), for an element of such an array. Any thread, on the serving path.
  virtual const char* key_of_subject(std::string_view, std::string&) const {
    return "not asked for in batches";
  }

  // What a key is called towards people and in logs: "8.8.8.8".
  virtual std::string_view subject(std::string_view key) const = 0;

  // Any thread.
  virtual upstream::Request upstream_request(std::string_view key) const = 0;

  // Judges a complete 2xx, or whether a 404 or 410 is the upstream's own word. A wrong Ok here
  // is a wrong answer to a client. Origin loop only.
  virtual upstream::Verdict validate(std::string_view key, const upstream::Reply& reply) = 0;

  // Content for a key from a source of our own, for when the upstream cannot be
  // had; never stored. Origin loop only.
  virtual std::optional<std::string> offline_body(std::string_view key) = 0;
};

}  // namespace holdfast::proxy
