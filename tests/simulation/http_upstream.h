// HttpUpstream is the simulated upstream of a site that a whole HTTP cache stands before: it says
// of each answer who may have it, for how long, and what of the request it hangs on, and its 304s
// and parts are honest. Each answer has a number of its own, which what is stored of it keeps, so
// that what a client gets can be held against the very answer it goes by. One thread.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api_upstream.h"
#include "unit/upstream/simulated_upstream.h"
#include "upstream/streaming.h"

namespace holdfast::simulation {

// What a Cache-Control says.
struct Control {
  std::string text;  // empty: nothing
  bool no_store = false, is_private = false, no_cache = false, must_revalidate = false,
       is_public = false;
  std::optional<std::chrono::seconds> max_age, s_maxage, while_revalidate, if_error;

  bool lets_authorized_be_shared() const { return is_public || must_revalidate || s_maxage; }
};

// Fields of a request that an answer may hang on.
struct Selecting {
  static constexpr std::array<const char*, 4> kNames{"X-A", "X-B", "Accept-Language", "Cookie"};
  std::array<std::string, kNames.size()> values;  // empty: absent
};

// A content with its metadata: of one revision of a resource, made for some of the requests for it.
struct Representation {
  std::string path;
  std::uint64_t revision = 0;
  int status = 200;
  std::string body;
  std::string etag;           // with its quotes; empty: none
  std::string last_modified;  // likewise
};

// An answer, as it was given.
struct HttpSaid {
  std::uint64_t number = 0;
  std::string method;
  const Representation* of = nullptr;
  int status = 200;  // a 304 and a 206 are of a 200
  // The request's.
  std::string asker;  // its trace
  bool authorized = false;
  bool asked_no_store = false;
  Selecting selecting;
  // Its own.
  std::vector<std::size_t> vary;  // indexes of Selecting::kNames
  bool varies_on_all = false;
  Control control;
  bool sets_cookie = false;
  std::chrono::seconds age{0};
  std::chrono::seconds lifetime{0};
  base::SteadyTime made;
  std::uint64_t delivered = 0;  // its place in the order; 0: not yet

  bool may_be_shared() const {
    return !control.no_store && !control.is_private && !sets_cookie && !varies_on_all &&
           !asked_no_store && (!authorized || control.lets_authorized_be_shared());
  }
};

class HttpUpstream final : public upstream::test::SimulatedUpstream, public upstream::Streaming {
 public:
  static constexpr const char* kNumber = "X-Answer";

  // `keeps_cookies`: a Set-Cookie goes to who asked; else to nobody, and forbids nothing.
  HttpUpstream(base::VirtualScheduler& scheduler, std::uint64_t seed, Order& order,
               bool keeps_cookies)
      : SimulatedUpstream(scheduler, seed),
        order_(order),
        keeps_cookies_(keeps_cookies),
        begun_(scheduler.clock().wall()),
        words_(~seed) {}

  // Null: no answer of ours has that number.
  const HttpSaid* said(std::string_view number) const;
  const Representation* with_etag(std::string_view etag) const;
  // Whether a request of that trace came.
  bool was_asked(const std::string& trace) const { return asked_.contains(trace); }
  // What was changed by an unsafe request of that trace: paths, with the first revision that is of
  // after that.
  using Changes = std::vector<std::pair<std::string, std::uint64_t>>;
  const Changes& changes_by(const std::string& trace) const;
  // There is something else now, which nobody is told.
  void change(const std::string& path) { change(path, false); }
  // Whether anything has gone wrong yet, so that what is stale may stand in for it.
  bool has_failed() const { return failed_; }

  AttemptId start(const upstream::Sending& sending, const upstream::Request& request,
                  Callback callback) override {
    failed_ = failed_ || fails();
    return SimulatedUpstream::start(sending, request, std::move(callback));
  }
  upstream::Streaming* streaming() override { return this; }
  AttemptId stream(const upstream::Sending& sending, const upstream::StreamRequest& request,
                   upstream::StreamPeer& peer, Callback callback) override;
  void go_on(AttemptId id) override;
  void cancel(AttemptId id) override;
  // How often a part was asked for to complete another.
  std::uint64_t rests() const { return rests_; }
  std::size_t streams() const { return streams_.size(); }

 protected:
  void compose(upstream::test::Fault fault, const upstream::Request& request,
               upstream::Reply& reply) override;
  void delivered(const std::string& target, const upstream::Reply& reply) override;

 private:
  enum class Validators { None, Strong, Weak, Date, StrongAndDate };
  struct Resource {
    std::uint64_t revision = 0;
    bool missing = false;
    std::uint64_t vary = 0;  // one of several ways
    Control control;
    Validators validators{};
    bool omits_vary_in_304 = false;
  };
  struct Stream {
    upstream::StreamRequest request;
    upstream::StreamPeer* peer = nullptr;
    Callback callback;
    upstream::Reply reply;  // how it ends; its body is what is written
    base::Duration latency{};
    base::SteadyTime begun{};
    bool head_out = false;
    std::size_t written = 0;
    bool waits = false;  // for its peer
    base::Timer next, limit;
  };

  bool fails() const { return !always.empty() || !faults.empty() || rate_limit > 0; }
  Resource& resource(const std::string& path);
  void draw(Resource& resource);
  std::uint64_t change(const std::string& path, bool missing);
  const Representation& representation(const std::string& path, const Resource& resource,
                                       const std::string& identity);
  HttpSaid& say(std::string_view method, const upstream::Request& request, upstream::Reply& reply);
  void answer_conditions(const upstream::Request& request, HttpSaid& said, upstream::Reply& reply);
  void answer_unsafe(const std::string& method, const upstream::Request& request,
                     upstream::Reply& reply);
  void read_content(AttemptId id);
  void answer(AttemptId id);
  void write_answer(AttemptId id);
  void end(AttemptId id, upstream::Reply reply);

  Order& order_;
  const bool keeps_cookies_;
  const base::WallTime begun_;
  base::Random words_;  // what is said, and not whether or when
  bool failed_ = false;
  std::uint64_t rests_ = 0;
  std::map<std::string, Resource> resources_;              // by path
  std::deque<HttpSaid> all_;                               // number - 1 is the index; never moves
  std::map<std::string, Representation> representations_;  // by identity
  std::map<std::string, const Representation*, std::less<>> by_etag_;
  std::map<std::string, Changes> changes_;  // by trace
  std::map<std::string, int> asked_;        // likewise
  std::map<AttemptId, Stream> streams_;
  AttemptId last_stream_ = AttemptId{1} << 60;
};

}  // namespace holdfast::simulation
