// Connection and Statement wrap the few calls of SQLite that the store uses, so
// that nothing else names them. One thread at a time each; they may block on
// the disk. Codes are SQLite's own, extended ones.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <string_view>

#include "base/result.h"

struct sqlite3;
struct sqlite3_stmt;

namespace holdfast::cache::sqlite {

// What a failure means for the store, whatever its code.
enum class Trouble {
  None,
  Busy,     // another process holds the lock
  Disk,     // full, read-only, gone, or it refuses
  Corrupt,  // the file's pages contradict each other
  Other,    // a mistake of ours, or no memory
};
Trouble trouble_of(int code);
base::ErrorKind kind_of(Trouble trouble);

class Connection;

// A prepared statement. Bound text is not copied: it must outlive the Use.
class Statement {
 public:
  Statement() = default;
  Statement(Statement&& other) noexcept;
  Statement& operator=(Statement&& other) noexcept;
  ~Statement();

  void bind(int index, std::int64_t value);
  void bind(int index, std::string_view text);
  void bind_null(int index);

  // SQLITE_ROW as 1, SQLITE_DONE as 0; anything else is the (positive) extended
  // code, negated.
  int step();
  void reset();

  std::int64_t integer(int column) const;
  // Valid until the next step() or reset(). Empty for NULL.
  std::string_view text(int column) const;

 private:
  friend class Connection;
  sqlite3_stmt* handle_ = nullptr;
};

// Resets the statement when done with, whatever happened: a statement left open
// holds a read transaction, and that stops the WAL from being reset.
class Use {
 public:
  explicit Use(Statement& statement) : statement_(statement) {}
  ~Use() { statement_.reset(); }
  Use(const Use&) = delete;
  Use& operator=(const Use&) = delete;

 private:
  Statement& statement_;
};

// A connection opens the database at once, but the WAL and its index by name, when it first
// reads. Were the names another file's by then, it would read that one's WAL, and cut short an
// index that this process has mapped, whose users end by SIGBUS: POSIX locks do not tell a
// process of its own. So who opens keeps names_stay() until it has read, and who renames or
// removes has names_move(). One lock for the process. Any thread; not within the other.
std::shared_lock<std::shared_mutex> names_stay();
std::unique_lock<std::shared_mutex> names_move();

class Connection {
 public:
  // Immutable: of a file that nobody can write, where SQLite could not make the WAL's index. It
  // takes no locks and looks at no WAL.
  enum class Mode { ReadOnly, ReadWrite, Create, Immutable };
  // `vfs` names a registered VFS; empty: the default one. No connection removes
  // the WAL when it closes: SQLite would do so by name, and by then the name may
  // belong to a new file (see set_aside()).
  static base::Result<Connection> open(const std::string& path, Mode mode, const std::string& vfs);

  Connection() = default;
  Connection(Connection&& other) noexcept;
  Connection& operator=(Connection&& other) noexcept;
  ~Connection();  // statements must be gone

  explicit operator bool() const { return handle_ != nullptr; }

  // 0, or the extended code. Rows are dropped.
  int execute(const char* sql);
  // The first column of the first row.
  base::Result<std::int64_t> integer(const char* sql);
  base::Result<std::string> text(const char* sql);
  base::Result<Statement> prepare(const char* sql);

  void busy_timeout(std::chrono::milliseconds timeout);
  // The WAL's length after this connection's last commit.
  int wal_frames() const { return wal_frames_ ? *wal_frames_ : 0; }
  // 0 or the extended code; `frames` get the WAL's length and how much of it is
  // in the database, -1 if unknown.
  enum class Checkpoint { Passive, Restart, Truncate };
  int checkpoint(Checkpoint mode, int& wal_frames, int& done_frames);
  bool in_transaction() const;
  std::int64_t changes() const;

  // The last failure, for people.
  std::string message() const;
  base::Error error(int code, std::string_view doing) const;

 private:
  sqlite3* handle_ = nullptr;
  std::unique_ptr<int> wal_frames_;  // written by SQLite's hook, so it must not move
};

// The first `size` bytes of a file, or fewer if it is shorter. Through the VFS:
// closing a descriptor of our own would drop every POSIX lock this process holds
// on the file. Kind Unavailable: there is no such file.
base::Result<std::string> read_head(const std::string& path, std::size_t size,
                                    const std::string& vfs);

}  // namespace holdfast::cache::sqlite
