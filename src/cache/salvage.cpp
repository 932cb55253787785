#include "cache/salvage.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <system_error>
#include <utility>

#include "cache/page_file.h"
#include "cache/row.h"
#include "cache/schema.h"
#include "cache/sqlite.h"

namespace holdfast::cache {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kDamaged = ".damaged-";
constexpr std::string_view kSalvaged = ".salvaged-";
// Of a new file with auto_vacuum: page 1 has the schema, 2 maps pointers, and the
// tables follow in the order in which they are made.
constexpr std::uint32_t kStatePage = 4;

std::string utc_stamp(base::WallTime now) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(now);
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  std::array<char, 32> text{};
  const std::size_t size = std::strftime(text.data(), text.size(), "%Y%m%dT%H%M%SZ", &parts);
  return {text.data(), size};
}

// Files beside `path` whose name is its name, `infix` and a date, in order of date.
std::vector<std::string> siblings(const std::string& path, std::string_view infix) {
  std::vector<std::string> found;
  const std::string prefix = fs::path(path).filename().string().append(infix);
  const fs::path folder = fs::path(path).parent_path();
  std::error_code error;
  fs::directory_iterator it(folder.empty() ? fs::path(".") : folder, error);
  for (; !error && it != fs::directory_iterator(); it.increment(error)) {
    const std::string name = it->path().filename().string();
    if (name.starts_with(prefix) && !name.ends_with("-wal") && !name.ends_with("-shm")) {
      found.push_back((folder / name).string());
    }
  }
  std::sort(found.begin(), found.end());
  return found;
}

// A row of the response table, from the columns of its record. False: not one.
bool to_row(const std::vector<page::Value>& columns, Row& row, std::int64_t& expected) {
  // In the order of the table: id, key_hash, used, expires, checksum, key, ...
  // Of the last two, rows of the first version have none.
  if ((columns.size() != 16 && columns.size() != 18) || columns[0].kind != page::Value::Kind::Null)
    return false;
  for (const std::size_t i : {1, 2, 3, 4, 6, 7, 8, 9, 10, 11}) {
    if (columns[i].kind != page::Value::Kind::Integer) return false;
  }
  for (const std::size_t i : {5, 14, 15}) {
    if (columns[i].kind != page::Value::Kind::Text) return false;
  }
  expected = columns[4].integer;
  row.key = columns[5].text;
  row.status = columns[6].integer;
  row.response_time = columns[7].integer;
  row.initial_age = columns[8].integer;
  row.freshness_lifetime = columns[9].integer;
  row.stale_while_revalidate = columns[10].integer;
  row.stale_if_error = columns[11].integer;
  row.upstream_etag = columns[12].text;
  row.upstream_last_modified = columns[13].text;
  row.fields = columns[14].text;
  row.body = columns[15].text;
  if (columns.size() == 18) {
    row.seen = columns[16].kind == page::Value::Kind::Integer ? columns[16].integer : 0;
    row.tags = columns[17].kind == page::Value::Kind::Text ? columns[17].text : "";
  }
  return true;
}

// A row of the table of purges: kind, soft, what, sequence, at, checksum.
bool to_row(const std::vector<page::Value>& columns, PurgeRow& row, std::int64_t& expected) {
  if (columns.size() != 6 || columns[2].kind != page::Value::Kind::Text) return false;
  for (const std::size_t i : {0, 1, 3, 4, 5}) {
    if (columns[i].kind != page::Value::Kind::Integer) return false;
  }
  row = {columns[0].integer, columns[1].integer, columns[2].text, columns[3].integer,
         columns[4].integer};
  expected = columns[5].integer;
  return true;
}

PurgeTable purges_in(const page::File& file) {
  PurgeTable table;
  std::uint64_t last = 0;
  Purge lost;
  for (std::uint32_t number = 1; number <= file.pages(); ++number) {
    page::for_each_record(file, number, [&](std::int64_t, const std::vector<page::Value>& columns) {
      PurgeRow purge;
      Row row;
      std::int64_t expected = 0;
      if (to_row(columns, purge, expected)) {
        // One that does not match may be anything.
        if (checksum(purge) == expected) table.add(purge, true);
      } else if (to_row(columns, row, expected) && row.seen > 0 && checksum(row) == expected) {
        lost.sequence = std::max(lost.sequence, static_cast<std::uint64_t>(row.seen));
      }
      return true;
    });
  }
  for (const Purge& purge : table.purges) last = std::max(last, purge.sequence);
  // Rows that knew of one that is lost may have been what a later one was about, of which nobody
  // knows any more: it is taken for a purge of everything.
  if (lost.sequence > last) {
    ++lost.sequence;
    table.purges.push_back(lost);
  }
  return table;
}

// Rows up to this id had been erased and awaited deletion.
std::int64_t erased_through(const page::File& file) {
  std::int64_t through = 0;
  page::for_each_record(
      file, kStatePage, [&](std::int64_t, const std::vector<page::Value>& columns) {
        if (columns.size() == 3 && columns[1].kind == page::Value::Kind::Integer) {
          through = columns[1].integer;
        }
        return true;
      });
  return through;
}

}  // namespace

base::Result<std::string> set_aside(const std::string& path, base::WallTime now) {
  const auto names = sqlite::names_move();
  std::string aside = path + std::string(kDamaged) + utc_stamp(now);
  for (int i = 2; ::access(aside.c_str(), F_OK) == 0; ++i) {
    aside = path + std::string(kDamaged) + utc_stamp(now) + "-" + std::to_string(i);
  }
  // The database first: a WAL without one is removed by SQLite, while a database
  // without its WAL would be taken for whole.
  if (std::rename(path.c_str(), aside.c_str()) != 0) {
    return base::internal_error(base::ErrorKind::Io, "cannot rename the damaged " + path + ": " +
                                                         std::generic_category().message(errno));
  }
  std::rename((path + "-wal").c_str(), (aside + "-wal").c_str());
  ::unlink((path + "-shm").c_str());
  return aside;
}

std::vector<std::string> unsalvaged(const std::string& path) {
  return siblings(path, kDamaged);
}

void mark_salvaged(const std::string& path, const std::string& aside) {
  const std::size_t at = aside.rfind(kDamaged);
  if (at == aside.npos) return;
  const std::string done = std::string(aside).replace(at, kDamaged.size(), kSalvaged);
  // The WAL first, so that a file is never left to be salvaged without it.
  std::rename((aside + "-wal").c_str(), (done + "-wal").c_str());
  std::rename(aside.c_str(), done.c_str());
  auto old = siblings(path, kSalvaged);
  if (!old.empty()) old.pop_back();
  for (const std::string& name : old) {
    ::unlink(name.c_str());
    ::unlink((name + "-wal").c_str());
  }
}

base::Result<Salvaged> salvage(page::Files files, const std::function<void(PurgeTable)>& purges,
                               const std::function<bool(std::string_view, StoredPtr)>& visit) {
  const auto file = page::File::of(std::move(files));
  if (!file) return tl::unexpected(file.error());
  purges(purges_in(*file));
  const std::int64_t erased = erased_through(*file);
  Salvaged result;
  bool wanted = true;
  for (std::uint32_t number = 1; wanted && number <= file->pages(); ++number) {
    bool rows_here = false;
    page::for_each_record(*file, number,
                          [&](std::int64_t id, const std::vector<page::Value>& columns) {
                            Row row;
                            std::int64_t expected = 0;
                            if (!to_row(columns, row, expected)) return true;
                            rows_here = true;
                            StoredPtr stored = checksum(row) == expected ? from_row(row) : nullptr;
                            if (!stored) {
                              ++result.damaged;
                            } else if (id > erased) {
                              ++result.rows;
                              wanted = visit(row.key, std::move(stored));
                            }
                            return wanted;
                          });
    if (rows_here) ++result.pages;
  }
  return result;
}

}  // namespace holdfast::cache
