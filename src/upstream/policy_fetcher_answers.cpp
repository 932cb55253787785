// The part of PolicyFetcher that decides what an attempt's end means for its fetch: an answer,
// a final word of one origin, a failure that is tried again, or one that is this key's alone.
//
// A 4xx is final for the origin that said it. If there is another one that is well, it is
// asked before a client hears of it; meanwhile the answer is held.
//
// One key's trouble is told from the upstream's by the luck of others (recent_luck.h), of
// refusals with a time to come back by how retries do (refused_keys.h), and where nobody asks for
// anything else, by a witness: a key that was answered lately is asked for once more. So is it
// before the token counts as refused, or a breaker opens because of whole answers.
#include <algorithm>
#include <utility>

#include "upstream/policy_fetcher.h"
#include "upstream/policy_fetcher_fetch.h"

namespace holdfast::upstream {
namespace {

using observe::Level;

constexpr base::Duration kLackPause = std::chrono::milliseconds(20);
constexpr base::Duration kRefusedPause = std::chrono::milliseconds(100);
// What is refused for its key rests as long as it was told, up to this, and to a share of its time.
constexpr base::Duration kKeyRests = std::chrono::seconds(1);
constexpr int kKeyRestShare = 8;
// One redirect among answers may be one server's of many; so often it is no chance.
constexpr int kRedirectsEnough = 3;
// Between questions to a witness because of a key that fails.
constexpr base::Duration kWitnessPause = std::chrono::milliseconds(100);
// Of an origin that was said to be an outlier, and answered its witness.
constexpr base::Duration kAcquittal = std::chrono::seconds(1);
// A second word is waited for so long where another origin limits us, or seems to: it may have
// refused somebody's bad key.
constexpr base::Duration kLimitedFor = std::chrono::seconds(1);
// So often does another origin fail before what the first one said is taken.
constexpr int kOthersFail = 2;
// A 403 is about what was asked for, but by chance it comes too: so improbable must it be,
// and so many are enough.
constexpr double kForbiddenChance = 1e-3;
constexpr int kForbiddenMost = 5;
constexpr int kForbiddenLeast = 2;

// Whether several of it in a row say something. Of what ended for want of time or of somebody to
// talk to, they do not: that is no key's doing, or not to be told from an outage.
bool counts_in_row(const Reply& reply) {
  return is_whole(reply) || reply.unreadable || is_broken_off(reply);
}

Reply without_content(const Reply& reply) {
  Reply head = reply;
  head.body = {};
  return head;
}

}  // namespace

void PolicyFetcher::on_reply(FetchId id, std::uint64_t number, Reply reply) {
  const auto found = fetches_.find(id);
  if (found == fetches_.end()) return;
  Fetch& fetch = *found->second;
  const auto position = std::find_if(fetch.attempts.begin(), fetch.attempts.end(),
                                     [&](const Attempt& a) { return a.number == number; });
  if (position == fetch.attempts.end()) return;
  const Attempt attempt = *position;
  fetch.attempts.erase(position);
  forget(fetch, attempt);

  const FetchRequest& asked = fetch.request;
  const Verdict verdict = asked.any_status
                              ? judge_any(asked.request, reply, asked.validate)
                              : judge(asked.request, reply, asked.validate, asked.validate_large);
  record(fetch, attempt, verdict, reply.status);
  metrics_.phases(attempt.origin->index, reply);
  if (const Sign sign = sign_of(verdict.outcome); attempt.first && sign != Sign::None) {
    luck_.first_ended(attempt.sent_at, attempt.key, sign == Sign::Good);
  }
  if (reply.status != 0) learn_from_race(fetch, attempt, is_answer(verdict.outcome));
  ended(*attempt.origin, attempt, verdict, reply);
  fetch.result.outcome = verdict.outcome;
  if (asked.any_status && !is_answer(verdict.outcome) && is_callers(reply)) {
    auto refused = std::make_shared<Reply>(std::move(reply));
    reply = without_content(*refused);
    if (asked.keeps_invalid && is_invalid(verdict.outcome, *refused)) {
      fetch.result.last_invalid = refused;
    }
    fetch.result.last_refused = std::move(refused);
  } else if (asked.keeps_invalid && is_invalid(verdict.outcome, reply)) {
    auto invalid = std::make_shared<Reply>(std::move(reply));
    reply = without_content(*invalid);
    fetch.result.last_invalid = std::move(invalid);
  }
  fetch.result.reply = std::move(reply);

  // What was sent with the last token says nothing of the one we have.
  const bool with_this_token = attempt.token == tokens_;
  Origin& origin = *attempt.origin;
  if (is_answer(verdict.outcome)) {
    if (with_this_token) token_accepted(origin);
    if (is_too_large(fetch.result.reply)) {
      luck_.answered(attempt.sent_at, fetch.key, fetch.failures);
      finish(fetch, FetchEnd::TooLarge);
    } else {
      answered(fetch, attempt);
    }
  } else if (verdict.outcome == Outcome::Unauthorized && with_this_token) {
    refused(fetch, attempt, verdict);
  } else if (verdict.outcome == Outcome::Certificate && !other_way(origin)) {
    finish(fetch, FetchEnd::Refused);
  } else if (verdict.outcome == Outcome::Redirected) {
    if (ask_elsewhere(fetch, attempt, FetchEnd::Refused)) {
      // Held meanwhile.
    } else if (ask_again(fetch, origin)) {
      fail_or_retry(fetch, attempt, verdict);
    } else {
      finish(fetch, FetchEnd::Refused);
    }
  } else {
    fail_or_retry(fetch, attempt, verdict);
  }
  pump();
}

void PolicyFetcher::answered(Fetch& fetch, const Attempt& attempt) {
  Origin& origin = *attempt.origin;
  const bool negative = is_negative(fetch.result.reply.status);
  const bool final = fetch.result.outcome == Outcome::ClientError;
  if ((!final || negative) && origin.negative.answered(fetch.key, negative)) {
    log_.event(Level::Warn, "entries_missing",
               {{"origin", origin.name},
                {"share", origin.negative.share()},
                {"status", fetch.result.reply.status},
                {"target", fetch.request.request.target},
                {"setting", "API_URL"},
                {"detail", "far more keys than usual have no entry: is the path in it right?"}});
  }
  if (final) {
    if (ask_elsewhere(fetch, attempt, FetchEnd::Answered)) return;
    // Of several, "no such entry" says most.
    const bool better_held = fetch.held && fetch.held->end == FetchEnd::Answered &&
                             is_negative(fetch.held->reply.status) && !negative;
    return finish(fetch, better_held ? FetchEnd::GaveUp : FetchEnd::Answered);
  }
  luck_.answered(attempt.sent_at, fetch.key, fetch.failures);
  origin.probe.answered(fetch.request, fetch.key);
  for (Origin* other : fetch.final_at) {
    if (!fetch.held || fetch.held->end != FetchEnd::Answered) break;
    other->contradicted(scheduler_.clock(), fetch.key, fetch.held->reply.status);
    eject_if_outlier(*other);
    announce(*other);
  }
  finish(fetch, FetchEnd::Answered);
}

// Whether another origin is asked, or has been, before `end` is all that can be said.
bool PolicyFetcher::ask_elsewhere(Fetch& fetch, const Attempt& attempt, FetchEnd end) {
  Origin& origin = *attempt.origin;
  const base::SteadyTime at = now();
  const auto may_know = [&](const Origin& one) {
    return &one != &origin && !fetch.is_final_at(one);
  };
  const bool other = std::any_of(origins_.begin(), origins_.end(), [&](const auto& one) {
    return may_know(*one) && one->breaker.allows() && one->has_address() && !one->distrusted(at) &&
           !one->token.refuses(at) &&
           (!one->pacer.refused_lately() || one->pacer.next(at) <= at + kLimitedFor);
  });
  const bool out = std::any_of(fetch.attempts.begin(), fetch.attempts.end(),
                               [&](const Attempt& a) { return !a.suspect && may_know(*a.origin); });
  if (!other && !out) return false;
  if (!fetch.is_final_at(origin)) fetch.final_at.push_back(&origin);
  if (!fetch.held || (fetch.held->end == FetchEnd::Refused && end == FetchEnd::Answered)) {
    fetch.held = Held{end, fetch.result.reply, fetch.result.outcome, fetch.failures};
  }
  if (out || fetch.place != Place::Running) return true;
  // Beside a suspect it would be a race, which has its own time and its own share.
  if (fetch.attempts.empty()) {
    make_ready(fetch);
  } else {
    look_at(fetch, now() + kRaceAgain);
  }
  return true;
}

// After a redirect. Not where nothing else was ever answered, or lately to anybody.
bool PolicyFetcher::ask_again(Fetch& fetch, const Origin& origin) const {
  return ++fetch.redirects < kRedirectsEnough && origin.redirect().empty();
}

// 401 or 403. Where the token was good a moment ago it may be a mistake of theirs, and a 403
// may be about what was asked for. What only one key meets says nothing of the token.
void PolicyFetcher::refused(Fetch& fetch, const Attempt& attempt, const Verdict& verdict) {
  Origin& origin = *attempt.origin;
  const base::SteadyTime at = now();
  const int status = fetch.result.reply.status;
  const bool good_lately = origin.token.good_lately(at);
  if (origin.token.refused(status, fetch.key)) {
    if (!ask_witness(origin, fetch.key)) token_refused(origin, status);
  } else if (status == 403 && origin.token.state() == TokenState::State::Refused) {
    // It was the check. The key may be one that is forbidden to everybody.
    (void)ask_witness(origin, fetch.key);
  }
  ++fetch.refusals;
  if (ask_elsewhere(fetch, attempt, FetchEnd::Refused)) return;
  const int enough = status == 401 ? 2
                                   : std::clamp(luck_.needed(at, fetch.key, kForbiddenChance),
                                                kForbiddenLeast, kForbiddenMost);
  if (good_lately && fetch.refusals < enough &&
      origin.token.state() != TokenState::State::Refused) {
    return fail_or_retry(fetch, attempt, verdict);
  }
  finish(fetch, FetchEnd::Refused);
}

void PolicyFetcher::token_accepted(Origin& origin) {
  const bool was_refused = origin.token.state() == TokenState::State::Refused;
  origin.token.accepted(now());
  if (was_refused) {
    log_.event(Level::Info, "token_accepted", {{"origin", origin.name}});
    if (any_asks()) release_parked();
  }
  metrics_.gauges.token_accepted = any_token_refused() ? 0 : 1;
}

// Metric, log and health say the same at the same time: one 403 may be about one request. And
// once: those that were under way and the checks say nothing new.
void PolicyFetcher::token_refused(Origin& origin, int status) {
  if (origin.token.state() == TokenState::State::Refused) return;
  origin.token.confirm(now());
  metrics_.gauges.token_accepted = 0;
  log_.event(Level::Error, "token_refused", {{"origin", origin.name}, {"status", status}});
  hurry_if_alone();
}

bool PolicyFetcher::any_token_refused() const {
  return std::any_of(origins_.begin(), origins_.end(), [](const auto& origin) {
    return origin->token.state() == TokenState::State::Refused;
  });
}

// The same answer again and again, or one as unreadable; of connections that broke each is like the
// last. Where it is a matter of chance, others fail as well.
void PolicyFetcher::count_equal(Fetch& fetch, const Attempt& failed, const Verdict& verdict) {
  const Reply& reply = fetch.result.reply;
  if (!counts_in_row(reply) || verdict.outcome == Outcome::Unauthorized) return;
  const Verdict kind = is_broken_off(reply) ? Verdict{Outcome::Reset, {}} : verdict;
  const int status = is_broken_off(reply) ? 0 : reply.status;
  const bool same = fetch.equal > 0 && fetch.equal_status == status &&
                    fetch.equal_to.outcome == kind.outcome && fetch.equal_to.reason == kind.reason;
  if (!same) fetch.equal = fetch.equal_on_new = 0;
  if (fetch.equal == 0) fetch.equal_since = failed.sent_at;
  ++fetch.equal;
  if (!reply.kept) ++fetch.equal_on_new;
  fetch.equal_status = status;
  fetch.equal_to = kind;
}

bool PolicyFetcher::key_fails(Fetch& fetch, const Attempt& failed) {
  const Reply& reply = fetch.result.reply;
  if (fetch.equal < 2 || !counts_in_row(reply)) return false;
  Origin& origin = *failed.origin;
  const bool refused = is_refusal(fetch.result.outcome, reply);
  const auto needed = luck_.needed(now(), fetch.key, fetch.equal_since, failed.sent_at);
  bool enough = needed && fetch.equal >= *needed;
  if (!is_whole(reply)) enough = enough && fetch.equal_on_new >= kOnNewConnections;
  if (is_broken_off(reply)) {
    enough = enough &&
             fetch.equal >= luck_.needed_of_broken(fetch.key, fetch.equal_since, failed.sent_at);
  }
  // A limit lets it through a little later, if only it is asked as it was told to.
  if (refused) {
    enough = enough && fetch.came_back_as_told && origin.refused_keys.is_surely_keys_own(fetch.key);
  }
  if (enough) return true;
  // Too few others were answered meanwhile; was anybody asking?
  const bool ask = fetch.equal + 1 >= luck_.needed(now(), fetch.key) &&
                   (!refused || origin.refused_keys.is_open_question(fetch.key));
  if (ask && now() >= origin.witness_again) {
    origin.witness_again = now() + kWitnessPause;
    (void)ask_witness(origin, fetch.key, refused);
  }
  return false;
}

// Asks the origin for something else than `key` that was answered lately. False if there is
// nothing like that, or it cannot be sent, or the origin has refused us for asking too often; where
// that is the question, it goes when the pace allows it, as any other request. Our
// own care after an outage has no say: this is one request at a time, without which all others
// might be refused.
bool PolicyFetcher::ask_witness(Origin& origin, std::size_t key, bool at_our_pace) {
  if (origin.witness_asked) return true;
  const DependencyProbe::Question* witness = origin.probe.witness(key);
  const bool in_time = at_our_pace ? origin.pacer.allows(now()) : !origin.pacer.refused_lately();
  if (witness == nullptr || !has_slot() || !origin.has_address() || !origin.breaker.allows() ||
      !in_time) {
    return false;
  }
  origin.witness_asked = true;
  origin.witness_key = witness->key;
  send_bare(origin, *witness,
            [this, &origin, token = tokens_](const OriginAttempt& attempt, const Verdict& verdict,
                                             const Reply& reply) {
              origin.witness_asked = false;
              const bool set_aside_if_so = std::exchange(origin.set_aside_if_so, false);
              const bool with_this_token = token == tokens_;
              if (is_answer(verdict.outcome)) {
                if (with_this_token) token_accepted(origin);
                luck_.answered(attempt.sent_at, attempt.key, 0);
                luck_.first_ended(attempt.sent_at, attempt.key, true);
                if (set_aside_if_so) origin.acquitted_until = now() + kAcquittal;
              } else if (verdict.outcome == Outcome::Unauthorized) {
                origin.probe.doubt(attempt.key);
                if (with_this_token) token_refused(origin, reply.status);
              } else if (sign_of(verdict.outcome) == Sign::Bad) {
                luck_.failed(attempt.sent_at, attempt.key);
                luck_.first_ended(attempt.sent_at, attempt.key, false);
                origin.probe.doubt(attempt.key);
                if (origin.breaker.in_doubt()) {
                  origin.breaker.trip(now(), settings_.breaker.probe_cap);
                } else if (set_aside_if_so) {
                  eject_if_outlier(origin);
                }
              } else if (set_aside_if_so) {
                // It said neither.
                origin.acquitted_until = now() + kWitnessPause;
              }
            });
  return true;
}

void PolicyFetcher::fail_or_retry(Fetch& fetch, const Attempt& failed, const Verdict& verdict) {
  if (verdict.outcome == Outcome::Local) {
    ++fetch.lacks;
  } else {
    ++fetch.failures;
    count_equal(fetch, failed, verdict);
    fetch.failed_at = failed.origin;
    if (is_connect_failure(verdict.outcome)) fetch.no_way_at.push_back(failed.address);
  }
  fetch.used_up_connection = fetch.result.reply.ended_connection();
  if (fetch.result.reply.status == 304) {
    // It confirms something else than what is named: ask for the whole.
    std::erase_if(fetch.request.request.fields, [](const Field& field) {
      return is_field(field, "If-None-Match") || is_field(field, "If-Modified-Since");
    });
  }
  log_.event(Level::Debug, "attempt_failed",
             {{"origin", failed.origin->name},
              {"target", fetch.request.request.target},
              {"outcome", to_string(verdict.outcome)},
              {"status", fetch.result.reply.status},
              {"detail", verdict.reason}});
  const base::Duration left = fetch.request.deadline - now();
  base::Duration wait = backoff(settings_.backoff, fetch.failures + fetch.lacks, left, random_);
  // What it took has spaced the attempts already; and another address is another matter.
  wait = std::max(base::Duration::zero(), wait - (now() - failed.sent_at));
  if (is_connect_failure(verdict.outcome) && other_way(*failed.origin)) {
    wait = base::Duration::zero();
  }
  // What failed here took no time, so that nothing else would space the attempts.
  if (verdict.outcome == Outcome::Local) wait = std::max(wait, kLackPause);
  // Told to come back later, and nothing else to do: not at once, while the pacer
  // makes up its mind whether this is a limit. What is about this key, it obeys alone.
  const std::optional<std::chrono::seconds> told = fetch.result.reply.retry_after;
  fetch.came_back_as_told = fetch.rests;
  fetch.rests = is_refusal(verdict.outcome, fetch.result.reply) &&
                failed.origin->refused_keys.is_keys_own(fetch.key);
  if (told && fetch.rests) {
    // Not in step with a limiter's periods, if it is one after all.
    const base::Duration rest = std::min<base::Duration>({*told, kKeyRests, left / kKeyRestShare});
    wait = std::max(wait, rest + random_.up_to(rest / 4));
  } else if (told) {
    wait = std::max(
        wait, std::min<base::Duration>({*told, kRefusedPause, left / settings_.backoff.share}));
  }
  // It waits for its next attempt already.
  if (fetch.place != Place::Running) return;
  // Another one is still out and in time. Should that be late, it is raced in its turn.
  if (!fetch.only_suspects()) return look_at(fetch, now() + kRaceAgain);
  if (fetch.held && fetch.held->end == FetchEnd::Answered &&
      fetch.failures - fetch.held->failures >= kOthersFail) {
    return finish(fetch, FetchEnd::GaveUp);
  }
  if (key_fails(fetch, failed)) return finish(fetch, FetchEnd::KeyFails);
  if (fetch.refresh() && fetch.failures + fetch.lacks >= settings_.refresh.max_attempts) {
    return finish(fetch, FetchEnd::GaveUp);
  }
  if (fetch.spent()) {
    // What is out may still be answered.
    if (fetch.attempts.empty()) finish(fetch, FetchEnd::GaveUp);
    return;
  }
  if (failed.probe) return make_ready(fetch);  // parks again, or goes on if another breaker closed
  move(fetch, Place::Backoff);
  fetch.timer.set_after(scheduler_, wait, [this, &fetch] {
    make_ready(fetch);
    pump();
  });
}

}  // namespace holdfast::upstream
