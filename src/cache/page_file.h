// Reads SQLite's file format page by page, believing nothing: for files that
// SQLite itself no longer opens. Only as much of the format as the store uses:
// pages of 4096 bytes, UTF-8, tables with a rowid.
// https://www.sqlite.org/fileformat2.html
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "cache/schema.h"

namespace holdfast::cache::page {

using Page = std::array<unsigned char, static_cast<std::size_t>(kPageBytes)>;

// A database and its WAL, if it has one: open, so that they may get other names.
struct Files {
  base::UniqueFd database;
  base::UniqueFd wal;
};
base::Result<Files> open_files(const std::string& path);

// A database file with the committed part of its WAL over it.
class File {
 public:
  // The WAL is taken as SQLite takes it: up to the last commit whose frames all have
  // the right salt and checksum.
  static base::Result<File> of(Files files);

  // Counted from 1. Part of a page at the end counts.
  std::uint32_t pages() const { return pages_; }
  // What is missing at the end reads as zeros. False: it cannot be read at all.
  bool read(std::uint32_t number, Page& page) const;

 private:
  void read_wal();

  base::UniqueFd file_;
  base::UniqueFd wal_;
  std::uint32_t pages_ = 0;
  std::unordered_map<std::uint32_t, std::int64_t> wal_offsets_;  // of pages in the WAL
};

struct Value {
  enum class Kind { Null, Integer, Text, Other };
  Kind kind = Kind::Null;
  std::int64_t integer = 0;
  std::string_view text;
};

// Calls `visit` for each record of a table's leaf page that can be decoded, until
// it returns false; for other pages, not at all. Views are valid in the call.
void for_each_record(
    const File& file, std::uint32_t number,
    const std::function<bool(std::int64_t rowid, const std::vector<Value>& columns)>& visit);

}  // namespace holdfast::cache::page
