// The answers that Flights makes without a fetch. Internal to its files.
#pragma once

#include <chrono>
#include <optional>
#include <string_view>
#include <utility>

#include "proxy/flights.h"

namespace holdfast::proxy {

inline Answer refusal(const char* detail) {
  Answer answer;
  answer.status = 503;
  answer.detail = detail;
  answer.retry_after = std::chrono::seconds(1);
  return answer;
}

// For its worker to pass the request through; whoever cannot has the error.
inline Answer passed(std::string_view reason, std::string_view word = {}) {
  Answer answer;
  answer.rung = Rung::Pass;
  answer.pass = {reason, word};
  answer.status = 502;
  answer.detail = "the upstream's answer cannot be kept whole, and is passed through alone";
  return answer;
}

inline Answer from_stored(Rung rung, cache::StoredPtr stored) {
  Answer answer;
  answer.rung = rung;
  answer.content = std::move(stored);
  return answer;
}

// `prospect`, which is used up, with that for its way.
inline Flights::Prospect answered(Flights::Prospect& prospect, Answer with) {
  prospect.way = Flights::Prospect::Way::Answer;
  prospect.answer = std::move(with);
  return std::move(prospect);
}

// The first two rungs. Without content if there is nothing to be used at once.
inline Answer answer_at_once(const cache::StoredPtr& stored, std::chrono::seconds min_fresh,
                             base::WallTime now) {
  if (!stored) return {};
  const cache::Freshness freshness = cache::freshness(*stored, now);
  const std::optional<Rung> rung = rung_at_once(freshness, min_fresh);
  return rung ? from_stored(*rung, stored) : Answer{};
}

}  // namespace holdfast::proxy
