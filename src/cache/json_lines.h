// A stored response as one line of JSON, for `holdfast store export` and import.
// Any thread.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "cache/stored_response.h"

namespace holdfast::cache {

// With its newline. `key` and `body` are called `key_base64` and `body_base64`
// where they are not UTF-8. `checksum` is over all the rest, and need not be there for
// a line to be read.
void append_json_line(std::string& out, std::string_view key, const StoredResponse& stored);

// Keeps the parser's memory from line to line. One thread.
class JsonLineReader {
 public:
  JsonLineReader();
  ~JsonLineReader();
  JsonLineReader(const JsonLineReader&) = delete;
  JsonLineReader& operator=(const JsonLineReader&) = delete;

  // Errors: InvalidInput, naming what is wrong. Everything is checked that an
  // answer made of it would rely on, field lines above all.
  base::Result<StoredPtr> read(std::string_view line, std::string& key);

 private:
  struct Parser;
  std::unique_ptr<Parser> parser_;
};

}  // namespace holdfast::cache
