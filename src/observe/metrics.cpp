// A series is a range of cells, the same in every shard: one for a counter or a
// gauge, bounds + 2 for a histogram. Shards are made at full size, so a series
// may be registered while threads count: nothing they touch moves.
#include "observe/metrics.h"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <cmath>
#include <limits>
#include <map>
#include <mutex>
#include <sstream>
#include <stdexcept>

#include "observe/metric_table.h"

namespace holdfast::observe {
namespace {

// 512 KiB a shard: room for the most routes and upstreams that there may be. More means a
// label without bound.
constexpr std::size_t kCells = 65'536;
// Cell 0 belongs to default-made handles, and with its neighbours keeps the
// cells in use off a cache line that another allocation may share.
constexpr std::size_t kPadding = 8;

constexpr auto kFamilies = static_cast<std::size_t>(Family::kCount);
constexpr double kNanosecondsPerSecond = 1e9;
// A duration past this is a broken clock; it must not overflow the sum.
constexpr double kLongestSeconds = 1e6;

[[noreturn]] void misuse(const MetricInfo& info, const std::string& what) {
  throw std::logic_error("metric " + std::string(info.name) + ": " + what);
}

struct Series {
  std::size_t first_cell = 0;  // 0: fed by callbacks alone
  std::map<Metrics::CallbackId, std::function<double()>> callbacks;
};

// By the values of the labels, in the table's order.
using AllSeries = std::map<std::vector<std::string>, Series>;

const std::string* value_of(const Labels& labels, std::string_view name) {
  const auto found = std::find_if(labels.begin(), labels.end(),
                                  [name](const auto& label) { return label.first == name; });
  return found == labels.end() ? nullptr : &found->second;
}

std::vector<std::string> label_values(const MetricInfo& info, const Labels& labels) {
  std::vector<std::string> values;
  values.reserve(info.labels.size());
  std::size_t known = 0;
  for (const LabelInfo& wanted : info.labels) {
    const std::string* const value = value_of(labels, wanted.name);
    if (value == nullptr && !wanted.may_be_empty) {
      misuse(info, "label " + std::string(wanted.name) + " is missing");
    }
    known += value == nullptr ? 0 : 1;
    values.push_back(value == nullptr ? std::string() : *value);
  }
  if (known != labels.size()) misuse(info, "wrong number of labels");
  return values;
}

// Of the series, those with these labels: a label that is left out may be any.
template <typename Each>
void for_each_match(const AllSeries& all, const MetricInfo& info, const Labels& labels, Each each) {
  const std::vector<std::string> values = label_values(info, labels);
  for (const auto& [own, series] : all) {
    bool matches = true;
    for (std::size_t i = 0; matches && i < values.size(); ++i) {
      const bool any = value_of(labels, info.labels[i].name) == nullptr;
      matches = any || own[i] == values[i];
    }
    if (matches) each(series);
  }
}

prometheus::MetricType exported_type(MetricType type) {
  switch (type) {
    case MetricType::Counter:
      return prometheus::MetricType::Counter;
    case MetricType::Gauge:
      return prometheus::MetricType::Gauge;
    case MetricType::Histogram:
      return prometheus::MetricType::Histogram;
  }
  return prometheus::MetricType::Untyped;
}

}  // namespace

Shard::Shard(std::size_t cells)
    : cells_(std::make_unique<std::atomic<std::uint64_t>[]>(cells + kPadding)) {}

void Shard::observe(const Histogram& histogram, double seconds) {
  if (histogram.bounds == nullptr) return;
  const double value = seconds > 0 ? std::min(seconds, kLongestSeconds) : 0;
  const auto& bounds = *histogram.bounds;
  const auto bucket = std::lower_bound(bounds.begin(), bounds.end(), value) - bounds.begin();
  bump(histogram.first_cell + static_cast<std::size_t>(bucket), 1);
  bump(histogram.first_cell + bounds.size() + 1,
       static_cast<std::uint64_t>(std::llround(value * kNanosecondsPerSecond)));
}

struct Metrics::State {
  mutable std::mutex mutex;  // guards everything here but the shards' cells
  std::array<AllSeries, kFamilies> families;
  std::vector<std::unique_ptr<Shard>> shards;
  std::size_t next_cell = kPadding;
  CallbackId last_callback = 0;

  Series& find_or_add(const MetricInfo& info, const Labels& labels) {
    return families[static_cast<std::size_t>(info.family)][label_values(info, labels)];
  }

  std::uint32_t cells_of(const MetricInfo& info, const Labels& labels) {
    Series& series = find_or_add(info, labels);
    if (series.first_cell == 0) {
      const std::size_t cells = info.type == MetricType::Histogram ? info.bounds.size() + 2 : 1;
      if (next_cell + cells > kCells) misuse(info, "too many series");
      series.first_cell = next_cell;
      next_cell += cells;
    }
    return static_cast<std::uint32_t>(series.first_cell);
  }

  std::uint64_t sum(std::size_t cell) const {
    std::uint64_t total = 0;
    for (const auto& shard : shards) total += shard->read(cell);
    return total;
  }

  double single_value(const MetricInfo& info, const Series& series) const {
    double value = 0;
    if (series.first_cell != 0) {
      const std::uint64_t total = sum(series.first_cell);
      value = info.type == MetricType::Gauge ? static_cast<double>(static_cast<std::int64_t>(total))
                                             : static_cast<double>(total);
    }
    for (const auto& [id, read] : series.callbacks) value += read();
    return value;
  }

  // The count is the sum of the buckets, not a cell of its own: threads go on
  // counting meanwhile, and the +Inf bucket must equal the count.
  prometheus::ClientMetric::Histogram histogram_value(const MetricInfo& info,
                                                      const Series& series) const {
    prometheus::ClientMetric::Histogram out;
    for (std::size_t i = 0; i <= info.bounds.size(); ++i) {
      out.sample_count += sum(series.first_cell + i);
      const double bound =
          i < info.bounds.size() ? info.bounds[i] : std::numeric_limits<double>::infinity();
      out.bucket.push_back({out.sample_count, bound});
    }
    out.sample_sum = static_cast<double>(sum(series.first_cell + info.bounds.size() + 1)) /
                     kNanosecondsPerSecond;
    return out;
  }

  void add_known_series(const MetricInfo& info, Labels& labels) {
    if (labels.size() == info.labels.size()) {
      cells_of(info, labels);
      return;
    }
    // Who counts by a label that may be empty registers all of it.
    const LabelInfo& next = info.labels[labels.size()];
    for (std::string_view value : next.values) {
      labels.emplace_back(next.name, value);
      add_known_series(info, labels);
      labels.pop_back();
    }
  }
};

Metrics::Metrics() : state_(std::make_unique<State>()) {
  for (const MetricInfo& info : metric_table()) {
    // A gauge at zero would be a statement nobody made.
    if (info.type == MetricType::Gauge) continue;
    Labels labels;
    state_->add_known_series(info, labels);
  }
}

Metrics::~Metrics() = default;

Counter Metrics::counter(Family family, Labels labels) {
  const MetricInfo& info = metric_info(family);
  if (info.type != MetricType::Counter) misuse(info, "is not a counter");
  std::lock_guard lock(state_->mutex);
  return {state_->cells_of(info, labels)};
}

Gauge Metrics::gauge(Family family, Labels labels) {
  const MetricInfo& info = metric_info(family);
  if (info.type != MetricType::Gauge) misuse(info, "is not a gauge");
  std::lock_guard lock(state_->mutex);
  return {state_->cells_of(info, labels)};
}

Histogram Metrics::histogram(Family family, Labels labels) {
  const MetricInfo& info = metric_info(family);
  if (info.type != MetricType::Histogram) misuse(info, "is not a histogram");
  std::lock_guard lock(state_->mutex);
  return {state_->cells_of(info, labels), &info.bounds};
}

Metrics::CallbackId Metrics::callback(Family family, Labels labels, std::function<double()> read) {
  const MetricInfo& info = metric_info(family);
  if (info.type == MetricType::Histogram) misuse(info, "a histogram has no callback");
  std::lock_guard lock(state_->mutex);
  const CallbackId id = ++state_->last_callback;
  state_->find_or_add(info, labels).callbacks.emplace(id, std::move(read));
  return id;
}

void Metrics::remove_callback(CallbackId id) {
  std::lock_guard lock(state_->mutex);
  for (auto& family : state_->families) {
    for (auto series = family.begin(); series != family.end(); ++series) {
      if (series->second.callbacks.erase(id) == 0) continue;
      if (series->second.callbacks.empty() && series->second.first_cell == 0) family.erase(series);
      return;
    }
  }
}

std::size_t Metrics::free_cells() const {
  std::lock_guard lock(state_->mutex);
  return kCells - state_->next_cell;
}

Shard& Metrics::shard() {
  std::lock_guard lock(state_->mutex);
  return *state_->shards.emplace_back(std::make_unique<Shard>(kCells));
}

std::string Metrics::scrape() const {
  std::vector<prometheus::MetricFamily> families;
  {
    std::lock_guard lock(state_->mutex);
    for (const MetricInfo& info : metric_table()) {
      const auto& all = state_->families[static_cast<std::size_t>(info.family)];
      if (all.empty()) continue;
      auto& family = families.emplace_back();
      family.name = info.name;
      family.help = info.help;
      family.type = exported_type(info.type);
      family.metric.reserve(all.size());
      for (const auto& [values, series] : all) {
        auto& metric = family.metric.emplace_back();
        for (std::size_t i = 0; i < info.labels.size(); ++i) {
          if (info.labels[i].may_be_empty && values[i].empty()) continue;
          metric.label.push_back({std::string(info.labels[i].name), values[i]});
        }
        if (info.type == MetricType::Histogram) {
          metric.histogram = state_->histogram_value(info, series);
        } else if (info.type == MetricType::Gauge) {
          metric.gauge.value = state_->single_value(info, series);
        } else {
          metric.counter.value = state_->single_value(info, series);
        }
      }
    }
  }
  std::ostringstream out;
  prometheus::TextSerializer().Serialize(out, families);
  return std::move(out).str();
}

double Metrics::value(Family family, const Labels& labels) const {
  const MetricInfo& info = metric_info(family);
  std::lock_guard lock(state_->mutex);
  double value = 0;
  for_each_match(
      state_->families[static_cast<std::size_t>(family)], info, labels, [&](const Series& series) {
        value += info.type == MetricType::Histogram
                     ? static_cast<double>(state_->histogram_value(info, series).sample_count)
                     : state_->single_value(info, series);
      });
  return value;
}

void Metrics::visit(Family family, const Visit& each) const {
  const MetricInfo& info = metric_info(family);
  if (info.type == MetricType::Histogram) misuse(info, "is a histogram");
  std::lock_guard lock(state_->mutex);
  for (const auto& [values, series] : state_->families[static_cast<std::size_t>(family)]) {
    each(values, state_->single_value(info, series));
  }
}

std::vector<std::uint64_t> Metrics::buckets(Family family, const Labels& labels) const {
  const MetricInfo& info = metric_info(family);
  if (info.type != MetricType::Histogram) misuse(info, "is not a histogram");
  std::vector<std::uint64_t> counts(info.bounds.size() + 1);
  std::lock_guard lock(state_->mutex);
  for_each_match(state_->families[static_cast<std::size_t>(family)], info, labels,
                 [&](const Series& series) {
                   for (std::size_t i = 0; i < counts.size(); ++i) {
                     counts[i] += state_->sum(series.first_cell + i);
                   }
                 });
  return counts;
}

}  // namespace holdfast::observe
