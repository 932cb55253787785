// Service is what one worker does with a request: the fast rungs of the ladder
// from memory, the slow ones through the origin loop, and the pages beside. One
// per worker; its loop's thread only.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/random.h"
#include "base/scheduler.h"
#include "base/timeout_list.h"
#include "cache/memory_cache.h"
#include "cache/store.h"
#include "http/cache_control.h"
#include "http/server.h"
#include "observe/log.h"
#include "observe/metrics.h"
#include "observe/recent_failures.h"
#include "observe/repeat_limiter.h"
#include "proxy/answer.h"
#include "proxy/batch.h"
#include "proxy/flights.h"
#include "proxy/page_desk.h"
#include "proxy/pages.h"
#include "proxy/passing.h"
#include "proxy/refresh_gate.h"
#include "proxy/request_metrics.h"
#include "proxy/routes.h"

namespace holdfast::proxy {

class Service final : public http::Handler {
 public:
  struct Settings {
    base::Duration request_deadline = std::chrono::seconds(10);
    // As Passing has it.
    std::size_t most_passed = Passing::Settings{}.most;
  };
  // All of it outlives the service, and the loops' last callbacks.
  struct Parts {
    base::Scheduler& worker;  // the loop it lives on
    base::Scheduler& origin;  // the loop of the routes' flights, which are only touched there
    cache::MemoryCache& memory;
    cache::Store& store;
    observe::Log& log;
    observe::Metrics& metrics;
    observe::Shard& shard;  // this worker's
    observe::RecentFailures& failures;
    std::shared_ptr<const Routes> routes;  // those of the start
    const Pages& pages;                    // all of them, when the service is made
    // Origin loop: the routes in service there, which those of a worker follow. None: as at the
    // start.
    std::function<std::shared_ptr<const Routes>()> routes_now = {};
  };

  Service(Parts parts, Settings settings, std::uint64_t seed);
  ~Service() override;
  Service(const Service&) = delete;
  Service& operator=(const Service&) = delete;

  // The routes of a new reading of the settings, and what a worker has of its own for each; of a
  // route that is the same, with the same flights, that goes on.
  struct Table;
  using TablePtr = std::shared_ptr<const Table>;
  // Any thread but one at a time, so that the worker need not stop for it.
  TablePtr prepare(std::shared_ptr<const Routes> routes);
  // Of requests from now on; those under way keep theirs. Together with adopt().
  void set_request_deadline(base::Duration deadline);
  // Requests from now on go by the last table that was prepared. Those under way keep what they
  // began with, and live on it.
  void adopt(TablePtr table);

  void handle(http::Server& server, http::ExchangeId id, const http::Request& request) override;
  void abandoned(http::ExchangeId id) override;
  std::size_t body_limit(http::Method method, std::string_view path) const override;
  void rejected(const http::Rejection& rejection) override;
  std::optional<http::StreamLimit> stream_limit(const http::Request& head) const override;
  void content(http::ExchangeId id, std::string_view piece, bool last) override {
    passing_.content(id, piece, last);
  }
  void written(http::ExchangeId id) override { passing_.written(id); }
  void answered(http::ExchangeId id) override { passing_.answered(id); }
  void refused(http::ExchangeId id, const http::Rejection& rejection) override;

 private:
  struct Served;
  // What an answer needs of its request.
  struct Exchange {
    http::ExchangeId id;
    Served& served;
    http::Method method;
    std::string_view key;
    std::string_view if_none_match;
    std::string_view if_modified_since;
    std::string_view accept_encoding;
    std::string_view request_id;
    std::string_view client;
    std::string_view path;
    std::string_view traceparent;  // as it came; only who needs it reads it
    base::SteadyTime received;
    http::RequestCacheControl wanted;
  };
  // The same, owned, while the origin loop looks for the answer; on `deadlines_`.
  struct Pending : base::TimeoutHook {
    http::ExchangeId id = 0;
    http::Server* server = nullptr;
    std::shared_ptr<Served> served;
    http::Method method{};
    bool only_if_cached = false;
    std::string key;
    std::string if_none_match;
    std::string if_modified_since;
    std::string accept_encoding;
    std::string request_id;
    std::string client;
    std::string path;         // what of it goes into the log
    std::string traceparent;  // likewise
    base::SteadyTime received;
    AskedPtr asked;  // of mode rfc9111
    // Of a route that passes_large(), for that:
    upstream::Fields trace;  // as it goes upstream
    int passes = 0;
    std::unique_ptr<base::Timer> last_moment;  // in place of `deadlines_`, whose order it has left
  };
  using PendingMap = std::unordered_map<http::ExchangeId, Pending>;

  static Exchange exchange_of(Pending& pending);
  void take_request_id(const http::Request& request);
  void take_page(http::Server& server, http::ExchangeId id, const http::Request& request,
                 const PageEntry* page);
  void take_routed(http::Server& server, http::ExchangeId id, const http::Request& request);
  void not_taken(http::Server& server, http::ExchangeId id, const http::Request& request,
                 MethodSet allowed);
  void look_up(http::Server& server, http::ExchangeId id, const http::Request& request,
               Served& served, const Parameters& parameters);
  // Routes of mode rfc9111: service_http.cpp.
  void look_up_http(http::Server& server, http::ExchangeId id, const http::Request& request,
                    Served& served, const Parameters& parameters);
  void ask_origin_http(http::Server& server, http::ExchangeId id, const http::Request& request,
                       Served& served, const rfc9111::RequestDirectives& wanted);
  cache::StoredPtr in_memory(const Served& served, const Asked& asked) const;
  void finish_http(Pending& pending, const Answer& answer);
  // `rare`: of the request.
  void send_http(http::Server& server, const Exchange& exchange, const http::Request& request,
                 const HttpFields& rare, const Answer& answer, const cache::Freshness& freshness);
  // What is not read from what is stored: service_passing.cpp.
  void pass(http::Server& server, http::ExchangeId id, const http::Request& request, Served& served,
            const Parameters& parameters);
  // `key_` is its key by then. `forward`: why it is not answered here. `asked`: of mode rfc9111,
  // where something of what comes may be kept. `without_place`: as Passing::Order has it.
  void send_through(http::Server& server, http::ExchangeId id, const http::Request& request,
                    Served& served, const Forward& forward, const AskedPtr& asked = nullptr,
                    std::function<bool(const std::string& cause)> without_place = nullptr);
  // Of mode resilient, an answer that is too large to be kept; and who answers if that fails before
  // a byte has gone to the client. False: nobody does.
  void pass_large(PendingMap::node_type waiting);
  bool look_again(PendingMap::node_type& waiting, const upstream::FetchResult& result);
  // What is stored answers a GET or HEAD that could not be passed through, if it may be used then.
  // False: it may not, or nothing is.
  bool answer_unpassed(Pending& pending, const std::string& cause,
                       const upstream::FetchResult* result = nullptr);
  // Its route is offline.
  void refuse_to_send(http::Server& server, http::ExchangeId id, const http::Request& request,
                      Served& served);
  void record_passed(const Passing::Facts& facts);
  // Of a hit; `variant`: the key of what answered, where that is not the URL's own.
  void count_use(const std::string& variant = {});
  void ask_origin(http::Server& server, const Exchange& exchange, std::string_view tracestate);
  void finish(http::ExchangeId id, const Answer& answer);
  void arm_deadline();
  void wait_in_line(Pending& pending);
  void forget_empty_lines();
  void answer_those_due();
  void answer_at_last(const Pending& pending);
  void send_content(http::Server& server, const Exchange& exchange, const Answer& answer,
                    const cache::Freshness& freshness);
  void send_error(http::Server& server, const Exchange& exchange, const Answer& answer);
  void record(const Exchange& exchange, const Answer& answer, int status, std::size_t bytes);

  // Lines alike, of which only so many are logged, and the event that tells how many
  // were left out: with the next line, or a while after the first that was left out.
  struct Thinned {
    Thinned(observe::RepeatLimiter::Settings settings, std::string_view e)
        : limiter(settings), event(e) {}
    observe::RepeatLimiter limiter;
    std::string_view event;
    base::Timer timer;
  };
  // False: one of too many alike, counted but not to be logged.
  bool admit(Thinned& lines);
  void tell_left_out(const Thinned& lines, std::uint64_t count);

  // `counted`: for a route.
  void send_problem(http::Server& server, http::ExchangeId id, const http::Request& request,
                    int status, std::string_view detail, std::string_view more_fields = {},
                    bool counted = false);

  Parts parts_;
  Settings settings_;
  base::Random random_;
  observe::Counter not_found_;  // outside every route
  observe::Counter bad_path_;
  observe::Counter not_allowed_;
  Thinned failures_;
  Thinned rejections_;
  RefreshGate refresh_gate_;
  PageFinder pages_;
  TablePtr prepared_;               // the last one; for prepare() alone
  TablePtr table_;                  // after what its batches use
  const Routes* routes_ = nullptr;  // these two are the table's: a hit takes no way round
  const std::shared_ptr<Served>* served_ = nullptr;
  std::vector<std::weak_ptr<Batches>> earlier_batches_;  // of tables before, while one is open
  PageDesk page_desk_;
  Passing passing_;
  PendingMap pending_;
  // One timer for all who wait, set for the first: it fires at most about once per
  // deadline while the origin loop answers. Newest first: those who began with another deadline
  // wait on a list of their own.
  std::list<base::TimeoutList> deadlines_;
  base::Timer deadline_timer_;
  unsigned hits_until_used_ = 0;
  // Buffers kept between requests, so that a hit allocates nothing.
  std::string path_;
  std::string key_;
  std::string request_id_;
  std::string fields_;
};

}  // namespace holdfast::proxy
