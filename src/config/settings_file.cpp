#include "config/settings_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace {
struct BrokenAssertion {};
[[noreturn]] void break_off() {
  throw BrokenAssertion();
}
}  // namespace

// toml++ 3.3 meets some errors by an assertion alone ("[[[", its pull request 301), and without
// assertions assumes that there are none.
#undef NDEBUG
#define TOML_ASSERT(condition) ((condition) ? void() : break_off())
// One file uses it: its own code in that file costs less than a library to load.
#define TOML_HEADER_ONLY 1
#define TOML_EXCEPTIONS 1
#define TOML_ENABLE_FORMATTERS 0
#include <toml++/toml.h>

#include "base/unique_fd.h"

namespace holdfast::config {
namespace {

using base::invalid_input;

tl::unexpected<base::Error> error_at(const toml::source_region& where, std::string_view what) {
  return invalid_input(std::to_string(where.begin.line) + ": " + std::string(what));
}

// What toml++ says, without what it quotes of the text: that may be a secret. A quotation of
// one character is of the grammar, or says no more than that.
std::string without_quotations(std::string_view text) {
  std::string out;
  for (;;) {
    const std::size_t open = text.find('\'');
    out += text.substr(0, open);
    if (open == std::string_view::npos) return out;
    text.remove_prefix(open + 1);
    // What the last one quotes may have quotes of its own.
    const std::size_t another = text.find("', saw '");
    const std::size_t end = another == std::string_view::npos ? text.rfind('\'') : another;
    const std::string_view quoted = text.substr(0, end);
    const bool shown = quoted.size() == 1 || quoted == "\\n" || quoted == "\\r";
    out.append("'").append(shown ? quoted : "...").append("'");
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
}

// The commonest mistake reads as the beginning of something else: cache_ttl = 24h.
std::string why(std::string_view description) {
  std::string text = without_quotations(description);
  for (const std::string_view kind : {"value", "boolean", "integer", "floating-point", "date"}) {
    if (description.substr(0, description.find(':')).ends_with(kind)) {
      return text + "; text stands in quotes";
    }
  }
  return text;
}

// The first line with which the text breaks an assertion: what comes behind is not reached.
std::size_t line_of_assertion(std::string_view text) {
  std::vector<std::size_t> ends;
  for (std::size_t at = text.find('\n'); at != std::string_view::npos;
       at = text.find('\n', at + 1)) {
    ends.push_back(at);
  }
  const auto first = std::partition_point(ends.begin(), ends.end(), [&](std::size_t end) {
    try {
      static_cast<void>(toml::parse(text.substr(0, end)));
    } catch (const toml::parse_error&) {
      return true;
    } catch (const BrokenAssertion&) {
      return false;
    }
    return true;
  });
  return static_cast<std::size_t>(first - ends.begin()) + 1;
}

base::Result<std::string> array_value(const toml::array& array) {
  std::string joined;
  bool first = true;
  for (const toml::node& node : array) {
    const auto* const part = node.as_string();
    if (part == nullptr) return error_at(node.source(), "expected an array of strings");
    // The parts of a list have no commas; one here would make two of one.
    if (part->get().find(',') != std::string::npos) {
      return error_at(node.source(), "expected no comma inside a string of an array");
    }
    if (!std::exchange(first, false)) joined += ',';
    joined += part->get();
  }
  return joined;
}

base::Result<std::string> value_of(const toml::node& node) {
  if (const auto* const text = node.as_string()) return text->get();
  if (const auto* const number = node.as_integer()) return std::to_string(number->get());
  if (const auto* const flag = node.as_boolean()) return flag->get() ? "true" : "false";
  if (const auto* const array = node.as_array()) return array_value(*array);
  if (node.is_table())
    return error_at(node.source(), "tables are not used here; every key stands alone");
  return error_at(
      node.source(),
      "expected a value: \"text\" in quotes, a whole number, true or false, or an array");
}

}  // namespace

base::Result<std::vector<FileEntry>> parse_settings_file(std::string_view text) {
  toml::table table;
  try {
    table = toml::parse(text);
  } catch (const toml::parse_error& error) {
    return error_at(error.source(), why(error.description()));
  } catch (const BrokenAssertion&) {
    return invalid_input(std::to_string(line_of_assertion(text)) + ": this is not TOML");
  }
  // The table is sorted by key.
  std::vector<std::pair<toml::source_position, FileEntry>> found;
  for (const auto& [key, node] : table) {
    auto value = value_of(node);
    if (!value) return tl::unexpected(std::move(value.error()));
    const toml::source_position at = key.source().begin;
    found.push_back({at, {std::string(key.str()), *std::move(value), static_cast<int>(at.line)}});
  }
  std::sort(found.begin(), found.end(),
            [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<FileEntry> entries;
  for (auto& [at, entry] : found) entries.push_back(std::move(entry));
  return entries;
}

std::string toml_string(std::string_view text) {
  constexpr char kHex[] = "0123456789ABCDEF";
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20 || byte == 0x7F) {
      out += "\\u00";
      out += kHex[byte >> 4];
      out += kHex[byte & 0xF];
    } else {
      out += c;
    }
  }
  return out + '"';
}

base::Result<std::string> read_file(const std::string& path, std::size_t most_bytes) {
  // Opening a pipe would wait for somebody to write to it, and on a reload everything
  // would wait with it. Reading one waits only for those who do.
  base::UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file || ::fcntl(file.get(), F_SETFL, 0) != 0) {
    return internal_error(base::ErrorKind::Io, std::strerror(errno));
  }
  std::string text;
  char buffer[4096];
  for (;;) {
    const ssize_t n = ::read(file.get(), buffer, sizeof buffer);
    if (n == 0) return text;
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return internal_error(base::ErrorKind::Io, std::strerror(errno));
    text.append(buffer, static_cast<std::size_t>(n));
    if (text.size() > most_bytes) {
      return internal_error(base::ErrorKind::Full,
                            "larger than " + std::to_string(most_bytes) + " bytes");
    }
  }
}

}  // namespace holdfast::config
