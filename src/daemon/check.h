// One attempt at the upstream, as the settings have it for a client's GET: what was asked, what
// came, and what the route says of it. For people who ask `holdfast check`; nothing is stored, and
// no daemon knows of it. No secret of the settings is in what this tells. One thread; blocks.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "config/config.h"
#include "daemon/explain.h"
#include "upstream/fetcher.h"

namespace holdfast::daemon {

struct CheckedAnswer {
  Explanation explanation;
  // Nobody was asked, and why, for people: no route takes it, a batch, a route that is offline.
  std::string not_asked;

  // Of the first of the upstream's URLs.
  std::vector<std::string> unreachable;  // addresses tried in vain before, each with why
  std::string address;                   // that the attempt went to; empty: none is known
  upstream::Reply reply;                 // fields masked
  upstream::Verdict verdict;
  std::string meaning;  // what to make of it, for people; may be empty
  // The route takes it for the answer to what was asked.
  bool right = false;
};

// Errors: what is wrong with the settings; one line.
base::Result<CheckedAnswer> check(const config::Settings& settings,
                                  const config::ExplainCommand& command);

// For people, in lines; and as a JSON object.
std::string checked_text(const CheckedAnswer& checked);
std::string checked_json(const CheckedAnswer& checked);

}  // namespace holdfast::daemon
