#include "proxy/batch.h"

#include <algorithm>
#include <array>
#include <utility>

#include "http/cache_control.h"
#include "http/content_coding.h"
#include "http/problem.h"
#include "proxy/last_moment.h"
#include "proxy/response_fields.h"
#include "proxy/storing.h"

namespace holdfast::proxy {
namespace {

using observe::Level;

// How many keys of one batch the origin loop looks up before others have a turn:
// each may be a read of the store.
constexpr std::size_t kKeysPerTurn = 32;
// As for single hits: the store hears of one in this many.
constexpr std::size_t kBatchHitsPerUse = 16;

constexpr std::size_t kNoLookup = static_cast<std::size_t>(-1);

BatchElements elements_of(const Route& route) {
  for (const auto& segment : route.plan().match.segments()) {
    if (segment.type == ParameterType::Ip) return {};
    if (segment.type == ParameterType::Int) return {.in_words = "integers", .integers = true};
  }
  return {.in_words = "strings"};
}

}  // namespace

// One key, for all the elements that name it.
struct Batches::Lookup {
  std::string key;
  Answer answer;
  base::SteadyTime answered{};
  bool done = false;
};

struct Batches::Batch {
  Batch(http::Server& http_server, http::ExchangeId exchange, const http::Request& request,
        std::string_view the_request_id)
      : server(http_server),
        id(exchange),
        request_id(the_request_id),
        client(request.client),
        takes_gzip(http::accepts_gzip(request.field(http::Known::AcceptEncoding))),
        wanted(http::parse_request_cache_control(request.field(http::Known::CacheControl))),
        received(request.received) {}

  struct Element {
    std::string text;  // as the client wrote it, if it is no address
    const char* problem = nullptr;
    std::size_t lookup = kNoLookup;
  };

  http::Server& server;
  http::ExchangeId id;
  std::string request_id;
  std::string client;
  bool takes_gzip;
  http::RequestCacheControl wanted;  // of each element
  base::SteadyTime received;
  std::vector<Element> elements;
  std::vector<Lookup> lookups;
  std::size_t open = 0;  // lookups that are not done
  base::Timer deadline;
  std::shared_ptr<Errand> errand;
  std::shared_ptr<Batches> owner;  // of this; while it is open
};

// What the origin loop has to do for a batch. Only `over` is touched elsewhere.
struct Batches::Errand {
  struct Key {
    std::size_t lookup;
    std::string key;
  };
  http::ExchangeId id;
  base::SteadyTime deadline;
  http::RequestCacheControl wanted;
  std::vector<Key> keys;
  std::size_t next = 0;
  std::atomic<bool> over{false};  // nobody waits any more
};

Batches::Batches(Parts parts, Settings settings, observe::Metrics& metrics, observe::Shard& shard)
    : parts_(parts),
      settings_(settings),
      elements_(elements_of(parts.route)),
      counts_(metrics, shard, std::string(parts.route.name()) + "_batch") {}

Batches::~Batches() = default;

void Batches::start(http::Server& server, http::ExchangeId id, const http::Request& request,
                    std::string_view request_id) {
  auto owned = std::make_unique<Batch>(server, id, request, request_id);
  Batch& batch = *owned;
  if (!is_json_content_type(request.field(http::Known::ContentType))) {
    return refuse(batch, 415, "the Content-Type of a batch is application/json",
                  "Accept: application/json\r\n");
  }
  // RFC 9110, 15.5.16: what would have been taken, so that nobody takes this for a wrong type.
  if (!is_uncoded(request.field(http::Known::ContentEncoding))) {
    return refuse(batch, 415, "the content of a batch comes without a content coding",
                  "Accept-Encoding: identity\r\n");
  }
  // Its elements are asked for without one, so it would be lost.
  if (!parts_.route.takes_no_query(request.query)) {
    return refuse(batch, 400, "a batch takes no query");
  }
  BatchRequest parsed = parse_batch(request.body, settings_.max_elements, elements_);
  if (parsed.status != 0) return refuse(batch, parsed.status, parsed.detail);
  resolve(batch, request, std::move(parsed.elements));
  if (batch.open == 0) return finish(batch);

  const base::SteadyTime deadline = batch.received + settings_.request_deadline;
  auto errand = std::make_shared<Errand>();
  errand->id = id;
  errand->deadline = deadline;
  errand->wanted = batch.wanted;
  for (std::size_t i = 0; i < batch.lookups.size(); ++i) {
    if (!batch.lookups[i].done) errand->keys.push_back({i, batch.lookups[i].key});
  }
  batch.errand = errand;
  // For an origin loop that does not get to the flights' own deadlines.
  batch.deadline.set_at(parts_.worker, batch.received + worker_patience(settings_.request_deadline),
                        [this, &batch] { finish(batch); });
  batch.owner = weak_from_this().lock();
  batches_.emplace(id, std::move(owned));
  parts_.origin.post([this, self = weak_from_this().lock(), errand] { run(errand); });
}

void Batches::abandoned(http::ExchangeId id) {
  const auto found = batches_.find(id);
  if (found == batches_.end()) return;
  found->second->errand->over.store(true, std::memory_order_relaxed);
  const auto self = weak_from_this().lock();  // that batch may be all that keeps this
  batches_.erase(found);
}

void Batches::clear() {
  const auto self = weak_from_this().lock();
  batches_.clear();
}

// Gives each element its lookup, and answers from memory what can be.
void Batches::resolve(Batch& batch, const http::Request& request,
                      std::vector<std::string> elements) {
  std::unordered_map<std::string, std::size_t> by_key;
  by_key.reserve(elements.size());
  batch.elements.reserve(elements.size());
  std::string key;
  for (std::string& text : elements) {
    Batch::Element& element = batch.elements.emplace_back();
    element.problem = parts_.route.key_of_subject(text, request, key);
    if (element.problem != nullptr) {
      element.text = std::move(text);
      continue;
    }
    const auto [entry, is_new] = by_key.emplace(key, batch.lookups.size());
    element.lookup = entry->second;
    if (!is_new) continue;
    Lookup& lookup = batch.lookups.emplace_back();
    lookup.key = key;
    if (!find_in_memory(lookup, batch)) {
      ++batch.open;
    } else if (batch.lookups.size() % kBatchHitsPerUse == 0) {
      parts_.store.used(key);
    }
  }
}

bool Batches::find_in_memory(Lookup& lookup, const Batch& batch) {
  cache::StoredPtr stored = parts_.memory.find(lookup.key);
  if (!stored) return false;
  const cache::Freshness freshness = cache::freshness(*stored, parts_.worker.clock().wall());
  if (!fresh_enough(freshness, batch.wanted.min_fresh)) return false;
  switch (freshness.use) {
    case cache::Use::Fresh:
      lookup.answer.rung = Rung::Fresh;
      break;
    case cache::Use::StaleWhileRevalidate:
      lookup.answer.rung = Rung::StaleWhileRevalidate;
      if (parts_.route.plan().stored_only) break;
      if (!batch.wanted.only_if_cached && parts_.refresh_gate.open(lookup.key, batch.received)) {
        parts_.origin.post([&flights = parts_.flights, &route = parts_.route, hold = parts_.hold,
                            key = lookup.key] { flights.refresh(route, key); });
      }
      break;
    case cache::Use::StaleIfError:
    case cache::Use::Unusable:
      return false;
  }
  lookup.answer.content = std::move(stored);
  lookup.answered = parts_.worker.now();
  lookup.done = true;
  return true;
}

// On the origin loop, where only `parts_` and the errand may be touched.
void Batches::run(const std::shared_ptr<Errand>& errand) {
  const auto self = weak_from_this().lock();
  const std::size_t end = std::min(errand->next + kKeysPerTurn, errand->keys.size());
  for (; errand->next < end; ++errand->next) {
    if (errand->over.load(std::memory_order_relaxed)) return;
    const Errand::Key& key = errand->keys[errand->next];
    const auto reply = [this, self, id = errand->id, lookup = key.lookup](Answer answer) {
      parts_.worker.post([this, self, id, lookup, answer = std::move(answer)]() mutable {
        take(id, lookup, std::move(answer));
      });
    };
    const http::RequestCacheControl& wanted = errand->wanted;
    if (wanted.only_if_cached && !parts_.route.plan().stored_only) {
      reply(parts_.flights.stored(key.key, wanted.min_fresh));
    } else {
      parts_.flights.join(parts_.route, key.key, errand->deadline, wanted.min_fresh, reply);
    }
  }
  if (end < errand->keys.size()) parts_.origin.post([this, self, errand] { run(errand); });
}

void Batches::take(http::ExchangeId id, std::size_t lookup, Answer answer) {
  const auto found = batches_.find(id);
  if (found == batches_.end()) return;  // answered at the deadline, or the client is gone
  Batch& batch = *found->second;
  Lookup& entry = batch.lookups[lookup];
  entry.answer = std::move(answer);
  entry.answered = parts_.worker.now();
  entry.done = true;
  if (--batch.open == 0) finish(batch);
}

namespace {

void append_error(std::string& out, std::string_view name, std::string_view subject,
                  std::string_view error, int status) {
  out.append("{\"").append(name).append("\":\"");
  observe::append_json_escaped(out, subject);
  out += R"(","error":")";
  observe::append_json_escaped(out, error);
  out += R"(","status":)";
  out += std::to_string(status);
  out += '}';
}

// How many elements came about how: "hit=998 error=2", in a field and in the log.
class OutcomeCounts {
 public:
  void add(CacheOutcome outcome) { ++counts_[static_cast<std::size_t>(outcome)]; }
  std::size_t of(CacheOutcome outcome) const { return counts_[static_cast<std::size_t>(outcome)]; }
  std::string text() const {
    std::string out;
    for (std::size_t i = 0; i < counts_.size(); ++i) {
      if (counts_[i] == 0) continue;
      if (!out.empty()) out += ' ';
      out.append(to_string(static_cast<CacheOutcome>(i))).append("=");
      out += std::to_string(counts_[i]);
    }
    return out;
  }

 private:
  std::array<std::size_t, kCacheOutcomes> counts_{};
};

}  // namespace

void Batches::finish(Batch& batch) {
  const base::SteadyTime now = parts_.worker.now();
  OutcomeCounts outcomes;
  for (Lookup& lookup : batch.lookups) {
    if (lookup.done) continue;
    lookup.answer = answer_without_origin(
        parts_.memory.find(lookup.key), parts_.worker.clock().wall(), batch.wanted.only_if_cached);
    lookup.answered = now;
  }
  std::string body = "[";
  const std::string name = parts_.route.plan().match.parameter_names().front();
  const auto count = [&](CacheOutcome outcome, int status, base::SteadyTime answered) {
    outcomes.add(outcome);
    counts_.count(outcome, status, answered - batch.received);
  };
  for (const Batch::Element& element : batch.elements) {
    if (body.size() > 1) body += ',';
    if (element.lookup == kNoLookup) {
      append_error(body, name, element.text, element.problem, 400);
      count(CacheOutcome::Error, 400, now);
      continue;
    }
    const Lookup& lookup = batch.lookups[element.lookup];
    const Answer& answer = lookup.answer;
    const auto subject = [&] { return parts_.route.value_of(lookup.key); };
    if (!answer.content || answer.invalid()) {
      // An array holds right answers alone: what is in it need not even be JSON otherwise.
      append_error(body, name, subject(), answer.detail, answer.status);
      count(answer.invalid() ? CacheOutcome::Error : cache_outcome(answer), answer.status,
            lookup.answered);
    } else if (answer.content->status != 200) {
      const int status = answer.content->status;
      append_error(
          body, name, subject(),
          upstream::is_negative(status) ? kNoSuchEntry : "the upstream refused the request",
          status);
      count(cache_outcome(answer), answer.content->status, lookup.answered);
    } else if (body.size() + answer.content->body.size() > settings_.max_answer_bytes) {
      append_error(body, name, subject(), "too large for this batch: ask for it alone", 413);
      count(CacheOutcome::Error, 413, lookup.answered);
    } else {
      body += answer.content->body;
      count(cache_outcome(answer), 200, lookup.answered);
    }
  }
  body += ']';

  std::string fields = "Content-Type: application/json\r\nCache-Control: no-store\r\n";
  if (body.size() >= http::kWorthCodingBytes) {
    append_vary_on_coding(fields);
    if (batch.takes_gzip) {
      if (auto coded = http::gzip(body)) {
        body = std::move(*coded);
        fields += "Content-Encoding: gzip\r\n";
      }
    }
  }
  const std::string text = outcomes.text();
  if (!text.empty())
    fields.append("Cache-Status: holdfast; detail=\"").append(text).append("\"\r\n");
  append_request_id(fields, batch.request_id);
  http::Response response;
  response.fields = fields;
  response.body = body;
  batch.server.respond(batch.id, response);

  const bool all_hits = outcomes.of(CacheOutcome::Hit) == batch.elements.size();
  const Level level = all_hits ? Level::Debug : Level::Info;
  if (parts_.log.enabled(level)) {
    parts_.log.event(
        level, "batch",
        {{"request_id", batch.request_id},
         {"client", batch.client},
         {"route", parts_.route.name()},
         {"status", 200},
         {"elements", batch.elements.size()},
         {"keys", batch.lookups.size()},
         {"cache", text},
         {"duration_seconds", std::chrono::duration<double>(now - batch.received).count()},
         {"bytes", body.size()}});
  }
  if (batch.errand) batch.errand->over.store(true, std::memory_order_relaxed);
  const http::ExchangeId id = batch.id;
  const auto self = weak_from_this().lock();  // that batch may be all that keeps this
  batches_.erase(id);                         // and with it `batch`, unless start() owns it still
}

void Batches::refuse(const Batch& batch, int status, std::string_view detail,
                     std::string_view more_fields) {
  const std::string body = http::problem_json(status, detail);
  std::string fields(more_fields);
  append_request_id(fields, batch.request_id);
  http::Response response;
  response.status = status;
  response.fields = http::kProblemFields;
  response.more_fields = fields;
  response.body = body;
  batch.server.respond(batch.id, response);
  counts_.count(CacheOutcome::Error, status, parts_.worker.now() - batch.received);
  if (!parts_.log.enabled(Level::Info) || !parts_.may_log_refusal()) return;
  parts_.log.event(Level::Info, "batch",
                   {{"request_id", batch.request_id},
                    {"client", batch.client},
                    {"route", parts_.route.name()},
                    {"status", status},
                    {"cause", detail}});
}

}  // namespace holdfast::proxy
