// Reads the addresses of pages out of an XML sitemap (sitemaps.org), and nothing else: of the
// text of <loc> in <url> in <urlset> entities are undone and CDATA is taken; what other elements
// hold is passed over. It is no XML parser: a document that is not well-formed, as far as
// elements and their attributes go, or has a document type, is refused as a whole. Pure; any
// thread.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace holdfast::warm {

struct Location {
  std::size_t line = 0;  // of its <loc>
  std::string text;      // without blanks around it
};

// Whether a list that begins so means to be XML.
bool is_xml(std::string_view start);

// Errors name the line.
base::Result<std::vector<Location>> read_sitemap(std::string_view xml);

}  // namespace holdfast::warm
