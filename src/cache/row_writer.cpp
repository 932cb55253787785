#include "cache/row_writer.h"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "cache/row_reader.h"
#include "cache/schema.h"

// The state row is read when a transaction begins and written when it ends, if
// it changed: another process (import, compact) may write between ours.

namespace holdfast::cache {
namespace {

void bind_row(sqlite::Statement& statement, int first, const Row& row) {
  int index = first;
  statement.bind(index++, checksum(row));
  statement.bind(index++, row.key);
  for (const std::int64_t value :
       {row.status, row.response_time, row.initial_age, row.freshness_lifetime,
        row.stale_while_revalidate, row.stale_if_error}) {
    statement.bind(index++, value);
  }
  for (const std::string_view text : {row.upstream_etag, row.upstream_last_modified}) {
    // Seldom there: NULL takes no room.
    text.empty() ? statement.bind_null(index++) : statement.bind(index++, text);
  }
  statement.bind(index++, row.fields);
  statement.bind(index++, row.body);
  if (row.has_tags()) {
    statement.bind(index++, row.seen);
    statement.bind(index++, row.tags);
  } else {
    statement.bind_null(index++);
    statement.bind_null(index++);
  }
}

// Behind all of them.
constexpr int kIdOfInsert = 18;

// Rows that expire within the same hour are in no order: a few of them are asked.
std::string span_query() {
  const auto end = [](const char* what, const char* order) {
    return std::string("(SELECT ") + what +
           "(response_time) FROM (SELECT response_time FROM holdfast_response"
           " WHERE id>?1 ORDER BY expires " +
           order + " LIMIT 64))";
  };
  return "SELECT ifnull(" + end("min", "ASC") + ",0),ifnull(" + end("max", "DESC") + ",0)";
}

}  // namespace

base::Result<RowWriter> RowWriter::open(const std::string& path, const std::string& vfs,
                                        std::int64_t wal_keep_bytes) {
  auto connection = open_for_writing(path, vfs, wal_keep_bytes);
  if (!connection) return tl::unexpected(std::move(connection.error()));
  RowWriter writer(std::move(*connection));
  struct Text {
    sqlite::Statement& statement;
    std::string sql;
  };
  const std::string columns = kRowColumns;
  const std::array texts{
      Text{writer.begin_, "BEGIN IMMEDIATE"},
      Text{writer.commit_, "COMMIT"},
      Text{writer.lookup_,
           "SELECT id,response_time FROM holdfast_response WHERE key_hash=?1 AND key=?2"},
      Text{writer.insert_,
           "INSERT INTO holdfast_response(key_hash,used,expires," + columns + ",id" +
               ") VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17,?18)"},
      Text{writer.update_,
           "UPDATE holdfast_response SET (used,expires," + columns +
               ")=(?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17) WHERE id=?1"},
      Text{writer.delete_, "DELETE FROM holdfast_response WHERE id=?1"},
      Text{writer.touch_, "UPDATE holdfast_response SET used=?2 WHERE key_hash=?1 AND used<?2"},
      Text{writer.read_, "SELECT " + columns + " FROM holdfast_response WHERE id=?1"},
      Text{writer.state_read_, "SELECT entries,erased_through FROM holdfast_state"},
      Text{writer.state_write_, "UPDATE holdfast_state SET entries=?1,erased_through=?2"},
      Text{writer.expired_,
           "SELECT id FROM holdfast_response WHERE expires<?1 ORDER BY expires LIMIT ?2"},
      Text{writer.unused_, "SELECT id FROM holdfast_response ORDER BY used,id LIMIT ?1"},
      Text{writer.erased_, "SELECT id FROM holdfast_response WHERE id<=?1 ORDER BY id LIMIT ?2"},
      Text{writer.span_, span_query()},
      Text{writer.purge_write_,
           "INSERT OR REPLACE INTO holdfast_purge"
           "(kind,soft,what,sequence,at,checksum) VALUES(?1,?2,?3,?4,?5,?6)"},
      Text{writer.purge_drop_,
           "DELETE FROM holdfast_purge WHERE (sequence<=?1 AND NOT(kind=0 AND soft=0)"
           " OR sequence<=?2 AND soft=1 AND kind<>0) AND kind<?3"},
      Text{writer.walk_,
           "SELECT id,key,seen,tags FROM holdfast_response WHERE id>?1 ORDER BY id LIMIT ?2"},
  };
  for (const Text& text : texts) {
    auto prepared = writer.connection_.prepare(text.sql.c_str());
    if (!prepared) return tl::unexpected(std::move(prepared.error()));
    text.statement = std::move(*prepared);
  }
  // So that entries() is right before the first transaction.
  if (auto begun = writer.begin(); !begun) return tl::unexpected(std::move(begun.error()));
  writer.rollback();
  return writer;
}

base::Result<void> RowWriter::run(sqlite::Statement& statement, const char* doing) {
  const sqlite::Use use(statement);
  const int code = statement.step();
  if (code < 0) return tl::unexpected(failed(-code, doing));
  return {};
}

base::Result<void> RowWriter::begin() {
  if (auto begun = run(begin_, "cannot begin a transaction"); !begun) return begun;
  const sqlite::Use use(state_read_);
  const int code = state_read_.step();
  if (code < 0) return tl::unexpected(failed(-code, "cannot read the state"));
  if (code == 0) {
    return base::internal_error(base::ErrorKind::Corrupt, "the store's state row is missing");
  }
  overwrite_deleted(false);
  entries_ = written_entries_ = state_read_.integer(0);
  erased_through_ = written_erased_through_ = state_read_.integer(1);
  return {};
}

void RowWriter::overwrite_deleted(bool pages_too) {
  if (pages_too == overwriting_pages_) return;
  connection_.execute(pages_too ? "PRAGMA secure_delete=ON" : "PRAGMA secure_delete=FAST");
  overwriting_pages_ = pages_too;
}

base::Result<void> RowWriter::commit() {
  if (entries_ != written_entries_ || erased_through_ != written_erased_through_) {
    const sqlite::Use use(state_write_);
    state_write_.bind(1, entries_);
    state_write_.bind(2, erased_through_);
    if (const int code = state_write_.step(); code < 0) {
      return tl::unexpected(failed(-code, "cannot write the state"));
    }
  }
  return run(commit_, "cannot commit");
}

void RowWriter::rollback() {
  if (connection_.in_transaction()) connection_.execute("ROLLBACK");
  entries_ = written_entries_;
  erased_through_ = written_erased_through_;
}

base::Result<bool> RowWriter::put(std::string_view key, const StoredResponse& stored,
                                  std::int64_t used_hour, bool only_if_newer) {
  const std::int64_t hash = key_hash(key);
  std::int64_t present = 0;
  {
    const sqlite::Use use(lookup_);
    lookup_.bind(1, hash);
    lookup_.bind(2, key);
    const int code = lookup_.step();
    if (code < 0) return tl::unexpected(failed(-code, "cannot look for a response"));
    if (code == 1) present = lookup_.integer(0);
    const bool visible = present > erased_through_;
    if (visible && only_if_newer &&
        lookup_.integer(1) >= stored.response_time.time_since_epoch().count()) {
      return false;
    }
  }
  if (present != 0 && present <= erased_through_) {
    // Hidden already, so it is in no count; in its place it would stay hidden.
    auto deleted = delete_row(present);
    if (!deleted) return deleted;
    present = 0;
  }
  sqlite::Statement& statement = present == 0 ? insert_ : update_;
  const sqlite::Use use(statement);
  statement.bind(1, present == 0 ? hash : present);
  statement.bind(2, used_hour);
  statement.bind(3, expiry_hour(stored));
  bind_row(statement, 4, to_row(key, stored, packed_));
  if (present == 0 && erased_through_ > 0) {
    // SQLite would number a new row after the last one there is, and once that
    // one has been swept away the new one could be hidden.
    const auto last = connection_.integer("SELECT max(id) FROM holdfast_response");
    if (!last) return tl::unexpected(last.error());
    statement.bind(kIdOfInsert, std::max(*last, erased_through_) + 1);
  }
  if (const int code = statement.step(); code < 0) {
    return tl::unexpected(failed(-code, "cannot write a response"));
  }
  if (present == 0) ++entries_;
  return true;
}

base::Result<bool> RowWriter::delete_row(std::int64_t id) {
  const sqlite::Use use(delete_);
  delete_.bind(1, id);
  if (const int code = delete_.step(); code < 0) {
    return tl::unexpected(failed(-code, "cannot delete a response"));
  }
  const bool deleted = connection_.changes() > 0;
  if (deleted && id > erased_through_) --entries_;
  return deleted;
}

base::Result<bool> RowWriter::erase(std::string_view key) {
  overwrite_deleted(true);
  std::int64_t id = 0;
  {
    const sqlite::Use use(lookup_);
    lookup_.bind(1, key_hash(key));
    lookup_.bind(2, key);
    const int code = lookup_.step();
    if (code < 0) return tl::unexpected(failed(-code, "cannot look for a response"));
    if (code == 0) return false;
    id = lookup_.integer(0);
  }
  const bool visible = id > erased_through_;
  auto deleted = delete_row(id);
  if (!deleted) return deleted;
  return *deleted && visible;
}

base::Result<void> RowWriter::erase_all() {
  const auto last = connection_.integer("SELECT max(id) FROM holdfast_response");
  if (!last) return tl::unexpected(last.error());
  erased_through_ = std::max(erased_through_, *last);
  entries_ = 0;
  return {};
}

base::Result<bool> RowWriter::sweep(int count) {
  if (erased_through_ == 0) return false;
  overwrite_deleted(true);
  std::vector<std::int64_t> ids;
  {
    const sqlite::Use use(erased_);
    erased_.bind(1, erased_through_);
    erased_.bind(2, std::int64_t{count});
    int code = 0;
    while ((code = erased_.step()) == 1) ids.push_back(erased_.integer(0));
    if (code < 0) return tl::unexpected(failed(-code, "cannot list what was erased"));
  }
  for (const std::int64_t id : ids) {
    if (auto deleted = delete_row(id); !deleted) return deleted;
  }
  if (static_cast<int>(ids.size()) == count) return true;
  erased_through_ = 0;
  return false;
}

base::Result<void> RowWriter::write(const PurgeRow& row) {
  const sqlite::Use use(purge_write_);
  purge_write_.bind(1, row.kind);
  purge_write_.bind(2, row.soft);
  purge_write_.bind(3, row.what);
  purge_write_.bind(4, row.sequence);
  purge_write_.bind(5, row.at);
  purge_write_.bind(6, checksum(row));
  if (const int code = purge_write_.step(); code < 0) {
    return tl::unexpected(failed(-code, "cannot write a purge"));
  }
  return {};
}

base::Result<void> RowWriter::drop_purges(Purges::Floors floors) {
  const sqlite::Use use(purge_drop_);
  purge_drop_.bind(1, static_cast<std::int64_t>(floors.hard));
  purge_drop_.bind(2, static_cast<std::int64_t>(floors.soft));
  purge_drop_.bind(3, kLineageKind);
  if (const int code = purge_drop_.step(); code < 0) {
    return tl::unexpected(failed(-code, "cannot forget purges"));
  }
  return {};
}

base::Result<bool> RowWriter::sweep_purged(std::int64_t& after_id, int count,
                                           const Purges& purges) {
  std::vector<std::int64_t> ids;
  int seen = 0;
  {
    const sqlite::Use use(walk_);
    walk_.bind(1, after_id);
    walk_.bind(2, std::int64_t{count});
    int code = 0;
    while ((code = walk_.step()) == 1) {
      ++seen;
      after_id = walk_.integer(0);
      const auto asked = static_cast<std::uint64_t>(std::max<std::int64_t>(walk_.integer(2), 0));
      if (purges.purged(walk_.text(1), asked, walk_.text(3))) ids.push_back(after_id);
    }
    if (code < 0) return tl::unexpected(failed(-code, "cannot look for what was purged"));
  }
  if (!ids.empty()) overwrite_deleted(true);
  for (const std::int64_t id : ids) {
    if (auto deleted = delete_row(id); !deleted) return deleted;
  }
  return seen == count;
}

base::Result<void> RowWriter::sync_commits(bool on) {
  const char* const sql = on ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL";
  if (const int code = connection_.execute(sql); code != 0) {
    return tl::unexpected(failed(code, "cannot set how commits are synced"));
  }
  return {};
}

base::Result<bool> RowWriter::drop_damaged(std::int64_t id) {
  {
    const sqlite::Use use(read_);
    read_.bind(1, id);
    const int code = read_.step();
    if (code < 0) return tl::unexpected(failed(-code, "cannot read a damaged response"));
    if (code == 0) return false;
    const auto row = read_row(read_, 0);
    if (row && from_row(*row)) return false;
  }
  return delete_row(id);
}

base::Result<void> RowWriter::touch(std::int64_t hash, std::int64_t used_hour) {
  const sqlite::Use use(touch_);
  touch_.bind(1, hash);
  touch_.bind(2, used_hour);
  if (const int code = touch_.step(); code < 0) {
    return tl::unexpected(failed(-code, "cannot note a use"));
  }
  return {};
}

base::Result<RowWriter::Evicted> RowWriter::evict(int count, std::int64_t hour) {
  Evicted evicted;
  const auto take = [&](sqlite::Statement& statement, int& taken) -> base::Result<void> {
    std::vector<std::int64_t> ids;
    {
      const sqlite::Use use(statement);
      const int most = count - evicted.expired;
      if (&statement == &expired_) {
        statement.bind(1, hour);
        statement.bind(2, std::int64_t{most});
      } else {
        statement.bind(1, std::int64_t{most});
      }
      int code = 0;
      while ((code = statement.step()) == 1) ids.push_back(statement.integer(0));
      if (code < 0) return tl::unexpected(failed(-code, "cannot choose what to evict"));
    }
    for (const std::int64_t id : ids) {
      if (auto deleted = delete_row(id); !deleted) {
        return tl::unexpected(std::move(deleted.error()));
      }
      ++taken;
    }
    return {};
  };
  if (auto taken = take(expired_, evicted.expired); !taken) {
    return tl::unexpected(std::move(taken.error()));
  }
  if (evicted.expired < count) {
    if (auto taken = take(unused_, evicted.unused); !taken) {
      return tl::unexpected(std::move(taken.error()));
    }
  }
  return evicted;
}

base::Result<RowWriter::Size> RowWriter::size() {
  const auto pages = connection_.integer("PRAGMA page_count");
  if (!pages) return tl::unexpected(pages.error());
  const auto free_pages = connection_.integer("PRAGMA freelist_count");
  if (!free_pages) return tl::unexpected(free_pages.error());
  return Size{*pages, *free_pages};
}

base::Result<RowWriter::Span> RowWriter::span() {
  const sqlite::Use use(span_);
  span_.bind(1, erased_through_);
  if (const int code = span_.step(); code < 0) {
    return tl::unexpected(failed(-code, "cannot read the stored responses' ages"));
  }
  return Span{span_.integer(0), span_.integer(1)};
}

base::Result<void> RowWriter::release(int pages) {
  const std::string sql = "PRAGMA incremental_vacuum(" + std::to_string(pages) + ")";
  const int code = connection_.execute(sql.c_str());
  if (code != 0) return tl::unexpected(failed(code, "cannot release pages"));
  return {};
}

base::Result<bool> RowWriter::checkpoint(sqlite::Connection::Checkpoint mode) {
  int frames = -1;
  int done = -1;
  const int code = connection_.checkpoint(mode, frames, done);
  const auto trouble = sqlite::trouble_of(code);
  if (trouble == sqlite::Trouble::Busy) return false;
  if (trouble != sqlite::Trouble::None) return tl::unexpected(failed(code, "cannot checkpoint"));
  return frames == done;
}

base::Result<void> RowWriter::probe() {
  if (auto begun = begin(); !begun) return begun;
  // SQLite writes no page for a row that stays as it is: it goes there and back.
  for (const std::int64_t off : {1, 0}) {
    const sqlite::Use use(state_write_);
    state_write_.bind(1, entries_ + off);
    state_write_.bind(2, erased_through_);
    if (const int code = state_write_.step(); code < 0) {
      return tl::unexpected(failed(-code, "cannot write"));
    }
  }
  return commit();
}

}  // namespace holdfast::cache
