// The verbs of Admin that change nothing: what the daemon, a key or a request comes to.
#include <optional>

#include "cache/freshness.h"
#include "config/explain_command.h"
#include "daemon/admin.h"
#include "daemon/json_object.h"
#include "daemon/live_state.h"
#include "daemon/version.h"
#include "proxy/variants.h"
#include "upstream/status.h"

namespace holdfast::daemon {
namespace {

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
      JsonObject object;
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
  return {200, JsonObject()
                   .text("version", kVersion)
                   .raw("health", parts_.health.json())
                   .raw("memory", JsonObject()
                                      .number("entries", memory.entries)
                                      .number("bytes", memory.bytes)
                                      .number("evictions", memory.evictions)
                                      .take())
                   .raw("store", JsonObject()
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
  const std::vector<std::string> fields = arguments.all_of(kAdminField);
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
  JsonObject object;
  object.text("key", key)
      .flag("in_memory", in_memory != nullptr)
      .flag("in_store", in_store != nullptr)
      .flag("fetching", entry->flights.fetching(key))
      .flag("resting", entry->flights.resting(key));
  if (!read) object.text("store_error", read.error().message);
  if (!stored) return {200, object.take()};
  if (stored->kind == cache::Kind::Variants) {
    // Which of them answers a request, explain says.
    object.flag("varies", true)
        .number("variants", proxy::VariantIndex(*stored).variants().size())
        .text("response_time", observe::timestamp(stored->response_time));
    return {200, object.take()};
  }
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
      config::make_explain_command(path, given("method", "GET"), arguments.all_of(kAdminField));
  if (!command) return {400, command.error().message};
  if (const std::string* const host = arguments.find("host")) command->host = *host;
  const auto state =
      live_state({parts_.origin, parts_.memory, parts_.store, parts_.request_deadline()}, *command);
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
  if (!plan.key_fields.empty() && arguments.all_of(kAdminField).empty()) {
    errand->note = "of requests without the route's key_fields; field='Name: value' names others";
  }
  continue_errand(std::move(errand), done, step);
}

}  // namespace holdfast::daemon
