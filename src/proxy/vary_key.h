// VaryNames are the request fields that an answer's Vary says it was selected by (RFC 9110,
// 12.5.5), and make the text that tells one variant from another (RFC 9111, 4.1). One thread;
// data, once the lines are added.
//
// A list that is malformed, has more names than anybody means, or has a "*" in it, counts as "*":
// no request but the one that was answered is known to match.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace holdfast::proxy {

// One line of a request's head, as it came.
struct RequestField {
  std::string_view name;
  std::string_view value;
};

class VaryNames {
 public:
  static constexpr std::size_t kMost = 16;

  // One field line. Empty elements, and a line of nothing else, say nothing (RFC 9110, 5.6.1.2).
  void add(std::string_view line);

  // Of "*" there are no variants: nothing that is stored answers another request.
  bool any() const { return any_; }
  // Each once, in lower case and in order; none of "*".
  const std::vector<std::string>& names() const { return names_; }

  // Appends what of `fields` selects a variant, unless any(): then false, and `out` is unchanged.
  // Two requests have the same text only if each named field is absent from both or has the
  // same value in both, with the lines of one field combined by ", " (RFC 9110, 5.3); and names
  // that differ have different texts. Without a name the text is empty.
  //
  // A field in `normalise` is a list whose letters' case does not count, as accept-language and
  // accept-encoding are: its elements are compared in lower case, without the space around them
  // and without empty ones, in their order. Nothing is changed between quotes. Names of `normalise`
  // are in lower case. Allocates nothing but what `out` needs to grow.
  bool append_key(std::span<const RequestField> fields, std::span<const std::string> normalise,
                  std::string& out) const;

 private:
  void add_name(std::string_view name);

  std::vector<std::string> names_;
  bool any_ = false;
};

}  // namespace holdfast::proxy
