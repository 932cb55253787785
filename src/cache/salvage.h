// What to do with a damaged file: move it out of the way, and read out of it what
// can still be believed. Blocking.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "cache/page_file.h"
#include "cache/row.h"
#include "cache/stored_response.h"

namespace holdfast::cache {

// Renames the file and its WAL to `path`.damaged-<UTC date and time>, and returns
// that name. Nothing is deleted but the WAL's index, which SQLite makes anew.
base::Result<std::string> set_aside(const std::string& path, base::WallTime now);

// Files that set_aside() made of `path` and that mark_salvaged() has not seen,
// oldest first.
std::vector<std::string> unsalvaged(const std::string& path);
// Renames one to `path`.salvaged-<the same date>: it is done with. Of those only
// the latest is kept, for whoever wants to know what happened.
void mark_salvaged(const std::string& path, const std::string& aside);

struct Salvaged {
  std::uint64_t rows = 0;     // handed to `visit`
  std::uint64_t damaged = 0;  // cells that look like rows and do not match their checksum
  std::uint64_t pages = 0;    // pages of rows that were looked at
};

// Hands every row whose checksum matches to `visit`, which returns false to stop,
// whatever state the rest of the file is in: pages are read one by one, without
// SQLite. Of a page that is also in the WAL, the last committed version counts.
// A response may come twice; the more recent one is the right one.
// Before the first of them `purges` gets what the file knows of purges. Where a response has seen
// later ones than are left, that is one of everything.
base::Result<Salvaged> salvage(page::Files files, const std::function<void(PurgeTable)>& purges,
                               const std::function<bool(std::string_view, StoredPtr)>& visit);

}  // namespace holdfast::cache
