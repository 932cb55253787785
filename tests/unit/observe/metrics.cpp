#include "observe/metrics.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <set>
#include <sstream>
#include <stdexcept>
#include <thread>

#include "observe/metric_table.h"

using namespace holdfast::observe;

namespace {

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

bool has_line(const std::string& text, const std::string& line) {
  const auto lines = lines_of(text);
  return std::find(lines.begin(), lines.end(), line) != lines.end();
}

// The value after the last blank, of the line that starts with `series`.
double sample(const std::string& text, const std::string& series) {
  for (const std::string& line : lines_of(text)) {
    if (line.rfind(series + " ", 0) == 0) return std::stod(line.substr(series.size() + 1));
  }
  FAIL("no such series: " << series);
  return 0;
}

bool valid_name(const std::string& name) {
  return !name.empty() && std::isdigit(static_cast<unsigned char>(name[0])) == 0 &&
         name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_") == std::string::npos;
}

// One series of every family, so that a scrape shows the whole table.
void register_everything(Metrics& metrics) {
  for (const MetricInfo& info : metric_table()) {
    Labels labels;
    for (const LabelInfo& label : info.labels) labels.emplace_back(label.name, "x");
    if (info.type == MetricType::Counter) metrics.counter(info.family, labels);
    if (info.type == MetricType::Gauge) metrics.gauge(info.family, labels);
    if (info.type == MetricType::Histogram) metrics.histogram(info.family, labels);
  }
}

}  // namespace

TEST_CASE("every family has one row, in order, with a name Prometheus accepts") {
  const auto& table = metric_table();
  REQUIRE(table.size() == static_cast<std::size_t>(Family::kCount));
  std::set<std::string> names;
  for (std::size_t i = 0; i < table.size(); ++i) {
    const MetricInfo& row = table[i];
    const std::string name(row.name);
    CAPTURE(name);
    CHECK(static_cast<std::size_t>(row.family) == i);
    CHECK(valid_name(name));
    CHECK(names.insert(name).second);
    CHECK((name.rfind("holdfast_", 0) == 0 || name.rfind("process_", 0) == 0));
    CHECK(!row.help.empty());
    CHECK(row.help.back() == '.');
    const bool total = name.size() > 6 && name.substr(name.size() - 6) == "_total";
    CHECK(total == (row.type == MetricType::Counter));
    CHECK(row.bounds.empty() == (row.type != MetricType::Histogram));
    CHECK(std::is_sorted(row.bounds.begin(), row.bounds.end(), std::less_equal<>()));
    for (const LabelInfo& label : row.labels) CHECK(valid_name(std::string(label.name)));
  }
}

TEST_CASE("request buckets resolve hits of 50 us and deadlines of 10 s") {
  const auto& bounds = metric_info(Family::RequestDuration).bounds;
  const auto below =
      std::count_if(bounds.begin(), bounds.end(), [](double b) { return b <= 50e-6; });
  CHECK(below >= 2);
  CHECK(std::count(bounds.begin(), bounds.end(), 10.0) == 1);
  CHECK(bounds.back() > 10);
}

TEST_CASE("the list for people has every metric once") {
  const std::string markdown = metrics_markdown();
  CHECK(lines_of(markdown).size() == metric_table().size() + 2);
  for (const MetricInfo& row : metric_table()) {
    const std::string cell = "| `" + std::string(row.name) + "` |";
    const auto first = markdown.find(cell);
    REQUIRE(first != std::string::npos);
    CHECK(markdown.find(cell, first + 1) == std::string::npos);
  }
}

TEST_CASE("a scrape says HELP and TYPE once for each family and every line parses") {
  Metrics metrics;
  register_everything(metrics);
  std::map<std::string, int> help;
  std::map<std::string, std::string> type;
  std::set<std::string> series_seen;
  for (const std::string& line : lines_of(metrics.scrape())) {
    CAPTURE(line);
    if (line.rfind("# HELP ", 0) == 0) {
      ++help[line.substr(7, line.find(' ', 7) - 7)];
      continue;
    }
    if (line.rfind("# TYPE ", 0) == 0) {
      const auto end = line.find(' ', 7);
      CHECK(type.emplace(line.substr(7, end - 7), line.substr(end + 1)).second);
      continue;
    }
    const auto blank = line.rfind(' ');
    REQUIRE(blank != std::string::npos);
    CHECK_NOTHROW(std::stod(line.substr(blank + 1)));
    const std::string series = line.substr(0, blank);
    CHECK(series_seen.insert(series).second);
    std::string name = series.substr(0, series.find('{'));
    CHECK(valid_name(name));
    if (type.count(name) == 0) {
      name.erase(name.rfind('_'));  // _bucket, _sum, _count
      CHECK(type[name] == "histogram");
    }
    CHECK(help[name] == 1);
  }
  for (const MetricInfo& row : metric_table()) {
    CAPTURE(row.name);
    CHECK(help[std::string(row.name)] == 1);
    CHECK(type[std::string(row.name)] == to_string(row.type));
  }
}

TEST_CASE("counters and histograms whose labels are known are exported at zero from the start") {
  Metrics metrics;
  const std::string text = metrics.scrape();
  CHECK(sample(text, "holdfast_store_evictions_total") == 0);
  CHECK(sample(text, "holdfast_store_puts_total{result=\"dropped\"}") == 0);
  CHECK(sample(text, "holdfast_request_duration_seconds_count{cache=\"hit\"}") == 0);
  CHECK(sample(text, "holdfast_request_duration_seconds_bucket{cache=\"hit\",le=\"+Inf\"}") == 0);
  // No gauge speaks before somebody knows its value, nor a family without series.
  CHECK(text.find("holdfast_store_up") == std::string::npos);
  CHECK(text.find("holdfast_requests_total") == std::string::npos);
  // Nor what is counted for each upstream, of which this does not know.
  CHECK(text.find("holdfast_upstream_retries_total") == std::string::npos);
}

TEST_CASE("a label that is empty is not exported, and who leaves it out asks for the sum") {
  Metrics metrics;
  Shard& shard = metrics.shard();
  shard.add(metrics.counter(Family::UpstreamRetries));
  shard.add(metrics.counter(Family::UpstreamRetries, {{"upstream", "geo"}}), 2);
  shard.add(metrics.counter(Family::Refreshes, {{"result", "failed"}, {"upstream", "geo"}}), 4);
  const Histogram slow =
      metrics.histogram(Family::UpstreamAttemptDuration, {{"origin", "a"}, {"upstream", "geo"}});
  shard.observe(slow, 3);
  const std::string text = metrics.scrape();
  CHECK(has_line(text, "holdfast_upstream_retries_total 1"));
  CHECK(has_line(text, "holdfast_upstream_retries_total{upstream=\"geo\"} 2"));
  CHECK(metrics.value(Family::UpstreamRetries) == 3);
  CHECK(metrics.value(Family::UpstreamRetries, {{"upstream", ""}}) == 1);
  CHECK(metrics.value(Family::UpstreamRetries, {{"upstream", "geo"}}) == 2);
  CHECK(metrics.value(Family::UpstreamRetries, {{"upstream", "x"}}) == 0);
  CHECK(metrics.value(Family::Refreshes, {{"result", "failed"}}) == 4);
  CHECK(metrics.value(Family::UpstreamAttemptDuration, {{"origin", "a"}}) == 1);
  const auto buckets = metrics.buckets(Family::UpstreamAttemptDuration, {{"origin", "a"}});
  CHECK(buckets[buckets.size() - 3] == 1);
}

TEST_CASE("histogram buckets are cumulative, and a bound includes its own value") {
  Metrics metrics;
  Shard& shard = metrics.shard();
  const Histogram hits = metrics.histogram(Family::RequestDuration, {{"cache", "hit"}});
  shard.observe(hits, 0.00005);
  shard.observe(hits, 0.00006);
  shard.observe(hits, 10);
  shard.observe(hits, 10.5);
  shard.observe(hits, 3600);

  const std::string text = metrics.scrape();
  const std::string bucket = "holdfast_request_duration_seconds_bucket{cache=\"hit\",le=";
  CHECK(sample(text, bucket + "\"2.5e-05\"}") == 0);
  CHECK(sample(text, bucket + "\"5e-05\"}") == 1);
  CHECK(sample(text, bucket + "\"0.0001\"}") == 2);
  CHECK(sample(text, bucket + "\"5\"}") == 2);
  CHECK(sample(text, bucket + "\"10\"}") == 3);
  CHECK(sample(text, bucket + "\"11\"}") == 4);
  CHECK(sample(text, bucket + "\"+Inf\"}") == 5);
  CHECK(sample(text, "holdfast_request_duration_seconds_count{cache=\"hit\"}") == 5);
  CHECK(sample(text, "holdfast_request_duration_seconds_sum{cache=\"hit\"}") ==
        doctest::Approx(3620.50011));
  CHECK(metrics.value(Family::RequestDuration, {{"cache", "hit"}}) == 5);
}

TEST_CASE("a broken clock's durations cannot spoil a histogram") {
  Metrics metrics;
  Shard& shard = metrics.shard();
  const Histogram reads = metrics.histogram(Family::StoreReadDuration);
  for (const double broken :
       {-1.0, std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    shard.observe(reads, broken);
  }
  const std::string text = metrics.scrape();
  CHECK(sample(text, "holdfast_store_read_duration_seconds_count") == 3);
  CHECK(std::isfinite(sample(text, "holdfast_store_read_duration_seconds_sum")));
}

TEST_CASE("the same family and labels are the same series, in whatever order they are named") {
  Metrics metrics;
  Shard& shard = metrics.shard();
  const Counter a =
      metrics.counter(Family::Requests, {{"route", "lookup"}, {"code", "200"}, {"cache", "hit"}});
  const Counter b =
      metrics.counter(Family::Requests, {{"cache", "hit"}, {"route", "lookup"}, {"code", "200"}});
  CHECK(a.cell == b.cell);
  shard.add(a);
  shard.add(b, 2);
  CHECK(has_line(metrics.scrape(),
                 "holdfast_requests_total{route=\"lookup\",code=\"200\",cache=\"hit\"} 3"));
}

TEST_CASE("labels a family does not have, and the wrong type, are refused") {
  Metrics metrics;
  CHECK_THROWS_AS(metrics.counter(Family::Requests), std::logic_error);
  CHECK_THROWS_AS(metrics.counter(Family::UpstreamRetries, {{"route", "x"}}), std::logic_error);
  CHECK_THROWS_AS(metrics.counter(Family::StorePuts, {{"outcome", "x"}}), std::logic_error);
  CHECK_THROWS_AS(metrics.counter(Family::StoreUp), std::logic_error);
  CHECK_THROWS_AS(metrics.histogram(Family::UpstreamRetries), std::logic_error);
  CHECK_THROWS_AS(metrics.callback(Family::StoreReadDuration, {}, [] { return 0.0; }),
                  std::logic_error);
  CHECK_THROWS_AS(metrics.value(Family::StorePuts, {{"outcome", "x"}}), std::logic_error);
}

TEST_CASE("a label without bound is stopped before a shard overflows") {
  Metrics metrics;
  const Counter retries = metrics.counter(Family::UpstreamRetries);
  CHECK_THROWS_AS(
      [&] {
        for (int i = 0; i < 100000; ++i) {
          metrics.counter(Family::BreakerTransitions, {{"origin", std::to_string(i)}, {"to", "x"}});
        }
      }(),
      std::logic_error);
  Shard& shard = metrics.shard();
  shard.add(retries);
  CHECK(metrics.value(Family::UpstreamRetries) == 1);
}

TEST_CASE("any byte in a label value leaves the scrape one sample a line") {
  Metrics metrics;
  metrics.gauge(Family::BreakerState, {{"origin", "a\"b\\c\nd"}});
  CHECK(has_line(metrics.scrape(), R"(holdfast_breaker_state{origin="a\"b\\c\nd"} 0)"));
}

TEST_CASE("callbacks of one series are summed, with what is counted, until removed") {
  Metrics metrics;
  Shard& shard = metrics.shard();
  shard.add(metrics.gauge(Family::Connections), 5);
  const auto first = metrics.callback(Family::Connections, {}, [] { return 2.0; });
  metrics.callback(Family::Connections, {}, [] { return 3.0; });
  CHECK(has_line(metrics.scrape(), "holdfast_connections 10"));
  metrics.remove_callback(first);
  CHECK(metrics.value(Family::Connections) == 8);

  const auto alone = metrics.callback(Family::StoreUp, {}, [] { return 1.0; });
  CHECK(has_line(metrics.scrape(), "holdfast_store_up 1"));
  metrics.remove_callback(alone);
  CHECK(metrics.scrape().find("holdfast_store_up") == std::string::npos);
}

TEST_CASE("values that are no number are written as Prometheus reads them") {
  Metrics metrics;
  metrics.callback(Family::UpstreamPaceLimit, {},
                   [] { return std::numeric_limits<double>::infinity(); });
  CHECK(has_line(metrics.scrape(), "holdfast_upstream_pace_limit +Inf"));
}

TEST_CASE("a gauge may rise in one shard and fall in another") {
  Metrics metrics;
  Shard& a = metrics.shard();
  Shard& b = metrics.shard();
  const Gauge flights = metrics.gauge(Family::Flights);
  a.add(flights, 3);
  b.add(flights, -2);
  CHECK(metrics.value(Family::Flights) == 1);
  b.add(flights, -2);
  CHECK(metrics.value(Family::Flights) == -1);
}

TEST_CASE("handles made by default count nowhere") {
  Metrics metrics;
  Shard& shard = metrics.shard();
  const std::string before = metrics.scrape();
  shard.add(Counter{}, 7);
  shard.add(Gauge{}, 7);
  shard.observe(Histogram{}, 7);
  CHECK(metrics.scrape() == before);
}

TEST_CASE("threads count, register and scrape at once, and nothing is lost") {
  constexpr int kThreads = 4;
  constexpr int kRounds = 20000;
  Metrics metrics;
  const Counter retries = metrics.counter(Family::UpstreamRetries);
  const Histogram hits = metrics.histogram(Family::RequestDuration, {{"cache", "hit"}});
  const Gauge flights = metrics.gauge(Family::Flights);
  std::atomic<int> running{kThreads};

  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      Shard& shard = metrics.shard();
      for (int i = 0; i < kRounds; ++i) {
        shard.add(retries);
        shard.add(flights, 1);
        shard.observe(hits, 0.00001);
        shard.add(flights, -1);
        if (i % 1000 == 0) {
          shard.add(metrics.counter(Family::UpstreamAttempts,
                                    {{"origin", std::to_string(t)}, {"outcome", "ok"}}));
        }
      }
      --running;
    });
  }
  double last = 0;
  while (running > 0) {
    const std::string text = metrics.scrape();
    const double now = sample(text, "holdfast_upstream_retries_total");
    CHECK(now >= last);  // a counter never goes back
    last = now;
    CHECK(sample(text, "holdfast_request_duration_seconds_count{cache=\"hit\"}") ==
          sample(text, "holdfast_request_duration_seconds_bucket{cache=\"hit\",le=\"+Inf\"}"));
  }
  for (auto& thread : threads) thread.join();

  CHECK(metrics.value(Family::UpstreamRetries) == kThreads * kRounds);
  CHECK(metrics.value(Family::RequestDuration, {{"cache", "hit"}}) == kThreads * kRounds);
  CHECK(metrics.value(Family::Flights) == 0);
  CHECK(metrics.value(Family::UpstreamAttempts, {{"origin", "3"}, {"outcome", "ok"}}) ==
        kRounds / 1000);
}

TEST_CASE("every series of a family can be visited, with what it would export") {
  Metrics metrics;
  Shard& shard = metrics.shard();
  shard.add(metrics.counter(Family::Requests, {{"cache", "hit"}, {"code", "200"}, {"route", "r"}}),
            3);
  shard.add(
      metrics.counter(Family::Requests, {{"route", "r"}, {"code", "503"}, {"cache", "error"}}));
  std::map<std::string, double> seen;
  metrics.visit(Family::Requests, [&](const std::vector<std::string>& labels, double value) {
    REQUIRE(labels.size() == 3);
    seen[labels[0] + "/" + labels[1] + "/" + labels[2]] = value;
  });
  CHECK(seen == std::map<std::string, double>{{"r/200/hit", 3}, {"r/503/error", 1}});
  CHECK_THROWS_AS(metrics.visit(Family::RequestDuration, [](const auto&, double) {}),
                  std::logic_error);
}

TEST_CASE("the buckets of a histogram are its observations, each counted once") {
  Metrics metrics;
  Shard& shard = metrics.shard();
  const auto hit = metrics.histogram(Family::RequestDuration, {{"cache", "hit"}});
  shard.observe(hit, 0);
  shard.observe(hit, 0.00003);
  metrics.shard().observe(hit, 0.00003);
  shard.observe(hit, 1000);
  const auto buckets = metrics.buckets(Family::RequestDuration, {{"cache", "hit"}});
  REQUIRE(buckets.size() == metric_info(Family::RequestDuration).bounds.size() + 1);
  CHECK(buckets[0] == 1);
  CHECK(buckets[1] == 2);
  CHECK(buckets.back() == 1);
  CHECK(std::accumulate(buckets.begin(), buckets.end(), std::uint64_t{0}) == 4);
  CHECK_THROWS_AS(metrics.buckets(Family::Requests, {}), std::logic_error);
}
