// The part of StoreWriter that has to do with purges by route, path and tag: src/cache/README.md.
#include <algorithm>
#include <string>
#include <utility>

#include "base/random.h"
#include "cache/row.h"
#include "cache/store_writer.h"

namespace holdfast::cache {
namespace {

using namespace std::chrono_literals;

// Small enough that what waits behind them waits a few milliseconds.
constexpr int kWalkRows = 200;
// A walk over all rows reads all of the file; what it deletes nobody finds in any case.
constexpr auto kWalkEvery = 10min;

}  // namespace

// In every transaction, before anything else of it: so a response is never there without the purges
// that its answer has seen, and a new file has all of them at once.
base::Result<void> StoreWriter::write_purges(const std::vector<Purge>& purges) {
  if (!lineage_written_) {
    if (auto written = rows_->write({kLineageKind, 0, lineage_, 0, 0}); !written) return written;
  }
  for (const Purge& purge : purges) {
    if (auto written = rows_->write(to_purge_row(purge)); !written) return written;
  }
  floors_to_write_ = shared_.settings.purges->floors();
  if (floors_to_write_ == floors_written_) return {};
  // One that was made of others has the number of one of them, which is none of the latest.
  for (const Purge& purge : shared_.settings.purges->of_everything()) {
    if (auto written = rows_->write(to_purge_row(purge)); !written) return written;
  }
  return rows_->drop_purges(floors_to_write_);
}

// What was purged by route, path or tag goes as what was erased altogether does, but has to be
// looked for among all rows.
bool StoreWriter::sweep_purged() {
  const Purges& purges = *shared_.settings.purges;
  if (!walk_for_) {
    // Not before that is written: a crash would leave rows that no purge explains, which is no
    // harm, and others deleted by one that nobody remembers.
    const std::uint64_t last = purges.latest_hard();
    if (last <= walked_for_ || last > purges_written_ || Steady::now() < next_walk_) return true;
    walk_for_ = last;
    walk_after_ = 0;
    next_walk_ = Steady::now() + kWalkEvery;
  }
  bool more = false;
  const bool done = transact([&]() -> base::Result<void> {
    const auto swept = rows_->sweep_purged(walk_after_, kWalkRows, purges);
    if (!swept) return tl::unexpected(swept.error());
    more = *swept;
    if (more) return {};
    return rows_->write({kSweptKind, 0, {}, static_cast<std::int64_t>(*walk_for_), 0});
  });
  if (!done) return false;
  if (!more) {
    walked_for_ = *walk_for_;
    walk_for_.reset();
  }
  more_to_do_ = more_to_do_ || more;
  return true;
}

// The purges in a file that counts by other numbers than this process are older than its own.
void StoreWriter::take_over(PurgeTable found) {
  Purges& purges = *shared_.settings.purges;
  purges_written_ = 0;
  for (const Purge& purge : found.purges) {
    purges_written_ = std::max(purges_written_, purge.sequence);
  }
  lineage_written_ = !found.lineage.empty();
  if (lineage_.empty() || found.lineage != lineage_) purges.take_over(std::move(found.purges));
  if (lineage_written_) lineage_ = std::move(found.lineage);
  if (lineage_.empty()) lineage_ = std::to_string(base::Random::entropy());
  purges_numbering_ = purges.numbering();
  floors_written_ = {};
  walked_for_ = found.swept;
  walk_for_.reset();
}

}  // namespace holdfast::cache
