// What `holdfast store ...` does with a store's file: each function is one
// subcommand. All are safe beside a running daemon: reads are short
// transactions (but for store_check(), see there), so that they never keep the
// WAL from being reset, and writes share the lock in small batches. Blocking; the
// caller's thread.
#pragma once

#include <cstdint>
#include <cstdio>
#include <functional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"
#include "cache/stored_response.h"

namespace holdfast::cache {

// Figures of the file, one "name: value" a line.
base::Result<void> store_stats(const std::string& path, const base::Clock& clock, FILE* out);

// The full check: SQLite's integrity_check and every row's checksum. Says what
// is wrong and returns false if anything is. The former is one long read: a daemon
// that writes a lot meanwhile has to wait for its end (degraded, nothing lost).
base::Result<bool> store_check(const std::string& path, FILE* out);

// Every response as one line of JSON, in the order of storing; damaged rows are
// left out and counted. Text that is not UTF-8 goes into "body_base64" and
// "key_base64".
struct Exported {
  std::uint64_t written = 0;
  std::uint64_t damaged = 0;
};
base::Result<Exported> store_export(const std::string& path, FILE* out);

struct Imported {
  std::uint64_t written = 0;
  std::uint64_t older = 0;    // the store has them as recent already
  std::uint64_t refused = 0;  // lines that are no response; each is named on `complaints`
};
// Why a response cannot be what is stored under a key, for people; empty if it can.
using Objection = std::function<std::string(std::string_view key, const StoredResponse& stored)>;
// Reads what store_export() wrote, making the file if there is none. What is in
// the store and more recent stays; what does not match its checksum is refused, and so is
// what meets an objection: lines written by hand carry no checksum, and what is stored is
// served without another look. STORE_LIMIT is not looked at: the daemon evicts when it
// next writes.
base::Result<Imported> store_import(const std::string& path, const base::Clock& clock, FILE* in,
                                    FILE* complaints, const Objection& objection);

// Deletes what was purged and awaits it, gives all free pages back to the file
// system, a little at a time, and cuts the WAL to nothing. Says how large the file
// was and is.
base::Result<void> store_compact(const std::string& path, FILE* out);

}  // namespace holdfast::cache
