// Reads the content of POST /lookup: a JSON array of addresses. Pure function;
// any thread.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace holdfast::proxy {

struct BatchRequest {
  // Each element as it was written, unescaped; valid UTF-8, but not yet an address.
  std::vector<std::string> elements;

  // Why there are none: the status to answer, 0 if all is well, and for people
  // what is wrong and where.
  int status = 0;
  std::string detail;
};

// 400 for what is no JSON (RFC 8259), no array, or holds anything but strings;
// 413 for more than `most` elements.
BatchRequest parse_batch(std::string_view content, std::size_t most);

// Whether a Content-Type is JSON in the one encoding it has: "application/json",
// with no parameter but charset=utf-8.
bool is_json_content_type(std::string_view content_type);

}  // namespace holdfast::proxy
