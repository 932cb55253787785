// Each parameter is written to `out` at once, its name first, and taken back if that is not
// wanted. Sorting is a merge of neighbouring runs, to and fro between what was written and as much
// room behind it: a query that is in order already is read once, and the worst takes as many
// passes as the logarithm of its parameters, without a list of them.
#include "proxy/query_rules.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "proxy/percent_encoding.h"

namespace holdfast::proxy {
namespace {

enum class QueryByte : std::uint8_t {
  Unreserved,
  Plain,      // the rest of what a query may hold (RFC 3986, 3.4)
  Semicolon,  // which it may hold too
  Escape,     // "%"
  Foreign,    // belongs into no URI but escaped
  Backslash,
  Hash,
  Control,
};

constexpr std::array<QueryByte, 256> kQueryBytes = [] {
  std::array<QueryByte, 256> kinds{};
  for (std::size_t c = 0; c < kinds.size(); ++c) {
    const auto byte = static_cast<unsigned char>(c);
    const bool control = byte < 0x20 || byte == 0x7f;
    kinds[c] = control               ? QueryByte::Control
               : is_unreserved(byte) ? QueryByte::Unreserved
                                     : QueryByte::Foreign;
  }
  for (const char c : {'!', '$', '&', '\'', '(', ')', '*', '+', ',', '=', ':', '@', '/', '?'}) {
    kinds[static_cast<unsigned char>(c)] = QueryByte::Plain;
  }
  kinds[';'] = QueryByte::Semicolon;
  kinds['%'] = QueryByte::Escape;
  kinds['\\'] = QueryByte::Backslash;
  kinds['#'] = QueryByte::Hash;
  return kinds;
}();

QueryByte query_byte(char c) {
  return kQueryBytes[static_cast<unsigned char>(c)];
}

const char* append_query(std::string_view text, bool escape_semicolons, std::string& out) {
  std::size_t copied = 0;  // what stays as it is, is copied in one piece
  for (std::size_t at = 0; at < text.size(); ++at) {
    const QueryByte kind = query_byte(text[at]);
    if (kind <= QueryByte::Plain || (kind == QueryByte::Semicolon && !escape_semicolons)) continue;
    out.append(text.substr(copied, at - copied));
    switch (kind) {
      case QueryByte::Unreserved:
      case QueryByte::Plain:
        break;
      case QueryByte::Semicolon:
      case QueryByte::Foreign:
        append_escaped(static_cast<unsigned char>(text[at]), out);
        break;
      case QueryByte::Backslash:
        return "a backslash in the query";
      case QueryByte::Hash:
        return "a \"#\" in the query";
      case QueryByte::Control:
        return "a control character in the query";
      case QueryByte::Escape: {
        const int byte = escaped_byte(text.substr(at));
        if (byte < 0) return "a malformed percent-encoding in the query";
        if (byte == 0) return "a control character in the query";
        if (is_unreserved(static_cast<unsigned char>(byte))) {
          out += static_cast<char>(byte);
        } else {
          append_escaped(static_cast<unsigned char>(byte), out);
        }
        at += kEscapeSize - 1;
        break;
      }
    }
    copied = at + 1;
  }
  out.append(text.substr(std::min(copied, text.size())));
  return nullptr;
}

std::string_view name_of(std::string_view parameter) {
  return parameter.substr(0, parameter.find('='));
}

// The next byte of a canonical text, decoded.
unsigned char take_decoded(std::string_view& text) {
  const int escaped = escaped_byte(text);
  const auto byte = static_cast<unsigned char>(escaped < 0 ? text[0] : escaped);
  text.remove_prefix(escaped < 0 ? 1 : kEscapeSize);
  return byte;
}

// As text decoded; both canonical.
bool comes_before(std::string_view one, std::string_view other) {
  while (!one.empty() && !other.empty()) {
    const unsigned char a = take_decoded(one);
    const unsigned char b = take_decoded(other);
    if (a != b) return a < b;
  }
  return one.empty() && !other.empty();
}

// The parameters of a text one after the other; there is always one.
class ParameterReader {
 public:
  explicit ParameterReader(std::string_view text) : text_(text) { find_end(); }

  bool done() const { return start_ > text_.size(); }
  std::string_view current() const { return text_.substr(start_, end_ - start_); }
  void next() {
    start_ = end_ + 1;
    if (!done()) find_end();
  }

  // All that follow each other in their order.
  std::string_view take_run() {
    const std::size_t start = start_;
    std::string_view last = current();
    next();
    while (!done() && !comes_before(name_of(current()), name_of(last))) {
      last = current();
      next();
    }
    return text_.substr(start, start_ - 1 - start);
  }

 private:
  void find_end() { end_ = std::min(text_.find('&', start_), text_.size()); }

  std::string_view text_;
  std::size_t start_ = 0;
  std::size_t end_ = 0;
};

// Writes parameters to where there is room for them.
class ParameterWriter {
 public:
  explicit ParameterWriter(char* to) : to_(to) {}

  void add(std::string_view text) {
    if (any_) *to_++ = '&';
    any_ = true;  // even if it is empty
    to_ = std::copy(text.begin(), text.end(), to_);
  }

 private:
  char* to_;
  bool any_ = false;
};

void merge(std::string_view one, std::string_view other, ParameterWriter& to) {
  ParameterReader a(one);
  ParameterReader b(other);
  while (!a.done() || !b.done()) {
    const bool from_b =
        a.done() || (!b.done() && comes_before(name_of(b.current()), name_of(a.current())));
    to.add((from_b ? b : a).current());
    (from_b ? b : a).next();
  }
}

// Neighbouring runs become one each.
void merge_runs(std::string_view from, char* to) {
  ParameterWriter writer(to);
  for (ParameterReader parameters(from); !parameters.done();) {
    const std::string_view one = parameters.take_run();
    if (parameters.done()) {
      writer.add(one);
    } else {
      merge(one, parameters.take_run(), writer);
    }
  }
}

bool is_sorted(std::string_view parameters) {
  return ParameterReader(parameters).take_run().size() == parameters.size();
}

// What follows `start`.
void sort_parameters(std::size_t start, std::string& out) {
  const std::size_t size = out.size() - start;
  if (is_sorted(std::string_view(out).substr(start))) return;
  out.resize(start + 2 * size);
  char* from = out.data() + start;
  char* to = from + size;
  while (!is_sorted({from, size})) {
    merge_runs({from, size}, to);
    std::swap(from, to);
  }
  if (from != out.data() + start) std::copy(from, from + size, out.data() + start);
  out.resize(start + size);
}

tl::unexpected<base::Error> wrong_name(std::string_view name, const std::string& what) {
  return base::invalid_input("\"" + std::string(name) + "\": " + what);
}

// Null if a parameter may be called that.
const char* objection_to_name(std::string_view name) {
  if (name.empty()) return "a parameter's name is missing";
  const std::size_t star = name.find('*');
  if (star != name.npos && star + 1 != name.size())
    return "\"*\" stands at the end of a name, once";
  for (std::size_t at = 0; at < name.size(); ++at) {
    if (escaped_byte(name.substr(at)) >= 0) return "a name is written without percent-encoding";
    if (name[at] == '&' || name[at] == '=') return "no name of a parameter holds \"&\" or \"=\"";
    if (query_byte(name[at]) == QueryByte::Control) return "a control character in a name";
  }
  return nullptr;
}

}  // namespace

base::Result<QueryRules> QueryRules::parse(const QuerySettings& settings) {
  const bool by_name = settings.which == QuerySettings::Which::Keep ||
                       settings.which == QuerySettings::Which::Ignore;
  if (!by_name && !settings.names.empty()) {
    return wrong_name(settings.names.front(), "only \"keep\" and \"ignore\" have names");
  }
  if (by_name && settings.names.empty()) {
    return base::invalid_input(settings.which == QuerySettings::Which::Keep
                                   ? "\"keep\" without a name: did you mean \"none\"?"
                                   : "\"ignore\" without a name: did you mean \"all\"?");
  }
  QueryRules rules;
  rules.which_ = settings.which;
  rules.sort_ = settings.sort;
  for (const std::string& name : settings.names) {
    if (const char* objection = objection_to_name(name)) return wrong_name(name, objection);
    const bool prefix = name.ends_with('*');
    rules.names_.push_back({name.substr(0, name.size() - (prefix ? 1 : 0)), prefix});
  }
  return rules;
}

bool QueryRules::keeps(std::string_view canonical_name) const {
  const auto is_it = [canonical_name](const Name& name) {
    std::string_view left = canonical_name;
    for (const char c : name.text) {
      if (left.empty() || take_decoded(left) != static_cast<unsigned char>(c)) return false;
    }
    return name.prefix || left.empty();
  };
  return std::any_of(names_.begin(), names_.end(), is_it) == (which_ == QuerySettings::Which::Keep);
}

const char* QueryRules::append_kept(std::string_view query, std::string& out) const {
  bool any = false;
  for (ParameterReader parameters(query); !parameters.done(); parameters.next()) {
    const std::string_view parameter = parameters.current();
    const std::string_view name = name_of(parameter);
    const std::size_t before = out.size();
    out += any ? '&' : '?';
    const std::size_t start = out.size();
    if (const char* objection = append_query(name, true, out)) return objection;
    if (!keeps(std::string_view(out).substr(start))) {
      out.resize(before);
      continue;
    }
    any = true;
    if (const char* objection = append_query(parameter.substr(name.size()), true, out)) {
      return objection;
    }
  }
  return nullptr;
}

const char* QueryRules::append(std::optional<std::string_view> query, std::string& out) const {
  if (!query || which_ == QuerySettings::Which::None) return nullptr;
  const std::size_t start = out.size();
  const char* objection = nullptr;
  if (which_ == QuerySettings::Which::All) {
    out += '?';
    objection = append_query(*query, false, out);
  } else {
    objection = append_kept(*query, out);
  }
  if (objection != nullptr) {
    out.resize(start);
  } else if (sort_ && out.size() > start && out.find(';', start) == out.npos) {
    sort_parameters(start + 1, out);
  }
  return objection;
}

}  // namespace holdfast::proxy
