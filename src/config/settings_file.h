// The settings file is TOML 1.0 (read by toml++), as a tree of values of our own: texts, whole
// numbers, true and false, arrays and tables, each with its line. What each means is for others
// to say. Pure functions; any thread.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace holdfast::config {

struct FileMember;

struct FileValue {
  enum class Kind {
    Text,
    Integer,
    Switch,  // true or false
    Array,
    Table,
    Other,  // a date, a fraction, or what is in more tables than anything here
  };
  Kind kind = Kind::Other;
  int line = 0;                     // from 1: of its key, or of itself in an array
  std::string text;                 // of the first three kinds
  std::vector<FileValue> elements;  // of an array
  std::vector<FileMember> members;  // of a table, in the file's order
};

struct FileMember {
  std::string key;
  FileValue value;
};

// The table that is the whole file. Errors start with the line's number ("12: …"), and never
// repeat a value, which may be a secret.
base::Result<FileValue> parse_settings_file(std::string_view text);

// "a text", "an array": what an error says is there.
std::string_view in_words(FileValue::Kind kind);

struct WrongValue {
  int line = 0;
  std::string_view what;
};

// The value as a flag has it: an array's texts joined by commas.
tl::expected<std::string, WrongValue> flat_value(const FileValue& value);

// `text` as a TOML string, quotes included.
std::string toml_string(std::string_view text);

// The whole file, if it has at most `most_bytes`. The error does not name it. A pipe is read to its
// end; it has `patience` for somebody to write to it, and one without content is an error: it was
// read before, or whoever writes has not come.
base::Result<std::string> read_file(const std::string& path, std::size_t most_bytes,
                                    std::chrono::milliseconds patience = {});

}  // namespace holdfast::config
