// The part of PolicyFetcher that passes requests through, each sent once. A pass is no fetch: none
// of what races, hedges or tries again knows of it.
//
//   waits --a slot, the pace--> sent --head--> its slot is free --end--> ended
//
// It waits in the order of all misses. Its slot is what the upstream is asked for: once the answer
// has begun, or while a slow client keeps the upstream waiting for its content, others may have it.
#include <algorithm>
#include <utility>

#include "upstream/policy_fetcher.h"
#include "upstream/policy_fetcher_fetch.h"

namespace holdfast::upstream {
namespace {

// For so long in all a client may keep a slot with content that does not come.
constexpr base::Duration kClientKeepsSlot = std::chrono::seconds(2);

}  // namespace

struct PolicyFetcher::Pass final : OriginAttempt, StreamPeer {
  Pass(PolicyFetcher& owner, PassId number, StreamRequest what, StreamPeer& whose, Ended then)
      : fetcher(owner), id(number), request(std::move(what)), peer(whose), ended(std::move(then)) {
    // How long it takes is the client's doing as much, and its key is asked for by nobody else.
    typical = false;
  }

  QueueKey key_in_queue() const { return {Priority::Miss, deadline, id}; }

  std::optional<std::size_t> read(char* at, std::size_t most) override {
    const auto got = peer.read(at, most);
    const base::SteadyTime now = fetcher.now();
    if (got && late_timer.pending()) {
      late_timer.cancel();
      late += now - waits_since;
    } else if (!got && holds_slot && !late_timer.pending()) {
      waits_since = now;
      late_timer.set_at(fetcher.scheduler_, now + kClientKeepsSlot - late,
                        [this] { fetcher.leave_slot(*this); });
    }
    return got;
  }
  void interim(int status, const Fields& fields) override { peer.interim(status, fields); }
  void head(const StreamHead& head) override {
    fetcher.leave_slot(*this);
    peer.head(head);
  }
  bool has_room(std::size_t bytes) override { return peer.has_room(bytes); }
  void write(std::string piece) override { peer.write(std::move(piece)); }

  PolicyFetcher& fetcher;
  const PassId id;
  StreamRequest request;
  StreamPeer& peer;
  Ended ended;
  base::SteadyTime started{};
  base::SteadyTime deadline{};
  Origin* origin = nullptr;  // where it was sent; null: it was not
  Transport::AttemptId transport_id = 0;
  bool holds_slot = false;
  base::SteadyTime waits_since{};  // for its client, while late_timer is set
  base::Duration late{};           // what that came to before
  base::Timer deadline_timer;      // until it is sent
  base::Timer late_timer;
  FetchResult result;
};

Passer::PassId PolicyFetcher::pass(StreamRequest request, base::SteadyTime deadline,
                                   StreamPeer& peer, Ended ended) {
  const PassId id = ++last_id_;
  auto owned = std::make_shared<Pass>(*this, id, std::move(request), peer, std::move(ended));
  Pass& pass = *passes_.emplace(id, std::move(owned)).first->second;
  pass.started = now();
  pass.deadline = deadline;
  pass.key = std::hash<std::string>{}(pass.request.method + " " + pass.request.request.target);
  waiting_passes_.insert(pass.key_in_queue());
  if (transport_.streaming() == nullptr || waiting() - waiting_refreshes_ > settings_.max_waiting) {
    end_unsent(pass, FetchEnd::Overloaded);
    return id;
  }
  pass.deadline_timer.set_at(scheduler_, deadline, [this, &pass] {
    const bool nameless = std::none_of(origins_.begin(), origins_.end(),
                                       [](const auto& origin) { return origin->has_address(); });
    if (nameless) {
      pass.result.outcome = Outcome::Dns;
      pass.result.reply.detail = origins_.front()->name_trouble;
    }
    end_unsent(pass, FetchEnd::Deadline);
    pump();
  });
  for (auto& origin : origins_) {
    if (!origin->has_address() && unreachable_) unreachable_(origin->index);
  }
  Fetch fetch;
  dress(fetch, pass);
  all_patient_until_ = std::min(all_patient_until_, patient_until(fetch));
  pump();
  return id;
}

PolicyFetcher::Outlook PolicyFetcher::outlook_of_pass(base::Duration deadline) {
  const Outlook outlook = this->outlook(false, deadline);
  const bool barred = outlook.way == Outlook::Way::Ends && outlook.end == FetchEnd::BreakerOpen;
  return barred && probed_by_pass(now()) != nullptr ? Outlook() : outlook;
}

// For what is asked of a fetch before it is sent.
void PolicyFetcher::dress(Fetch& fetch, const Pass& pass) const {
  fetch.request.may_park = false;
  fetch.request.deadline = pass.deadline;
  fetch.started = fetch.ready_since = pass.started;
}

PolicyFetcher::Sent PolicyFetcher::try_pass(Pass& pass, base::SteadyTime& wake) {
  const base::SteadyTime at = now();
  if (at >= pass.deadline) {
    end_unsent(pass, FetchEnd::Deadline);
    return Sent::NotThis;
  }
  Fetch fetch;
  dress(fetch, pass);
  Choice choice;
  switch (bar(fetch, at, choice)) {
    case Bar::None:
      break;
    case Bar::Parks:
      if (Origin* origin = probed_by_pass(at)) {
        send_pass(pass, *origin, true);
        return Sent::Yes;
      }
      end_unsent(pass, FetchEnd::BreakerOpen);
      return Sent::NotThis;
    case Bar::NotTrusted:
      pass.result.outcome = Outcome::Certificate;
      end_unsent(pass, FetchEnd::Refused);
      return Sent::NotThis;
    case Bar::NotAdmitted:
      pass.result.outcome = Outcome::Unauthorized;
      end_unsent(pass, FetchEnd::Refused);
      return Sent::NotThis;
  }
  if (choice.origin == nullptr) {
    if (choice.until != base::SteadyTime::max()) {
      wake = std::min(wake, std::max(choice.until, at + base::Duration(1)));
    }
    return choice.paused ? Sent::NotThis : Sent::Nobody;
  }
  send_pass(pass, *choice.origin, false);
  return Sent::Yes;
}

// An open breaker is probed with something that may be asked twice. Where nothing of that kind was
// ever asked, it would stay open for ever: so the next client's request is the probe.
Origin* PolicyFetcher::probed_by_pass(base::SteadyTime at) {
  for (auto& origin : origins_) {
    if (origin->breaker.probe_due(at) && origin->has_address() && has_slot() &&
        !origin->token.refuses(at) && origin->probe.question().request.target.empty()) {
      return origin.get();
    }
  }
  return nullptr;
}

void PolicyFetcher::send_pass(Pass& pass, Origin& origin, bool probe) {
  const base::SteadyTime at = now();
  waiting_passes_.erase(pass.key_in_queue());
  pass.deadline_timer.cancel();
  pass.origin = &origin;
  pass.address = origin.addresses.choose({});
  pass.probe = probe;
  pass.holds_slot = true;
  pass.result.attempts_sent = 1;
  pass.request.patience = settings_.attempt_timeout;
  pass.request.head_by = pass.deadline;
  ++in_flight_;
  origin.attempt_sent(at, pass);
  (void)origin.certificate.admit(at);
  if (probe) {
    origin.breaker.probe_started(at);
    announce(origin);
  }
  const Sending sending{.origin = origin.index,
                        .address = pass.address,
                        .new_connection = true,
                        .timeout = settings_.attempt_timeout};
  pass.transport_id = transport_.streaming()->stream(
      sending, pass.request, pass,
      [this, id = pass.id](Reply reply) { pass_ended(id, std::move(reply)); });
}

// Maybe from the middle of a transfer: what may be sent now is sent soon.
void PolicyFetcher::leave_slot(Pass& pass) {
  pass.late_timer.cancel();
  if (!std::exchange(pass.holds_slot, false)) return;
  --in_flight_;
  // A probe is the breaker's own, and has no other one beside it.
  if (!pass.probe) pass.origin->attempt_suspected(now(), pass);
  pump_timer_.set_at(scheduler_, now(), [this] { pump(); });
}

void PolicyFetcher::pass_ended(PassId id, Reply reply) {
  const auto found = passes_.find(id);
  if (found == passes_.end()) return;
  const auto pass = std::move(found->second);
  passes_.erase(found);
  Origin& origin = *pass->origin;
  pass->late_timer.cancel();
  if (pass->holds_slot) --in_flight_;
  const Verdict verdict = judge_passed(reply);
  record(*pass, verdict, reply.status);
  ended(origin, *pass, verdict, reply);
  pass->result.outcome = verdict.outcome;
  pass->result.reply = std::move(reply);
  const bool whole = pass->result.reply.transport == Outcome::Ok && pass->result.reply.status != 0;
  Fetch fetch;
  fetch.result.reply.retry_after = pass->result.reply.retry_after;
  pass->result.end = whole ? FetchEnd::Answered : FetchEnd::GaveUp;
  pass->result.retry_after = retry_after(fetch, pass->result.end);
  pump();
  pass->ended(std::move(pass->result));
}

void PolicyFetcher::record(Pass& pass, const Verdict& verdict, int status) {
  const base::Duration took = now() - pass.sent_at;
  metrics_.attempt(pass.origin->index, verdict.outcome, took);
  if (sign_of(verdict.outcome) == Sign::Good) {
    metrics_.succeeded(pass.origin->index, scheduler_.clock().wall());
  }
  pass.result.attempts.push_back(
      {pass.origin->index, verdict.outcome, status, false, took, verdict.reason});
}

// It was not sent, and will not be.
void PolicyFetcher::end_unsent(Pass& pass, FetchEnd end) {
  waiting_passes_.erase(pass.key_in_queue());
  pass.deadline_timer.cancel();
  pass.result.end = end;
  pass.result.token_refused = end == FetchEnd::Refused && any_token_refused();
  pass.result.retry_after = retry_after(Fetch(), end);
  tell_why_not_asked(pass.result);
  scheduler_.post([this, id = pass.id, alive = std::weak_ptr(alive_)] {
    if (alive.expired()) return;
    const auto found = passes_.find(id);
    if (found == passes_.end()) return;
    const auto owned = std::move(found->second);
    passes_.erase(found);
    owned->ended(std::move(owned->result));
  });
}

void PolicyFetcher::go_on(PassId id) {
  const auto found = passes_.find(id);
  if (found == passes_.end() || found->second->origin == nullptr) return;
  transport_.streaming()->go_on(found->second->transport_id);
}

bool PolicyFetcher::end_pass(PassId id) {
  const auto found = passes_.find(id);
  if (found == passes_.end()) return false;
  const auto pass = std::move(found->second);
  passes_.erase(found);
  waiting_passes_.erase(pass->key_in_queue());
  if (Origin* origin = pass->origin) {
    transport_.cancel(pass->transport_id);
    if (pass->holds_slot) --in_flight_;
    origin->attempt_cancelled(now(), *pass, false);
    record(*pass, {Outcome::Cancelled, {}}, 0);
    announce(*origin);
  }
  pump();
  return pass->origin != nullptr;
}

void PolicyFetcher::end_passes() {
  for (auto& [id, pass] : passes_) {
    if (pass->origin != nullptr) transport_.cancel(pass->transport_id);
  }
  passes_.clear();
}

}  // namespace holdfast::upstream
