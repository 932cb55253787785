// Passing is what one worker passes through to an upstream: requests that are not read from what
// is stored, content and answer in pieces, whatever their length. Its loop's thread only.
//
//   client -> Connection -- content() --post--> Passage -- read() --> transfer -> upstream
//          <-            <-- write() <--post--          <- write() --
//
// Between the two loops stands a Passage. Each way there is a window: so many bytes are on their
// way at most, and who wants to send more waits until those were taken. So a slow client slows the
// upstream, and a slow upstream its client, and neither fills memory.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/scheduler.h"
#include "http/server.h"
#include "proxy/answer.h"
#include "proxy/fair_places.h"
#include "proxy/route.h"
#include "upstream/passer.h"

namespace holdfast::proxy {

class Passage;

class Passing {
 public:
  struct Settings {
    base::Duration request_deadline = std::chrono::seconds(10);
    std::size_t content_window_bytes = 128U << 10;
    std::size_t answer_window_bytes = 256U << 10;
    // While no more than a few are under way they have a wider one, and read much at a time: the
    // transfer waits less often, and a crowd of slow readers takes no more memory for it.
    std::size_t wide_window_bytes = 1U << 20;
    std::size_t few = 8;
    // At a time, over all upstreams, which have a fair share each (fair_places.h): four fifths of
    // it for one alone. Each may hold both windows.
    std::size_t most = 1280;
  };
  // What is told of a request, once it is over.
  struct Facts {
    std::shared_ptr<void> served;  // the caller's, of the route
    std::string method, path, request_id, client, traceparent, key;
    std::string_view detail;  // the word for why it was passed, of rfc9111/reasons.h; may be empty
    base::SteadyTime received{};
    int status = 0;           // the client's
    bool ours = false;        // the answer was an error of our own
    int upstream_status = 0;  // 0: no head came
    int attempts = 0;
    std::uint64_t bytes = 0;  // of the answer's content
    std::string cause;        // of a failure; empty: there was none
    bool by_client = false;   // that was its client's doing
    bool left = false;        // which was gone before the end of its answer
  };
  using Record = std::function<void(const Facts&)>;

  // Whoever keeps something of what goes through, on the origin loop.
  class Observer {
   public:
    virtual ~Observer() = default;
    // The answer's head has come; inside a transfer, so that nothing else may be touched. True:
    // content() is to be told what follows.
    virtual bool wants_content(int status, const upstream::Fields& fields,
                               std::optional<std::uint64_t> length) = 0;
    // ... and behind that, before the client hears of it.
    virtual void answered(int status, const upstream::Fields& fields) = 0;
    // The whole content, where it was wanted, is no longer than `most_bytes`, and came to its end.
    virtual void content(std::string whole) = 0;
    std::size_t most_bytes = 0;
  };

  // What is asked of a GET in pieces whose answer is too large to be kept, where the route checks
  // its head, and where it may be asked for again: until a byte has gone to the client somebody
  // else may still answer.
  struct Large {
    // Whether an answer with that head goes to the client. On the origin loop, inside a transfer:
    // nothing else may be touched.
    std::function<upstream::Verdict(const upstream::StreamHead&)> judge;
    // It failed before a byte of it was told to the client. True: whoever is asked answers from now
    // on; false, or none: an error is told. On the worker's loop, may call start().
    std::function<bool(const upstream::FetchResult&)> fall_back;
    bool head_only = false;       // for a HEAD, which upstream is a GET all the same
    base::SteadyTime deadline{};  // of its head
  };

  // What goes on.
  struct Order {
    const RoutePlan& plan;
    upstream::Passer& passer;
    upstream::Request request;  // with all its fields
    // Told what comes; null: nothing of it is of use to others.
    std::shared_ptr<Observer> observer;
    // Whoever has it has the plan and the passer; null where they outlive all passing.
    std::shared_ptr<const void> hold = nullptr;
    // Why it is not answered from what is stored.
    Forward forward{"method", {}};
    // Of mode resilient. None: whatever comes is for the client, and sent once.
    std::optional<Large> large = std::nullopt;
    // There is no place for it. True: whoever is asked has answered; false, or none: an error is
    // told. On the worker's loop, inside start().
    std::function<bool(const std::string& cause)> without_place = nullptr;
  };

  Passing(base::Scheduler& worker, base::Scheduler& origin, Settings settings, Record record)
      : worker_(worker),
        origin_(origin),
        settings_(settings),
        record_(std::move(record)),
        places_(settings_.most) {}
  ~Passing();
  // Of requests from now on.
  void set_request_deadline(base::Duration deadline) { settings_.request_deadline = deadline; }
  Passing(const Passing&) = delete;
  Passing& operator=(const Passing&) = delete;

  void start(http::Server& server, http::ExchangeId id, const http::Request& request, Order order,
             Facts facts);

  // Answers an error of the client's that is found before anything is passed.
  void refuse(http::Server& server, http::ExchangeId id, Facts facts, int status,
              std::string_view detail);

  // As the Handler's; the last two say whether it was one of these.
  void content(http::ExchangeId id, std::string_view piece, bool last);
  void written(http::ExchangeId id);
  void answered(http::ExchangeId id);
  bool abandoned(http::ExchangeId id);
  bool refused(http::ExchangeId id, const http::Rejection& rejection);

 private:
  friend class Passage;
  struct Pending {
    http::Server* server = nullptr;
    std::shared_ptr<Passage> passage;
    const upstream::Passer* passer = nullptr;
    Facts facts;
    std::function<bool(const upstream::FetchResult&)> fall_back;  // see Large
    bool repeatable = false;                                      // ... of which this is one
    bool begun = false;                                           // the answer's head is out
    std::size_t not_taken = 0;  // bytes of the answer that the origin loop does not know to be out
  };

  // By post from the passage.
  void wants_content(http::ExchangeId id, std::size_t bytes);
  void interim(http::ExchangeId id, int status, std::string_view fields);
  void begin(http::ExchangeId id, const http::ResponseHead& head);
  void piece(http::ExchangeId id, std::string_view piece);
  void end(http::ExchangeId id, const upstream::FetchResult& result);

  using PendingMap = std::unordered_map<http::ExchangeId, Pending>;
  Pending* find(http::ExchangeId id);
  // It is over: empty where it is none of these.
  PendingMap::node_type take_out(http::ExchangeId id);
  void leave(Pending& pending);
  void record_answered(Facts& facts);
  void taken(Pending& pending);
  void send_error(http::Server& server, http::ExchangeId id, Facts& facts, int status,
                  const std::string& detail, std::chrono::seconds retry_after);

  base::Scheduler& worker_;
  base::Scheduler& origin_;
  Settings settings_;
  const Record record_;
  FairPlaces places_;  // of upstreams
  PendingMap pending_;
};

}  // namespace holdfast::proxy
