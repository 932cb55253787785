// The settings file is TOML 1.0 (read by toml++), of which the flat part is used: a value is a
// string, a whole number, true or false, or an array of strings. Tables, dates and floats are
// errors. Pure functions; any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace holdfast::config {

struct FileEntry {
  std::string key;
  std::string value;  // an array's strings joined by commas
  int line = 0;       // of the key, from 1
};

// In the file's order. Errors start with the line's number ("12: …"), and never
// repeat a value, which may be a secret.
base::Result<std::vector<FileEntry>> parse_settings_file(std::string_view text);

// `text` as a TOML string, quotes included.
std::string toml_string(std::string_view text);

// The whole file, if it has at most `most_bytes`. The error does not name it. A pipe
// that nobody writes to is an empty file.
base::Result<std::string> read_file(const std::string& path, std::size_t most_bytes);

}  // namespace holdfast::config
