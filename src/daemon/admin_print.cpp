// The document is our own daemon's, written by JsonWriter: it is read in one walk, without a tree.
// Of anything else no more comes out than what there was, and no control character.
#include "daemon/admin_print.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace holdfast::daemon {
namespace {

constexpr std::size_t kIndent = 2;
constexpr std::size_t kLabelWidth = 24;
constexpr std::size_t kDeepest = 32;

class Reader {
 public:
  explicit Reader(std::string_view json) : rest_(json) {}

  // False: it was no JSON, or one that is too deep.
  bool print(std::string& out) {
    blanks();
    if (!rest_.starts_with('{') || !object(out, 0)) return false;
    blanks();
    return rest_.empty();
  }

 private:
  void blanks() {
    while (!rest_.empty() && (rest_.front() == ' ' || rest_.front() == '\n' ||
                              rest_.front() == '\r' || rest_.front() == '\t')) {
      rest_.remove_prefix(1);
    }
  }
  bool take(char c) {
    blanks();
    if (!rest_.starts_with(c)) return false;
    rest_.remove_prefix(1);
    return true;
  }

  // A string without its quotes and escapes; what is escaped because it controls is "?".
  bool text(std::string& out) {
    if (!take('"')) return false;
    while (!rest_.empty() && rest_.front() != '"') {
      char c = rest_.front();
      rest_.remove_prefix(1);
      if (c == '\\') {
        if (rest_.empty()) return false;
        c = rest_.front();
        rest_.remove_prefix(1);
        if (c == 'u') rest_.remove_prefix(std::min<std::size_t>(4, rest_.size()));
        if (c != '"' && c != '\\' && c != '/') c = '?';
      }
      out += (c >= 0 && c < ' ') || c == 0x7f ? '?' : c;
    }
    return take('"');
  }

  // Numbers and words as they are, an empty text as a dash.
  bool scalar(std::string& out) {
    blanks();
    if (rest_.starts_with('"')) {
      std::string value;
      if (!text(value)) return false;
      out += value.empty() ? "-" : value;
      return true;
    }
    const std::size_t end = std::min(rest_.find_first_of(",]} \n"), rest_.size());
    if (end == 0) return false;
    const std::string_view word = rest_.substr(0, end);
    out += word == "null" ? "-" : word;
    rest_.remove_prefix(end);
    return true;
  }

  bool object(std::string& out, std::size_t depth) {
    if (depth > kDeepest || !take('{')) return false;
    if (take('}')) return true;
    do {
      std::string line(depth * kIndent, ' ');
      if (!text(line) || !take(':') || !value(out, std::move(line), depth)) return false;
    } while (take(','));
    return take('}');
  }

  // `line`: its label, as it stands at its place.
  bool value(std::string& out, std::string line, std::size_t depth) {
    blanks();
    if (rest_.starts_with('{')) {
      out += line + "\n";
      return object(out, depth + 1);
    }
    line.resize(std::max(line.size() + 1, kLabelWidth), ' ');
    if (rest_.starts_with('[')) return array(out, std::move(line), depth);
    if (!scalar(line)) return false;
    out += line + "\n";
    return true;
  }

  // Of objects each stands below, with a dash before its first line; other values are one line.
  bool array(std::string& out, std::string line, std::size_t depth) {
    if (depth > kDeepest || !take('[')) return false;
    if (take(']')) {
      out += line + "none\n";
      return true;
    }
    bool first = true;
    bool below = false;
    do {
      blanks();
      if (rest_.starts_with('{')) {
        if (first) out += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
        below = true;
        std::string inner;
        if (!object(inner, depth + 2)) return false;
        if (inner.size() > depth * kIndent + kIndent) inner[depth * kIndent + kIndent] = '-';
        out += inner;
      } else if (rest_.starts_with('[')) {
        if (!array(out, line, depth + 1)) return false;
        below = true;
      } else {
        if (!first) line += ", ";
        if (!scalar(line)) return false;
      }
      first = false;
    } while (take(','));
    if (!below) out += line + "\n";
    return take(']');
  }

  std::string_view rest_;
};

}  // namespace

std::string readable(std::string_view json) {
  std::string out;
  return Reader(json).print(out) ? out : std::string(json);
}

std::optional<std::string> text_member(std::string_view json, std::string_view name) {
  std::string lines;
  if (!Reader(json).print(lines)) return std::nullopt;
  std::string label(name);
  label.resize(std::max(label.size() + 1, kLabelWidth), ' ');
  for (std::size_t at = 0; at < lines.size();) {
    const std::size_t end = std::min(lines.find('\n', at), lines.size());
    const std::string_view line = std::string_view(lines).substr(at, end - at);
    if (line.starts_with(label)) return std::string(line.substr(label.size()));
    at = end + 1;
  }
  return std::nullopt;
}

}  // namespace holdfast::daemon
