// Reads the content of a batch: a JSON array of strings, such as addresses. Pure function;
// any thread.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace holdfast::proxy {

struct BatchRequest {
  // Each element as it was written, unescaped; valid UTF-8, but not yet an address, say.
  std::vector<std::string> elements;

  // Why there are none: the status to answer, 0 if all is well, and for people
  // what is wrong and where.
  int status = 0;
  std::string detail;
};

// What the elements are.
struct BatchElements {
  const char* in_words = "addresses";
  bool integers = false;  // they may be JSON integers too
};

// 400 for what is no JSON (RFC 8259), no array, or holds anything but strings (and integers, where
// they may be); 413 for more than `most` elements.
BatchRequest parse_batch(std::string_view content, std::size_t most, BatchElements elements = {});

// Whether a Content-Type is JSON: "application/json", whatever parameters it has. The
// type defines none, so they mean nothing (RFC 8259, 11); what is not UTF-8 is no JSON.
bool is_json_content_type(std::string_view content_type);

// Whether content is as it was before any coding: Content-Encoding is absent, empty, or
// "identity", which is none (RFC 9110, 8.4.1).
bool is_uncoded(std::string_view content_encoding);

}  // namespace holdfast::proxy
