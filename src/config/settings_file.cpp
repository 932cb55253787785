// A cursor over the text, one method for each thing of the grammar. Every method
// leaves the cursor after what it took.
#include "config/settings_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>

#include "base/unique_fd.h"
#include "config/values.h"

namespace holdfast::config {
namespace {

using base::invalid_input;

bool is_bare_key(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '-';
}

void append_utf8(std::string& out, std::uint32_t code) {
  if (code < 0x80) {
    out += static_cast<char>(code);
    return;
  }
  if (code < 0x800) {
    out += static_cast<char>(0xC0 | (code >> 6));
  } else {
    if (code < 0x10000) {
      out += static_cast<char>(0xE0 | (code >> 12));
    } else {
      out += static_cast<char>(0xF0 | (code >> 18));
      out += static_cast<char>(0x80 | ((code >> 12) & 0x3F));
    }
    out += static_cast<char>(0x80 | ((code >> 6) & 0x3F));
  }
  out += static_cast<char>(0x80 | (code & 0x3F));
}

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {
    if (text_.substr(0, 3) == "\xEF\xBB\xBF") at_ = 3;  // a byte order mark
  }

  base::Result<std::vector<FileEntry>> parse() {
    std::vector<FileEntry> entries;
    for (;;) {
      if (!skip_blank_lines()) return error("control characters have no place here");
      if (at_ == text_.size()) return entries;
      if (peek() == '[') return error("tables are not used here; every key stands alone");

      FileEntry entry;
      entry.line = line_;
      if (auto key = take_key()) {
        entry.key = *std::move(key);
      } else {
        return tl::unexpected(std::move(key.error()));
      }
      skip_blanks();
      if (!take('=')) return error("expected key = value");
      skip_blanks();
      if (auto value = take_value()) {
        entry.value = *std::move(value);
      } else {
        return tl::unexpected(std::move(value.error()));
      }
      skip_blanks();
      if (!skip_comment()) return error("control characters have no place here");
      if (at_ < text_.size() && !take_line_end()) return error("expected nothing after the value");
      entries.push_back(std::move(entry));
    }
  }

 private:
  tl::unexpected<base::Error> error(std::string_view what) const {
    return invalid_input(std::to_string(line_) + ": " + std::string(what));
  }

  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  bool take(char c) {
    if (at_ == text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  bool take(std::string_view word) {
    if (text_.substr(at_, word.size()) != word) return false;
    at_ += word.size();
    return true;
  }
  bool take_line_end() {
    if (!take('\n') && !take("\r\n")) return false;
    ++line_;
    return true;
  }
  void skip_blanks() {
    while (peek() == ' ' || peek() == '\t') ++at_;
  }
  // False at a control character, which TOML forbids in comments too.
  bool skip_comment() {
    if (peek() != '#') return true;
    while (at_ < text_.size() && text_[at_] != '\n' && text_.substr(at_, 2) != "\r\n") {
      const char c = text_[at_++];
      if ((c >= 0 && c < ' ' && c != '\t') || c == '\x7f') return false;
    }
    return true;
  }
  bool skip_blank_lines() {
    do {
      skip_blanks();
      if (!skip_comment()) return false;
    } while (take_line_end());
    return true;
  }

  base::Result<std::string> take_key() {
    if (peek() == '"' || peek() == '\'') return take_string();
    const std::size_t start = at_;
    while (at_ < text_.size() && is_bare_key(text_[at_])) ++at_;
    if (at_ == start) return error("expected key = value");
    return std::string(text_.substr(start, at_ - start));
  }

  base::Result<std::string> take_value() {
    if (peek() == '"' || peek() == '\'') return take_string();
    if (peek() == '[') return take_array();

    const std::size_t start = at_;
    while (at_ < text_.size() && std::strchr(" \t\r\n#,]", text_[at_]) == nullptr) ++at_;
    std::string word(text_.substr(start, at_ - start));
    if (word == "true" || word == "false") return word;
    const std::string_view digits =
        std::string_view(word).substr(!word.empty() && (word[0] == '-' || word[0] == '+') ? 1 : 0);
    if (!digits.empty() && std::all_of(digits.begin(), digits.end(), is_digit)) return word;
    return error(
        "expected a value: \"text\" in quotes, a whole number, true or false, or an array");
  }

  base::Result<std::string> take_array() {
    take('[');
    std::string joined;
    for (bool first = true;; first = false) {
      if (!skip_blank_lines()) return error("control characters have no place here");
      if (take(']')) return joined;
      if (peek() != '"' && peek() != '\'') return error("expected an array of strings");
      auto part = take_string();
      if (!part) return part;
      // The parts of a list have no commas; one here would make two of one.
      if (part->find(',') != std::string::npos)
        return error("expected no comma inside a string of an array");
      if (!first) joined += ',';
      joined += *part;
      if (!skip_blank_lines()) return error("control characters have no place here");
      if (take(',')) continue;
      if (take(']')) return joined;
      return error("expected a comma or ] in the array");
    }
  }

  base::Result<std::string> take_string() {
    if (text_.substr(at_, 3) == "\"\"\"" || text_.substr(at_, 3) == "'''") {
      return error("strings of several lines are not used here");
    }
    const char quote = text_[at_++];
    std::string out;
    while (at_ < text_.size() && text_[at_] != '\n' && text_[at_] != '\r') {
      const char c = text_[at_++];
      if (c == quote) return out;
      if (c == '\\' && quote == '"') {
        if (!take_escape(out)) return error("unknown escape in a string; '...' takes it as it is");
      } else if ((c >= 0 && c < ' ' && c != '\t') || c == '\x7f') {
        return error("control characters have no place here");
      } else {
        out += c;
      }
    }
    return error("the string has no closing quote");
  }

  bool take_escape(std::string& out) {
    constexpr std::string_view kNames = "btnfr\"\\";
    constexpr std::string_view kMeanings = "\b\t\n\f\r\"\\";
    if (take('u')) return take_code_point(out, 4);
    if (take('U')) return take_code_point(out, 8);
    const auto name = kNames.find(peek());
    if (at_ == text_.size() || name == std::string_view::npos) return false;
    ++at_;
    out += kMeanings[name];
    return true;
  }

  bool take_code_point(std::string& out, int digits) {
    std::uint32_t code = 0;
    for (; digits > 0; --digits) {
      const char c = peek();
      std::uint32_t value = 0;
      if (is_digit(c)) {
        value = static_cast<std::uint32_t>(c - '0');
      } else if (c >= 'a' && c <= 'f') {
        value = static_cast<std::uint32_t>(c - 'a' + 10);
      } else if (c >= 'A' && c <= 'F') {
        value = static_cast<std::uint32_t>(c - 'A' + 10);
      } else {
        return false;
      }
      code = code << 4 | value;
      ++at_;
    }
    if (code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) return false;
    append_utf8(out, code);
    return true;
  }

  std::string_view text_;
  std::size_t at_ = 0;
  int line_ = 1;
};

}  // namespace

base::Result<std::vector<FileEntry>> parse_settings_file(std::string_view text) {
  return Parser(text).parse();
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
