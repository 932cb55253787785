#include "cache/sqlite.h"

#include <sqlite3.h>
#include <sys/stat.h>

#include <algorithm>
#include <utility>

namespace holdfast::cache::sqlite {

Trouble trouble_of(int code) {
  switch (code & 0xff) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE:
      return Trouble::None;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PROTOCOL:
      return Trouble::Busy;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_FORMAT:
      return Trouble::Corrupt;
    case SQLITE_IOERR:
    case SQLITE_FULL:
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
    case SQLITE_AUTH:
    case SQLITE_NOLFS:
      return Trouble::Disk;
    default:
      return Trouble::Other;
  }
}

base::ErrorKind kind_of(Trouble trouble) {
  switch (trouble) {
    case Trouble::Busy:
      return base::ErrorKind::Busy;
    case Trouble::Corrupt:
      return base::ErrorKind::Corrupt;
    case Trouble::None:
    case Trouble::Disk:
    case Trouble::Other:
      break;
  }
  return base::ErrorKind::Io;
}

Statement::Statement(Statement&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}

Statement& Statement::operator=(Statement&& other) noexcept {
  std::swap(handle_, other.handle_);
  return *this;
}

Statement::~Statement() {
  sqlite3_finalize(handle_);
}

void Statement::bind(int index, std::int64_t value) {
  sqlite3_bind_int64(handle_, index, value);
}

void Statement::bind(int index, std::string_view text) {
  // A null pointer would bind NULL, and an empty view may have one.
  sqlite3_bind_text64(handle_, index, text.empty() ? "" : text.data(), text.size(), SQLITE_STATIC,
                      SQLITE_UTF8);
}

void Statement::bind_null(int index) {
  sqlite3_bind_null(handle_, index);
}

int Statement::step() {
  const int code = sqlite3_step(handle_);
  if (code == SQLITE_ROW) return 1;
  if (code == SQLITE_DONE) return 0;
  return -sqlite3_extended_errcode(sqlite3_db_handle(handle_));
}

void Statement::reset() {
  sqlite3_reset(handle_);
  sqlite3_clear_bindings(handle_);
}

std::int64_t Statement::integer(int column) const {
  return sqlite3_column_int64(handle_, column);
}

std::string_view Statement::text(int column) const {
  // As a blob: the bytes as they are, without a look at their encoding.
  const void* bytes = sqlite3_column_blob(handle_, column);
  const int size = sqlite3_column_bytes(handle_, column);
  return bytes ? std::string_view(static_cast<const char*>(bytes), static_cast<std::size_t>(size))
               : std::string_view();
}

namespace {

std::shared_mutex& names() {
  static std::shared_mutex mutex;
  return mutex;
}

// What is stored may be meant for few, and SQLite would make a file that all may read; its WAL and
// that one's index get what the file has. One that is there stays as it is. By mknod(), as a
// descriptor that is closed takes the locks of this process on its file with it. If it fails,
// SQLite says why in a moment.
void make_private(const std::string& path) {
  static_cast<void>(::mknod(path.c_str(), S_IFREG | S_IRUSR | S_IWUSR, 0));
}

std::string immutable_uri(std::string_view path) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string uri = "file:";
  for (const char c : path) {
    if (c != '%' && c != '?' && c != '#') {
      uri += c;
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    uri.append({'%', kHex[byte >> 4], kHex[byte & 15]});
  }
  return uri + "?immutable=1";
}

}  // namespace

std::shared_lock<std::shared_mutex> names_stay() {
  return std::shared_lock(names());
}

std::unique_lock<std::shared_mutex> names_move() {
  return std::unique_lock(names());
}

base::Result<Connection> Connection::open(const std::string& path, Mode mode,
                                          const std::string& vfs) {
  int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
  switch (mode) {
    case Mode::ReadOnly:
      flags |= SQLITE_OPEN_READONLY;
      break;
    case Mode::ReadWrite:
      flags |= SQLITE_OPEN_READWRITE;
      break;
    case Mode::Create:
      flags |= SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
      make_private(path);
      break;
    case Mode::Immutable:
      flags |= SQLITE_OPEN_READONLY | SQLITE_OPEN_URI;
      break;
  }
  std::string name = path;
  if (mode == Mode::Immutable) name = immutable_uri(path);
  Connection connection;
  const int code = sqlite3_open_v2(name.c_str(), &connection.handle_, flags,
                                   vfs.empty() ? nullptr : vfs.c_str());
  if (code != SQLITE_OK) return tl::unexpected(connection.error(code, "cannot open " + path));
  sqlite3_db_config(connection.handle_, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
  connection.wal_frames_ = std::make_unique<int>(0);
  // This also turns automatic checkpoints off: they are such a hook themselves.
  sqlite3_wal_hook(
      connection.handle_,
      [](void* frames, sqlite3*, const char*, int length) {
        *static_cast<int*>(frames) = length;
        return SQLITE_OK;
      },
      connection.wal_frames_.get());
  return connection;
}

Connection::Connection(Connection&& other) noexcept
    : handle_(std::exchange(other.handle_, nullptr)), wal_frames_(std::move(other.wal_frames_)) {}

Connection& Connection::operator=(Connection&& other) noexcept {
  std::swap(handle_, other.handle_);
  std::swap(wal_frames_, other.wal_frames_);
  return *this;
}

Connection::~Connection() {
  sqlite3_close_v2(handle_);
}

int Connection::execute(const char* sql) {
  return sqlite3_exec(handle_, sql, nullptr, nullptr, nullptr);
}

base::Result<std::int64_t> Connection::integer(const char* sql) {
  auto statement = prepare(sql);
  if (!statement) return tl::unexpected(std::move(statement.error()));
  const int code = statement->step();
  if (code < 0) return tl::unexpected(error(-code, sql));
  return code == 1 ? statement->integer(0) : 0;
}

base::Result<std::string> Connection::text(const char* sql) {
  auto statement = prepare(sql);
  if (!statement) return tl::unexpected(std::move(statement.error()));
  const int code = statement->step();
  if (code < 0) return tl::unexpected(error(-code, sql));
  return code == 1 ? std::string(statement->text(0)) : std::string();
}

base::Result<Statement> Connection::prepare(const char* sql) {
  Statement statement;
  const int code =
      sqlite3_prepare_v3(handle_, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement.handle_, nullptr);
  if (code != SQLITE_OK) return tl::unexpected(error(code, "cannot prepare a statement"));
  return statement;
}

void Connection::busy_timeout(std::chrono::milliseconds timeout) {
  sqlite3_busy_timeout(handle_, static_cast<int>(timeout.count()));
}

int Connection::checkpoint(Checkpoint mode, int& wal_frames, int& done_frames) {
  int native = SQLITE_CHECKPOINT_PASSIVE;
  if (mode == Checkpoint::Restart) native = SQLITE_CHECKPOINT_RESTART;
  if (mode == Checkpoint::Truncate) native = SQLITE_CHECKPOINT_TRUNCATE;
  return sqlite3_wal_checkpoint_v2(handle_, nullptr, native, &wal_frames, &done_frames);
}

bool Connection::in_transaction() const {
  return sqlite3_get_autocommit(handle_) == 0;
}

std::int64_t Connection::changes() const {
  return sqlite3_changes64(handle_);
}

std::string Connection::message() const {
  return handle_ ? sqlite3_errmsg(handle_) : "no memory for a connection";
}

base::Error Connection::error(int code, std::string_view doing) const {
  const Trouble trouble = trouble_of(code);
  std::string text(doing);
  text.append(": ").append(sqlite3_errstr(code));
  if (const std::string detail = message(); detail != sqlite3_errstr(code)) {
    text.append(" (").append(detail).append(")");
  }
  text.append(" [").append(std::to_string(code)).append("]");
  return base::Error{kind_of(trouble), base::Side::Internal, trouble != Trouble::Corrupt,
                     std::move(text)};
}

base::Result<std::string> read_head(const std::string& path, std::size_t size,
                                    const std::string& vfs_name) {
  sqlite3_vfs* vfs = sqlite3_vfs_find(vfs_name.empty() ? nullptr : vfs_name.c_str());
  if (!vfs) return base::internal_error(base::ErrorKind::Io, "no such VFS: " + vfs_name);
  const auto failed = [&](int code) {
    return base::internal_error(kind_of(trouble_of(code)),
                                "cannot read " + path + ": " + sqlite3_errstr(code));
  };
  std::string full(static_cast<std::size_t>(vfs->mxPathname) + 1, '\0');
  int code = vfs->xFullPathname(vfs, path.c_str(), static_cast<int>(full.size()), full.data());
  if ((code & 0xff) != SQLITE_OK && code != SQLITE_OK_SYMLINK) return failed(code);
  int exists = 0;
  code = vfs->xAccess(vfs, full.c_str(), SQLITE_ACCESS_EXISTS, &exists);
  if (code != SQLITE_OK) return failed(code);
  // An empty file counts as none for SQLite too.
  if (!exists) return base::internal_error(base::ErrorKind::Unavailable, "no such file: " + path);

  const auto storage = std::make_unique<std::max_align_t[]>(
      static_cast<std::size_t>(vfs->szOsFile) / sizeof(std::max_align_t) + 1);
  auto* file = reinterpret_cast<sqlite3_file*>(storage.get());
  // A name in the form that SQLite hands to a VFS, with room for URI parameters.
  const char* name = sqlite3_create_filename(full.c_str(), "", "", 0, nullptr);
  if (!name) return failed(SQLITE_NOMEM);
  code = vfs->xOpen(vfs, name, file, SQLITE_OPEN_READONLY | SQLITE_OPEN_MAIN_DB, nullptr);
  std::string head;
  if (code == SQLITE_OK) {
    sqlite3_int64 length = 0;
    code = file->pMethods->xFileSize(file, &length);
    if (code == SQLITE_OK) {
      head.resize(std::min(size, static_cast<std::size_t>(length)));
      if (!head.empty()) {
        code = file->pMethods->xRead(file, head.data(), static_cast<int>(head.size()), 0);
      }
    }
  }
  if (file->pMethods) file->pMethods->xClose(file);
  sqlite3_free_filename(const_cast<char*>(name));
  if (code != SQLITE_OK) return failed(code);
  return head;
}

}  // namespace holdfast::cache::sqlite
