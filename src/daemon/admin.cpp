#include "daemon/admin.h"

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <span>

#include "base/suggest.h"
#include "cache/freshness.h"
#include "cache/purges.h"
#include "config/explain_command.h"
#include "daemon/live_state.h"
#include "daemon/version.h"
#include "http/field_syntax.h"
#include "http/problem.h"
#include "observe/timestamp.h"
#include "upstream/status.h"

namespace holdfast::daemon {
namespace {

using observe::Level;

// Each key is a row to look at on the origin loop, which must not stop for long.
constexpr std::size_t kKeysAtOnce = 32;
// The origin loop turns many times a second, unless it hangs.
constexpr base::Duration kPatience = std::chrono::seconds(10);
// The store writes within 50 ms, unless its disk is sick.
constexpr base::Duration kWritePatience = std::chrono::seconds(2);
// In the log, of a client that did not wait for its answer; other proxies have it so, too.
constexpr int kClientLeft = 499;
constexpr base::Duration kWriteCheck = std::chrono::milliseconds(2);

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

struct Verb {
  std::string_view path;
  bool changes;  // so it is a POST, and logged
  std::array<std::string_view, 9> names;

  std::span<const std::string_view> parameters() const {
    const auto count = std::find(names.begin(), names.end(), "") - names.begin();
    return {names.data(), static_cast<std::size_t>(count)};
  }
};
// May be given several times.
constexpr std::string_view kField = "field";
constexpr std::array kVerbs = {
    Verb{"/status", false, {}},
    Verb{"/inspect", false, {"ip", "path", "host", kField}},
    Verb{"/explain", false, {"path", "host", "method", kField, "text"}},
    Verb{
        "/purge", true, {"ip", "block", "path", "host", kField, "route", "tag", "variants", "all"}},
    Verb{
        "/stale", true, {"ip", "block", "path", "host", kField, "route", "tag", "variants", "all"}},
    Verb{"/breaker", true, {"state", "origin", "upstream"}},
    Verb{"/log-level", true, {"level"}},
    Verb{"/drain", true, {}},
};
// A verb's content says nothing; but arguments in it are refused, as they would be lost in
// silence. As much as `curl -d` sends is read for that.
constexpr std::size_t kRefusedContentBytes = 4096;

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

// In any case, as LOG_LEVEL is.
std::optional<Level> level_of(const AdminArguments& arguments) {
  const std::string* const wanted = arguments.find("level");
  for (const Level level : {Level::Debug, Level::Info, Level::Warn, Level::Error}) {
    if (wanted && http::equals_ignoring_case(*wanted, observe::to_string(level))) return level;
  }
  return std::nullopt;
}

}  // namespace

Admin::Admin(Parts parts, base::UniqueFd socket)
    : parts_(std::move(parts)),
      server_(parts_.control, {.max_connections = 32, .same_user_only = true}, *this,
              parts_.metrics, parts_.shard) {
  server_.listen(std::move(socket));
}

void Admin::handle(http::Server&, http::ExchangeId id, const http::Request& request) {
  const auto known = std::find_if(kVerbs.begin(), kVerbs.end(),
                                  [&](const Verb& verb) { return request.path == verb.path; });
  if (known == kVerbs.end()) return answer(id, {404, "no such verb"});
  if (request.method != (known->changes ? http::Method::Post : http::Method::Get)) {
    return answer(id, known->changes ? Reply{405, "POST only", "Allow: POST\r\n"}
                                     : Reply{405, "GET only", "Allow: GET\r\n"});
  }
  if (request.body.find('=') != request.body.npos) {
    return answer(id, {400, "arguments go into the query, not into the content"});
  }
  auto read = AdminArguments::read(request.query, known->parameters(), kField);
  if (!read) return answer(id, {400, read.error().message});
  AdminArguments arguments = *std::move(read);
  const std::string verb(request.path.substr(1));
  if (verb == "log-level") {
    const std::optional<Level> level = level_of(arguments);
    // Before a change that would silence it.
    log_change(verb, arguments.text(), level ? 200 : 400);
    if (!level) return answer(id, {400, "expected level=debug, info, warn or error"});
    parts_.log.set_level(*level);
    return answer(id, {200, Object().text("log_level", observe::to_string(*level)).take()});
  }
  if (verb == "drain") {
    log_change(verb, arguments.text(), 202);
    answer(id, {202, Object().flag("draining", true).take()});
    return parts_.control.post(parts_.drain);
  }
  wait_for_origin(id, verb, known->changes ? std::optional(arguments.text()) : std::nullopt);
  if (verb == "status") {
    return parts_.origin.loop().post(
        [this, id, waits = parts_.needs_restart()] { reply(id, status(waits)); });
  }
  parts_.origin.loop().post(
      [this, id, verb, arguments = std::move(arguments)] { work(id, verb, arguments); });
}

std::size_t Admin::body_limit(http::Method, std::string_view) const {
  return kRefusedContentBytes;
}

void Admin::log_change(const std::string& verb, const std::string& arguments, int status) {
  parts_.log.event(Level::Warn, "admin",
                   {{"verb", verb}, {"arguments", arguments}, {"status", status}});
}

void Admin::wait_for_origin(http::ExchangeId id, std::string verb,
                            std::optional<std::string> arguments) {
  const bool changes = arguments.has_value();
  Waiting& waiting = waiting_[id];
  waiting.verb = std::move(verb);
  waiting.arguments = std::move(arguments);
  waiting.timer.set_after(parts_.control, kPatience, [this, id, changes] {
    std::string why = "the origin loop has not answered within 10 s; /livez says whether it hangs";
    if (changes) why += "; what was asked for may still be done";
    answer_waiting(id, {504, why});
  });
}

// Not to a client that has left, nor to one that was told that it came too late.
void Admin::answer_waiting(http::ExchangeId id, const Reply& reply) {
  const auto waiting = waiting_.extract(id);
  if (waiting.empty()) return;
  const Waiting& asked = waiting.mapped();
  if (asked.arguments) log_change(asked.verb, *asked.arguments, reply.status);
  answer(id, reply);
}

// What it asked for is done all the same, or has been.
void Admin::abandoned(http::ExchangeId id) {
  const auto waiting = waiting_.extract(id);
  if (waiting.empty() || !waiting.mapped().arguments) return;
  log_change(waiting.mapped().verb, *waiting.mapped().arguments, kClientLeft);
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
  const std::string body = error        ? http::problem_json(reply.status, reply.body)
                           : reply.text ? reply.body
                                        : reply.body + "\n";
  response.fields = error ? http::kProblemFields
                    : reply.text
                        ? "Content-Type: text/plain; charset=utf-8\r\nCache-Control: no-store\r\n"
                        : "Content-Type: application/json\r\nCache-Control: no-store\r\n";
  response.more_fields = reply.fields;
  response.body = body;
  server_.respond(id, response);
}

void Admin::reply(http::ExchangeId id, Reply reply) {
  parts_.control.post([this, id, reply = std::move(reply)]() mutable {
    if (reply.written_through == 0) return answer_waiting(id, reply);
    answer_when_written(id, std::move(reply), parts_.control.now() + kWritePatience);
  });
}

// It is done by then; what is waited for is that it holds after a crash.
void Admin::answer_when_written(http::ExchangeId id, Reply reply, base::SteadyTime until) {
  const auto waiting = waiting_.find(id);
  if (waiting == waiting_.end()) return;
  const bool written = parts_.store.committed_through(reply.written_through);
  const cache::StoreStatus status = written ? cache::StoreStatus{} : parts_.store.status();
  const bool hopeless = status.state == cache::StoreStatus::State::Off;
  if (!written && !hopeless && parts_.control.now() < until) {
    return waiting->second.timer.set_after(parts_.control, kWriteCheck,
                                           [this, id, reply = std::move(reply), until]() mutable {
                                             answer_when_written(id, std::move(reply), until);
                                           });
  }
  if (!written || reply.says_durable) {
    reply.body.pop_back();
    reply.body.append(written ? ",\"durable\":true}" : ",\"durable\":false,\"why\":\"");
  }
  if (!written) {
    observe::append_json_escaped(reply.body,
                                 status.reason.empty() ? "the disk is slow" : status.reason);
    reply.body += "\"}";
  }
  answer_waiting(id, reply);
}

void Admin::work(http::ExchangeId id, std::string_view verb, const AdminArguments& arguments) {
  if (verb == "inspect") return reply(id, inspect(arguments));
  if (verb == "explain") return reply(id, explain(arguments));
  if (verb == "breaker") return reply(id, breaker(arguments));
  purge(id, arguments, verb == "stale");
}

base::Result<std::optional<Admin::Set>> Admin::set_of(const AdminArguments& arguments) const {
  using Kind = cache::Purge::Kind;
  const auto all = arguments.flag("all");
  if (!all) return tl::unexpected(all.error());
  const auto variants = arguments.flag("variants");
  if (!variants) return tl::unexpected(variants.error());
  std::string named = *all ? "all" : "";
  for (const char* name : {"route", "tag", "ip", "block", "path"}) {
    if (!arguments.find(name)) continue;
    const bool of_keys = name[0] == 'i' || name[0] == 'b' || name[0] == 'p';
    if (!named.empty() && !(of_keys && named != "all" && named != "route" && named != "tag")) {
      return base::invalid_input(named + " beside " + name + ": which of them is meant?");
    }
    named = name;
  }
  const bool by_set = named == "all" || named == "route" || named == "tag";
  for (const char* name : {"host", kField.data(), "variants"}) {
    if (by_set && arguments.find(name)) {
      return base::invalid_input(std::string(name) + ": goes with a path");
    }
  }
  if (*all) return Set{Kind::All, {}, "all", {}};
  if (const std::string* const tag = arguments.find("tag")) {
    if (tag->empty()) return base::invalid_input("tag: is empty");
    if (tag->size() > cache::kLongestTag) {
      return base::invalid_input("tag: is longer than those that are kept, of " +
                                 std::to_string(cache::kLongestTag) +
                                 " bytes; what has longer ones is taken by a purge of any tag");
    }
    if (!cache::is_kept_tag(*tag)) {
      return base::invalid_input(
          "tag: has bytes beyond ASCII, as none that is kept; what has such ones is taken by a "
          "purge of any tag");
    }
    return Set{Kind::Tag, *tag, "tag", *tag};
  }
  if (const std::string* const name = arguments.find("route")) {
    std::vector<std::string> names;
    const std::shared_ptr<const proxy::Routes> routes = parts_.origin.routes();
    for (std::size_t i = 0; i < routes->size(); ++i) {
      names.emplace_back((*routes)[i].route.name());
    }
    if (std::find(names.begin(), names.end(), *name) != names.end()) {
      return Set{Kind::Route, *name, "route", *name};
    }
    const std::string near = base::nearest(*name, names);
    std::string there;
    for (const std::string& one : names) there += (there.empty() ? "" : ", ") + one;
    return base::invalid_input("route: there is none of that name" +
                               (near.empty() ? "" : "; did you mean " + near + "?") +
                               "; there are: " + there);
  }
  if (!*variants) return std::nullopt;
  if (named != "path") return base::invalid_input("variants: goes with a path");
  if (!arguments.all_of(kField).empty()) {
    return base::invalid_input("field beside variants: which of them is meant?");
  }
  const auto keys = keys_of(arguments);
  if (!keys) return tl::unexpected(keys.error());
  const proxy::Routes::Named& first = keys->front();
  const std::string path(cache::path_of(first.key));
  const std::string& asked = *arguments.find("path");
  return Set{Kind::Path, path, "path", asked.substr(0, asked.find_first_of("?#"))};
}

void Admin::purge(http::ExchangeId id, const AdminArguments& arguments, bool soft) {
  const auto set = set_of(arguments);
  if (!set) return reply(id, {400, set.error().message});
  const std::string_view done = soft ? "marked" : "purged";
  if (!*set) {
    return start_errand(id, arguments, done, soft ? &Admin::mark_stale : &Admin::purge_key);
  }
  parts_.origin.purge((*set)->kind, soft, (*set)->what);
  Object object;
  object.text(done, (*set)->name);
  if (!(*set)->shown.empty()) object.text((*set)->name, (*set)->shown);
  // Somebody may have meant two, or have mistaken a sentence for a tag.
  if ((*set)->kind == cache::Purge::Kind::Tag && (*set)->what.find(' ') != std::string::npos) {
    object.text("note", "a tag with a blank in it can come from Cache-Groups alone");
  }
  Reply answer{200, object.take()};
  answer.written_through = parts_.store.queued_through();
  answer.says_durable = true;
  reply(id, std::move(answer));
}

Admin::Reply Admin::status(const std::vector<std::string>& needs_restart) {
  std::string waits;
  for (const std::string& key : needs_restart) {
    waits += waits.empty() ? "\"" : ",\"";
    observe::append_json_escaped(waits, key);
    waits += '"';
  }
  const auto memory = parts_.memory.stats();
  const auto store = parts_.store.status();
  std::size_t flights = 0;
  std::size_t waiters = 0;
  std::string origins = "[";
  for (const auto& group : parts_.origin.groups()) {
    const auto stats = group->flights().stats();
    flights += stats.flights;
    waiters += stats.waiters;
    const upstream::Status upstream = group->fetcher().status();
    for (const upstream::OriginStatus& origin : upstream.origins) {
      if (origins.size() > 1) origins += ',';
      Object object;
      object.text("name", origin.name);
      if (!group->shown_name().empty()) object.text("upstream", group->shown_name());
      origins +=
          object.text("breaker", name_of(origin.breaker))
              .flag("forced", origin.forced)
              .raw("error_rate", origin.error_rate ? std::to_string(*origin.error_rate) : "null")
              .number("attempts", origin.volume)
              .number("in_flight", origin.in_flight)
              .text("last_error", origin.last_error)
              .take();
    }
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
                   .number("flights", flights)
                   .number("waiters", waiters)
                   .raw("origins", origins)
                   .raw("needs_restart", "[" + waits + "]")
                   .take()};
}

base::Result<std::vector<proxy::Routes::Named>> Admin::keys_of(
    const AdminArguments& arguments) const {
  const proxy::Routes& routes = *parts_.origin.routes();
  const std::string* const ip = arguments.find("ip");
  const std::string* const block = arguments.find("block");
  const std::string* const path = arguments.find("path");
  const std::string* const host = arguments.find("host");
  if (int{ip != nullptr} + int{block != nullptr} + int{path != nullptr} != 1) {
    return base::invalid_input("expected either ip=ADDRESS, block=ADDRESS/LENGTH or path=/PATH");
  }
  if (host && !path) return base::invalid_input("host: goes with a path");
  const std::vector<std::string> fields = arguments.all_of(kField);
  if (!fields.empty() && !path) return base::invalid_input("field: goes with a path");
  std::vector<proxy::Routes::Named> keys;
  if (path) {
    const auto asked = config::make_explain_command("/", "GET", fields);
    if (!asked) return tl::unexpected(asked.error());
    std::vector<http::FieldLine> lines;
    for (const auto& [name, value] : asked->fields) lines.push_back({name, value});
    auto named = routes.named(host ? std::string_view(*host) : std::string_view(), *path, lines);
    if (!named) return base::invalid_input("path: " + named.error().message);
    keys.push_back(*std::move(named));
    return keys;
  }
  std::vector<std::string> texts;
  if (ip) {
    texts.push_back(*ip);
  } else {
    auto addresses = addresses_of_block(*block);
    if (!addresses) return base::invalid_input("block: " + addresses.error().message);
    texts = *std::move(addresses);
  }
  for (const std::string& text : texts) {
    // Decoded already, unlike a path.
    auto named = routes.named_by_subject(text);
    if (!named) {
      return base::invalid_input("ip: " + named.error().message +
                                 std::string(block ? std::string_view() : hint_at_path(text)));
    }
    keys.push_back(*std::move(named));
  }
  return keys;
}

Admin::Reply Admin::inspect(const AdminArguments& arguments) {
  if (arguments.find("ip") == nullptr && arguments.find("path") == nullptr) {
    return {400, "expected ip=ADDRESS or path=/PATH"};
  }
  const auto keys = keys_of(arguments);
  if (!keys) return {400, keys.error().message};
  const auto& [entry, key] = keys->front();
  const cache::StoredPtr in_memory = parts_.memory.find(key);
  const auto read = parts_.store.find(key);
  const cache::StoredPtr in_store = read.value_or(nullptr);
  const cache::StoredPtr stored = in_memory ? in_memory : in_store;
  Object object;
  object.text("key", key)
      .flag("in_memory", in_memory != nullptr)
      .flag("in_store", in_store != nullptr)
      .flag("fetching", entry->flights.fetching(key))
      .flag("resting", entry->flights.resting(key));
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
  if (stored->tags.empty()) return {200, object.take()};
  std::string tags = "[";
  cache::for_each_tag(stored->tags, [&](std::string_view tag) {
    tags += tags.size() > 1 ? ",\"" : "\"";
    observe::append_json_escaped(tags, tag);
    tags += '"';
  });
  object.raw("tags", tags + "]").flag("more_tags", cache::has_more_tags(stored->tags));
  return {200, object.take()};
}

Admin::Reply Admin::explain(const AdminArguments& arguments) {
  const auto given = [&arguments](std::string_view name, const char* otherwise) {
    const std::string* const text = arguments.find(name);
    return text ? *text : std::string(otherwise);
  };
  const std::string path = given("path", "");
  if (!path.starts_with('/')) return {400, "expected path=/PATH"};
  auto command =
      config::make_explain_command(path, given("method", "GET"), arguments.all_of(kField));
  if (!command) return {400, command.error().message};
  if (const std::string* const host = arguments.find("host")) command->host = *host;
  const auto state =
      live_state({parts_.origin, parts_.memory, parts_.store, parts_.request_deadline}, *command);
  if (!state) return {400, state.error().message};
  if (arguments.find("text")) return {.body = live_text(*state), .text = true};
  return {200, live_json(*state)};
}

void Admin::start_errand(http::ExchangeId id, const AdminArguments& arguments,
                         std::string_view done, Step step) {
  auto keys = keys_of(arguments);
  if (!keys) return reply(id, {400, keys.error().message});
  auto errand = std::make_shared<Errand>();
  errand->id = id;
  errand->routes = parts_.origin.routes();
  errand->keys = *std::move(keys);
  const proxy::RoutePlan& plan = errand->keys.front().entry->route.plan();
  if (!plan.key_fields.empty() && arguments.all_of(kField).empty()) {
    errand->note = "of requests without the route's key_fields; field='Name: value' names others";
  }
  continue_errand(std::move(errand), done, step);
}

// Between two parts of it the loop has its turn. `done` is of a literal.
void Admin::continue_errand(std::shared_ptr<Errand> errand, std::string_view done, Step step) {
  Reply failure;
  for (std::size_t i = 0; i < kKeysAtOnce && errand->next < errand->keys.size(); ++i) {
    const proxy::Routes::Named& named = errand->keys[errand->next++];
    if (!(this->*step)(*errand, named, failure)) return reply(errand->id, std::move(failure));
  }
  if (errand->next == errand->keys.size()) {
    Object object;
    object.number(done, errand->count);
    if (!errand->note.empty()) object.text("note", errand->note);
    parts_.origin.count_purge_of_urls(step == &Admin::mark_stale);
    Reply answer{200, object.take()};
    answer.written_through = parts_.store.queued_through();
    return reply(errand->id, std::move(answer));
  }
  parts_.origin.loop().post([this, errand = std::move(errand), done, step]() mutable {
    continue_errand(std::move(errand), done, step);
  });
}

bool Admin::purge_key(Errand& errand, const proxy::Routes::Named& named, Reply&) {
  if (named.entry->flights.purge(named.key)) ++errand.count;
  return true;
}

bool Admin::mark_stale(Errand& errand, const proxy::Routes::Named& named, Reply& failure) {
  const std::string& key = named.key;
  named.entry->flights.mark_stale(key);
  cache::StoredPtr stored = parts_.memory.find(key);
  if (!stored) {
    stored = parts_.store.find(key).value_or(nullptr);
    // Memory is for what needs no judging any more.
    if (stored && !parts_.origin.is_right(key, *stored)) stored = nullptr;
  }
  if (!stored) return true;
  if (stored->kind == cache::Kind::Variants) {
    parts_.origin.purge(cache::Purge::Kind::Path, true, cache::path_of(key));
    errand.note = "its answers vary, so all of its path is marked";
    ++errand.count;
    return true;
  }
  const cache::Freshness freshness = cache::freshness(*stored, parts_.origin.loop().clock().wall());
  const bool was_fresh = freshness.use == cache::Use::Fresh;
  // What is stale already is asked for whole, too: a 304 would make it fresh again.
  const bool asks_whole = stored->upstream_etag.empty() && stored->upstream_last_modified.empty();
  if (!was_fresh && asks_whole) return true;
  cache::StoredPtr stale = cache::without_lifetime(*stored, parts_.origin.loop().clock().wall());
  parts_.memory.put(key, stale);
  const bool has_store = parts_.store.status().state != cache::StoreStatus::State::Off;
  if (has_store && !parts_.store.put(key, stale)) {
    failure = {503, "not all is marked, the store is busy"};
    return false;
  }
  if (was_fresh) ++errand.count;
  return true;
}

Admin::Reply Admin::breaker(const AdminArguments& arguments) {
  using Forced = upstream::Breaker::Forced;
  const std::string* const state = arguments.find("state");
  std::optional<Forced> forced;
  if (state && *state == "open") forced = Forced::Open;
  if (state && *state == "close") forced = Forced::Closed;
  if (state && *state == "auto") forced = Forced::No;
  if (!forced) return {400, "expected state=open, close or auto"};
  const std::string* const origin = arguments.find("origin");
  const std::string* const upstream = arguments.find("upstream");
  std::vector<std::pair<OriginGroup*, std::vector<upstream::OriginStatus>>> all;
  std::string names;
  for (const auto& group : parts_.origin.groups()) {
    if (upstream && group->shown_name() != *upstream) continue;
    all.emplace_back(group.get(), group->fetcher().status().origins);
    for (const upstream::OriginStatus& one : all.back().second) {
      names += (names.empty() ? "" : ", ") + one.name;
    }
  }
  if (all.empty()) {
    for (const auto& group : parts_.origin.groups()) {
      if (group->shown_name().empty()) continue;
      names += (names.empty() ? "" : ", ") + group->shown_name();
    }
    return {404, "no such upstream" + (names.empty() ? names : "; there are: " + names)};
  }
  const auto is_name = [&](const std::string& text) {
    return std::any_of(all.begin(), all.end(), [&](const auto& group) {
      return std::any_of(group.second.begin(), group.second.end(),
                         [&](const upstream::OriginStatus& one) { return one.name == text; });
    });
  };
  // Its name, or its URL as it is configured, unless several look the same without their keys.
  std::string wanted = origin ? *origin : std::string();
  if (origin && !is_name(wanted)) wanted = masked_origin(wanted);
  if (origin && wanted != *origin && is_name(wanted + "-2")) {
    return {404, "several origins are called that; there are: " + names};
  }
  std::size_t changed = 0;
  for (const auto& [group, origins] : all) {
    for (std::size_t i = 0; i < origins.size(); ++i) {
      if (origin && origins[i].name != wanted) continue;
      group->fetcher().force_breaker(i, *forced);
      ++changed;
    }
  }
  if (changed == 0) return {404, "no such origin; there are: " + names};
  return {200, Object().text("breaker", *state).number("origins", changed).take()};
}

}  // namespace holdfast::daemon
