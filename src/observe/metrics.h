// Metrics counts without locks: each thread owns a Shard and adds to its own
// cells; a scrape sums the shards and renders the Prometheus text format.
// Names, types, help and buckets come from metric_table.
//
// Threads: handles, callbacks and shards may be asked for at any time by any
// thread, under a lock; resolve them at start and keep them, never on the path
// of a hit. A Shard is for the one thread it was made for.
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

// Names and values, in any order; the names must be those of the family. A label that may be
// empty may be left out, which is the same.
using Labels = std::vector<std::pair<std::string, std::string>>;

// Handles to one time series. Cheap to copy; valid for the Metrics that made
// them. One made by default counts into a cell that nobody exports.
struct Counter {
  std::uint32_t cell = 0;
};
struct Gauge {
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
  Shard(const Shard&) = delete;
  Shard& operator=(const Shard&) = delete;

  void add(Counter counter, std::uint64_t amount = 1) { bump(counter.cell, amount); }
  // Up or down. The shards are summed, so one thread may add what another takes away.
  void add(Gauge gauge, std::int64_t amount) {
    bump(gauge.cell, static_cast<std::uint64_t>(amount));
  }
  // Negative durations and NaN count as zero.
  void observe(const Histogram& histogram, double seconds);
  std::uint64_t read(std::size_t cell) const {
    return cells_[cell].load(std::memory_order_relaxed);
  }

 private:
  // Unsigned, so a gauge may pass below zero in one shard: sums wrap around to the truth.
  void bump(std::size_t cell, std::uint64_t amount) {
    auto& value = cells_[cell];
    value.store(value.load(std::memory_order_relaxed) + amount, std::memory_order_relaxed);
  }

  std::unique_ptr<std::atomic<std::uint64_t>[]> cells_;
};

class Metrics {
 public:
  using CallbackId = std::uint64_t;  // 0 is no callback

  // Exports from the start, at zero, every counter and histogram whose labels the
  // table knows all values of.
  Metrics();
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  // Registering the same family and labels again gives the same handle. The
  // series is exported from then on, at zero if nothing happened.
  // Throws std::logic_error for a family of another type, for label names that
  // are not the family's, and for more series than a shard has cells: each is a
  // mistake in the caller, found when it starts.
  Counter counter(Family family, Labels labels = {});
  Gauge gauge(Family family, Labels labels = {});
  Histogram histogram(Family family, Labels labels = {});

  // A value read when scraped, for gauges and for counters that somebody else
  // keeps. Several callbacks for one series are summed, with what gauge() or
  // counter() handles counted: each worker may register its own. `read` runs on
  // the scraping thread, under the lock: what it touches must be safe there, and
  // it must neither block nor call Metrics. It must stay valid until
  // remove_callback() or the end of Metrics.
  CallbackId callback(Family family, Labels labels, std::function<double()> read);
  // When it returns, the callback is not running and never will. The series stays
  // while another source feeds it.
  void remove_callback(CallbackId id);

  // How many more cells there are for series. They are never given back: series of what is gone
  // stay, and go on where they were if it comes back.
  std::size_t free_cells() const;

  // A new shard, owned by Metrics, for one thread. It is never freed before
  // Metrics: what a thread counted must not vanish with it.
  Shard& shard();

  // Prometheus text format, version 0.0.4: content type
  // "text/plain; version=0.0.4; charset=utf-8".
  std::string scrape() const;

  // What scrape() would export for one series now, or for all that differ only in a label that
  // may be empty and is left out; the number of observations
  // for a histogram; 0 for a series nobody registered. For the status page and
  // for tests. Throws as the registrations do.
  double value(Family family, const Labels& labels = {}) const;

  // Calls `each` with every series of a counter or gauge: its label values, in the
  // table's order, and what value() says. Under the lock, as callbacks are.
  using Visit = std::function<void(const std::vector<std::string>& labels, double value)>;
  void visit(Family family, const Visit& each) const;

  // The observations of a histogram's series, by bucket: one number for each of the
  // table's bounds and one for what is above, not cumulated. Zeros for a series
  // nobody registered.
  std::vector<std::uint64_t> buckets(Family family, const Labels& labels = {}) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace holdfast::observe
