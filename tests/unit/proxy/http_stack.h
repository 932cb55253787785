// A worker's service for a route of mode rfc9111, or one of a test's own, and an upstream that a
// test plays by a function of what it is asked: for fetches, which are judged as the real fetcher
// does, and for what is passed.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "flights_fixture.h"
#include "http_route.h"
#include "proxy/service.h"
#include "two_loops.h"
#include "upstream/judge.h"

namespace holdfast::proxy::test {

// Origin loop only.
class PlayedUpstream final : public upstream::Fetcher, public upstream::Passer {
 public:
  struct Got {
    std::string method, target, content;
    upstream::Fields fields;
    bool passed = false;

    std::string field(const char* name) const {
      const std::string* value = upstream::find_field(fields, name);
      return value ? *value : "(none)";
    }
  };
  struct Says {
    int status = 200;
    upstream::Fields fields;
    std::string content;
    bool lost = false;  // the connection ends before the answer
  };

  explicit PlayedUpstream(base::Scheduler& loop) : loop_(loop) {}

  FetchId start(upstream::FetchRequest request, Callback callback) override {
    got.push_back({"GET", request.request.target, {}, request.request.fields, false});
    const FetchId id = got.size();
    fetches_[id] = std::move(callback);
    soon([this, id, request = std::move(request)] { answer_fetch(id, request); });
    return id;
  }
  void extend(FetchId, base::SteadyTime, upstream::Priority) override {}
  void cancel(FetchId id) override { fetches_.erase(id); }
  upstream::FetchResult so_far(FetchId) override { return {}; }

  PassId pass(upstream::StreamRequest request, base::SteadyTime, upstream::StreamPeer& peer,
              Ended ended) override {
    got.push_back({request.method, request.request.target, {}, request.request.fields, true});
    const PassId id = got.size();
    passes_[id] = {&peer, std::move(ended)};
    soon([this, id] { answer_pass(id); });
    return id;
  }
  void go_on(PassId id) override {
    loop_.post([this, id] { answer_pass(id); });
  }
  bool end_pass(PassId id) override { return passes_.erase(id) > 0; }

  void release() {
    for (auto& one : std::exchange(held_, {})) loop_.post(std::move(one));
  }

  std::function<Says(const Got&)> says;
  bool holding = false;  // answers nothing before release()
  std::vector<Got> got;

 private:
  struct Pass {
    upstream::StreamPeer* peer = nullptr;
    Ended ended;
  };

  void soon(std::function<void()> what) {
    if (holding) return held_.push_back(std::move(what));
    loop_.post(std::move(what));
  }
  void answer_fetch(FetchId id, const upstream::FetchRequest& request) {
    const auto found = fetches_.extract(id);
    if (found.empty()) return;
    Says said = says(got[id - 1]);
    upstream::Reply reply;
    reply.status = said.status;
    reply.fields = std::move(said.fields);
    reply.body = std::move(said.content);
    const std::size_t limit = request.request.body_limit_bytes;
    if (limit > 0 && reply.body.size() > limit) {
      reply.body.clear();
      reply.transport = Outcome::TooLarge;
    }
    if (said.lost) reply = {.transport = Outcome::Reset};
    FetchResult result;
    result.attempts_sent = 1;
    result.outcome =
        request.any_status
            ? upstream::judge_any(request.request, reply, request.validate).outcome
            : upstream::judge(request.request, reply, request.validate, request.validate_large)
                  .outcome;
    if (upstream::is_answer(result.outcome)) {
      result.end = upstream::is_too_large(reply) ? FetchEnd::TooLarge : FetchEnd::Answered;
    } else if (request.any_status && upstream::is_callers(reply)) {
      result.last_refused = std::make_shared<const upstream::Reply>(reply);
      if (request.keeps_invalid && upstream::is_invalid(result.outcome, reply)) {
        result.last_invalid = result.last_refused;
      }
      reply.body.clear();
    }
    result.reply = std::move(reply);
    found.mapped()(std::move(result));
  }
  void answer_pass(PassId id) {
    const auto found = passes_.find(id);
    if (found == passes_.end()) return;
    upstream::StreamPeer& peer = *found->second.peer;
    for (char bytes[1000];;) {
      const auto read = peer.read(bytes, sizeof bytes);
      if (!read) return;
      if (*read == 0) break;
      got[id - 1].content.append(bytes, *read);
    }
    const Says said = says(got[id - 1]);
    if (said.lost) {
      FetchResult lost;
      lost.end = FetchEnd::GaveUp;
      lost.outcome = Outcome::Reset;
      lost.reply.phase = upstream::Phase::Answer;
      lost.attempts_sent = 1;
      loop_.post([ended = std::move(found->second.ended), lost] { ended(lost); });
      passes_.erase(found);
      return;
    }
    const bool has_content = got[id - 1].method != "HEAD" && said.status != 204;
    std::optional<std::uint64_t> length;
    if (has_content) length = said.content.size();
    peer.head({said.status, said.fields, length});
    if (has_content && !said.content.empty() && peer.has_room(0)) peer.write(said.content);
    FetchResult result;
    result.end = FetchEnd::Answered;
    result.outcome = Outcome::Ok;
    result.reply.status = said.status;
    result.attempts_sent = 1;
    loop_.post([ended = std::move(found->second.ended), result] { ended(result); });
    passes_.erase(found);
  }

  base::Scheduler& loop_;
  std::map<FetchId, Callback> fetches_;
  std::map<PassId, Pass> passes_;
  std::vector<std::function<void()>> held_;
};

class HttpStack : public TwoLoops {
 public:
  using Says = PlayedUpstream::Says;
  using Got = PlayedUpstream::Got;
  static constexpr std::size_t kMostBytes = 1000;

  static RoutePlan plan() {
    RoutePlan plan = http_plan();
    plan.body.max_body_bytes = kMostBytes;
    plan.offline = [](std::string_view subject) {
      return subject == "offline" ? std::optional<std::string>("[1]") : std::nullopt;
    };
    return plan;
  }

  explicit HttpStack(RoutePlan plan = HttpStack::plan(), Service::Settings settings = {})
      : route_(std::move(plan)), settings_(settings) {
    serve(service_);
  }
  ~HttpStack() { stop(); }

  void says(std::function<Says(const Got&)> function) {
    on_origin([&] { upstream_.says = std::move(function); });
  }
  // The same of everything.
  void says(Says what) {
    says([what = std::move(what)](const Got&) { return what; });
  }
  void hold() {
    on_origin([&] { upstream_.holding = true; });
  }
  void release() {
    on_origin([&] {
      upstream_.holding = false;
      upstream_.release();
    });
  }
  double counted(const std::string& code, const std::string& cache) {
    turns();
    return metrics_.value(
        observe::Family::Requests,
        {{"route", std::string(route_.name())}, {"code", code}, {"cache", cache}});
  }
  // What the upstream was asked so far.
  std::vector<Got> got() {
    std::vector<Got> copy;
    on_origin([&] { copy = upstream_.got; });
    return copy;
  }
  void purge(const std::string& key) {
    on_origin([&] { flights_.purge(key); });
  }
  // All that is in the log by now.
  std::string logged() {
    turns();
    log_.flush();
    return text_of(*log_file_);
  }
  // One request by a connection of its own, and all that follows from it.
  http::test::Answer ask(const std::string& method, const std::string& path,
                         const std::string& fields = {}, const std::string& content = {}) {
    http::test::Client one = client();
    const std::string length =
        method == "POST" ? "Content-Length: " + std::to_string(content.size()) + "\r\n" : "";
    const http::test::Answer answer = one.ask(
        method + " " + path + " HTTP/1.1\r\nHost: a\r\n" + length + fields + "\r\n" + content,
        method == "HEAD");
    turns();
    return answer;
  }
  http::test::Answer get(const std::string& path, const std::string& fields = {}) {
    return ask("GET", path, fields);
  }

 private:
  Route route_;
  const Service::Settings settings_;
  const std::shared_ptr<std::FILE> log_file_{std::tmpfile(), &std::fclose};
  observe::Log log_{{.fd = fileno(log_file_.get())}};
  observe::RecentFailures failures_;
  cache::MemoryCache memory_{{.limit_bytes = 1U << 20}};
  MapStore store_;
  Pages pages_;
  PlayedUpstream upstream_{origin_};
  Flights flights_{
      {origin_, upstream_, memory_, store_, log_, metrics_, origin_shard_}, Flights::Settings{}, 1};
  std::shared_ptr<const Routes> routes_ =
      std::make_shared<const Routes>(std::vector<Routes::Entry>{{route_, flights_, &upstream_}});
  Service service_{{worker_, origin_, memory_, store_, log_, metrics_, worker_shard_, failures_,
                    routes_, pages_},
                   settings_,
                   1};
};

// How often that stands in an answer's head.
inline int count_of(const http::test::Answer& answer, const std::string& text) {
  int count = 0;
  for (std::size_t at = 0; (at = answer.head.find(text, at)) != std::string::npos; ++at) ++count;
  return count;
}

}  // namespace holdfast::proxy::test
