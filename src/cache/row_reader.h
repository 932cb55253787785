// RowReader reads stored responses through a read-only connection of its own.
// One thread; each call blocks for a few page reads and leaves no transaction
// open behind it.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cache/purges.h"
#include "cache/row.h"
#include "cache/sqlite.h"
#include "cache/stored_response.h"

namespace holdfast::cache {

// The columns of Row, in the order read_row() and RowWriter have them.
inline constexpr const char* kRowColumns =
    "checksum,key,status,response_time,initial_age,freshness_lifetime,stale_while_revalidate,"
    "stale_if_error,upstream_etag,upstream_last_modified,fields,body,seen,tags";

// The purges in a file, whoever opened it; none where it is too old to have such.
base::Result<PurgeTable> read_purges(sqlite::Connection& connection);

// The row that a statement stands on, `first` being the column of its checksum.
// Null if the checksum does not match. Views are valid until the next step.
std::optional<Row> read_row(const sqlite::Statement& statement, int first);

class RowReader {
 public:
  static base::Result<RowReader> open(const std::string& path, const std::string& vfs);

  struct Found {
    StoredPtr stored;              // null: absent, or damaged
    std::int64_t damaged_row = 0;  // id of a row whose checksum does not match
  };
  base::Result<Found> find(std::string_view key);
  // The list of purges; of one that is damaged, one of everything.
  base::Result<PurgeTable> purges();
  // How many responses there are, as the writer counts them.
  base::Result<std::int64_t> entries();

  // A place in the order of last use, most recent first.
  struct Place {
    std::int64_t used = INT64_MAX;
    std::int64_t id = INT64_MAX;
  };
  // Hands up to `count` responses after `place` to `visit`, which returns false
  // to stop, and moves `place`. Damaged rows are passed over and added to
  // `damaged`. False: that was the end. Each call is one short read transaction,
  // so a long walk never keeps the WAL from being reset.
  base::Result<bool> recent(Place& place, int count,
                            const std::function<bool(std::string_view, StoredPtr)>& visit,
                            std::vector<std::int64_t>& damaged);

  // The same by id, that is by first storing, for a walk over everything.
  base::Result<bool> all(std::int64_t& after_id, int count,
                         const std::function<bool(std::string_view, StoredPtr)>& visit,
                         std::vector<std::int64_t>& damaged);

 private:
  explicit RowReader(sqlite::Connection connection) : connection_(std::move(connection)) {}

  // Destroyed before the connection, as SQLite wants it: they come after it.
  sqlite::Connection connection_;
  sqlite::Statement find_;
  sqlite::Statement recent_same_hour_;
  sqlite::Statement recent_earlier_;
  sqlite::Statement all_;
};

}  // namespace holdfast::cache
