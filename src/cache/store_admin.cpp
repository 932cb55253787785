#include "cache/store_admin.h"

#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "cache/freshness.h"
#include "cache/json_lines.h"
#include "cache/row_reader.h"
#include "cache/row_writer.h"
#include "cache/schema.h"

namespace holdfast::cache {
namespace {

constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";  // some editors begin a file so
constexpr int kReadRows = 512;
constexpr std::size_t kWriteRows = 256;
constexpr int kSweptAtOnce = 256;
constexpr int kReleasedAtOnce = 256;
constexpr std::int64_t kWalKeepBytes = 8 << 20;
constexpr int kWalCheckpointFrames = 2000;

base::Result<void> write_failed() {
  return base::internal_error(base::ErrorKind::Io, "cannot write the output");
}

std::int64_t file_bytes(const std::string& path) {
  struct stat info = {};
  return ::stat(path.c_str(), &info) == 0 ? std::int64_t{info.st_size} : 0;
}

// Tries again while the daemon has the lock: it never keeps it for long.
template <typename Attempt>
auto patiently(const Attempt& attempt) {
  constexpr int kAttempts = 100;
  for (int number = 1;; ++number) {
    auto done = attempt();
    if (done || done.error().kind != base::ErrorKind::Busy || number == kAttempts) return done;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

// Which purges an answer has seen that came at a time: lines do not say, as numbers are the file's
// own.
class ByTime {
 public:
  explicit ByTime(const std::vector<Purge>& purges) : purges_(purges) {
    std::sort(purges_.begin(), purges_.end(),
              [](const Purge& a, const Purge& b) { return a.sequence < b.sequence; });
  }
  // Not the first one that was later, whatever its clock said of those behind it.
  std::uint64_t seen_at(base::WallTime time) const {
    std::uint64_t seen = 0;
    for (const Purge& purge : purges_) {
      if (purge.at >= time) return purge.sequence - 1;
      seen = purge.sequence;
    }
    return seen;
  }

 private:
  std::vector<Purge> purges_;
};

base::Result<RowWriter> open_rows(const std::string& path) {
  return patiently([&] { return RowWriter::open(path, {}, kWalKeepBytes); });
}

base::Result<void> transact(RowWriter& rows, const std::function<base::Result<void>()>& work) {
  auto done = patiently([&] {
    auto tried = rows.begin();
    if (tried) tried = work();
    if (tried) tried = rows.commit();
    if (!tried) rows.rollback();
    return tried;
  });
  if (!done) return done;
  if (rows.wal_frames() > kWalCheckpointFrames) {
    const auto copied = rows.checkpoint(sqlite::Connection::Checkpoint::Passive);
    if (!copied) return tl::unexpected(copied.error());
  }
  return {};
}

// What was purged by route, path or tag.
base::Result<void> compact_purged(RowWriter& rows) {
  auto table = rows.purges();
  if (!table) return tl::unexpected(std::move(table.error()));
  Purges purges;
  purges.take_over(std::move(table->purges));
  std::int64_t after = 0;
  for (bool more = purges.latest_hard() > table->swept; more;) {
    std::int64_t reached = after;
    auto done = transact(rows, [&]() -> base::Result<void> {
      reached = after;
      const auto swept = rows.sweep_purged(reached, kSweptAtOnce, purges);
      if (!swept) return tl::unexpected(swept.error());
      more = *swept;
      return {};
    });
    if (!done) return done;
    after = reached;
  }
  return {};
}

}  // namespace

base::Result<void> store_stats(const std::string& path, const base::Clock& clock, FILE* out) {
  auto connection = open_for_reading(path, {});
  if (!connection) return tl::unexpected(std::move(connection.error()));
  const std::int64_t now_hour = hour_of(clock.wall());
  const std::string usable =
      "SELECT count(*) FROM holdfast_response WHERE expires>=" + std::to_string(now_hour) +
      " AND id>(SELECT erased_through FROM holdfast_state)";
  struct Figure {
    const char* name;
    std::string sql;
  };
  std::fprintf(out, "file_bytes: %lld\n", static_cast<long long>(file_bytes(path)));
  std::fprintf(out, "wal_bytes: %lld\n", static_cast<long long>(file_bytes(path + "-wal")));
  for (const Figure& figure :
       {Figure{"format", "PRAGMA user_version"},
        Figure{"responses", "SELECT entries FROM holdfast_state"}, Figure{"usable", usable},
        Figure{"pages", "PRAGMA page_count"}, Figure{"free_pages", "PRAGMA freelist_count"},
        // Whole hours, as that is how they are kept; Unix time in seconds.
        Figure{"first_expiry", "SELECT min(expires)*3600 FROM holdfast_response"},
        Figure{"least_recent_use", "SELECT min(used)*3600 FROM holdfast_response"},
        Figure{"most_recent_use", "SELECT max(used)*3600 FROM holdfast_response"}}) {
    const auto value = connection->integer(figure.sql.c_str());
    if (!value) return tl::unexpected(value.error());
    std::fprintf(out, "%s: %lld\n", figure.name, static_cast<long long>(*value));
  }
  return std::fflush(out) == 0 ? base::Result<void>{} : write_failed();
}

base::Result<bool> store_check(const std::string& path, FILE* out) {
  auto connection = open_for_reading(path, {});
  if (!connection) return tl::unexpected(std::move(connection.error()));
  // Without an argument, which is a table's name to SQLite since 3.46: it ends by itself after 100.
  auto pages =
      connection->text("SELECT group_concat(integrity_check,char(10)) FROM pragma_integrity_check");
  if (!pages) return tl::unexpected(std::move(pages.error()));
  std::fprintf(out, "pages: %s\n", pages->c_str());

  auto reader = RowReader::open(path, {});
  if (!reader) return tl::unexpected(std::move(reader.error()));
  std::uint64_t sound = 0;
  std::vector<std::int64_t> damaged;
  std::int64_t after = 0;
  for (bool more = true; more;) {
    const auto read = reader->all(
        after, kReadRows, [&](std::string_view, const StoredPtr&) { return ++sound > 0; }, damaged);
    if (!read) return tl::unexpected(read.error());
    more = *read;
  }
  std::fprintf(out, "responses: %llu sound, %zu damaged\n", static_cast<unsigned long long>(sound),
               damaged.size());
  if (std::fflush(out) != 0) return tl::unexpected(write_failed().error());
  return *pages == "ok" && damaged.empty();
}

base::Result<Exported> store_export(const std::string& path, FILE* out) {
  auto reader = RowReader::open(path, {});
  if (!reader) return tl::unexpected(std::move(reader.error()));
  auto table = reader->purges();
  if (!table) return tl::unexpected(std::move(table.error()));
  Purges purges;
  purges.take_over(std::move(table->purges));
  Exported exported;
  std::string lines;
  std::vector<std::int64_t> damaged;
  std::int64_t after = 0;
  for (bool more = true; more;) {
    lines.clear();
    const auto read = reader->all(
        after, kReadRows,
        [&](std::string_view key, const StoredPtr& stored) {
          if (purges.purged(key, *stored)) return true;
          append_json_line(lines, key, *stored);
          ++exported.written;
          return true;
        },
        damaged);
    if (!read) return tl::unexpected(read.error());
    more = *read;
    // Outside the read transaction: the output may be a pipe that is full.
    if (std::fwrite(lines.data(), 1, lines.size(), out) != lines.size()) {
      return tl::unexpected(write_failed().error());
    }
  }
  if (std::fflush(out) != 0) return tl::unexpected(write_failed().error());
  exported.damaged = damaged.size();
  return exported;
}

base::Result<Imported> store_import(const std::string& path, const base::Clock& clock, FILE* in,
                                    FILE* complaints, const Objection& objection) {
  auto rows = open_rows(path);
  if (!rows) return tl::unexpected(std::move(rows.error()));
  auto table = rows->purges();
  if (!table) return tl::unexpected(std::move(table.error()));
  Purges purges;
  const ByTime by_time(table->purges);
  purges.take_over(std::move(table->purges));
  Imported result;
  struct Item {
    std::string key;
    StoredPtr stored;
  };
  std::vector<Item> items;
  const auto write = [&]() -> base::Result<void> {
    std::uint64_t written = 0;
    const std::int64_t now_hour = hour_of(clock.wall());
    auto done = transact(*rows, [&]() -> base::Result<void> {
      written = 0;
      for (const Item& item : items) {
        const auto put = rows->put(item.key, *item.stored, now_hour, true);
        if (!put) return tl::unexpected(put.error());
        written += *put ? 1 : 0;
      }
      return {};
    });
    if (!done) return done;
    result.written += written;
    result.older += items.size() - written;
    items.clear();
    return {};
  };

  JsonLineReader reader;
  struct Buffer {
    char* text = nullptr;
    std::size_t size = 0;
    ~Buffer() { std::free(text); }
  } buffer;
  std::uint64_t number = 0;
  for (ssize_t length = 0; (length = ::getline(&buffer.text, &buffer.size, in)) >= 0;) {
    ++number;
    std::string_view line(buffer.text, static_cast<std::size_t>(length));
    if (number == 1) {
      // Else each line would be refused, and none would say what is wrong.
      if (line.starts_with("\xff\xfe") || line.starts_with("\xfe\xff")) {
        return base::invalid_input("the input is UTF-16, where UTF-8 is expected");
      }
      if (line.starts_with(kByteOrderMark)) line.remove_prefix(kByteOrderMark.size());
    }
    while (!line.empty() && (line.back() == '\n' || line.back() == '\r')) line.remove_suffix(1);
    if (line.empty()) continue;
    Item item;
    auto stored = reader.read(line, item.key);
    std::string why = stored ? objection(item.key, **stored) : stored.error().message;
    // Never fresh, and more recent than all that has a right date.
    if (why.empty() && purges.latest() > 0) {
      StoredParts parts = **stored;
      parts.seen = by_time.seen_at(parts.response_time);
      *stored = make_stored(std::move(parts));
      if (purges.purged(item.key, **stored)) why = "was purged since";
    }
    if (why.empty() && is_dated_ahead(**stored, clock.wall())) why = "is from the future";
    if (!why.empty()) {
      ++result.refused;
      std::fprintf(complaints, "line %llu: %s\n", static_cast<unsigned long long>(number),
                   why.c_str());
      continue;
    }
    item.stored = std::move(*stored);
    items.push_back(std::move(item));
    if (items.size() < kWriteRows) continue;
    if (auto done = write(); !done) return tl::unexpected(std::move(done.error()));
  }
  if (std::ferror(in)) {
    return base::internal_error(base::ErrorKind::Io, "cannot read the input");
  }
  if (auto done = write(); !done) return tl::unexpected(std::move(done.error()));
  return result;
}

base::Result<void> store_compact(const std::string& path, FILE* out) {
  const std::int64_t before = file_bytes(path);
  // Only reading, so that a file that is not there is not made.
  if (auto reader = open_for_reading(path, {}); !reader) {
    return tl::unexpected(std::move(reader.error()));
  }
  auto rows = open_rows(path);
  if (!rows) return tl::unexpected(std::move(rows.error()));
  for (bool more = true; more;) {
    auto done = transact(*rows, [&]() -> base::Result<void> {
      const auto swept = rows->sweep(kSweptAtOnce);
      if (!swept) return tl::unexpected(swept.error());
      more = *swept;
      return {};
    });
    if (!done) return done;
  }
  if (auto done = compact_purged(*rows); !done) return done;
  for (;;) {
    const auto size = rows->size();
    if (!size) return tl::unexpected(size.error());
    if (size->free_pages == 0) break;
    if (auto done = transact(*rows, [&] { return rows->release(kReleasedAtOnce); }); !done) {
      return done;
    }
    const auto after = rows->size();
    if (!after) return tl::unexpected(after.error());
    if (after->free_pages >= size->free_pages) break;  // the daemon frees as fast
  }
  // A reader may be in the way; then the daemon does it.
  const auto cut = rows->checkpoint(sqlite::Connection::Checkpoint::Truncate);
  if (!cut) return tl::unexpected(cut.error());
  std::fprintf(out, "was_bytes: %lld\nis_bytes: %lld\n", static_cast<long long>(before),
               static_cast<long long>(file_bytes(path)));
  return std::fflush(out) == 0 ? base::Result<void>{} : write_failed();
}

}  // namespace holdfast::cache
