#include "sitemap.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <optional>

namespace holdfast::warm {
namespace {

using base::invalid_input;
using Status = base::Result<void>;

constexpr std::string_view kXmlBlank = " \t\r\n";
constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
constexpr std::size_t kDeepest = 32;
constexpr std::size_t kLongestName = 100;
// "&#1114111;", without the ampersand.
constexpr std::size_t kLongestEntity = 12;

bool is_blank(char c) {
  return kXmlBlank.find(c) != kXmlBlank.npos;
}

bool is_name_byte(char c) {
  return static_cast<unsigned char>(c) >= 0x80 || (c >= 'a' && c <= 'z') ||
         (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         std::string_view("-._:").find(c) != std::string_view::npos;
}

void append_utf8(std::uint32_t code, std::string& out) {
  const auto add = [&](std::uint32_t byte) { out += static_cast<char>(byte); };
  if (code < 0x80) return add(code);
  if (code < 0x800) {
    add(0xc0 | code >> 6);
  } else {
    if (code < 0x10000) {
      add(0xe0 | code >> 12);
    } else {
      add(0xf0 | code >> 18);
      add(0x80 | (code >> 12 & 0x3f));
    }
    add(0x80 | (code >> 6 & 0x3f));
  }
  add(0x80 | (code & 0x3f));
}

// "amp", "#38", "#x26".
bool append_entity(std::string_view name, std::string& out) {
  constexpr std::pair<std::string_view, char> kKnown[] = {
      {"amp", '&'}, {"lt", '<'}, {"gt", '>'}, {"quot", '"'}, {"apos", '\''}};
  for (const auto& known : kKnown) {
    if (known.first != name) continue;
    out += known.second;
    return true;
  }
  if (!name.starts_with('#')) return false;
  name.remove_prefix(1);
  const bool hex = name.starts_with('x');
  if (hex) name.remove_prefix(1);
  std::uint32_t code = 0;
  const char* const last = name.data() + name.size();
  const auto [end, error] = std::from_chars(name.data(), last, code, hex ? 16 : 10);
  const bool surrogate = code >= 0xd800 && code < 0xe000;
  if (error != std::errc() || end != last || code == 0 || surrogate || code > 0x10ffff)
    return false;
  append_utf8(code, out);
  return true;
}

class Reader {
 public:
  explicit Reader(std::string_view xml) : rest_(xml) {}

  base::Result<std::vector<Location>> read() {
    if (rest_.starts_with(kByteOrderMark)) skip(kByteOrderMark.size());
    while (!rest_.empty()) {
      const Status done = rest_.front() == '<' ? markup() : text();
      if (!done)
        return invalid_input("line " + std::to_string(line_) + ": " + done.error().message);
    }
    if (!open_.empty()) return invalid_input("it ends within <" + std::string(open_.back()) + ">");
    if (!ended_) return invalid_input("it has no element");
    return std::move(locations_);
  }

 private:
  void skip(std::size_t bytes) {
    line_ += static_cast<std::size_t>(std::count(rest_.begin(), rest_.begin() + bytes, '\n'));
    rest_.remove_prefix(bytes);
  }
  void skip_blanks() { skip(std::min(rest_.find_first_not_of(kXmlBlank), rest_.size())); }

  // What stands between two marks, of which the first is there.
  std::optional<std::string_view> take_between(std::string_view begin, std::string_view end) {
    const std::size_t at = rest_.find(end, begin.size());
    if (at == rest_.npos) return std::nullopt;
    const std::string_view inner = rest_.substr(begin.size(), at - begin.size());
    skip(at + end.size());
    return inner;
  }

  bool in_location() const { return open_.size() == 3 && open_.back() == "loc" && in_page(2); }
  bool in_page(std::size_t depth) const {
    return open_.size() >= depth && open_[0] == "urlset" && open_[1] == "url";
  }

  Status markup() {
    if (rest_.starts_with("<!--")) {
      if (!take_between("<!--", "-->")) return invalid_input("a comment without an end");
      return {};
    }
    if (rest_.starts_with("<![CDATA[")) return character_data();
    if (rest_.starts_with("<!")) return invalid_input("a document type, which no sitemap has");
    if (rest_.starts_with("<?")) return instruction();
    return rest_.starts_with("</") ? end_tag() : start_tag();
  }

  Status instruction() {
    const auto inner = take_between("<?", "?>");
    if (!inner) return invalid_input("\"<?\" without an end");
    const std::size_t encoding = inner->starts_with("xml") ? inner->find("encoding") : inner->npos;
    if (encoding == inner->npos) return {};
    std::string name(inner->substr(encoding));
    std::transform(name.begin(), name.end(), name.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    if (name.find("utf-8") == name.npos && name.find("us-ascii") == name.npos) {
      return invalid_input("another encoding than UTF-8");
    }
    return {};
  }

  Status character_data() {
    if (open_.empty()) return invalid_input("CDATA outside of the document's element");
    const auto inner = take_between("<![CDATA[", "]]>");
    if (!inner) return invalid_input("CDATA without an end");
    if (in_location()) locations_.back().text += *inner;
    return {};
  }

  Status text() {
    const std::size_t end = std::min(rest_.find('<'), rest_.size());
    std::string_view text = rest_.substr(0, end);
    if (open_.empty() && text.find_first_not_of(kXmlBlank) != text.npos) {
      return invalid_input("text outside of the document's element");
    }
    if (in_location()) {
      std::string& location = locations_.back().text;
      while (!text.empty()) {
        const std::size_t mark = std::min(text.find('&'), text.size());
        location += text.substr(0, mark);
        text.remove_prefix(mark);
        if (text.empty()) break;
        const std::size_t semicolon = text.substr(0, kLongestEntity).find(';');
        if (semicolon == text.npos || !append_entity(text.substr(1, semicolon - 1), location)) {
          return invalid_input("an \"&\" that begins no entity of XML's own");
        }
        text.remove_prefix(semicolon + 1);
      }
    }
    skip(end);
    return {};
  }

  std::string_view take_name() {
    const auto end = std::find_if_not(rest_.begin(), rest_.end(), is_name_byte);
    const std::string_view name = rest_.substr(0, static_cast<std::size_t>(end - rest_.begin()));
    rest_.remove_prefix(name.size());
    return name;
  }

  Status end_tag() {
    rest_.remove_prefix(2);
    const std::string_view name = take_name();
    skip_blanks();
    if (!rest_.starts_with('>')) return invalid_input("an end tag without an end");
    rest_.remove_prefix(1);
    if (open_.empty() || open_.back() != name) return invalid_input("an end tag of nothing");
    if (in_location()) {
      std::string& text = locations_.back().text;
      text.erase(0, std::min(text.find_first_not_of(kXmlBlank), text.size()));
      text.erase(text.find_last_not_of(kXmlBlank) + 1);
    }
    open_.pop_back();
    ended_ = open_.empty();
    return {};
  }

  Status start_tag() {
    const std::size_t line = line_;
    rest_.remove_prefix(1);
    const std::string_view name = take_name();
    if (name.empty() || name.size() > kLongestName) return invalid_input("a \"<\" of no element");
    if (in_location()) return invalid_input("an element within <loc>");
    if (ended_) return invalid_input("more than one element");
    if (open_.empty() && name == "sitemapindex") {
      return invalid_input("an index of sitemaps; expected one of the sitemaps that it names");
    }
    if (open_.empty() && name != "urlset") {
      return invalid_input("<" + std::string(name) + ">, where a sitemap has <urlset>");
    }
    if (open_.size() >= kDeepest) return invalid_input("elements too deep in each other");
    for (;;) {
      const bool blank = !rest_.empty() && is_blank(rest_.front());
      skip_blanks();
      if (rest_.starts_with('>') || rest_.starts_with("/>")) break;
      if (!blank || !attribute()) return invalid_input("a tag that is not well-formed");
    }
    const bool empty = rest_.starts_with('/');
    rest_.remove_prefix(empty ? 2 : 1);
    open_.push_back(name);
    if (in_location()) locations_.push_back({line, {}});
    if (!empty) return {};
    open_.pop_back();
    ended_ = open_.empty();
    return {};
  }

  // name="value"
  bool attribute() {
    if (take_name().empty()) return false;
    skip_blanks();
    if (!rest_.starts_with('=')) return false;
    rest_.remove_prefix(1);
    skip_blanks();
    if (!rest_.starts_with('"') && !rest_.starts_with('\'')) return false;
    const std::string_view quote = rest_.substr(0, 1);
    const auto value = take_between(quote, quote);
    return value && value->find('<') == value->npos;
  }

  std::string_view rest_;
  std::size_t line_ = 1;
  std::vector<std::string_view> open_;  // elements, outermost first
  bool ended_ = false;
  std::vector<Location> locations_;
};

}  // namespace

bool is_xml(std::string_view start) {
  if (start.starts_with(kByteOrderMark)) start.remove_prefix(kByteOrderMark.size());
  const std::size_t first = start.find_first_not_of(kXmlBlank);
  return first != start.npos && start[first] == '<';
}

base::Result<std::vector<Location>> read_sitemap(std::string_view xml) {
  return Reader(xml).read();
}

}  // namespace holdfast::warm
