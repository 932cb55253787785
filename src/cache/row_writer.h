// RowWriter is the writing connection with its statements: what may be done to
// the table, inside transactions the caller begins and ends. One thread; may
// block on the disk. After any error the transaction must be rolled back.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cache/purges.h"
#include "cache/row.h"
#include "cache/row_reader.h"
#include "cache/sqlite.h"
#include "cache/stored_response.h"

namespace holdfast::cache {

class RowWriter {
 public:
  // Errors: those of open_for_writing().
  static base::Result<RowWriter> open(const std::string& path, const std::string& vfs,
                                      std::int64_t wal_keep_bytes);

  base::Result<void> begin();
  base::Result<void> commit();
  void rollback();

  // Adds or replaces. `only_if_newer`: leaves alone what is as recent (a response
  // that was read a while ago must not undo a refresh). True: written.
  base::Result<bool> put(std::string_view key, const StoredResponse& stored, std::int64_t used_hour,
                         bool only_if_newer);
  // True: it was there.
  base::Result<bool> erase(std::string_view key);
  // Everything is gone for readers at once; sweep() deletes it little by little.
  base::Result<void> erase_all();
  // Deletes up to `count` rows that erase_all() has hidden. False: none are left.
  base::Result<bool> sweep(int count);
  // Deletes the row if its checksum still does not match. True: deleted.
  base::Result<bool> drop_damaged(std::int64_t id);
  // The list of purges, for a transaction.
  base::Result<PurgeTable> purges() { return read_purges(connection_); }
  // Also of what is no purge.
  base::Result<void> write(const PurgeRow& row);
  // Forgets those that one of everything has made pointless.
  base::Result<void> drop_purges(Purges::Floors floors);
  // Deletes what is purged of up to `count` rows behind that id, and moves it. False: that was the
  // end.
  base::Result<bool> sweep_purged(std::int64_t& after_id, int count, const Purges& purges);
  // Notes that rows with this key_hash() were used. Writes only if that is news.
  base::Result<void> touch(std::int64_t hash, std::int64_t used_hour);

  struct Evicted {
    int expired = 0;
    int unused = 0;
  };
  // Deletes up to `count` rows: those nobody may use since before `hour` first,
  // then the least recently used.
  base::Result<Evicted> evict(int count, std::int64_t hour);

  // Rows that readers see. As of the current transaction.
  std::int64_t entries() const { return entries_; }

  struct Size {
    std::int64_t pages = 0;  // the file
    std::int64_t free_pages = 0;
  };
  base::Result<Size> size();
  // When what is stored was received, in milliseconds since the Unix epoch, to the
  // hour or so: looked for among those that expire first and last, which is two
  // look-ups in an index and no scan. Zeros: nothing is stored.
  struct Span {
    std::int64_t oldest = 0;
    std::int64_t newest = 0;
  };
  base::Result<Span> span();
  // Gives up to `pages` free pages back to the file system.
  base::Result<void> release(int pages);

  int wal_frames() const { return connection_.wal_frames(); }
  // True if all of the WAL is in the database now. Busy is not an error.
  base::Result<bool> checkpoint(sqlite::Connection::Checkpoint mode);
  // Whether commits wait until the disk has them (a crash of the machine), not the system alone (of
  // the process). Between transactions.
  base::Result<void> sync_commits(bool on);
  // Writes and commits one page, without a change: does the disk take it?
  base::Result<void> probe();

 private:
  explicit RowWriter(sqlite::Connection connection) : connection_(std::move(connection)) {}
  base::Result<void> run(sqlite::Statement& statement, const char* doing);
  base::Result<bool> delete_row(std::int64_t id);
  // Deleted rows are overwritten with zeros within their page anyway; erased ones
  // also where their whole page becomes free.
  void overwrite_deleted(bool pages_too);
  base::Error failed(int code, const char* doing) const { return connection_.error(code, doing); }

  sqlite::Connection connection_;
  sqlite::Statement begin_, commit_, lookup_, insert_, update_, delete_, touch_, read_;
  sqlite::Statement state_read_, state_write_;
  sqlite::Statement expired_, unused_, erased_;
  sqlite::Statement span_;
  sqlite::Statement purge_write_, purge_drop_, walk_;
  std::int64_t entries_ = 0;
  std::int64_t erased_through_ = 0;
  std::int64_t written_entries_ = 0;
  std::int64_t written_erased_through_ = 0;
  bool overwriting_pages_ = false;
  std::string packed_;  // storage for to_row()
};

}  // namespace holdfast::cache
