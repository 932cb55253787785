// JsonDocument reads one JSON text after the other, each as a whole, and says for people what is
// wrong with one. How long a text may be is the caller's decision. One thread; keeps the parser's
// memory between texts, and gives that of a large one back when a small one comes.
#pragma once

#include <simdjson.h>

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace holdfast::proxy {

class JsonDocument {
 public:
  // `max_depth`: of objects and arrays in each other. An empty one within the last is not counted.
  explicit JsonDocument(unsigned max_depth);

  // Why `text` is not one whole JSON document (RFC 8259) in valid UTF-8, without a byte order mark
  // or lone surrogates, since not everybody's parser takes those; empty if it is one. A
  // number may be of any size: that it is an infinity to many a parser is for its readers to know.
  std::string parse(std::string_view text);

  // Whether the last parse() refused its text because there was no memory to read it, which says
  // nothing of the text.
  bool lacked_memory() const { return lacked_memory_; }

  // What the last parse() took. Valid until the next; `text` must still be there.
  const simdjson::dom::element& root() const { return root_; }
  // Whether a value that is an integer to the parser is one in the text; 1e400 is none.
  bool is_integer(const simdjson::dom::element& value) const {
    return numbers_.empty() || stands_for_integer(value);
  }
  // An integer as it was written, but for "-0"; null if it is none.
  std::optional<std::string> integer_text(const simdjson::dom::element& value) const;
  // Null if it is no number, or beyond a double.
  std::optional<double> number(const simdjson::dom::element& value) const;
  // Whether the two are the same double, or where one is beyond, exactly the same.
  bool same_number(const simdjson::dom::element& value, std::string_view text) const;

 private:
  void make_parser();
  simdjson::error_code read(std::string_view text);
  simdjson::error_code read_with_numbers_aside(std::string_view text, simdjson::error_code refused);
  // What is an integer to the parser, as it was written; null of all else.
  std::optional<std::string> own_text(const simdjson::dom::element& value) const;
  bool stands_for_integer(const simdjson::dom::element& value) const;

  const unsigned max_depth_;
  simdjson::dom::parser parser_;
  simdjson::error_code ready_ = simdjson::SUCCESS;  // or that there was no memory for it
  simdjson::dom::element root_;
  bool lacked_memory_ = false;
  // The numbers too large for the parser; see the source.
  std::vector<std::string_view> numbers_;
};

}  // namespace holdfast::proxy
