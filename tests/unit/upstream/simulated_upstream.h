// SimulatedUpstream is a Transport on the virtual clock: an upstream with every
// fault that the real stand-in plays, a rate limiter, and switches for outages; the network
// before it is in simulated_network.h.
// What it says where nothing goes wrong is virtual: tests/simulation has another.
// World puts a PolicyFetcher in front of it.
#pragma once

#include <algorithm>
#include <cmath>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/random.h"
#include "base/virtual_scheduler.h"
#include "observe/log.h"
#include "observe/metrics.h"
#include "simulated_network.h"
#include "upstream/policy_fetcher.h"

namespace holdfast::upstream::test {

using namespace std::chrono_literals;

enum class Fault {
  None,
  Error500,
  Error502,
  Error503,
  TooMany,  // 429 with Retry-After: 1, whatever the rate
  Reset,
  Truncated,
  Malformed,
  Html,
  Wrong,  // another key's answer
  Empty,
  Hang,
  Drip,
  Tail,  // a good answer, up to seconds late
  Refused,
  NotFound,
  Unauthorized,
  Slow5s,
  Unavailable,   // 503 with Retry-After: 2
  QuotaUsedUp,   // 429 with Retry-After: 3600
  BadRequest,    // a final 4xx
  Gone,          // 410
  Forbidden,     // 403
  Redirect,      // 301
  Partial,       // 206 with a whole-looking body
  NoContent,     // 204
  ServerGaveUp,  // 408
  Stray304,      // whether or not the request was conditional
  CutShort,      // half of the content, in a whole message
  Dns,
  Tls,
  TooLarge,
  BalancerNotFound,  // 404, and not the API's own
  Garbled,           // no HTTP
  kCount
};

// All that can go wrong by chance, evenly, `share` in all.
inline std::map<Fault, double> mixed_faults(double share) {
  const std::vector<Fault> kinds = {
      Fault::Error500,  Fault::Error502,  Fault::Error503, Fault::TooMany, Fault::Reset,
      Fault::Truncated, Fault::Malformed, Fault::Html,     Fault::Wrong,   Fault::Empty,
      Fault::Hang,      Fault::Drip,      Fault::Tail};
  std::map<Fault, double> faults;
  for (const Fault kind : kinds) faults[kind] = share / static_cast<double>(kinds.size());
  return faults;
}

class SimulatedUpstream : public Transport {
 protected:
  base::VirtualScheduler& scheduler_;
  base::Random random_;

 public:
  SimulatedUpstream(base::VirtualScheduler& scheduler, std::uint64_t seed)
      : scheduler_(scheduler), random_(seed) {}

  // What to play; may be changed at any time. Per origin where it is a vector.
  std::map<Fault, double> faults;
  std::map<std::size_t, std::map<Fault, double>> faults_of;  // instead of `faults`
  std::map<std::size_t, Fault> always;              // an origin that has but one thing to say
  std::optional<std::chrono::seconds> clock_ahead;  // as its answers' Date tells
  std::map<std::string, Fault> always_to;  // ... to who asks for this; goes before `always`
  base::Duration median = 20ms;
  double sigma = 0.3;               // of the lognormal latency
  double rate_limit = 0;            // requests/s; 0: none
  double rate_burst = 50;           // the limiter's bucket
  base::Duration rate_window{};     // instead of a bucket: so many seconds' requests in each
  base::Duration congestion = 0ms;  // added to the latency for each attempt in flight

  std::map<std::string, base::Duration> slow;  // keys that take so long, always
  SimulatedNetwork network{scheduler_, random_};

  std::optional<base::Resource> lacking;  // here: nothing can be sent

  std::function<void(const Sending&)> on_start;

  // What was seen.
  int attempts = 0;
  int refused = 0;  // with 429 by the limiter
  int cancelled = 0;
  int in_flight = 0;
  int most_in_flight = 0;
  std::map<std::size_t, int> by_origin;
  std::map<std::string, int> by_target;
  std::vector<base::SteadyTime> sent_at;
  std::map<std::string, int> knocks;
  std::map<std::string, int> distrusted;
  std::map<std::size_t, std::string> preferred;  // by origin

  void prefer(std::size_t origin, const std::string& address) override {
    preferred[origin] = address;
  }
  AttemptId start(const Sending& sending, const Request& request, Callback callback) override {
    const std::size_t origin = sending.origin;
    const base::Duration timeout = sending.timeout;
    if (on_start) on_start(sending);
    ++attempts;
    ++by_origin[origin];
    ++by_target[request.target];
    sent_at.push_back(scheduler_.now());
    most_in_flight = std::max(most_in_flight, ++in_flight);
    Reply reply;
    base::Duration latency = draw_latency() + congestion * in_flight;
    if (const auto found = slow.find(request.target); found != slow.end()) latency = found->second;
    const Fault fault = pick(origin, request.target);
    reply.status = 200;
    compose(fault, request, reply);
    play(fault, reply, latency);
    if (lacking) {
      reply = Reply{.transport = Outcome::Local, .detail = "none left"};
      reply.own_lack = true;
      reply.lack = lacking;
      latency = base::Duration{0};
    }
    const AttemptId id = ++last_id_;
    const auto end = [this, id, begun = scheduler_.now(), target = request.target,
                      callback = std::move(callback)](Reply ended) {
      under_way_.erase(id);
      --in_flight;
      ended.duration = scheduler_.now() - begun;
      delivered(target, ended);
      callback(std::move(ended));
    };
    if (is_connect_failure(reply.transport) || reply.transport == Outcome::Local) {
      // Whatever the network is like.
      if (latency >= timeout) reply.transport = Outcome::ConnectTimeout;
      UnderWay& attempt = under_way_[id];
      attempt.since = scheduler_.now();
      attempt.timer = scheduler_.call_at(scheduler_.now() + std::min(latency, timeout),
                                         [end, reply] { end(reply); });
      return id;
    }
    const bool keeps = reply.transport == Outcome::Ok;
    under_way_[id].trip = network.send(
        sending, latency, keeps, [end, reply](const SimulatedNetwork::Arrival& arrival) mutable {
          if (arrival.outcome != Outcome::Ok) {
            reply = Reply{.transport = arrival.outcome, .detail = "too slow"};
          }
          reply.phase = arrival.phase;
          reply.phases = arrival.phases;
          reply.kept = arrival.kept;
          end(std::move(reply));
        });
    return id;
  }

  void cancel(AttemptId id) override {
    const auto found = under_way_.find(id);
    if (found == under_way_.end()) return;
    scheduler_.cancel(found->second.timer);
    network.cancel(found->second.trip);
    under_way_.erase(found);
    --in_flight;
    ++cancelled;
  }

  std::optional<Progress> progress(AttemptId id) const override {
    const auto found = under_way_.find(id);
    if (found == under_way_.end()) return std::nullopt;
    if (found->second.timer != 0) return Progress{Phase::Connect, found->second.since, false};
    return network.progress(found->second.trip);
  }

  void knock(std::size_t origin, const std::string& address, base::Duration timeout,
             Callback callback) override {
    ++knocks[address];
    if (lacking) {
      Reply reply{.transport = Outcome::Local, .detail = "none left"};
      reply.own_lack = true;
      reply.lack = lacking;
      scheduler_.post(
          [reply = std::move(reply), callback = std::move(callback)] { callback(reply); });
      return;
    }
    network.knock({origin, address, true, timeout},
                  [callback = std::move(callback)](const SimulatedNetwork::Arrival& arrival) {
                    callback(Reply{.transport = arrival.outcome, .phase = arrival.phase});
                  });
  }

  void distrust(std::size_t origin, const std::string& address) override {
    ++distrusted[address];
    network.distrust(origin, address);
  }

  // Every attempt, as if the process that made them had died.
  void cancel_all() {
    while (!under_way_.empty()) cancel(under_way_.begin()->first);
    network.forget_connections();
  }

  static std::string answer(const std::string& target) { return "answer to " + target; }

 protected:
  // Fills in the answer that `fault` will spoil, if it is one that spoils.
  virtual void compose(Fault fault, const Request& request, Reply& reply) {
    reply.body = answer(fault == Fault::Wrong ? "/another" : request.target);
    reply.clock_ahead = clock_ahead;
  }
  // The reply reaches whoever asked, and is no earlier than now a thing that was said.
  virtual void delivered(const std::string&, const Reply&) {}

  base::Duration draw_latency() {
    // Box-Muller; 1 - u keeps the logarithm off zero.
    const double normal = std::sqrt(-2 * std::log(1 - random_.uniform())) *
                          std::cos(2 * 3.14159265358979 * random_.uniform());
    return std::chrono::duration_cast<base::Duration>(median * std::exp(sigma * normal));
  }

  Fault pick(std::size_t origin, const std::string& target) {
    if (const auto found = always_to.find(target); found != always_to.end()) return found->second;
    if (const auto found = always.find(origin); found != always.end()) return found->second;
    double left = random_.uniform();
    const auto own = faults_of.find(origin);
    for (const auto& [fault, share] : own != faults_of.end() ? own->second : faults) {
      if ((left -= share) < 0) return fault;
    }
    return limited() ? Fault::TooMany : Fault::None;
  }

  bool limited() {
    if (rate_limit <= 0) return false;
    if (rate_window > base::Duration::zero()) {
      const auto window = scheduler_.now().time_since_epoch() / rate_window;
      if (tokens_ < 0 || window != window_) {
        tokens_ = rate_limit * std::chrono::duration<double>(rate_window).count();
      }
      window_ = window;
    } else {
      const std::chrono::duration<double> passed = scheduler_.now() - filled_;
      tokens_ =
          tokens_ < 0 ? rate_burst : std::min(rate_burst, tokens_ + passed.count() * rate_limit);
    }
    filled_ = scheduler_.now();
    if (tokens_ < 1) {
      ++refused;
      return true;
    }
    tokens_ -= 1;
    return false;
  }

  // What becomes of a good reply by that.
  void play(Fault fault, Reply& reply, base::Duration& latency) {
    switch (fault) {
      case Fault::None:
      case Fault::Wrong:
      case Fault::kCount:
        return;
      case Fault::Error500:
        reply.status = 500;
        return;
      case Fault::Error502:
        reply.status = 502;
        return;
      case Fault::Error503:
        reply.status = 503;
        return;
      case Fault::TooMany:
        reply.status = 429;
        reply.retry_after = 1s;
        return;
      case Fault::Reset:
        reply = Reply{.transport = Outcome::Reset};
        return;
      case Fault::Truncated:
        reply.transport = Outcome::Truncated;  // whole as it may look
        return;
      case Fault::Malformed:
        reply.body = "{";
        return;
      case Fault::Html:
        reply.body = "<html>";
        return;
      case Fault::Empty:
        reply.body.clear();
        return;
      case Fault::Hang:
      case Fault::Drip:
        latency = 24h;
        return;
      case Fault::Tail:
        latency +=
            std::chrono::duration_cast<base::Duration>(50ms * std::exp(3 * random_.uniform()));
        return;
      case Fault::Refused:
        reply = Reply{.transport = Outcome::Connect};
        latency = 100us;
        return;
      case Fault::BalancerNotFound:
        reply.body = "<html>";
        reply.status = 404;
        return;
      case Fault::NotFound:
        reply.status = 404;
        return;
      case Fault::Unauthorized:
        reply.status = 401;
        return;
      case Fault::Slow5s:
        latency = 5s;
        return;
      case Fault::Unavailable:
        reply.status = 503;
        reply.retry_after = 2s;
        return;
      case Fault::QuotaUsedUp:
        reply.status = 429;
        reply.retry_after = 3600s;
        return;
      case Fault::BadRequest:
        reply.status = 400;
        return;
      case Fault::Gone:
        reply.status = 410;
        return;
      case Fault::Forbidden:
        reply.status = 403;
        return;
      case Fault::Redirect:
        reply.status = 301;
        reply.fields = {{"Location", "https://elsewhere.example/"}};
        return;
      case Fault::Partial:
        reply.status = 206;
        return;
      case Fault::NoContent:
        reply.status = 204;
        return;
      case Fault::ServerGaveUp:
        reply.status = 408;
        return;
      case Fault::Stray304:
        reply.status = 304;
        return;
      case Fault::CutShort:
        reply.body.resize(reply.body.size() / 2);
        return;
      case Fault::Dns:
        reply = Reply{.transport = Outcome::Dns};
        return;
      case Fault::Tls:
        reply = Reply{.transport = Outcome::Tls};
        return;
      case Fault::Garbled:
        reply = Reply{.transport = Outcome::Reset, .detail = "the status line is none"};
        reply.unreadable = true;
        return;
      case Fault::TooLarge:
        reply.transport = Outcome::TooLarge;
        return;
    }
  }

 private:
  struct UnderWay {
    SimulatedNetwork::Id trip = 0;
    base::Scheduler::TimerId timer = 0;  // of one that does not get as far
    base::SteadyTime since{};
  };

  AttemptId last_id_ = 0;
  std::unordered_map<AttemptId, UnderWay> under_way_;
  base::SteadyTime filled_{};
  double tokens_ = -1;  // not yet filled
  std::int64_t window_ = 0;
};

struct World {
  base::VirtualScheduler scheduler;
  base::Random random;
  SimulatedUpstream upstream;
  observe::Metrics metrics;
  observe::Shard& shard = metrics.shard();
  observe::Log log;
  PolicyFetcher fetcher;

  struct Outcomes {
    std::map<FetchEnd, int> ends;
    std::vector<base::Duration> latencies;  // of the answered
    int late = 0;
    int wrong = 0;
    base::Duration percentile(double q) {
      std::sort(latencies.begin(), latencies.end());
      return latencies.empty() ? base::Duration::max()
                               : latencies[static_cast<std::size_t>(
                                     q * static_cast<double>(latencies.size() - 1))];
    }
  } outcomes;
  std::vector<FetchResult> results;
  int started = 0;
  int pending = 0;

  // `log_fd`: where the log goes, if anybody reads it.
  explicit World(std::uint64_t seed = 1, Settings settings = {}, int log_fd = -1)
      : random(seed),
        upstream(scheduler, seed + 1000),
        log(log_fd < 0 ? observe::Log() : observe::Log({.fd = log_fd})),
        fetcher(scheduler, random, upstream, std::move(settings), metrics, shard, log) {}

  base::SteadyTime now() const { return scheduler.now(); }

  int max_attempts = 0;  // of the fetches that start from now on

  Fetcher::FetchId fetch(const std::string& target, base::Duration deadline = 10s,
                         Priority priority = Priority::Miss, std::function<void()> then = {}) {
    ++started;
    ++pending;
    FetchRequest request;
    request.request.target = target;
    request.validate = [target](const Reply& reply) -> Verdict {
      if (reply.body == SimulatedUpstream::answer(target)) return {};
      if (reply.body.starts_with("answer")) return {Outcome::WrongContent, "another key's"};
      return {Outcome::InvalidBody, "not an answer"};
    };
    request.deadline = now() + deadline;
    request.priority = priority;
    request.max_attempts = max_attempts;
    return fetcher.start(std::move(request), [this, target, begun = now(), deadline,
                                              then = std::move(then)](FetchResult result) {
      --pending;
      ++outcomes.ends[result.end];
      if (now() > begun + deadline) ++outcomes.late;
      if (result.end == FetchEnd::Answered) {
        outcomes.latencies.push_back(now() - begun);
        if (result.reply.status == 200 && result.reply.body != SimulatedUpstream::answer(target)) {
          ++outcomes.wrong;
        }
      }
      results.push_back(std::move(result));
      if (then) then();
    });
  }

  // `count` different keys, `concurrency` at a time.
  void fetch_all(int count, int concurrency, base::Duration deadline = 10s) {
    int next = 0;
    std::function<void()> one = [&] {
      if (next < count) {
        const int number = next++;
        fetch("/" + std::to_string(number), deadline, Priority::Miss, one);
      }
    };
    for (int i = 0; i < concurrency; ++i) one();
    settle();
  }

  // Keys that nobody has asked for before, so many a second for so long, each within
  // `deadline`. Returns when the last has been asked for.
  void arrive(int per_second, base::Duration length, base::Duration deadline = 10s) {
    const base::SteadyTime begun = now();
    const auto count = static_cast<int>(per_second * length / 1s);
    for (int i = 0; i < count; ++i) {
      scheduler.call_at(begun + i * base::Duration(1s) / per_second,
                        [this, deadline] { fetch("/new/" + std::to_string(started), deadline); });
    }
    scheduler.advance(length);
  }

  // Runs until every fetch has called back.
  void settle() {
    while (pending > 0) {
      const auto next = scheduler.next();
      if (!next) break;
      scheduler.advance(std::max(base::Duration::zero(), *next - now()));
    }
  }

  int answered() { return outcomes.ends[FetchEnd::Answered]; }
  // How often the first origin's breaker opened.
  int breaker_opened() {
    return static_cast<int>(metrics.value(observe::Family::BreakerTransitions,
                                          {{"origin", "upstream"}, {"to", "open"}}));
  }
};

}  // namespace holdfast::upstream::test
