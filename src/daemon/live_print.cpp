// A LiveState as people and programs read it.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>

#include "daemon/live_state.h"
#include "daemon/sheet.h"
#include "observe/json_writer.h"

namespace holdfast::daemon {
namespace {

using std::chrono::seconds;

double number_of_seconds(base::Duration time) {
  return std::chrono::duration<double>(time).count();
}

std::string rounded(double number) {
  char out[32];
  std::snprintf(out, sizeof out, "%.1f", number);
  return out;
}

// In the unit that a person would choose.
std::string in_words(seconds time) {
  constexpr std::int64_t kMinute = 60;
  constexpr std::int64_t kHour = 60 * kMinute;
  constexpr std::int64_t kDay = 24 * kHour;
  const std::int64_t count = time.count();
  const auto in = [count](std::int64_t unit, const char* name) {
    return rounded(static_cast<double>(count) / static_cast<double>(unit)) + name;
  };
  if (count < 2 * kMinute) return std::to_string(count) + " s";
  if (count < 2 * kHour) return in(kMinute, " min");
  return count < 2 * kDay ? in(kHour, " h") : in(kDay, " days");
}

// What of a window behind the freshness lifetime is left.
seconds left(const LiveState& state, seconds window) {
  return std::max(seconds(0), state.freshness.ttl + window);
}

void append_stored(Sheet& sheet, const LiveState& state) {
  if (!state.store_error.empty()) sheet.row("stored", "the store: " + state.store_error);
  if (!state.stored) {
    sheet.row("stored", "nothing");
    return;
  }
  const cache::StoredResponse& stored = *state.stored;
  const std::string where =
      state.in_memory ? state.in_store ? "in memory and on disk" : "in memory" : "on disk";
  sheet.row("stored", where + ": " + std::to_string(stored.status) + ", " +
                          std::to_string(stored.body.size()) + " bytes, age " +
                          in_words(state.freshness.age));
  const bool fresh = state.freshness.use == cache::Use::Fresh;
  sheet.more(fresh ? "fresh for " + in_words(state.freshness.ttl) + " more"
                   : "stale for " + in_words(-state.freshness.ttl));
  const auto window = [&state](std::chrono::seconds length) {
    return length > std::chrono::seconds(0) ? "for " + in_words(left(state, length)) + " from now"
                                            : std::string("never");
  };
  sheet.more("stale-while-revalidate " + window(stored.stale_while_revalidate) +
             ", stale-if-error " + window(stored.stale_if_error));
  if (state.passed) return;
  if (state.offline) {
    sheet.more("not refreshed: the route is offline");
  } else if (fresh) {
    sheet.more("refreshed with the first request in " + in_words(state.freshness.ttl) +
               " or later");
  } else if (state.rests_for > base::Duration::zero()) {
    sheet.more("refreshed with the first request when the key does not rest any more");
  } else if (!state.fetching) {
    sheet.more("refreshed with the next request");
  }
}

std::string for_so_long(base::Duration time) {
  return "for " + rounded(number_of_seconds(time)) + " s";
}

void append_remembered(Sheet& sheet, std::string_view label,
                       const proxy::Flights::Remembered& what) {
  if (what.left <= base::Duration::zero()) return;
  sheet.row(label, for_so_long(what.left) + ", " + proxy::reason_in_words(what.word));
}

void append_fetch(Sheet& sheet, const LiveState& state) {
  sheet.row("fetch", state.fetching ? "under way, " + std::to_string(state.waiting) + " waiting"
                                    : std::string("none under way"));
  if (state.rests_for > base::Duration::zero()) {
    const std::string by = state.rests_by.empty() ? "" : " (" + std::string(state.rests_by) + ")";
    sheet.row("rests", for_so_long(state.rests_for) + by +
                           (state.rests_because.empty() ? ", as the last refresh failed"
                                                        : ": " + state.rests_because));
  }
  append_remembered(sheet, "alone", state.unshared);
  append_remembered(sheet, "passes", state.passes);
}

std::string origin_line(const upstream::OriginStatus& origin) {
  std::string line = origin.name + ": breaker " + std::string(to_string(origin.breaker)) +
                     (origin.forced ? " by hand" : "");
  if (origin.next_probe) {
    line += ", probed in " + rounded(std::max(0.0, number_of_seconds(*origin.next_probe))) + " s";
  }
  line += ", " + std::to_string(origin.in_flight) + " of " +
          std::to_string(origin.concurrency_limit) + " attempts in flight";
  line += std::isfinite(origin.pace) ? ", paced to " + rounded(origin.pace) + "/s" : ", not paced";
  if (!origin.last_error.empty()) line += ", last error: " + origin.last_error;
  return line;
}

void append_remembered(observe::JsonWriter& json, const std::string& name,
                       const proxy::Flights::Remembered& what) {
  if (what.left <= base::Duration::zero()) return;
  json.member(name + "_for", number_of_seconds(what.left)).member(name + "_by", what.word);
}

}  // namespace

std::string live_text(const LiveState& state) {
  Sheet sheet;
  sheet.row("key", state.key);
  if (!state.variant.empty()) sheet.row("variant", state.variant);
  append_stored(sheet, state);
  // Neither is any matter to what is passed through.
  if (!state.passed) append_fetch(sheet, state);
  std::string_view label = "upstream";
  for (const upstream::OriginStatus& origin : state.upstream_status.origins) {
    sheet.row(label, origin_line(origin));
    label = {};
  }
  sheet.more(rounded(state.upstream_status.retry_budget) + " retries in the budget, " +
             std::to_string(state.upstream_status.queued) + " fetches wait for their turn, " +
             std::to_string(state.upstream_status.parked) + " for a probe");
  sheet.row("now", std::string(state.rung) + ": " + state.why);
  if (!state.if_it_fails.empty()) sheet.more("if that fails: " + std::string(state.if_it_fails));
  return sheet.take();
}

std::string live_json(const LiveState& state) {
  std::string out;
  observe::JsonWriter json(out);
  json.open('{')
      .member("key", state.key)
      .member("route", state.route)
      .member("passed", state.passed)
      .member("offline", state.offline)
      .member("in_memory", state.in_memory)
      .member("in_store", state.in_store);
  if (!state.variant.empty()) json.member("variant", state.variant);
  if (!state.store_error.empty()) json.member("store_error", state.store_error);
  json.key("stored");
  if (state.stored) {
    const cache::StoredResponse& stored = *state.stored;
    json.open('{')
        .member("status", stored.status)
        .member("age", state.freshness.age.count())
        .member("ttl", state.freshness.ttl.count())
        .member("stale_while_revalidate_left", left(state, stored.stale_while_revalidate).count())
        .member("stale_if_error_left", left(state, stored.stale_if_error).count())
        .member("response_time", stored.response_time)
        .member("refreshed_from", state.now + std::max(seconds(0), state.freshness.ttl))
        .member("body_bytes", stored.body.size())
        .close('}');
  } else {
    json.null();
  }
  json.member("fetching", state.fetching)
      .member("waiting", state.waiting)
      .member("rests_for", number_of_seconds(state.rests_for));
  if (!state.rests_because.empty()) json.member("rests_because", state.rests_because);
  if (!state.rests_by.empty()) json.member("rests_by", state.rests_by);
  append_remembered(json, "alone", state.unshared);
  append_remembered(json, "passes", state.passes);
  json.key("upstream").open('{');
  if (!state.upstream.empty()) json.member("name", state.upstream);
  json.member("retry_budget", state.upstream_status.retry_budget)
      .member("queued", state.upstream_status.queued)
      .member("parked", state.upstream_status.parked)
      .key("origins")
      .open('[');
  for (const upstream::OriginStatus& origin : state.upstream_status.origins) {
    json.open('{')
        .member("name", origin.name)
        .member("breaker", to_string(origin.breaker))
        .member("forced", origin.forced);
    if (origin.next_probe) json.member("next_probe", number_of_seconds(*origin.next_probe));
    json.member("in_flight", origin.in_flight)
        .member("concurrency_limit", origin.concurrency_limit)
        .member("pace", origin.pace)
        .member("last_error", origin.last_error)
        .close('}');
  }
  json.close(']').close('}');
  json.member("rung", state.rung).member("why", state.why);
  if (!state.word.empty()) json.member("word", state.word);
  if (!state.if_it_fails.empty()) json.member("if_it_fails", state.if_it_fails);
  json.close('}');
  return out;
}

}  // namespace holdfast::daemon
