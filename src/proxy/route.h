// Route knows what one kind of request means: which cache key it has, what to
// ask the upstream for it, and what a right answer looks like. Everything else
// in Holdfast is the same for every route.
//
// A key says all that goes upstream, so that it can be asked for again from the key alone:
//
//   <prefix><values of the path's parameters, joined by "/">[?<query>][ <field>=<value>]...
//
// and behind that, of one of the variants of a URL (mode rfc9111), " (<number>)" and its selection:
// proxy/variants.h.
//
// Each part is in its canonical form, in which neither "?" nor a blank stands for itself, so that
// two requests share a key if and only if the upstream is asked the same.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "http/request.h"
#include "proxy/body_check.h"
#include "proxy/body_rules.h"
#include "proxy/method_set.h"
#include "proxy/path_template.h"
#include "proxy/query_rules.h"
#include "proxy/storing_policy.h"
#include "proxy/target_template.h"
#include "upstream/fetcher.h"

namespace holdfast::proxy {

// A [[route]], its texts parsed.
struct RoutePlan {
  std::string name;  // a metric label
  // What its keys begin with. Whoever changes what they mean changes this.
  std::string key_prefix;
  PathTemplate match;
  TargetTemplate target;
  std::string host;  // the client's; empty: any
  MethodSet methods;
  QueryRules query;
  std::vector<std::string> key_fields;  // in lower case
  bool host_goes_upstream = false;      // the client's: it is part of the key, as "host"
  upstream::Fields request_fields;      // for every request
  // Of a client's fields that would go upstream without being in the key (its trace), those that
  // do not; in lower case.
  std::vector<std::string> fields_removed;
  // The upstream has a credential of ours in Authorization: a client's stays here.
  bool own_authorization = false;
  std::string batch_path;  // where POST takes an array of parameters; empty: nowhere
  BodyRules body;
  StoringPolicy storing;
  std::string response_fields;                      // lines, for every answer with content
  std::uint64_t max_request_body_bytes = 1U << 20;  // of what is passed through
  int most_attempts = 0;                            // for one fetch; 0: no bound of its own
  // What `body` refuses goes to the client all the same, unstored, where there is nothing better.
  bool pass_invalid = false;
  // The upstream is never asked: what is stored answers, however stale.
  bool stored_only = false;
  // Content for a key from a source of our own, for when the upstream cannot be had; never
  // stored. Origin loop only.
  std::function<std::optional<std::string>(std::string_view subject)> offline;
};

// Where it may go out of service while the program runs it is owned by std::shared_ptr: whatever
// uses it beyond a call holds on to it, by weak_from_this().
class Route : public std::enable_shared_from_this<Route> {
 public:
  // Longer ones are refused: many of them are kept, here and there.
  static constexpr std::size_t kLongestKey = 4096;

  explicit Route(RoutePlan plan);

  const RoutePlan& plan() const { return plan_; }
  std::string_view name() const { return plan_.name; }
  std::string_view response_fields() const { return plan_.response_fields; }

  // Writes the cache key of a request with those values in its path into `key`. Returns null, or
  // why the request is a bad one, for people. Any thread, on the serving path.
  const char* key(const Parameters& parameters, const http::Request& request,
                  std::string& key) const;

  // The same of what is asked for by its path and query alone (without its "?", null if there is
  // none), and of an element of a batch.
  const char* key(const Parameters& parameters, std::string_view query, std::string& key) const;
  const char* key_of_subject(std::string_view subject, std::string& key) const;
  // ... with the fields of the request that has the batch.
  const char* key_of_subject(std::string_view subject, const http::Request& request,
                             std::string& key) const;

  // Whether nothing of the query would go upstream.
  bool takes_no_query(std::string_view query) const {
    std::string kept;
    return query.empty() || (plan_.query.append(query, kept) == nullptr && kept.empty());
  }

  // What a key is called towards people and in logs: "8.8.8.8".
  std::string_view subject(std::string_view key) const { return key.substr(prefix_size_); }
  // The value that key_of_subject() was given, in the one spelling that it has.
  std::string value_of(std::string_view key) const;
  // Whether it is a key of this route, in its canonical form.
  bool is_key(std::string_view key) const;

  // Any thread. `beside`: fields that are not in the key.
  upstream::Request upstream_request(std::string_view key,
                                     const upstream::Fields& beside = {}) const;

  // Judges a complete 2xx, or whether a 4xx is the upstream's own word. A wrong Ok here
  // is a wrong answer to a client. Content that is kept in its coding (mode rfc9111) is judged by
  // what it is without, which is no longer than max_body either. Origin loop only.
  upstream::Verdict validate(std::string_view key, const upstream::Reply& reply);

  // Whether an answer larger than max_body goes to its client as it comes: what is asked of it, its
  // head can tell. Any thread.
  bool passes_large() const { return !plan_.storing.http.on && !plan_.body.needs_json(); }
  // ... and what its head tells. Any thread.
  upstream::Verdict validate_head(const upstream::Reply& reply,
                                  std::optional<std::uint64_t> length) const {
    return check_.validate_head(reply, length);
  }

  // Origin loop only. It is out of service: who asked by it still gets an answer, but nothing is
  // kept of that, as another route may have its keys now.
  void retire() { retired_ = true; }
  bool retired() const { return retired_; }

  // Origin loop only.
  std::optional<std::string> offline_body(std::string_view key) {
    return plan_.offline ? plan_.offline(subject(key)) : std::nullopt;
  }

 private:
  const char* append_fields(const http::Request& request, std::string& key) const;
  bool is_host_of_key(std::string_view host) const;
  bool take_values(std::string_view values, Parameters& parameters) const;
  upstream::Verdict validate_plain(std::string_view key, const upstream::Reply& reply);

  const RoutePlan plan_;
  const std::size_t prefix_size_;
  BodyCheck check_;
  bool retired_ = false;
};

}  // namespace holdfast::proxy
