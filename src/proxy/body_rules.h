// BodyRules are what a route asks of the content of an answer: `validate = {...}` as data.
// BodyCheck holds an answer against them. Nothing here knows the body; the parsers
// name the text that is wrong and what is wrong with it. Pure; any thread.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace holdfast::proxy {

// Where a value stands in a JSON document (RFC 6901): "/a~1b/0" is the first element of the
// member "a/b", "" the document itself.
struct JsonPointer {
  std::string text;
  std::vector<std::string> tokens;  // with ~0 and ~1 undone
  bool operator==(const JsonPointer&) const = default;
};

// Bits of a set. An integer is written without fraction and exponent, as a client that reads it
// into one takes no other; every integer is a number too, however long.
using JsonTypes = unsigned;
inline constexpr JsonTypes kString = 1;
inline constexpr JsonTypes kNumber = 2;
inline constexpr JsonTypes kInteger = 4;
inline constexpr JsonTypes kBool = 8;
inline constexpr JsonTypes kArray = 16;
inline constexpr JsonTypes kObject = 32;
inline constexpr JsonTypes kNull = 64;
inline constexpr JsonTypes kAnyType = 127;

// "a string or null"
std::string in_words(JsonTypes types);

// There is a value, and it has one of the types.
struct Require {
  JsonPointer pointer;
  JsonTypes types = kAnyType;
  bool operator==(const Require&) const = default;
};

// There is a value, and it is the path parameter's, by value of the parameter's type.
struct Equal {
  JsonPointer pointer;
  std::string parameter;
  bool operator==(const Equal&) const = default;
};

// If there is a value, it is none of these: a string is compared as text, a number by value (1.50
// is 1.5), true, false and null by their names. "null" is thus both the string and null.
struct RejectIf {
  JsonPointer pointer;
  std::vector<std::string> values;
  bool operator==(const RejectIf&) const = default;
};

struct BodyRules {
  // One whole JSON document. Rules with a pointer ask for it anyway.
  bool json = false;
  std::vector<Require> require;
  std::vector<Equal> equal;
  std::vector<RejectIf> reject_if;
  // As parse_content_type() gives it; empty: any, or none.
  std::string content_type;
  std::size_t max_body_bytes = 8U << 20;
  std::size_t min_body_bytes = 0;
  // Objects and arrays in each other. An empty one within the last is not counted.
  unsigned max_depth = 64;

  bool needs_json() const {
    return json || !require.empty() || !equal.empty() || !reject_if.empty();
  }
  // What they ask for is not told by a head: a content in a coding has to be decoded for it.
  bool reads_content() const { return needs_json() || min_body_bytes > 0; }
  bool operator==(const BodyRules&) const = default;
};

base::Result<JsonPointer> parse_pointer(std::string_view text);

// "/ip:string", "/id:string|integer", "/location:string?" where null is as good, "/x" with any
// value, ":array" for the document itself. The last colon separates: a pointer that has one
// needs its type. The types: string number integer bool array object null any.
base::Result<Require> parse_require(std::string_view text);

base::Result<Equal> parse_equal(std::string_view pointer, std::string_view parameter);

base::Result<RejectIf> parse_reject_if(std::string_view pointer, std::vector<std::string> values);

// A media type without parameters, in lower case. `*` stands for any type or subtype, or for the
// start of a subtype: "*/json", "text/*", "application/*+json". "application/json" takes what is
// JSON by its suffix too ("application/geo+json"; RFC 6839, 3.1).
base::Result<std::string> parse_content_type(std::string_view text);

// Whether a Content-Type field's value has that type; its parameters do not count.
bool has_content_type(std::string_view field, std::string_view wanted);

}  // namespace holdfast::proxy
