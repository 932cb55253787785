// The store's file: whose it is, how it is made, brought up to date and opened.
// src/cache/README.md describes the format. Blocking; the caller's thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "base/result.h"
#include "cache/sqlite.h"

namespace holdfast::cache {

constexpr std::int32_t kApplicationId = 0x484f4c44;  // "HOLD"
constexpr std::int32_t kSchemaVersion = 2;
constexpr std::int64_t kPageBytes = 4096;
// Before purges by tag: rows have no tags, and there is no list of purges. Such a file is brought
// up to date when it is opened for writing; where it can only be read it is read as it is.
constexpr std::int32_t kVersionWithoutTags = 1;

// One step from version `from` to `from` + 1.
struct Migration {
  std::int32_t from;
  const char* sql;
};

// Whether the file, if there is one, may be ours to use. Errors: NotOurs and TooNew.
base::Result<void> check_ours(const std::string& path, const std::string& vfs);

// Opens the file for writing, making or migrating it first if need be.
// Errors: NotOurs and TooNew (the file is untouched), Corrupt, Busy, Io.
// `wal_keep_bytes`: what the WAL is cut back to after it was larger.
base::Result<sqlite::Connection> open_for_writing(const std::string& path, const std::string& vfs,
                                                  std::int64_t wal_keep_bytes);

// Opens an existing file of ours for reading only. Errors: as above, and
// Unavailable if there is none.
base::Result<sqlite::Connection> open_for_reading(const std::string& path, const std::string& vfs);

// Brings the schema to `target` within one transaction: all steps or none.
base::Result<void> migrate(sqlite::Connection& connection, std::int32_t target,
                           std::span<const Migration> steps);

}  // namespace holdfast::cache
