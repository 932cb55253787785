// The page is a template (page/, made one file by embed.py when built) with
// two holes: the tables for those without JavaScript, and the first data for the
// script. All text from outside is escaped here; the script sets text, never HTML.
#include <cmath>
#include <string>
#include <vector>

#include "observe/timestamp.h"
#include "status/page.h"
#include "status/page_template.h"

namespace holdfast::status {
namespace {

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

using Row = std::vector<std::string>;
// A cell with more has room to be read in, and the table is scrolled.
constexpr std::size_t kLongText = 40;

// Of texts; the first of each row is its heading.
void append_table(std::string& out, std::string_view caption, const Row& columns,
                  const std::vector<Row>& rows) {
  out += "<section><h2>" + escaped(caption) + "</h2>";
  if (rows.empty()) {
    out += "<p>None.</p></section>";
    return;
  }
  // It can be scrolled, so it can be reached by keyboard, and so it has a name.
  out += "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"" + escaped(caption) +
         "\"><table>";
  if (!columns.empty()) {
    out += "<thead><tr>";
    for (const std::string& column : columns) out += "<th scope=\"col\">" + escaped(column);
    out += "</thead>";
  }
  out += "<tbody>";
  for (const Row& row : rows) {
    out += "<tr><th scope=\"row\">" + escaped(row.front());
    for (std::size_t i = 1; i < row.size(); ++i) {
      out += row[i].size() > kLongText ? "<td class=\"wide\">" : "<td>";
      out += escaped(row[i]);
    }
  }
  out += "</table></div></section>\n";
}

std::string moment(const std::optional<base::WallTime>& at) {
  return at && *at != base::WallTime() ? observe::timestamp(*at) : "never";
}

std::string share(const std::optional<double>& value) {
  return value ? percent(*value) : "no requests";
}

std::string time_or_dash(const std::optional<double>& value) {
  return value
             ? std::isfinite(*value) ? in_words(std::chrono::duration<double>(*value)) : "over 11 s"
             : "-";
}

std::string fill(std::uint64_t bytes, std::uint64_t limit) {
  std::string text = bytes_in_words(bytes);
  if (limit > 0) {
    text += " of " + bytes_in_words(limit) + " (" +
            percent(static_cast<double>(bytes) / static_cast<double>(limit)) + ")";
  }
  return text;
}

std::string failing(const upstream::OriginStatus& origin) {
  // The breaker counts what is sent while it is closed.
  if (origin.breaker != upstream::Breaker::State::Closed) return "only probed";
  return origin.error_rate ? percent(*origin.error_rate) : "not asked lately";
}

// Below 500 it was answered all the same.
std::string answer(int status) {
  return std::to_string(status) + (status < 500 ? ", stale" : "");
}

void append_answers(std::string& out, const Snapshot& data) {
  const Counts minute = History::window(data.samples, std::chrono::minutes(1)).counts;
  const Counts hour = History::window(data.samples, std::chrono::hours(1)).counts;
  std::vector<Row> rows{
      {"answered 200", share(minute.share_ok()), share(hour.share_ok())},
      {"without the upstream", share(minute.share_without_upstream()),
       share(hour.share_without_upstream())},
  };
  for (std::size_t i = 0; i < kOutcomes; ++i) {
    rows.push_back({std::string(outcome_name(i)), std::to_string(minute.outcomes[i]),
                    std::to_string(hour.outcomes[i])});
  }
  for (const auto& [name, q] : {std::pair{"p50", 0.5}, {"p95", 0.95}, {"p99", 0.99}}) {
    rows.push_back({name, time_or_dash(quantile(minute.all_durations(), q)),
                    time_or_dash(quantile(hour.all_durations(), q))});
  }
  append_table(out, "Requests", {"what", "last minute", "last hour"}, rows);

  rows.clear();
  for (std::size_t i = 0; i < hour.attempts.size(); ++i) {
    if (hour.attempts[i] == 0) continue;
    rows.push_back({std::string(upstream::to_string(static_cast<upstream::Outcome>(i))),
                    std::to_string(minute.attempts[i]), std::to_string(hour.attempts[i])});
  }
  append_table(out, "Attempts upstream", {"outcome", "last minute", "last hour"}, rows);
}

template <typename Each>
void for_each_origin(const Snapshot& data, Each each) {
  for (const auto& upstream : data.upstreams) {
    for (const auto& origin : upstream.status.origins) each(upstream.called(origin.name), origin);
  }
}

void append_addresses(std::string& out, const Snapshot& data) {
  std::vector<Row> rows;
  const auto known = [](base::Duration time) {
    return time > base::Duration::zero() ? in_words(time) : "not known";
  };
  for_each_origin(data, [&](const std::string& name, const upstream::OriginStatus& origin) {
    for (const auto& address : origin.addresses) {
      rows.push_back({name, address.address.empty() ? "the URL's" : address.address,
                      address.dark ? "left out, and knocked at now and then" : "asked",
                      known(address.connect), known(address.tls),
                      address.last_error.empty() ? "none" : address.last_error});
    }
  });
  append_table(out, "Addresses",
               {"origin", "address", "now", "connects in", "TLS takes", "last error"}, rows);
}

void append_upstream(std::string& out, const Snapshot& data) {
  std::vector<Row> rows;
  std::vector<Row> changes;
  for_each_origin(data, [&](const std::string& name, const upstream::OriginStatus& origin) {
    rows.push_back(
        {name,
         std::string(upstream::to_string(origin.breaker)) + (origin.forced ? " (forced)" : ""),
         moment(origin.breaker_since), failing(origin), moment(origin.last_success),
         origin.last_error.empty() ? "none"
                                   : moment(origin.last_error_at) + " " + origin.last_error});
    for (auto change = origin.breaker_history.rbegin(); change != origin.breaker_history.rend();
         ++change) {
      changes.push_back({moment(change->at), name, std::string(upstream::to_string(change->to)),
                         change->last_error});
    }
  });
  append_table(out, "Upstream",
               {"origin", "breaker", "since", "failing", "last success", "last error"}, rows);
  rows.clear();
  for_each_origin(data, [&](const std::string& name, const upstream::OriginStatus& origin) {
    if (!origin.redirect.empty()) rows.push_back({name, "redirects: " + origin.redirect});
    if (!origin.answers_refused.empty()) {
      rows.push_back({name, "answers refused: " + origin.answers_refused});
    }
    if (origin.clock_ahead) rows.push_back({name, "its clock is " + clock_in_words(origin)});
  });
  for (const auto& upstream : data.upstreams) {
    if (!upstream.forbidden_share) continue;
    rows.push_back({upstream.called("all"), "forbids to store " +
                                                percent(*upstream.forbidden_share) +
                                                " of its latest answers: those do not outlive it"});
  }
  if (!rows.empty()) append_table(out, "Odd about the upstream", {"origin", "what"}, rows);
  append_addresses(out, data);
  append_table(out, "Breaker history", {"at", "origin", "became", "last error"}, changes);
}

void append_stored(std::string& out, const Snapshot& data) {
  std::vector<Row> rows{{"in memory", std::to_string(data.memory.entries) + " responses, " +
                                          fill(data.memory.bytes, data.memory_limit_bytes)}};
  if (data.has_store) {
    rows.push_back({"in the store", std::to_string(data.store.entries) + " responses, " +
                                        fill(data.store.size_bytes, data.store_limit_bytes)});
    rows.push_back({"state of the store", data.store_trouble.empty() ? "ok" : data.store_trouble});
    rows.push_back({"waiting to be written", std::to_string(data.store.queued)});
    rows.push_back({"oldest", moment(data.store.oldest)});
    rows.push_back({"newest", moment(data.store.newest)});
  } else {
    rows.push_back({"store", "none: STORE_PATH is off"});
  }
  rows.push_back(
      {"usable without the upstream", in_words(data.usable_for) + " after it was received"});
  append_table(out, "Stored responses", {}, rows);
}

void append_failures(std::string& out, const Snapshot& data) {
  std::vector<Row> rows;
  for (const auto& failure : data.failures) {
    rows.push_back({moment(failure.last), std::to_string(failure.count), answer(failure.status),
                    failure.cause, failure.request_id});
  }
  append_table(out, "Latest failures", {"last", "times", "answer", "cause", "request id"}, rows);
}

void append_settings(std::string& out, const Snapshot& data) {
  std::vector<Row> rows;
  for (const auto& setting : data.settings) {
    rows.push_back({setting.key, setting.value, setting.source});
  }
  append_table(out, "Settings in force", {"setting", "value", "from"}, rows);
  const Snapshot::Reload& reload = data.reload;
  const bool ok = reload.error.empty();
  append_table(out, "Settings last read", {"at", "result"},
               {{moment(reload.at), ok ? "they are good" : "failed: " + reload.error}});
}

// JSON within a script element: "<" could end it.
void append_data(std::string& out, const std::string& json) {
  for (const char c : json) {
    if (c == '<') {
      out += "\\u003c";
    } else {
      out += c;
    }
  }
}

}  // namespace

std::string to_html(const Snapshot& data) {
  std::string out;
  out.reserve(96U << 10);
  out += kPageHead;
  out += "<p class=\"state\">" + escaped(observe::to_string(data.state)) + ": " +
         escaped(headline(data)) + "</p><p>Holdfast " + escaped(data.version) + ", up " +
         in_words(data.at - data.started) + ", as of " + observe::timestamp(data.at) + "</p>\n";
  append_answers(out, data);
  append_upstream(out, data);
  append_stored(out, data);
  append_failures(out, data);
  append_settings(out, data);
  out += kPageMiddle;
  append_data(out, to_json(data));
  out += kPageTail;
  return out;
}

std::string_view html_fields() {
  return kPageFields;
}

}  // namespace holdfast::status
