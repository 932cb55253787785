// Read from left to right by the algorithms of RFC 9651, 4.2; `ok_` turns false at the first
// surprise, and nothing is looked at after that.
#include "rfc9111/sf_dictionary.h"

#include <algorithm>

#include "http/field_syntax.h"

namespace holdfast::rfc9111 {
namespace {

bool is_lower_alpha(char c) {
  return c >= 'a' && c <= 'z';
}

bool is_alpha(char c) {
  return is_lower_alpha(c) || (c >= 'A' && c <= 'Z');
}

bool is_base64_char(char c) {
  return is_alpha(c) || http::is_digit(c) || c == '+' || c == '/';
}

int lower_hex_digit(char c) {
  if (http::is_digit(c)) return c - '0';
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// RFC 3629, 4.
bool is_utf8(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    const auto lead = static_cast<unsigned char>(text[at++]);
    if (lead < 0x80) continue;
    const std::size_t more = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : 1;
    if (lead < 0xc2 || lead > 0xf4 || text.size() - at < more) return false;
    // Of the second byte some values would say too little, a surrogate, or too much.
    const auto second = static_cast<unsigned char>(text[at]);
    if ((lead == 0xe0 && second < 0xa0) || (lead == 0xed && second > 0x9f) ||
        (lead == 0xf0 && second < 0x90) || (lead == 0xf4 && second > 0x8f)) {
      return false;
    }
    for (const char c : text.substr(at, more)) {
      if ((static_cast<unsigned char>(c) & 0xc0U) != 0x80) return false;
    }
    at += more;
  }
  return true;
}

class SfReader {
 public:
  explicit SfReader(std::string_view text) : rest_(text) {}

  // 4.2.2, with what 4.2 says of the spaces around.
  std::optional<std::vector<SfMember>> dictionary() {
    std::vector<SfMember> members;
    skip_spaces();
    while (ok_ && !rest_.empty()) {
      keep(member(), members);
      if (!ok_ || end_of_member()) break;
    }
    if (!ok_) return std::nullopt;
    return members;
  }

 private:
  // True at the text's end; else the next member follows.
  bool end_of_member() {
    skip_optional_space();
    if (rest_.empty()) return true;
    expect(',');
    skip_optional_space();
    ok_ = ok_ && !rest_.empty();
    return !ok_;
  }

  static void keep(SfMember member, std::vector<SfMember>& members) {
    const auto same = std::find_if(members.begin(), members.end(),
                                   [&](const SfMember& other) { return other.key == member.key; });
    if (same == members.end()) {
      members.push_back(std::move(member));
    } else {
      *same = std::move(member);
    }
  }

  SfMember member() {
    SfMember out;
    out.key = key();
    if (!take('=')) {
      out.boolean = true;
    } else if (take('(')) {
      out.type = SfType::InnerList;
      inner_list();
    } else {
      bare_item(out);
    }
    parameters();
    return out;
  }

  // 4.2.1.2, behind its "(".
  void inner_list() {
    while (ok_) {
      skip_spaces();
      if (take(')')) return;
      SfMember item;
      bare_item(item);
      parameters();
      ok_ = ok_ && (next_is(' ') || next_is(')'));
    }
  }

  // 4.2.3.2.
  void parameters() {
    while (ok_ && take(';')) {
      skip_spaces();
      key();
      SfMember value;
      if (take('=')) bare_item(value);
    }
  }

  // 4.2.3.3.
  std::string key() {
    ok_ = ok_ && !rest_.empty() && (is_lower_alpha(rest_[0]) || rest_[0] == '*');
    return take_while([](char c) {
      return is_lower_alpha(c) || http::is_digit(c) || c == '_' || c == '-' || c == '.' || c == '*';
    });
  }

  // 4.2.3.1.
  void bare_item(SfMember& out) {
    if (!ok_ || rest_.empty()) {
      ok_ = false;
      return;
    }
    const char c = rest_[0];
    if (c == '-' || http::is_digit(c)) {
      number(out);
    } else if (take('"')) {
      string(out);
    } else if (c == '*' || is_alpha(c)) {
      out.type = SfType::Token;
      out.text = take_while([](char t) { return http::is_token_char(t) || t == ':' || t == '/'; });
    } else if (take(':')) {
      byte_sequence(out);
    } else if (take('?')) {
      out.type = SfType::Boolean;
      out.boolean = next_is('1');
      ok_ = next_is('0') || next_is('1');
      if (ok_) rest_.remove_prefix(1);
    } else if (take('@')) {
      number(out);
      ok_ = ok_ && out.type == SfType::Integer;
      out.type = SfType::Date;
    } else if (take('%')) {
      display_string(out);
    } else {
      ok_ = false;
    }
  }

  // 4.2.4: up to 15 digits, or 12 and up to 3 behind a point.
  void number(SfMember& out) {
    const bool negative = take('-');
    const std::string whole = take_while(http::is_digit);
    ok_ = ok_ && !whole.empty();
    if (ok_ && take('.')) {
      out.type = SfType::Decimal;
      const std::string fraction = take_while(http::is_digit);
      ok_ = whole.size() <= 12 && !fraction.empty() && fraction.size() <= 3;
      return;
    }
    out.type = SfType::Integer;
    ok_ = ok_ && whole.size() <= 15;
    if (!ok_) return;
    for (const char c : whole) out.integer = out.integer * 10 + (c - '0');
    if (negative) out.integer = -out.integer;
  }

  // 4.2.5, behind its quote.
  void string(SfMember& out) {
    out.type = SfType::String;
    while (ok_) {
      const char c = any();
      if (!ok_ || c == '"') return;
      if (c != '\\') {
        ok_ = c >= 0x20 && c <= 0x7e;
        out.text += c;
        continue;
      }
      const char escaped = any();
      ok_ = ok_ && (escaped == '"' || escaped == '\\');
      out.text += escaped;
    }
  }

  // 4.2.7, behind its colon. Without padding, or with bits in it, it is read too.
  void byte_sequence(SfMember& out) {
    out.type = SfType::ByteSequence;
    const std::size_t digits = take_while(is_base64_char).size();
    const std::size_t padding = take_while([](char c) { return c == '='; }).size();
    ok_ = ok_ && digits % 4 != 1 && (padding == 0 || (digits + padding) % 4 == 0) && padding <= 2;
    expect(':');
  }

  // 4.2.10, behind its percent sign.
  void display_string(SfMember& out) {
    out.type = SfType::DisplayString;
    expect('"');
    std::string bytes;
    while (ok_) {
      const char c = any();
      if (!ok_ || c == '"') break;
      ok_ = c >= 0x20 && c <= 0x7e;
      if (c != '%') {
        bytes += c;
        continue;
      }
      const int high = lower_hex_digit(any());
      const int low = lower_hex_digit(any());
      ok_ = ok_ && high >= 0 && low >= 0;
      bytes += static_cast<char>(high * 16 + low);
    }
    ok_ = ok_ && is_utf8(bytes);
  }

  template <typename Belongs>
  std::string take_while(Belongs belongs) {
    std::size_t end = 0;
    while (ok_ && end < rest_.size() && belongs(rest_[end])) ++end;
    std::string taken(rest_.substr(0, end));
    rest_.remove_prefix(end);
    return taken;
  }
  char any() {
    ok_ = ok_ && !rest_.empty();
    if (!ok_) return '\0';
    const char c = rest_[0];
    rest_.remove_prefix(1);
    return c;
  }
  bool next_is(char c) const { return !rest_.empty() && rest_[0] == c; }
  bool take(char c) {
    const bool there = ok_ && next_is(c);
    if (there) rest_.remove_prefix(1);
    return there;
  }
  void expect(char c) { ok_ = take(c); }
  void skip_spaces() {
    while (next_is(' ')) rest_.remove_prefix(1);
  }
  void skip_optional_space() {
    while (next_is(' ') || next_is('\t')) rest_.remove_prefix(1);
  }

  std::string_view rest_;
  bool ok_ = true;
};

}  // namespace

std::optional<std::vector<SfMember>> parse_sf_dictionary(std::string_view text) {
  return SfReader(text).dictionary();
}

}  // namespace holdfast::rfc9111
