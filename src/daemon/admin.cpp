#include "daemon/admin.h"

#include <arpa/inet.h>
#include <curl/curl.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <memory>
#include <optional>

#include "cache/freshness.h"
#include "daemon/version.h"
#include "http/field_syntax.h"
#include "http/problem.h"
#include "observe/timestamp.h"
#include "upstream/status.h"

namespace holdfast::daemon {
namespace {

using observe::Level;
using Arguments = std::vector<std::pair<std::string, std::string>>;

// As many removals must fit into the store's queue.
constexpr unsigned kMostHostBits = 12;
// Each key is a row to look at on the origin loop, which must not stop for long.
constexpr std::size_t kKeysAtOnce = 32;
// The origin loop turns many times a second, unless it hangs.
constexpr base::Duration kPatience = std::chrono::seconds(10);

// A JSON object as it is written.
class Object {
 public:
  Object& text(std::string_view name, std::string_view value) {
    begin(name);
    json_ += '"';
    observe::append_json_escaped(json_, value);
    json_ += '"';
    return *this;
  }
  Object& flag(std::string_view name, bool value) { return raw(name, value ? "true" : "false"); }
  template <typename Number>
  Object& number(std::string_view name, Number value) {
    return raw(name, std::to_string(value));
  }
  Object& raw(std::string_view name, std::string_view json) {
    begin(name);
    json_ += json;
    return *this;
  }
  std::string take() { return std::move(json_) + "}"; }

 private:
  void begin(std::string_view name) {
    json_ += json_.size() > 1 ? ",\"" : "\"";
    json_.append(name).append("\":");
  }
  std::string json_ = "{";
};

// Clients such as curl's --data-urlencode escape an address's colons. What would hold a
// control byte stays escaped, and so is no address.
std::string unescaped(std::string_view text) {
  if (text.empty()) return {};  // libcurl would look for the end itself
  int size = 0;
  const std::unique_ptr<char, decltype(&curl_free)> plain(
      curl_easy_unescape(nullptr, text.data(), static_cast<int>(text.size()), &size), curl_free);
  if (!plain) return std::string(text);
  const std::string_view value(plain.get(), static_cast<std::size_t>(size));
  const bool sound = std::none_of(value.begin(), value.end(), http::is_forbidden_control);
  return std::string(sound ? value : text);
}

// "a=b&c"
Arguments parse_query(std::string_view query) {
  Arguments arguments;
  while (!query.empty()) {
    const std::size_t end = std::min(query.find('&'), query.size());
    const std::string_view pair = query.substr(0, end);
    query.remove_prefix(std::min(end + 1, query.size()));
    const std::size_t equals = std::min(pair.find('='), pair.size());
    arguments.emplace_back(pair.substr(0, equals),
                           unescaped(equals < pair.size() ? pair.substr(equals + 1) : ""));
  }
  return arguments;
}

const std::string* find(const Arguments& arguments, std::string_view name) {
  for (const auto& [key, value] : arguments) {
    if (key == name) return &value;
  }
  return nullptr;
}

// Every address of "A/N", as text that a route takes.
base::Result<std::vector<std::string>> addresses_of(const std::string& block) {
  const std::size_t slash = block.find('/');
  const std::string base_text = block.substr(0, slash);
  const bool v6 = base_text.find(':') != std::string::npos;
  std::array<std::uint8_t, 16> address{};
  const std::size_t size = v6 ? 16 : 4;
  unsigned length = 0;
  const char* const end = block.data() + block.size();
  if (slash == std::string::npos ||
      inet_pton(v6 ? AF_INET6 : AF_INET, base_text.c_str(), address.data()) != 1) {
    return base::invalid_input("not a block such as 192.0.2.0/24");
  }
  const auto [stop, error] = std::from_chars(block.data() + slash + 1, end, length);
  if (error != std::errc() || stop != end || length > size * 8) {
    return base::invalid_input("not a block such as 192.0.2.0/24");
  }
  const auto host_bits = static_cast<unsigned>(size * 8) - length;
  if (host_bits > kMostHostBits) {
    return base::invalid_input("at most 4096 addresses at once; purge all, or smaller blocks");
  }
  // The last two bytes hold all the host bits.
  const unsigned low = (static_cast<unsigned>(address[size - 2]) << 8) | address[size - 1];
  if ((low & ((1U << host_bits) - 1)) != 0) {
    return base::invalid_input("the address has bits beyond the block's");
  }
  std::vector<std::string> texts;
  for (unsigned i = 0; i < 1U << host_bits; ++i) {
    address[size - 2] = static_cast<std::uint8_t>((low + i) >> 8);
    address[size - 1] = static_cast<std::uint8_t>(low + i);
    std::array<char, INET6_ADDRSTRLEN> text{};
    inet_ntop(v6 ? AF_INET6 : AF_INET, address.data(), text.data(), text.size());
    texts.emplace_back(text.data());
  }
  return texts;
}

std::string_view name_of(cache::Use use) {
  switch (use) {
    case cache::Use::Fresh:
      return "fresh";
    case cache::Use::StaleWhileRevalidate:
      return "stale-while-revalidate";
    case cache::Use::StaleIfError:
      return "stale-if-error";
    case cache::Use::Unusable:
      break;
  }
  return "unusable";
}

std::string_view name_of(upstream::Breaker::State state) {
  switch (state) {
    case upstream::Breaker::State::Closed:
      return "closed";
    case upstream::Breaker::State::HalfOpen:
      return "half-open";
    case upstream::Breaker::State::Open:
      break;
  }
  return "open";
}

}  // namespace

Admin::Admin(Parts parts, base::UniqueFd socket)
    : parts_(std::move(parts)),
      server_(parts_.control, {.max_connections = 32, .same_user_only = true}, *this,
              parts_.metrics, parts_.shard) {
  server_.listen(std::move(socket));
}

void Admin::handle(http::Server&, http::ExchangeId id, const http::Request& request) {
  constexpr std::array<std::string_view, 2> kReads = {"/status", "/inspect"};
  constexpr std::array<std::string_view, 5> kChanges = {"/purge", "/stale", "/breaker",
                                                        "/log-level", "/drain"};
  const bool reads = std::find(kReads.begin(), kReads.end(), request.path) != kReads.end();
  const bool changes = std::find(kChanges.begin(), kChanges.end(), request.path) != kChanges.end();
  if (!reads && !changes) return answer(id, {404, "no such verb"});
  if (request.method != (reads ? http::Method::Get : http::Method::Post)) {
    return answer(id, reads ? Reply{405, "GET only", "Allow: GET\r\n"}
                            : Reply{405, "POST only", "Allow: POST\r\n"});
  }
  const std::string verb(request.path.substr(1));
  Arguments arguments = parse_query(request.query);
  if (changes) {
    parts_.log.event(Level::Warn, "admin", {{"verb", verb}, {"arguments", request.query}});
  }
  if (verb == "log-level") return answer(id, set_log_level(arguments));
  if (verb == "drain") {
    answer(id, {202, Object().flag("draining", true).take()});
    return parts_.control.post(parts_.drain);
  }
  wait_for_origin(id, verb);
  parts_.origin.loop().post(
      [this, id, verb, arguments = std::move(arguments)] { work(id, verb, arguments); });
}

void Admin::wait_for_origin(http::ExchangeId id, std::string_view verb) {
  const bool changes = verb != "status" && verb != "inspect";
  waiting_[id].set_after(parts_.control, kPatience, [this, id, changes] {
    std::string why = "the origin loop has not answered within 10 s; /livez says whether it hangs";
    if (changes) why += "; what was asked for may still be done";
    answer_waiting(id, {504, why});
  });
}

// Not to a client that has left, nor to one that was told that it came too late.
void Admin::answer_waiting(http::ExchangeId id, const Reply& reply) {
  const auto waiting = waiting_.extract(id);
  if (!waiting.empty()) answer(id, reply);
}

void Admin::rejected(const http::Rejection& rejection) {
  parts_.log.event(
      Level::Warn, "admin_rejected",
      {{"status", rejection.status}, {"reason", rejection.reason}, {"detail", rejection.detail}});
}

void Admin::answer(http::ExchangeId id, const Reply& reply) {
  http::Response response;
  response.status = reply.status;
  const bool error = reply.status >= 400;
  const std::string body = error ? http::problem_json(reply.status, reply.body) : reply.body + "\n";
  response.fields = error ? http::kProblemFields
                          : "Content-Type: application/json\r\nCache-Control: no-store\r\n";
  response.more_fields = reply.fields;
  response.body = body;
  server_.respond(id, response);
}

Admin::Reply Admin::set_log_level(const Arguments& arguments) {
  const std::string* const wanted = find(arguments, "level");
  for (const Level level : {Level::Debug, Level::Info, Level::Warn, Level::Error}) {
    if (!wanted || *wanted != observe::to_string(level)) continue;
    parts_.log.set_level(level);
    return {200, Object().text("log_level", *wanted).take()};
  }
  return {400, "expected level=debug, info, warn or error"};
}

void Admin::reply(http::ExchangeId id, Reply reply) {
  parts_.control.post([this, id, reply = std::move(reply)] { answer_waiting(id, reply); });
}

void Admin::work(http::ExchangeId id, std::string_view verb, const Arguments& arguments) {
  if (verb == "status") return reply(id, status());
  if (verb == "inspect") return reply(id, inspect(arguments));
  if (verb == "stale") return start_errand(id, arguments, "marked", &Admin::mark_stale);
  if (verb == "breaker") return reply(id, breaker(arguments));
  if (find(arguments, "all")) return reply(id, purge_all());
  start_errand(id, arguments, "purged", &Admin::purge);
}

Admin::Reply Admin::status() {
  const auto memory = parts_.memory.stats();
  const auto store = parts_.store.status();
  const auto flights = parts_.origin.flights().stats();
  const upstream::Status upstream = parts_.origin.fetcher().status();
  std::string origins = "[";
  for (const upstream::OriginStatus& origin : upstream.origins) {
    if (origins.size() > 1) origins += ',';
    origins += Object()
                   .text("name", origin.name)
                   .text("breaker", name_of(origin.breaker))
                   .flag("forced", origin.forced)
                   .number("error_rate", origin.error_rate)
                   .number("attempts", origin.volume)
                   .number("in_flight", origin.in_flight)
                   .text("last_error", origin.last_error)
                   .take();
  }
  origins += "]";
  return {200, Object()
                   .text("version", kVersion)
                   .raw("health", parts_.health.json())
                   .raw("memory", Object()
                                      .number("entries", memory.entries)
                                      .number("bytes", memory.bytes)
                                      .number("evictions", memory.evictions)
                                      .take())
                   .raw("store", Object()
                                     .number("entries", store.entries)
                                     .number("size_bytes", store.size_bytes)
                                     .number("queued", store.queued)
                                     .take())
                   .number("flights", flights.flights)
                   .number("waiters", flights.waiters)
                   .raw("origins", origins)
                   .take()};
}

base::Result<std::vector<std::string>> Admin::keys_of(const Arguments& arguments) const {
  std::vector<std::string> texts;
  if (const std::string* ip = find(arguments, "ip")) {
    texts.push_back(*ip);
  } else if (const std::string* block = find(arguments, "block")) {
    auto addresses = addresses_of(*block);
    if (!addresses) return tl::unexpected(addresses.error());
    texts = std::move(*addresses);
  } else {
    return base::invalid_input("expected ip=ADDRESS or block=ADDRESS/LENGTH");
  }
  for (std::string& text : texts) {
    std::string key;
    if (const char* problem = parts_.origin.route().key(text, {}, key)) {
      return base::invalid_input(problem);
    }
    text = std::move(key);
  }
  return texts;
}

Admin::Reply Admin::inspect(const Arguments& arguments) {
  if (!find(arguments, "ip")) return {400, "expected ip=ADDRESS"};
  const auto keys = keys_of(arguments);
  if (!keys) return {400, keys.error().message};
  const std::string& key = keys->front();
  const cache::StoredPtr in_memory = parts_.memory.find(key);
  const auto read = parts_.store.find(key);
  const cache::StoredPtr in_store = read.value_or(nullptr);
  const cache::StoredPtr stored = in_memory ? in_memory : in_store;
  Object object;
  object.text("key", key)
      .flag("in_memory", in_memory != nullptr)
      .flag("in_store", in_store != nullptr)
      .flag("fetching", parts_.origin.flights().fetching(key))
      .flag("resting", parts_.origin.flights().resting(key));
  if (!read) object.text("store_error", read.error().message);
  if (!stored) return {200, object.take()};
  const cache::Freshness freshness = cache::freshness(*stored, parts_.origin.loop().clock().wall());
  object.number("status", stored->status)
      .text("use", name_of(freshness.use))
      .number("age", freshness.age.count())
      .number("ttl", freshness.ttl.count())
      .number("stale_while_revalidate", stored->stale_while_revalidate.count())
      .number("stale_if_error", stored->stale_if_error.count())
      .text("response_time", observe::timestamp(stored->response_time))
      .text("etag", stored->etag)
      .text("upstream_etag", stored->upstream_etag)
      .text("upstream_last_modified", stored->upstream_last_modified)
      .number("body_bytes", stored->body.size());
  return {200, object.take()};
}

Admin::Reply Admin::purge_all() {
  parts_.origin.flights().purge_all();
  return {200, Object().text("purged", "all").take()};
}

void Admin::start_errand(http::ExchangeId id, const Arguments& arguments, std::string_view done,
                         Step step) {
  auto keys = keys_of(arguments);
  if (!keys) return reply(id, {400, keys.error().message});
  auto errand = std::make_shared<Errand>();
  errand->id = id;
  errand->keys = *std::move(keys);
  continue_errand(std::move(errand), done, step);
}

// Between two parts of it the loop has its turn. `done` is of a literal.
void Admin::continue_errand(std::shared_ptr<Errand> errand, std::string_view done, Step step) {
  Reply failure;
  for (std::size_t i = 0; i < kKeysAtOnce && errand->next < errand->keys.size(); ++i) {
    const std::string& key = errand->keys[errand->next++];
    if (!(this->*step)(*errand, key, failure)) return reply(errand->id, std::move(failure));
  }
  if (errand->next == errand->keys.size()) {
    return reply(errand->id, {200, Object().number(done, errand->count).take()});
  }
  parts_.origin.loop().post([this, errand = std::move(errand), done, step]() mutable {
    continue_errand(std::move(errand), done, step);
  });
}

bool Admin::purge(Errand& errand, const std::string& key, Reply&) {
  if (parts_.origin.flights().purge(key)) ++errand.count;
  return true;
}

bool Admin::mark_stale(Errand& errand, const std::string& key, Reply& failure) {
  cache::StoredPtr stored = parts_.memory.find(key);
  if (!stored) stored = parts_.store.find(key).value_or(nullptr);
  if (!stored) return true;
  const cache::Freshness freshness = cache::freshness(*stored, parts_.origin.loop().clock().wall());
  if (freshness.use != cache::Use::Fresh) return true;
  cache::StoredParts parts = *stored;
  parts.freshness_lifetime = freshness.age;  // nothing is left of it
  // So the whole is asked for: a 304 could leave it no more than that.
  parts.upstream_etag.clear();
  parts.upstream_last_modified.clear();
  cache::StoredPtr stale = cache::make_stored(std::move(parts));
  parts_.memory.put(key, stale);
  if (!parts_.store.put(key, stale)) {
    failure = {503, "not all is marked, the store is busy"};
    return false;
  }
  ++errand.count;
  return true;
}

Admin::Reply Admin::breaker(const Arguments& arguments) {
  using Forced = upstream::Breaker::Forced;
  const std::string* const state = find(arguments, "state");
  std::optional<Forced> forced;
  if (state && *state == "open") forced = Forced::Open;
  if (state && *state == "close") forced = Forced::Closed;
  if (state && *state == "auto") forced = Forced::No;
  if (!forced) return {400, "expected state=open, close or auto"};
  upstream::PolicyFetcher& fetcher = parts_.origin.fetcher();
  const std::string* const origin = find(arguments, "origin");
  const upstream::Status status = fetcher.status();
  std::size_t changed = 0;
  std::string names;
  for (std::size_t i = 0; i < status.origins.size(); ++i) {
    names += (names.empty() ? "" : ", ") + status.origins[i].name;
    if (origin && *origin != status.origins[i].name) continue;
    fetcher.force_breaker(i, *forced);
    ++changed;
  }
  if (changed == 0) return {404, "no such origin; there are: " + names};
  return {200, Object().text("breaker", *state).number("origins", changed).take()};
}

}  // namespace holdfast::daemon
