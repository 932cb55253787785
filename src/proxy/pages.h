// Pages are the fixed paths beside the routes: /livez, /metrics and so on.
// Filled before the workers start, read-only afterwards; any thread.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/scheduler.h"

namespace holdfast::proxy {

struct Page {
  int status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body;
  std::string fields;  // further field lines, each ending in CRLF
};

struct PageEntry {
  std::string path;
  std::function<Page()> render;
  // The loop to render on, for a page that takes more than a moment or touches
  // what that loop owns. Null: on the worker's own, so `render` is thread-safe.
  base::Scheduler* loop = nullptr;
  bool gzip = false;  // large enough to be packed, there too, for clients that ask
};

using Pages = std::vector<PageEntry>;

// Finds a page by its path. Every request passes here, and of nearly all that are for no page
// the length alone says so.
class PageFinder {
 public:
  explicit PageFinder(const Pages& pages) : pages_(pages) {
    for (const PageEntry& page : pages) sizes_ |= size_bit(page.path);
  }

  const PageEntry* find(std::string_view path) const {
    if ((sizes_ & size_bit(path)) == 0) return nullptr;
    for (const PageEntry& page : pages_) {
      if (page.path == path) return &page;
    }
    return nullptr;
  }

 private:
  // All long ones have the last bit.
  static std::uint64_t size_bit(std::string_view path) {
    return std::uint64_t{1} << std::min<std::size_t>(path.size(), 63);
  }

  const Pages& pages_;
  std::uint64_t sizes_ = 0;
};

}  // namespace holdfast::proxy
