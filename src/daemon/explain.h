// What becomes of a request by the settings alone: who takes it, what goes upstream for it, what
// the answer must be, and which settings say so. For people who ask `holdfast explain`; nothing
// runs for it and nobody is asked. No secret of the settings is in it. One thread.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "config/config.h"
#include "proxy/decided.h"
#include "upstream/message.h"

namespace holdfast::daemon {

struct Explanation {
  std::string method;
  std::string target;
  std::string host;  // empty: none was given

  // Empty: no route takes it, and `status` and `why` are what the client gets.
  std::string route;
  std::size_t number = 0;  // of config::Routing::routes
  std::string match;       // its template, with its host
  std::string place;       // of its section
  bool passed = false;     // through as it comes, and not read from what is stored
  bool batch = false;      // an array of its parameters: each element has a key of its own
  bool offline = false;    // what is stored answers, or nothing does: nobody is asked
  int status = 0;
  std::string why;
  std::string near;          // the route that would take it but for `why`; maybe empty
  std::string next;          // the route that would take it otherwise; empty: none
  std::string why_not_next;  // this one and not that

  std::string key;
  std::string upstream;
  std::vector<std::string> urls;  // in their order, as people may see them
  std::string request_line;       // "GET /v1/x": to the first of them
  upstream::Fields fields;        // Host first
  std::vector<std::string> asked_of_answer;
  std::vector<proxy::Decided> decided;  // by the request itself, of what is stored and reused
  std::vector<config::InForce> route_settings;
  std::vector<config::InForce> upstream_settings;

  bool taken() const { return !route.empty(); }
};

// Errors: what is wrong with the routes; one line.
base::Result<Explanation> explain(const config::Settings& settings,
                                  const config::ExplainCommand& command);

// For people, in lines: what is asked of whom, or why nothing is, which is the first part of the
// whole.
std::string question_text(const Explanation& explanation);
// For people, in lines; and as the members of a JSON object, without its braces.
std::string explanation_text(const Explanation& explanation);
std::string explanation_json(const Explanation& explanation);

}  // namespace holdfast::daemon
