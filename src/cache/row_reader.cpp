#include "cache/row_reader.h"

#include <utility>

#include "cache/schema.h"

namespace holdfast::cache {
namespace {

// Rows at or below the mark have been erased all at once and await deletion.
constexpr const char* kNotErased = "id>(SELECT erased_through FROM holdfast_state)";

}  // namespace

std::optional<Row> read_row(const sqlite::Statement& statement, int first) {
  Row row;
  int column = first + 1;
  row.key = statement.text(column++);
  row.status = statement.integer(column++);
  row.response_time = statement.integer(column++);
  row.initial_age = statement.integer(column++);
  row.freshness_lifetime = statement.integer(column++);
  row.stale_while_revalidate = statement.integer(column++);
  row.stale_if_error = statement.integer(column++);
  row.upstream_etag = statement.text(column++);
  row.upstream_last_modified = statement.text(column++);
  row.fields = statement.text(column++);
  row.body = statement.text(column++);
  row.seen = statement.integer(column++);
  row.tags = statement.text(column++);
  if (statement.integer(first) != checksum(row)) return std::nullopt;
  return row;
}

base::Result<PurgeTable> read_purges(sqlite::Connection& connection) {
  PurgeTable purges;
  const auto version = connection.integer("PRAGMA user_version");
  if (!version) return tl::unexpected(version.error());
  if (*version == kVersionWithoutTags) return purges;
  auto statement = connection.prepare(
      "SELECT kind,soft,what,sequence,at,checksum FROM holdfast_purge ORDER BY sequence");
  if (!statement) return tl::unexpected(std::move(statement.error()));
  const sqlite::Use use(*statement);
  int code = 0;
  while ((code = statement->step()) == 1) {
    const PurgeRow row{statement->integer(0), statement->integer(1), statement->text(2),
                       statement->integer(3), statement->integer(4)};
    purges.add(row, checksum(row) == statement->integer(5));
  }
  if (code < 0) return tl::unexpected(connection.error(-code, "cannot read the purges"));
  return purges;
}

base::Result<RowReader> RowReader::open(const std::string& path, const std::string& vfs) {
  auto connection = open_for_reading(path, vfs);
  if (!connection) return tl::unexpected(std::move(connection.error()));
  RowReader reader(std::move(*connection));
  const auto version = reader.connection_.integer("PRAGMA user_version");
  if (!version) return tl::unexpected(version.error());
  std::string columns = kRowColumns;
  constexpr std::string_view kTags = "seen,tags";
  if (*version == kVersionWithoutTags) {
    columns.replace(columns.size() - kTags.size(), kTags.size(), "NULL,NULL");
  }
  const auto prepare = [&](sqlite::Statement& statement, const std::string& where) {
    const std::string sql = "SELECT id,used," + columns + " FROM holdfast_response WHERE " +
                            kNotErased + " AND " + where;
    auto prepared = reader.connection_.prepare(sql.c_str());
    if (prepared) statement = std::move(*prepared);
    return prepared ? base::Result<void>{} : tl::unexpected(std::move(prepared.error()));
  };
  auto ready = prepare(reader.find_, "key_hash=?1 AND key=?2");
  // Two statements, as one over (used, id) would walk all of an hour each time.
  if (ready) {
    ready = prepare(reader.recent_same_hour_, "used=?1 AND id<?2 ORDER BY id DESC LIMIT ?3");
  }
  if (ready) {
    ready = prepare(reader.recent_earlier_, "used<?1 ORDER BY used DESC,id DESC LIMIT ?2");
  }
  if (ready) ready = prepare(reader.all_, "id>?1 ORDER BY id LIMIT ?2");
  if (!ready) return tl::unexpected(std::move(ready.error()));
  return reader;
}

base::Result<RowReader::Found> RowReader::find(std::string_view key) {
  const sqlite::Use use(find_);
  find_.bind(1, key_hash(key));
  find_.bind(2, key);
  const int code = find_.step();
  if (code < 0) return tl::unexpected(connection_.error(-code, "cannot read a response"));
  if (code == 0) return Found{};
  const auto row = read_row(find_, 2);
  StoredPtr stored = row ? from_row(*row) : nullptr;
  if (!stored) return Found{nullptr, find_.integer(0)};
  return Found{std::move(stored), 0};
}

base::Result<PurgeTable> RowReader::purges() {
  return read_purges(connection_);
}

base::Result<std::int64_t> RowReader::entries() {
  return connection_.integer("SELECT entries FROM holdfast_state");
}

base::Result<bool> RowReader::recent(Place& place, int count,
                                     const std::function<bool(std::string_view, StoredPtr)>& visit,
                                     std::vector<std::int64_t>& damaged) {
  int seen = 0;
  for (sqlite::Statement* statement : {&recent_same_hour_, &recent_earlier_}) {
    const sqlite::Use use(*statement);
    statement->bind(1, place.used);
    if (statement == &recent_same_hour_) {
      statement->bind(2, place.id);
      statement->bind(3, std::int64_t{count});
    } else {
      statement->bind(2, std::int64_t{count - seen});
    }
    int code = 0;
    while ((code = statement->step()) == 1) {
      ++seen;
      place = {statement->integer(1), statement->integer(0)};
      const auto row = read_row(*statement, 2);
      StoredPtr stored = row ? from_row(*row) : nullptr;
      if (!stored) {
        damaged.push_back(place.id);
      } else if (!visit(row->key, std::move(stored))) {
        return false;
      }
    }
    if (code < 0) return tl::unexpected(connection_.error(-code, "cannot read the most recent"));
    if (seen >= count) return true;
  }
  return seen > 0;
}

base::Result<bool> RowReader::all(std::int64_t& after_id, int count,
                                  const std::function<bool(std::string_view, StoredPtr)>& visit,
                                  std::vector<std::int64_t>& damaged) {
  const sqlite::Use use(all_);
  all_.bind(1, after_id);
  all_.bind(2, std::int64_t{count});
  bool any = false;
  int code = 0;
  while ((code = all_.step()) == 1) {
    any = true;
    after_id = all_.integer(0);
    const auto row = read_row(all_, 2);
    StoredPtr stored = row ? from_row(*row) : nullptr;
    if (!stored) {
      damaged.push_back(after_id);
    } else if (!visit(row->key, std::move(stored))) {
      return false;
    }
  }
  if (code < 0) return tl::unexpected(connection_.error(-code, "cannot read the responses"));
  return any;
}

}  // namespace holdfast::cache
