#include "daemon/admin.h"

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <span>

#include "base/suggest.h"
#include "cache/purges.h"
#include "daemon/json_object.h"
#include "http/field_syntax.h"
#include "http/problem.h"

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

struct Verb {
  std::string_view path;
  bool changes;  // so it is a POST, and logged
  std::array<std::string_view, 9> names;

  std::span<const std::string_view> parameters() const {
    const auto count = std::find(names.begin(), names.end(), "") - names.begin();
    return {names.data(), static_cast<std::size_t>(count)};
  }
};
constexpr std::array kVerbs = {
    Verb{"/status", false, {}},
    Verb{"/inspect", false, {"ip", "path", "host", kAdminField}},
    Verb{"/explain", false, {"path", "host", "method", kAdminField, "text"}},
    Verb{"/purge",
         true,
         {"ip", "block", "path", "host", kAdminField, "route", "tag", "variants", "all"}},
    Verb{"/stale",
         true,
         {"ip", "block", "path", "host", kAdminField, "route", "tag", "variants", "all"}},
    Verb{"/breaker", true, {"state", "origin", "upstream"}},
    Verb{"/log-level", true, {"level"}},
    Verb{"/drain", true, {}},
};
// A verb's content says nothing; but arguments in it are refused, as they would be lost in
// silence. As much as `curl -d` sends is read for that.
constexpr std::size_t kRefusedContentBytes = 4096;

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
  auto read = AdminArguments::read(request.query, known->parameters(), kAdminField);
  if (!read) return answer(id, {400, read.error().message});
  AdminArguments arguments = *std::move(read);
  const std::string verb(request.path.substr(1));
  if (verb == "log-level") {
    const std::optional<Level> level = level_of(arguments);
    // Before a change that would silence it.
    log_change(verb, arguments.text(), level ? 200 : 400);
    if (!level) return answer(id, {400, "expected level=debug, info, warn or error"});
    parts_.log.set_level(*level);
    return answer(id, {200, JsonObject().text("log_level", observe::to_string(*level)).take()});
  }
  if (verb == "drain") {
    log_change(verb, arguments.text(), 202);
    answer(id, {202, JsonObject().flag("draining", true).take()});
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
  for (const char* name : {"host", kAdminField.data(), "variants"}) {
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
  if (!arguments.all_of(kAdminField).empty()) {
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
  JsonObject object;
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

// Between two parts of it the loop has its turn. `done` is of a literal.
void Admin::continue_errand(std::shared_ptr<Errand> errand, std::string_view done, Step step) {
  Reply failure;
  for (std::size_t i = 0; i < kKeysAtOnce && errand->next < errand->keys.size(); ++i) {
    const proxy::Routes::Named& named = errand->keys[errand->next++];
    if (!(this->*step)(*errand, named, failure)) return reply(errand->id, std::move(failure));
  }
  if (errand->next == errand->keys.size()) {
    JsonObject object;
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
  return {200, JsonObject().text("breaker", *state).number("origins", changed).take()};
}

}  // namespace holdfast::daemon
