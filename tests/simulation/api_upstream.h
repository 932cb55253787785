// ApiUpstream is the simulated upstream of any API: it takes whole requests, and contents in
// pieces for what changes something. It remembers what it said, of what, to whose request and
// when: each content it ever sends is unique, so one that reaches a client can be traced. One
// thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "unit/upstream/simulated_upstream.h"
#include "upstream/streaming.h"

namespace holdfast::simulation {

// The place of each thing in the order of all that happens: finer than the clock.
class Order {
 public:
  std::uint64_t next() { return ++last_; }

 private:
  std::uint64_t last_ = 0;
};

// A content, and what it was an answer to.
struct Said {
  std::string method;
  std::string target;
  std::string language;     // the field that some keys have
  std::string asker;        // whose trace the request was part of, if anybody's
  std::uint64_t asked = 0;  // its place in the order
  bool may_store = true;
  std::vector<std::string> tags;
  int status = 200;
  std::string cookie;  // set with it; empty: none
  std::string body;
  std::optional<std::size_t> given_to;  // of what may not be stored: the client that has it
};

// A request that may not be sent twice, as it came.
struct Unsafe {
  std::string once;  // its mark
  std::string method;
  std::string target;
  std::string content;  // as far as it came
  bool whole = false;
};

class ApiUpstream final : public upstream::test::SimulatedUpstream, public upstream::Streaming {
 public:
  // Of a request that may be sent once, a number of its own; its content is made of that.
  static constexpr const char* kOnce = "X-Once";
  static std::string content_for(std::string_view once, std::size_t bytes);

  using Broken = std::function<void(const std::string& promise)>;

  ApiUpstream(base::VirtualScheduler& scheduler, std::uint64_t seed, std::string name, Order& order,
              Broken broken)
      : SimulatedUpstream(scheduler, seed),
        name_(std::move(name)),
        order_(order),
        broken_(std::move(broken)),
        words_(~seed) {}

  const std::string& name() const { return name_; }
  // The content's, if it was ever said and meant; else null.
  Said* said(const std::string& body);
  // When what was asked for with that mark was done, in the order; 0: never.
  std::uint64_t done_at(const std::string& once) const;
  // What was answered to it; null: nothing.
  const Said* answer_to(const std::string& once) const;
  // Whether a request with it came as far as an upstream.
  bool reached(const std::string& once) const { return reached_.contains(once); }
  // How often one was sent.
  int sent(const std::string& once) const;
  upstream::Streaming* streaming() override { return this; }
  AttemptId stream(const upstream::Sending& sending, const upstream::StreamRequest& request,
                   upstream::StreamPeer& peer, Callback callback) override;
  void go_on(AttemptId id) override;
  void cancel(AttemptId id) override;
  std::size_t streams() const { return streams_.size(); }

 protected:
  void compose(upstream::test::Fault fault, const upstream::Request& request,
               upstream::Reply& reply) override;

 private:
  struct Stream {
    upstream::StreamRequest request;
    upstream::StreamPeer* peer = nullptr;
    Callback callback;
    upstream::test::Fault fault{};
    upstream::Reply reply;  // how it ends
    base::Duration latency{};
    base::SteadyTime begun{};
    Unsafe unsafe;
    Said* answer = nullptr;
    bool head_out = false;
    std::size_t written = 0;
    bool waits = false;  // for its peer
    base::Timer next, limit;
  };

  Said& say(std::string_view method, const upstream::Request& request);
  void draw_caching(Said& said, upstream::Fields& fields);
  std::string etag_of(const std::string& target) const;
  Stream* find(AttemptId id);
  void read_content(AttemptId id);
  void answer(AttemptId id);
  void write_answer(AttemptId id);
  void moved(AttemptId id);
  void end(AttemptId id, upstream::Reply reply);

  const std::string name_;
  Order& order_;
  const Broken broken_;
  base::Random words_;    // what is said, and not whether or when
  std::deque<Said> all_;  // never moves
  std::uint64_t decoys_ = 0;
  std::unordered_map<std::string, Said*> by_body_;
  std::unordered_map<std::string, std::uint64_t> versions_;  // by target
  std::unordered_map<std::string, int> sent_;                // by mark
  std::unordered_map<std::string, std::uint64_t> done_;      // likewise
  std::unordered_map<std::string, const Said*> answers_;     // likewise
  std::unordered_set<std::string> reached_;                  // marks
  std::map<AttemptId, Stream> streams_;
  AttemptId last_stream_ = AttemptId{1} << 60;
};

}  // namespace holdfast::simulation
