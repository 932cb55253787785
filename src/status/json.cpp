#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "observe/json_writer.h"
#include "observe/metric_table.h"
#include "status/page.h"

namespace holdfast::status {
namespace {

using observe::JsonWriter;

double seconds(base::Duration duration) {
  return std::chrono::duration<double>(duration).count();
}

// Four digits: the buckets know no more, and the hour's columns stay short.
double rounded(double value) {
  if (!std::isfinite(value)) return value;
  char text[32];
  std::snprintf(text, sizeof text, "%.4g", value);
  return std::strtod(text, nullptr);
}

// What lies above the last bucket's bound is told as that bound.
std::optional<double> told_quantile(const std::vector<std::uint64_t>& buckets, double q) {
  const auto value = quantile(buckets, q);
  if (!value) return std::nullopt;
  return rounded(
      std::min(*value, observe::metric_info(observe::Family::RequestDuration).bounds.back()));
}

void write_window(JsonWriter& json, std::string_view name, const History::Window& window) {
  const Counts& counts = window.counts;
  json.key(name).open('{');
  json.member("seconds", rounded(seconds(window.length)));
  json.member("share_ok", counts.share_ok());
  json.member("share_without_upstream", counts.share_without_upstream());
  json.member("ok", counts.ok());
  for (std::size_t i = 0; i < kOutcomes; ++i) json.member(outcome_name(i), counts.outcomes[i]);
  json.key("attempts").open('{');
  for (std::size_t i = 0; i < counts.attempts.size(); ++i) {
    json.member(upstream::to_string(static_cast<upstream::Outcome>(i)), counts.attempts[i]);
  }
  json.close('}');
  json.key("latency").open('{');
  const auto write_latency = [&](std::string_view of, const std::vector<std::uint64_t>& buckets) {
    json.key(of).open('{');
    json.member("p50", told_quantile(buckets, 0.5));
    json.member("p95", told_quantile(buckets, 0.95));
    json.member("p99", told_quantile(buckets, 0.99));
    json.close('}');
  };
  write_latency("all", counts.all_durations());
  for (std::size_t i = 0; i < proxy::kCacheOutcomes; ++i) {
    write_latency(outcome_name(i), counts.durations[i]);
  }
  json.close('}').close('}');
}

template <typename Column>
void write_column(JsonWriter& json, std::string_view name, const Snapshot& data, Column column) {
  json.key(name).open('[');
  for (const auto& sample : data.samples) json.value(column(sample));
  json.close(']');
}

void write_history(JsonWriter& json, const Snapshot& data) {
  json.key("history").open('{');
  json.member("step_seconds", data.step.count());
  write_column(json, "at", data, [](const auto& sample) {
    return static_cast<double>(sample.at.time_since_epoch().count() / 100) / 10;
  });
  write_column(json, "seconds", data,
               [](const auto& sample) { return rounded(seconds(sample.length)); });
  for (std::size_t i = 0; i < kOutcomes; ++i) {
    write_column(json, outcome_name(i), data,
                 [i](const auto& sample) { return sample.counts.outcomes[i]; });
  }
  for (const auto& [name, q] : {std::pair{"p50", 0.5}, {"p95", 0.95}, {"p99", 0.99}}) {
    write_column(json, name, data, [q = q](const auto& sample) {
      return told_quantile(sample.counts.all_durations(), q);
    });
  }
  json.close('}');
}

// Null: not known.
void write_seconds(JsonWriter& json, std::string_view name, base::Duration duration) {
  json.key(name);
  duration > base::Duration::zero() ? json.value(rounded(seconds(duration))) : json.null();
}

void write_address(JsonWriter& json, const upstream::Addresses::View& address) {
  json.open('{');
  json.member("address", address.address);  // empty: the URL's own
  json.member("dark", address.dark);
  json.member("last_error", address.last_error);
  write_seconds(json, "connect_seconds", address.connect);
  write_seconds(json, "tls_seconds", address.tls);
  json.close('}');
}

void write_origin(JsonWriter& json, const upstream::OriginStatus& origin) {
  json.open('{');
  json.member("name", origin.name);
  json.member("breaker", upstream::to_string(origin.breaker));
  json.member("forced", origin.forced);
  json.member("breaker_since", origin.breaker_since);
  json.key("next_probe_seconds");
  origin.next_probe ? json.value(rounded(seconds(*origin.next_probe))) : json.null();
  json.member("last_success", origin.last_success);
  json.member("last_error_at", origin.last_error_at);
  json.member("last_error", origin.last_error);
  json.member("last_error_status", origin.last_error_status);
  json.member("redirect", origin.redirect);
  json.member("answers_refused", origin.answers_refused);
  json.key("clock_ahead_seconds");
  origin.clock_ahead ? json.value(origin.clock_ahead->count()) : json.null();
  json.key("error_rate");
  origin.error_rate ? json.value(rounded(*origin.error_rate)) : json.null();
  json.member("attempts_lately", origin.volume);
  json.member("in_flight", origin.in_flight);
  json.member("concurrency_limit", origin.concurrency_limit);
  json.member("pace", rounded(origin.pace));  // null: not limited
  json.member("suspect_after_seconds", rounded(seconds(origin.suspect_after)));
  json.member("median_seconds", rounded(seconds(origin.median)));
  json.member("certificate_refused", origin.certificate_refused);
  json.member("name_trouble", origin.name_trouble);
  json.key("addresses").open('[');
  for (const auto& address : origin.addresses) write_address(json, address);
  json.close(']');
  json.key("breaker_history").open('[');
  for (const auto& change : origin.breaker_history) {
    json.open('{');
    json.member("at", change.at);
    json.member("to", upstream::to_string(change.to));
    json.member("last_error", change.last_error);
    json.close('}');
  }
  json.close(']').close('}');
}

void write_upstream(JsonWriter& json, const Snapshot::Upstream& upstream) {
  const upstream::Status& status = upstream.status;
  json.open('{');
  if (!upstream.name.empty()) json.member("name", upstream.name);
  json.member("token", upstream::to_string(status.token));
  json.member("fetches", status.fetches);
  json.member("in_flight", status.in_flight);
  json.member("queued", status.queued);
  json.member("parked", status.parked);
  json.member("retry_budget", rounded(status.retry_budget));
  json.member("forbidden_share", upstream.forbidden_share);
  json.key("origins").open('[');
  for (const auto& origin : status.origins) write_origin(json, origin);
  json.close(']').close('}');
}

// The first by itself, as it was when there could be but one.
void write_upstreams(JsonWriter& json, const Snapshot& data) {
  json.key("upstream");
  write_upstream(json, data.upstreams.front());
  json.key("upstreams").open('[');
  for (const auto& upstream : data.upstreams) write_upstream(json, upstream);
  json.close(']');
}

void write_store(JsonWriter& json, const Snapshot& data) {
  const cache::StoreStatus& store = data.store;
  const auto moment = [](base::WallTime at) {
    return at == base::WallTime() ? std::nullopt : std::optional(at);
  };
  json.key("memory").open('{');
  json.member("entries", data.memory.entries);
  json.member("bytes", data.memory.bytes);
  json.member("limit_bytes", data.memory_limit_bytes);
  json.member("evictions", data.memory.evictions);
  json.close('}');
  json.key("store").open('{');
  json.member("configured", data.has_store);
  json.member("trouble", data.store_trouble);
  json.member("entries", store.entries);
  json.member("bytes", store.size_bytes);
  json.member("limit_bytes", data.store_limit_bytes);
  json.member("queued", store.queued);
  json.member("committed", store.committed);
  json.member("dropped", store.dropped);
  json.member("evicted", store.evicted);
  json.member("read_errors", store.read_errors);
  json.member("write_errors", store.write_errors);
  json.member("corrupt_rows", store.corrupt_rows);
  json.member("last_commit_seconds", rounded(store.last_commit_seconds));
  json.member("oldest", moment(store.oldest));
  json.member("newest", moment(store.newest));
  json.close('}');
  json.member("usable_for_seconds", data.usable_for.count());
}

}  // namespace

std::string to_json(const Snapshot& data) {
  std::string out;
  out.reserve(48U << 10);
  JsonWriter json(out);
  json.open('{');
  json.member("at", data.at);
  json.member("version", data.version);
  json.member("started", data.started);
  json.member("state", observe::to_string(data.state));
  json.member("headline", headline(data));
  json.key("health").raw(std::string_view(data.health_json).substr(0, data.health_json.find('\n')));
  json.member("connections", data.connections);
  json.member("requests_in_flight", data.requests_in_flight);
  write_window(json, "minute", History::window(data.samples, std::chrono::minutes(1)));
  write_window(json, "hour", History::window(data.samples, std::chrono::hours(1)));
  write_history(json, data);
  write_upstreams(json, data);
  write_store(json, data);
  json.key("failures").open('[');
  for (const auto& failure : data.failures) {
    json.open('{');
    json.member("status", failure.status);
    json.member("cause", failure.cause);
    json.member("count", failure.count);
    json.member("first", failure.first);
    json.member("last", failure.last);
    json.member("request_id", failure.request_id);
    json.member("attempts", failure.attempts);
    json.close('}');
  }
  json.close(']');
  json.key("loops").open('[');
  for (const auto& loop : data.loops) {
    json.open('{').member("name", loop.name).member("lag_seconds", rounded(loop.lag_seconds));
    json.close('}');
  }
  json.close(']');
  json.key("settings").open('[');
  for (const auto& setting : data.settings) {
    json.open('{').member("key", setting.key).member("value", setting.value);
    json.member("source", setting.source).close('}');
  }
  json.close(']');
  json.key("reload").open('{').member("at", data.reload.at);
  json.member("ok", data.reload.error.empty()).member("error", data.reload.error);
  json.key("needs_restart").open('[');
  for (const std::string& key : data.reload.needs_restart) json.value(key);
  json.close(']').close('}').close('}');
  return out;
}

}  // namespace holdfast::status
