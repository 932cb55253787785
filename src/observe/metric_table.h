// MetricTable says what each family is called and what it means. Registration,
// the exported HELP and TYPE lines and the list for people all come from it.
// Immutable; any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "observe/families.h"

namespace holdfast::observe {

enum class MetricType { Counter, Gauge, Histogram };

struct LabelInfo {
  std::string_view name;
  // All values, where they are few and known: such series exist at zero from the
  // start, so that a rate over the first event is right. Empty: known at run time.
  std::vector<std::string_view> values;
  // Where it is empty, it is not exported.
  bool may_be_empty = false;
};

struct MetricInfo {
  Family family;
  std::string_view name;  // as exported, in base units
  MetricType type;
  std::string_view help;
  std::vector<LabelInfo> labels;
  std::vector<double> bounds;  // of a histogram, in seconds, ascending, without +Inf
};

// One row per family, in the order of Family.
const std::vector<MetricInfo>& metric_table();
const MetricInfo& metric_info(Family family);

std::string_view to_string(MetricType type);

// The table as Markdown: `holdfast --metrics-table`.
std::string metrics_markdown();

}  // namespace holdfast::observe
