// Metrics counts without locks: each thread owns a Shard and adds to its own
// cells; a scrape sums the shards and renders the Prometheus text format.
// Set-up (families, cells, shards) is for one thread, before the loops start.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "observe/families.h"

namespace holdfast::observe {

using Labels = std::vector<std::pair<std::string, std::string>>;

// Handles to one time series. Cheap to copy; valid for the Metrics that made them.
struct Counter {
  std::uint32_t cell = 0;
};
struct Histogram {
  std::uint32_t first_cell = 0;  // one cell per bound, one for +Inf, one for the sum in ns
  const std::vector<double>* bounds = nullptr;
};

// The cells of one thread. add() and observe() are for that thread only: a
// relaxed load and store, no locked instruction.
class Shard {
 public:
  explicit Shard(std::size_t cells);

  void add(Counter counter, std::uint64_t amount = 1) { bump(counter.cell, amount); }
  void observe(const Histogram& histogram, double seconds);
  std::uint64_t read(std::size_t cell) const {
    return cells_[cell].load(std::memory_order_relaxed);
  }

 private:
  void bump(std::size_t cell, std::uint64_t amount) {
    auto& value = cells_[cell];
    value.store(value.load(std::memory_order_relaxed) + amount, std::memory_order_relaxed);
  }

  std::unique_ptr<std::atomic<std::uint64_t>[]> cells_;
};

class Metrics {
 public:
  Metrics();
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  // Registering the same family and labels again gives the same handle. The
  // series is exported from then on, at zero if nothing happened.
  Counter counter(Family family, Labels labels = {});
  Histogram histogram(Family family, Labels labels = {});

  // A value read when scraped. `read` is called on the scraping thread, so what
  // it touches must be safe for that. For gauges, and for counters that somebody
  // else keeps.
  void callback(Family family, Labels labels, std::function<double()> read);

  // A new shard, owned by Metrics, for one thread.
  Shard& shard();

  // Any thread, after set-up. Prometheus text format, version 0.0.4.
  std::string scrape() const;

  // The value of a counter over all shards: for the status page and for tests.
  double value(Family family, const Labels& labels = {}) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace holdfast::observe
