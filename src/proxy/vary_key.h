// VaryNames are the request fields that an answer's Vary says it was selected by (RFC 9110,
// 12.5.5); append_selection() makes the text that tells one variant from another (RFC 9111, 4.1).
// One thread; data, once the lines are added.
//
// A list that is malformed, has more names than anybody means, or has a "*" in it, counts as "*":
// no request but the one that was answered is known to match. So does one with a field that is made
// here and says who asks (X-Forwarded-For, say): the client's own would select one address's answer
// for another.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "http/request.h"

namespace holdfast::proxy {

class VaryNames {
 public:
  static constexpr std::size_t kMost = 16;

  // One field line. Empty elements, and a line of nothing else, say nothing (RFC 9110, 5.6.1.2).
  void add(std::string_view line);

  // Of "*" there are no variants: nothing that is stored answers another request.
  bool any() const { return any_; }
  // Each once, in lower case and in order, with "," between them; none of "*".
  std::string list() const;
  const std::vector<std::string>& names() const { return names_; }

 private:
  void add_name(std::string_view name);

  std::vector<std::string> names_;
  bool any_ = false;
};

// Appends for each of `names` (as list() has them) what of `fields` selects a variant:
// " name=value", or " name" if the field is absent. Two requests have the same text only if each
// named field is absent from both or has the same value in both, with the lines of one field
// combined (RFC 9110, 5.3) and the space around a list's commas left out. The value is escaped as a
// key's fields are (route.h), so that a blank ends it. Allocates nothing but what `out` needs to
// grow, and for fields in `preferences`: lists of preferences (accept-language, accept-encoding)
// whose order and case do not count. Any thread.
void append_selection(std::string_view names, std::span<const http::FieldLine> fields,
                      std::span<const std::string> preferences, std::string& out);

// The same text as if the client had asked for that language alone, which is what a stored response
// says it is in: " accept-language:de". Of `names` all others as they are. False: the names have no
// accept-language, or it is none of `preferences`.
bool append_language_selection(std::string_view names, std::span<const http::FieldLine> fields,
                               std::span<const std::string> preferences, std::string_view language,
                               std::string& out);

// The language that a client likes best, of its Accept-Language; empty: it does not say.
std::string wanted_language(std::span<const http::FieldLine> fields);

}  // namespace holdfast::proxy
