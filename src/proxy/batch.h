// Batches answers a POST of many, such as POST /lookup: many addresses in one request, an array
// in the same order. Each is looked up as if it were asked for alone, by the same client: from
// memory, or by the flights on the origin loop, where it joins whoever asks for it too. One per
// worker; its loop's thread only.
//
// A batch's life: start() answers at once what is wrong as a whole, and what
// memory knows all of. Else the missing keys go to the origin loop, a few a turn,
// so that single requests get between them, and each answer comes back by
// itself. The last one, or the deadline, ends the batch; what has not come by
// then is what memory has, or a 504 of its own.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/scheduler.h"
#include "cache/memory_cache.h"
#include "cache/store.h"
#include "http/server.h"
#include "observe/log.h"
#include "observe/metrics.h"
#include "proxy/answer.h"
#include "proxy/batch_request.h"
#include "proxy/flights.h"
#include "proxy/refresh_gate.h"
#include "proxy/request_metrics.h"
#include "proxy/route.h"

namespace holdfast::proxy {

//
// Where its route may go out of service it is owned by std::shared_ptr, and lives on until its last
// batch is answered and the origin loop is done with it. It may end there then.
class Batches : public std::enable_shared_from_this<Batches> {
 public:
  struct Settings {
    base::Duration request_deadline = std::chrono::seconds(10);
    std::size_t max_elements = 1000;
    // Beyond it, elements are told to be asked for alone.
    std::size_t max_answer_bytes = 8U << 20;
  };
  // All of it outlives the batches, and the loops' last callbacks.
  struct Parts {
    base::Scheduler& worker;  // the loop it lives on
    base::Scheduler& origin;  // the loop of `flights`, which is only touched there
    Flights& flights;
    cache::MemoryCache& memory;
    cache::Store& store;
    observe::Log& log;
    Route& route;
    RefreshGate& refresh_gate;
    std::function<bool()> may_log_refusal;       // false: one of too many
    std::shared_ptr<const void> hold = nullptr;  // as Routes::Entry has it
  };
  // Of batches from now on.
  void set_request_deadline(base::Duration deadline) { settings_.request_deadline = deadline; }

  // 1000 of the longest addresses, each on an indented line of its own.
  static constexpr std::size_t kMaxContentBytes = 64U << 10;

  Batches(Parts parts, Settings settings, observe::Metrics& metrics, observe::Shard& shard);
  ~Batches();
  Batches(const Batches&) = delete;
  Batches& operator=(const Batches&) = delete;

  // Answers `id`, now or later. The request's views need to live only through
  // the call.
  void start(http::Server& server, http::ExchangeId id, const http::Request& request,
             std::string_view request_id);
  // The client is gone. Unknown ids are fine.
  void abandoned(http::ExchangeId id);
  // Drops all that is open, without an answer: its server is about to end.
  void clear();

 private:
  struct Lookup;
  struct Batch;
  struct Errand;

  void resolve(Batch& batch, const http::Request& request, std::vector<std::string> elements);
  bool find_in_memory(Lookup& lookup, const Batch& batch);
  void run(const std::shared_ptr<Errand>& errand);
  void take(http::ExchangeId id, std::size_t lookup, Answer answer);
  void finish(Batch& batch);
  void refuse(const Batch& batch, int status, std::string_view detail,
              std::string_view more_fields = {});

  Parts parts_;
  Settings settings_;
  const BatchElements elements_;
  RequestMetrics counts_;
  std::unordered_map<http::ExchangeId, std::unique_ptr<Batch>> batches_;
};

}  // namespace holdfast::proxy
