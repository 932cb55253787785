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
  // or lone surrogates, since not everybody's parser takes those; empty if it is one. An
  // integer may have any length, as long as it is no infinity to others.
  std::string parse(std::string_view text);

  // What the last parse() took. Valid until the next; `text` must still be there.
  const simdjson::dom::element& root() const { return root_; }
  // An integer as it was written, but for "-0"; null if it is none.
  std::optional<std::string> integer_text(const simdjson::dom::element& value) const;
  // Null if it is no number.
  std::optional<double> number(const simdjson::dom::element& value) const;

 private:
  void make_parser();
  simdjson::error_code read(std::string_view text);

  const unsigned max_depth_;
  simdjson::dom::parser parser_;
  simdjson::error_code ready_ = simdjson::SUCCESS;  // or that there was no memory for it
  simdjson::dom::element root_;
  // The integers too long for the parser; see the source.
  std::vector<std::string_view> long_integers_;
};

}  // namespace holdfast::proxy
