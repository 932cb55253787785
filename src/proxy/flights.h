// Flights does the slow part of the ladder: what memory could not answer is read
// from the store or fetched from the upstream, once per key however many ask
// (collapsing), with what is stored to fall back on. Origin loop only.
//
// A flight's life:
//   1. join() finds neither a usable response nor a flight: a fetch starts, with
//      the first waiter's deadline. Later joiners extend it.
//   2. Something stored may be used if the upstream fails: after `patience` the
//      waiters get that, and the flight goes on without them.
//   3. The fetch ends: its answer is stored and given to every waiter; or the key
//      rests for a while, and the waiters get the stale response, the offline
//      answer, what the upstream said though it is not right (`on_invalid`), or an error. An answer
//      that may not be stored (private, no-store) is for who asked first; each of the others has a
//      flight of its own from then on, and for a while so has whoever asks for that key: waiting
//      for each other would gain nothing.
//   4. A waiter whose deadline comes first leaves alone; the flight goes on. But an
//      answer that the fetch has by then is waited for: it comes in the next turn.
// A purge takes a flight out of the way: who asks from then on starts another. It stands
// apart then, as one that is for one client alone does: nobody joins it. Whether a purge of a tag
// concerns a flight its answer tells; if so those who came after the purge are sent on. Apart
// stands, too, a flight whose route or upstream is out of service: it answers who waits for it by
// the rules they came under, and nothing is kept of what it brings.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/random.h"
#include "base/scheduler.h"
#include "cache/freshness.h"
#include "cache/memory_cache.h"
#include "cache/store.h"
#include "observe/log.h"
#include "observe/metrics.h"
#include "observe/repeat_limiter.h"
#include "proxy/answer.h"
#include "proxy/asked.h"
#include "proxy/forbidden_share.h"
#include "proxy/http_storing.h"
#include "proxy/recent_purges.h"
#include "proxy/resting_keys.h"
#include "proxy/route.h"
#include "proxy/storing.h"
#include "proxy/variants.h"
#include "upstream/fetcher.h"

namespace holdfast::proxy {

// Whether a client that wants a response to stay fresh for `min_fresh` (RFC 9111,
// 5.2.1.3) is served with this one. Never asks for more than half of the freshness
// lifetime, or of what an answer that came with an Age had left of it, so that such
// clients refresh a key twice in that time at most, whatever they ask for. 0: anything
// will do.
bool fresh_enough(const cache::Freshness& freshness, std::chrono::seconds min_fresh);

// The rung of what may be used at once, fresh or stale; none of what may not.
std::optional<Rung> rung_at_once(const cache::Freshness& freshness, std::chrono::seconds min_fresh);

// The same of a route of mode rfc9111, by all that the client says (RFC 9111, 5.2.1).
std::optional<Rung> http_rung_at_once(const cache::Freshness& freshness,
                                      const rfc9111::RequestDirectives& wanted);
// What of that is why it is not used at once, a word of rfc9111/reasons.h; empty: nothing, as it is
// stale.
std::string_view not_reused_for(const cache::Freshness& freshness,
                                const rfc9111::RequestDirectives& wanted);

class Flights {
 public:
  struct Settings {
    // In metrics; empty where there is but one upstream, which goes without saying.
    std::string upstream;
    // How long a waiter is kept from a usable stale response by a slow upstream.
    base::Duration patience = std::chrono::milliseconds(250);
    // A fetch ends this long before its waiters' deadline, so that the error that
    // reaches them says what happened.
    base::Duration answer_margin = std::chrono::milliseconds(100);
    // How long a refresh behind a stale answer may take.
    base::Duration refresh_deadline = std::chrono::seconds(10);
    RestingKeys::Settings resting;
    // For how long nobody waits for another's answer, where one could not be shared.
    RestingKeys::Settings unshared{std::chrono::minutes(2), std::chrono::minutes(2), 10'000};
    // For how long it is remembered that an answer was too large to keep, so that requests for it
    // are passed through at once.
    RestingKeys::Settings too_large{std::chrono::minutes(2), std::chrono::minutes(2), 10'000};
    // A 404 takes the place of a 200 that may still be used only if it is said again so much
    // later: a deployment may lose data for a while.
    base::Duration missing_confirmed = std::chrono::minutes(1);
    // Waiters over all flights; more are told to come back.
    std::size_t max_waiters = 20'000;
  };
  struct Stats {
    std::size_t flights = 0;
    std::size_t waiters = 0;
    // Of the upstream's latest answers, those it forbids to store; where they are most.
    std::optional<double> forbidden_share;
  };
  using Callback = std::function<void(Answer)>;

  // Everything is used on the origin loop and outlives Flights.
  struct Parts {
    base::Scheduler& loop;
    upstream::Fetcher& fetcher;
    cache::MemoryCache& memory;
    cache::Store& store;
    observe::Log& log;
    observe::Metrics& metrics;
    observe::Shard& shard;
    // Whether what comes from the store is right by the rules of today; none: all of it is.
    std::function<bool(std::string_view key, const cache::StoredResponse&)> is_right = {};
  };
  Flights(Parts parts, Settings settings, std::uint64_t seed);
  ~Flights();
  Flights(const Flights&) = delete;
  Flights& operator=(const Flights&) = delete;

  // Takes over of these settings what may change while it works: the waiters, the deadline of
  // refreshes and the margin of answers, for what begins from now on.
  void take(const Settings& settings);

  // Finds an answer for `key` by `deadline`. `callback` runs exactly once, on the
  // loop, maybe inside this call.
  // `min_fresh`: see fresh_enough(); a response that is less is refreshed first,
  // and answers if that fails or is slow.
  // `fields` (the client's trace) go upstream if this starts a flight; those of
  // later joiners have no request to go with.
  // An answer of Rung::Pass is for the caller to pass the request through, in pieces: its answer is
  // larger than what is kept, by a route that passes_large().
  void join(Route& route, std::string_view key, base::SteadyTime deadline,
            std::chrono::seconds min_fresh, Callback callback, const upstream::Fields& fields = {});

  // The same for a route of mode rfc9111 (flights_http.cpp), whose `asked` says the rest.
  // `interim` is told what the upstream says before its answer (103, say), while it is waited for;
  // null: nobody wants to know. The lines are shared by all who are told.
  using Interim = std::function<void(int status, const std::shared_ptr<const std::string>& lines)>;
  void join_http(Route& route, const AskedPtr& asked, base::SteadyTime deadline, Callback callback,
                 Interim interim = {});
  Answer stored_http(const Route& route, const Asked& asked);

  // What join() and join_http() answer by a route that is offline: nothing that is done for it
  // reaches the upstream. `keep` as find_stored() has it.
  Answer stored_only(std::string_view key, bool keep = true);
  Answer stored_only_http(const Route& route, const Asked& asked, bool keep = true);

  void refresh_http(Route& route, const AskedPtr& asked);
  // What is stored for it, in memory or in the store.
  Selected select(const Route& route, const Asked& asked, bool keep = true);

  // How far purges had come when something was asked for. Any thread.
  struct Mark {
    std::uint64_t seen = 0;  // the last one by route, path, tag or all
    std::uint64_t urls = 0;  // how many of single URLs: RecentPurges::count()
  };
  Mark mark(std::uint64_t seen) const { return {seen, recent_purges_.count()}; }
  bool purged_since(const Mark& mark, std::string_view url_key) const {
    return recent_purges_.since(mark.urls, url_key);
  }
  // What was passed through for `asked` is kept, where RFC 9111 allows it: an answer, or a part of
  // one (206).
  void keep_passed(Route& route, const Asked& asked, const rfc9111::RequestFacts& request,
                   const upstream::Reply& reply, const Mark& mark);
  // What a HEAD was answered freshens what is stored, or takes it away (RFC 9111, 4.3.5).
  void head_passed(Route& route, const Asked& asked, const upstream::Reply& reply,
                   const Mark& mark);

  // What becomes of a request for `key` that comes now: join() does what this says.
  struct Prospect {
    enum class Way : std::uint8_t {
      Answer,  // `answer`, now
      Join,    // waits for the fetch that is under way
      Fetch,   // waits for a fetch of its own
    };
    Way way = Way::Answer;
    Answer answer;
    bool refresh = false;  // behind the answer, which is stale, unless the key rests
    bool resting = false;  // the key does
    bool full = false;     // too many wait already
    bool alone = false;    // nobody may join that fetch
    cache::StoredPtr stored;
  };
  // Changes nothing. First what a worker answers from memory, without asking here.
  Prospect prospect(std::string_view key, std::chrono::seconds min_fresh);
  // The same of a route of mode rfc9111.
  Prospect prospect_http(const Route& route, const Asked& asked);
  // What those who wait for a fetch get if it fails: what is stored, or something of our own.
  std::optional<Answer> without_upstream(Route& route, std::string_view key,
                                         const cache::StoredPtr& stored);

  // What was remembered as larger than what is kept may not be: it is fetched again, or was passed
  // through and is no longer than that.
  void forget_too_large(std::string_view key) { too_large_.succeeded(key); }

  // What is stored for `key`, if it may be used at once and is fresh enough. Never
  // makes the upstream work, not even behind the answer.
  Answer stored(std::string_view key, std::chrono::seconds min_fresh);

  // Refreshes `key` behind a stale answer, unless that is being done, has just
  // failed, or is not needed any more.
  void refresh(Route& route, std::string_view key);

  // Forgets what is stored for `key`, in memory and store. A fetch under way still
  // answers those who wait for it, but neither falls back on what was there nor
  // stores its answer, which may be from before the purge. Nobody who asks later gets
  // it.
  // Returns whether there was something, as far as could be read.
  bool purge(std::string_view key);
  // Fetches under way for `key`, and for its variants, bring what is stale at once: who marked it
  // may mean what they are about to bring.
  void mark_stale(std::string_view key);
  // The same of everything.
  void purge_all();
  // What makes all of this hold for what was purged by route, path or tag: that is in
  // memory.purges() by now, and whatever was stored or asked for before it is judged by it. Fetches
  // for keys that `concerns` is true of are known to be of no use to who comes later.
  void purge_fetches(const std::function<bool(std::string_view key)>& concerns);
  // These routes are out of service now: nobody joins their flights any more, and those that nobody
  // waits for end. What failed by their rules may be asked for at once.
  void leave(const std::vector<std::shared_ptr<Route>>& retired);
  // The same of all routes, as their upstream is out of service.
  void retire();
  // Keys that failed may be asked for at once: something has changed that may have been why.
  void forget_rests();
  // For people who inspect a key.
  bool fetching(std::string_view key) const { return flights_.contains(key); }
  bool resting(std::string_view key) const { return resting_.resting(key, parts_.loop.now()); }
  // What clients are told of one that does.
  std::optional<Answer> told(std::string_view key) const {
    return resting_.told(key, parts_.loop.now());
  }
  // What is remembered of a key, by which word of rfc9111/reasons.h, and for how much longer.
  struct Remembered {
    std::string_view word;  // empty: nothing is, or not why
    base::Duration left{};  // zero: nothing is
  };
  // It rests.
  Remembered rests(std::string_view key) const { return remembered(resting_, key); }
  // Nobody waits for another's answer to it.
  Remembered unshared(std::string_view key) const { return remembered(unshared_, key); }
  // Requests for that URL's key are passed through (mode rfc9111).
  Remembered passes(std::string_view url_key) const { return remembered(too_large_, url_key); }
  // How many wait for the fetch that others may join.
  std::size_t waiting_for(std::string_view key) const;

  // Drops the fetches and answers every waiter, with 503 where nothing is stored; so
  // is whoever joins afterwards. For a stop whose time is up.
  void abandon_all();

  Stats stats() const;

 private:
  struct Waiter {
    Callback callback;
    base::SteadyTime deadline;
    bool collapsed = false;
    std::uint64_t seen = 0;  // the last purge when it came
    AskedPtr asked;          // of mode rfc9111
    Interim interim;
    bool sent_on = false;  // by part_ways()
    base::Timer timer;
  };
  class Counted {
   public:
    explicit Counted(std::size_t& count) : count_(count) { ++count_; }
    ~Counted() { --count_; }
    Counted(const Counted&) = delete;
    Counted& operator=(const Counted&) = delete;

   private:
    std::size_t& count_;
  };
  struct Flight {
    Flight(Route& r, std::string k)
        : route(r), held(r.weak_from_this().lock()), key(std::move(k)) {}
    Route& route;
    const std::shared_ptr<Route> held;  // null where it outlives all flights anyway
    const std::string key;
    cache::StoredPtr stored;  // what is there, maybe too old to use; may be null
    bool behind = false;      // began as a refresh for which no client waits
    bool patience_over = false;
    bool apart = false;  // nobody may join: purged, or for one client alone
    bool purged = false;
    bool stale_at_once = false;  // what it brings: it was marked while it was on its way
    std::uint64_t seen = 0;      // the last purge when it began
    upstream::Fetcher::FetchId fetch = 0;
    std::list<Waiter> waiters;
    base::Timer patience;
    AskedPtr asked;               // of mode rfc9111: of who started it
    bool other_variant = false;   // is stored, and not the one that is asked for
    std::string_view not_reused;  // what is stored, for who asked: not_reused_for()
    cache::StoredPtr partial;     // what is asked for is the rest of this
    const std::shared_ptr<const char> life = std::make_shared<const char>();  // as long as this
    std::optional<Counted> counted;                                           // among http_flights_
  };

  Remembered remembered(const RestingKeys& keys, std::string_view key) const {
    return {keys.word(key, parts_.loop.now()), keys.left(key, parts_.loop.now())};
  }
  // What is stored for `key`, in memory or in the store; null if nothing. `keep`: in memory then.
  cache::StoredPtr find_stored(std::string_view key, bool keep = true);
  Prospect decide(std::string_view key, std::chrono::seconds min_fresh, bool keep);
  // `apart`: for one client alone, so that nobody joins it.
  Flight& start(Route& route, std::string_view key, cache::StoredPtr stored,
                base::SteadyTime deadline, upstream::Priority priority,
                const upstream::Fields& fields = {}, bool apart = false,
                const AskedPtr& asked = nullptr, cache::StoredPtr partial = nullptr);
  // All that wait for what another asked for, each with a flight of its own.
  void send_on_alone(Flight& flight);
  // Those who came after a purge that takes the flight's answer.
  void send_on_late(Flight& flight);
  bool is_purged(std::string_view key, const cache::StoredPtr& stored) const {
    return stored && parts_.memory.purges().purged(key, *stored);
  }
  Waiter& add_waiter(Flight& flight, base::SteadyTime deadline, bool collapsed, Callback callback,
                     AskedPtr asked = nullptr);
  upstream::FetchRequest fetch_request(const Flight& flight, const upstream::Fields& fields) const;
  upstream::FetchRequest http_fetch_request(Flight& flight);
  // The upstream has answered the first one's request with an error, which may be about that
  // request alone: those who ask with other fields get a flight of their own, all of them one, and
  // once.
  void part_ways(Flight& flight);
  void tell_interim(const Flight& flight, int status, const upstream::Fields& fields) const;
  void fetch_whole(Flight& flight);
  void finish_http(Flight& flight, upstream::FetchResult& result);
  // For who started the flight, and for who waits along.
  struct HttpAnswers {
    Answer first;
    Answer others;
  };
  HttpAnswers take_http_answer(Flight& flight, const upstream::FetchResult& result);
  void answer_http(Flight& flight, const HttpAnswers& answers);
  Prospect decide_http(const Asked& asked, const Selected& selected) const;
  // Returns whether memory has it, or the store will.
  bool keep_http(const Route& route, const Asked& asked, const cache::StoredPtr& replaced,
                 const HttpStorable& storable);
  bool is_past(const Route& route, std::string_view url_key, const Mark& mark) const;
  // Those that the answer is not for, as it is of another variant than theirs.
  void send_on_others(Flight& flight, const VaryNames& vary);
  // Those to whom `content` is no answer, as it is a part (206) and they asked for more.
  void send_on_unanswered(Flight& flight, const cache::StoredPtr& content);
  static bool answers(const Waiter& waiter, const cache::StoredResponse& stored) {
    return !waiter.asked || has_range(stored, waiter.asked->range);
  }
  // What is stored under the key of a variant is not what the upstream has.
  void forget_variant(const Route& route, const Asked& asked, const std::string& key,
                      const cache::StoredResponse& stored);
  // Moves waiters out, for which `leaves` is true, and forgets them.
  std::list<Waiter> take_waiters(Flight& flight, const std::function<bool(const Waiter&)>& leaves);
  bool purge_variants(std::string_view key);
  void leave(Flight& flight, std::list<Waiter>::iterator waiter);
  void out_of_patience(Flight& flight);
  void finish(Flight& flight, upstream::FetchResult result);
  void finish_large(Flight& flight);
  std::unique_ptr<Flight> take_out(Flight& flight);
  // `purged`: what is stored for it is not to be used for it either.
  void set_aside(std::string_view key, bool purged);
  void set_aside_retired();
  // Whether all that comes of it is for who waits for it.
  bool keeps_nothing(const Flight& flight) const {
    return flight.purged || retired_ || flight.route.retired();
  }

  // The rungs, each from what the one above could not answer.
  bool replaces_stored(const Flight& flight, const upstream::FetchResult& result) const;
  void keep_for_errors(const Flight& flight);
  void rest(Flight& flight, const upstream::FetchResult& result, const Answer& answer);
  Answer take_answer(Flight& flight, const upstream::FetchResult& result);
  // What the upstream said, as far as it is the same of every mode.
  Answer fetched(const Flight& flight, const upstream::FetchResult& result,
                 cache::StoredPtr response) const;
  // `waiter`: who it is for; null: all of them.
  Answer fall_back(Flight& flight, const upstream::FetchResult& result,
                   const Waiter* waiter = nullptr);
  Answer error_or_passed(Flight& flight, const upstream::FetchResult& result, const Waiter* waiter);
  void pass_invalid(Flight& flight, const upstream::FetchResult& result, const Waiter* waiter,
                    Answer& answer);
  void forget_questions(const Flight& flight);
  void answer_all(Flight& flight, const Answer& answer);
  Answer kept(const cache::StoredPtr& stored) const;
  bool usable_if_error(const cache::StoredPtr& stored) const;
  bool usable_if_error(const Flight& flight) const;
  void note_forbidden(const Storable& storable);
  void note_left_out(const Flight& flight, const Storable& storable);
  void count_refresh(const upstream::FetchResult& result);
  // Those who wait for a fetch that was turned away and have no answer.
  void count_shed(upstream::FetchEnd end, std::size_t waiters);

  Parts parts_;
  Settings settings_;
  std::atomic<std::size_t> max_waiters_;  // the settings', for who scrapes
  base::Random random_;
  RestingKeys resting_;
  ForbiddenShare forbidden_;
  RestingKeys unshared_;          // keys whose answers may not be stored
  RestingKeys too_large_;         // URLs whose answers are
  std::size_t http_flights_ = 0;  // of mode rfc9111: only of those there may be several of a URL
  std::unordered_map<std::string_view, std::unique_ptr<Flight>> flights_;  // by Flight::key
  std::unordered_map<const Flight*, std::unique_ptr<Flight>> apart_;
  RecentPurges recent_purges_;
  std::size_t waiters_ = 0;
  bool parting_ = false;  // who joins now is sent on by part_ways()
  bool abandoned_ = false;
  bool retired_ = false;

  observe::Metrics::CallbackId limit_callback_ = 0;
  observe::Gauge flights_gauge_;
  observe::Gauge waiters_gauge_;
  observe::Counter freshened_;
  observe::Counter replaced_;
  observe::Counter failed_;
  observe::Counter skipped_;
  observe::Counter tags_left_out_;
  observe::RepeatLimiter left_out_told_{{.burst = 1}};
  // Clients turned away, by what was full.
  observe::Counter shed_by_waiters_;
  observe::Counter shed_by_queued_;
  observe::Counter shed_by_parked_;
};

}  // namespace holdfast::proxy
