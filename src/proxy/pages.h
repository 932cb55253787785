// Pages are the fixed paths beside the routes: /livez, /metrics and so on.
// Filled before the workers start, read-only afterwards; any thread.
#pragma once

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

inline const PageEntry* find_page(const Pages& pages, std::string_view path) {
  for (const PageEntry& page : pages) {
    if (page.path == path) return &page;
  }
  return nullptr;
}

}  // namespace holdfast::proxy
