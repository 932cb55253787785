// What an upstream may answer: what was asked for on the first line, then the content.
//
// An address asks for the lookup. Promises: what is judged good is, to another parser too, one
// JSON object about that address with all its members; what is not has a reason.
//
// Any other line is rules: "r /a/b:string? e /id i 42 x /status error" requires, wants equal to a
// parameter of a type (its first letter) and value, and refuses. Promises: a wrong rule is named
// with a reason; and another parser, asked each rule by itself, comes to the same end. A content
// that is one number is one by the letter, of whatever size.
#include <algorithm>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "lookup_route.h"
#include "proxy/body_check.h"
#include "proxy/ip_address.h"
#include "require.h"

using namespace holdfast;
using nlohmann::json;
using upstream::Outcome;

namespace {

constexpr std::size_t kMostBytes = 16'384;

upstream::Reply reply_of(std::string_view body) {
  upstream::Reply reply;
  reply.status = 200;
  reply.body = body;
  return reply;
}

// Puts small numbers in the place of those that the other parser has no double for. False: there
// are too many.
bool without_infinities(std::string& body) {
  struct Finder : nlohmann::json_sax<json> {
    std::size_t end = 0, size = 0;
    bool null() override { return true; }
    bool boolean(bool) override { return true; }
    bool number_integer(number_integer_t) override { return true; }
    bool number_unsigned(number_unsigned_t) override { return true; }
    bool number_float(number_float_t, const string_t&) override { return true; }
    bool string(string_t&) override { return true; }
    bool binary(binary_t&) override { return true; }
    bool start_object(std::size_t) override { return true; }
    bool key(string_t&) override { return true; }
    bool end_object() override { return true; }
    bool start_array(std::size_t) override { return true; }
    bool end_array() override { return true; }
    bool parse_error(std::size_t position, const std::string& token,
                     const nlohmann::detail::exception& error) override {
      if (error.id != 406) return false;
      end = position;
      size = token.size();
      return false;
    }
  };
  for (int left = 64; left > 0; --left) {
    Finder finder;
    if (json::sax_parse(body, &finder) || finder.size == 0) return true;
    body.replace(finder.end - finder.size, finder.size, "1.5");
  }
  return false;
}

// ---- The lookup ----

void check_good(std::string_view ip, std::string body) {
  if (!without_infinities(body)) return;
  const auto parsed = json::parse(body, nullptr, false);
  REQUIRE_HOLDS(parsed.is_object());
  for (const char* name : {"location", "postal_code", "network_name", "domain"}) {
    REQUIRE_HOLDS(parsed.contains(name));
    REQUIRE_HOLDS(parsed[name].is_string() || parsed[name].is_null());
  }
  for (const char* name : {"latitude", "longitude"}) {
    REQUIRE_HOLDS(parsed.contains(name));
    REQUIRE_HOLDS(parsed[name].is_number() || parsed[name].is_null());
  }
  REQUIRE_HOLDS(parsed.contains("ip") && parsed["ip"].is_string());
  const auto answered = proxy::canonical_ip(parsed["ip"].get<std::string>());
  REQUIRE_HOLDS(answered && answered->view() == ip);
  // A batch puts it into an array as it is.
  std::string array = "[";
  array.append(body).append(",").append(body).append("]");
  REQUIRE_HOLDS(json::parse(array, nullptr, false).size() == 2);
}

void try_lookup(std::string_view ip, std::string_view body) {
  static proxy::BodyCheck check(proxy::test::lookup_body_rules(kMostBytes));
  const auto judge = [](std::string_view asked, std::string_view content) {
    const proxy::PathParameter parameter{"ip", asked, proxy::ParameterType::Ip};
    return check.validate({&parameter, 1}, reply_of(content));
  };
  const upstream::Verdict verdict = judge(ip, body);
  if (verdict.outcome == Outcome::Ok) {
    check_good(ip, std::string(body));
    // Whoever asked for another address must not get this one.
    REQUIRE_HOLDS(judge("203.0.113.255", body).outcome ==
                  (ip == "203.0.113.255" ? Outcome::Ok : Outcome::WrongContent));
    // And half of it is no answer.
    REQUIRE_HOLDS(judge(ip, body.substr(0, body.rfind('}'))).outcome == Outcome::InvalidBody);
  } else {
    REQUIRE_HOLDS(verdict.outcome == Outcome::InvalidBody ||
                  verdict.outcome == Outcome::WrongContent);
    REQUIRE_HOLDS(!verdict.reason.empty());
  }
}

// ---- Any rules ----

struct Asked {
  proxy::BodyRules rules;
  std::vector<proxy::PathParameter> parameters;  // one for each `equal`, in its order
};

// Whether it is right; if not, the error names what is wrong.
template <typename T>
bool is_right(const base::Result<T>& result, std::string_view text) {
  if (result) return true;
  const std::string& message = result.error().message;
  const std::string_view pointer = text.substr(0, text.rfind(':'));
  REQUIRE_HOLDS(message.starts_with(text.empty() || pointer.empty() ? "" : pointer));
  REQUIRE_HOLDS(message.find(": ") != message.npos);
  return false;
}

std::optional<proxy::ParameterType> type_of(std::string_view letter) {
  if (letter == "t") return proxy::ParameterType::Segment;
  if (letter == "a") return proxy::ParameterType::Ip;
  if (letter == "i") return proxy::ParameterType::Int;
  return {};
}

// An integer without sign or zeros that it does not need; empty if it is none.
std::string plain(std::string text) {
  const bool negative = !text.empty() && text.front() == '-';
  if (negative) text.erase(0, 1);
  if (text.empty() || text.find_first_not_of("0123456789") != text.npos) return {};
  while (text.size() > 1 && text.front() == '0') text.erase(0, 1);
  return negative && text != "0" ? "-" + text : text;
}

bool read_rules(std::string_view line, Asked& asked) {
  static const std::vector<std::string> names = {"0", "1", "2", "3", "4", "5", "6", "7"};
  const auto word = [&line] {
    const std::size_t end = std::min(line.find(' '), line.size());
    const std::string_view out = line.substr(0, end);
    line.remove_prefix(std::min(end + 1, line.size()));
    return out;
  };
  while (!line.empty()) {
    const std::string_view kind = word();
    const std::string_view pointer = word();
    if (kind == "r") {
      const auto rule = proxy::parse_require(pointer);
      if (!is_right(rule, pointer)) return false;
      asked.rules.require.push_back(*rule);
    } else if (kind == "x") {
      const auto rule = proxy::parse_reject_if(pointer, {std::string(word())});
      if (!is_right(rule, pointer)) return false;
      asked.rules.reject_if.push_back(*rule);
    } else if (kind == "e") {
      const auto type = type_of(word());
      if (!type || asked.parameters.size() == names.size()) return false;
      const std::string& name = names[asked.parameters.size()];
      const auto rule = proxy::parse_equal(pointer, name);
      if (!is_right(rule, pointer)) return false;
      asked.rules.equal.push_back(*rule);
      asked.parameters.push_back({name, word(), *type});
      // Paths with other values have no such route.
      const std::string value(asked.parameters.back().value);
      if (*type == proxy::ParameterType::Ip && !proxy::canonical_ip(value)) return false;
      if (*type == proxy::ParameterType::Int && plain(value).empty()) return false;
    } else {
      return false;
    }
  }
  return asked.rules.needs_json();
}

// Maybe: the other parser has lost what would decide it, as of an integer beyond 64 bits.
enum class Holds { No, Maybe, Yes };

Holds holds_if(bool condition) {
  return condition ? Holds::Yes : Holds::No;
}

// By RFC 8259, 6, read letter by letter.
bool is_number(std::string_view text, bool& integer) {
  std::size_t at = 0;
  const auto digits = [&] {
    const std::size_t start = at;
    while (at < text.size() && text[at] >= '0' && text[at] <= '9') ++at;
    return at - start;
  };
  const auto next = [&](std::string_view one_of) {
    const bool is = at < text.size() && one_of.find(text[at]) != one_of.npos;
    if (is) ++at;
    return is;
  };
  integer = true;
  next("-");
  if (!next("0") && digits() == 0) return false;
  if (next(".")) {
    integer = false;
    if (digits() == 0) return false;
  }
  if (next("eE")) {
    integer = false;
    next("+-");
    if (digits() == 0) return false;
  }
  return at == text.size();
}

// Of a number it is the text alone that decides, whatever its size.
void try_number(std::string_view text) {
  static proxy::BodyCheck number([] {
    proxy::BodyRules rules;
    rules.require.push_back(*proxy::parse_require("/0:number"));
    return rules;
  }());
  static proxy::BodyCheck integer([] {
    proxy::BodyRules rules;
    rules.require.push_back(*proxy::parse_require("/1:integer"));
    return rules;
  }());
  if (text.find_first_not_of("0123456789+-.eE") != text.npos) return;
  bool whole = false;
  const bool is = is_number(text, whole);
  // Beside one that the parser takes, and one that it does not.
  for (const char* other : {"1", "-1e999"}) {
    const upstream::Reply first = reply_of("[" + std::string(text) + "," + other + "]");
    const upstream::Reply second =
        reply_of("[" + std::string(other) + "," + std::string(text) + "]");
    REQUIRE_HOLDS((number.validate({}, first).outcome == Outcome::Ok) == is);
    REQUIRE_HOLDS((integer.validate({}, second).outcome == Outcome::Ok) == (is && whole));
  }
}

struct Parsed {
  json document;
  std::size_t depth = 0;
  bool twice = false;  // a name, somewhere
};

Parsed parse(std::string_view body) {
  Parsed out;
  std::vector<std::set<std::string>> open;
  const auto watch = [&](int, json::parse_event_t event, const json& value) {
    using Event = json::parse_event_t;
    if (event == Event::object_start || event == Event::array_start) {
      open.emplace_back();
      out.depth = std::max(out.depth, open.size());
    } else if (event == Event::object_end || event == Event::array_end) {
      open.pop_back();
    } else if (event == Event::key) {
      if (!open.back().insert(value.get<std::string>()).second) out.twice = true;
    }
    return true;
  };
  out.document = json::parse(body, watch, false);
  return out;
}

const json* find(const json& document, const proxy::JsonPointer& pointer) {
  const json* at = &document;
  for (const std::string& token : pointer.tokens) {
    if (at->is_object()) {
      const auto found = at->find(token);
      if (found == at->end()) return nullptr;
      at = &*found;
    } else if (at->is_array()) {
      std::size_t index = 0;
      while (index < at->size() && std::to_string(index) != token) ++index;
      if (index == at->size()) return nullptr;
      at = &(*at)[index];
    } else {
      return nullptr;
    }
  }
  return at;
}

Holds has_type(const json& value, proxy::JsonTypes types) {
  const auto one_of = [types](proxy::JsonTypes some) { return holds_if((types & some) != 0); };
  if (value.is_string()) return one_of(proxy::kString);
  if (value.is_boolean()) return one_of(proxy::kBool);
  if (value.is_array()) return one_of(proxy::kArray);
  if (value.is_object()) return one_of(proxy::kObject);
  if (value.is_null()) return one_of(proxy::kNull);
  if (value.is_number_integer()) return one_of(proxy::kInteger | proxy::kNumber);
  if ((types & proxy::kNumber) != 0) return Holds::Yes;
  return (types & proxy::kInteger) != 0 ? Holds::Maybe : Holds::No;
}

Holds is_text(const json& value, const std::string& text) {
  if (value.is_string()) return holds_if(value.get<std::string>() == text);
  if (value.is_boolean() || value.is_null()) return holds_if(value.dump() == text);
  if (!value.is_number()) return Holds::No;
  if (value.is_number_float() || plain(text).empty()) return Holds::Maybe;
  return holds_if(plain(text) == value.dump());
}

Holds is_equal(const json& value, const proxy::PathParameter& parameter) {
  const std::string wanted(parameter.value);
  if (value.is_null() || value.is_structured()) return Holds::No;
  if (parameter.type == proxy::ParameterType::Segment) return is_text(value, wanted);
  if (parameter.type == proxy::ParameterType::Ip) {
    if (!value.is_string()) return Holds::No;
    const auto one = proxy::canonical_ip(value.get<std::string>());
    const auto other = proxy::canonical_ip(wanted);
    return holds_if(one && one->view() == other->view());
  }
  if (value.is_number_float()) return Holds::Maybe;
  if (!value.is_string() && !value.is_number()) return Holds::No;
  const std::string given = plain(value.is_string() ? value.get<std::string>() : value.dump());
  return holds_if(!given.empty() && given == plain(wanted));
}

// What the other parser says of all rules together: No beats Maybe, and that beats Yes.
Holds all_hold(const Asked& asked, const json& document) {
  Holds all = Holds::Yes;
  const auto add = [&all](Holds next) { all = std::min(all, next); };
  for (const proxy::Require& rule : asked.rules.require) {
    const json* const value = find(document, rule.pointer);
    add(value != nullptr ? has_type(*value, rule.types) : Holds::No);
  }
  for (std::size_t i = 0; i < asked.rules.equal.size(); ++i) {
    const json* const value = find(document, asked.rules.equal[i].pointer);
    add(value != nullptr ? is_equal(*value, asked.parameters[i]) : Holds::No);
  }
  for (const proxy::RejectIf& rule : asked.rules.reject_if) {
    const json* const value = find(document, rule.pointer);
    const Holds refused = value != nullptr ? is_text(*value, rule.values[0]) : Holds::No;
    add(refused == Holds::Maybe ? refused : holds_if(refused == Holds::No));
  }
  return all;
}

void try_rules(std::string_view line, std::string_view body) {
  Asked asked;
  if (!read_rules(line, asked)) return;
  proxy::BodyCheck check(asked.rules);
  const upstream::Verdict verdict = check.validate(asked.parameters, reply_of(body));
  REQUIRE_HOLDS(verdict.reason.empty() == (verdict.outcome == Outcome::Ok));

  std::string finite(body);
  if (!without_infinities(finite)) return;
  // The other parser passes over a byte order mark, and takes a NUL for the end.
  const Parsed other = parse(finite);
  const bool is_json = !other.document.is_discarded() && body.find('\0') == body.npos &&
                       !body.starts_with("\xEF\xBB\xBF");
  const std::size_t most_deep = asked.rules.max_depth;
  if (verdict.outcome == Outcome::Ok) {
    REQUIRE_HOLDS(is_json && other.depth <= most_deep + 1);
    // Where a name occurs twice, the other takes the last; no rule names it.
    REQUIRE_HOLDS(all_hold(asked, other.document) != Holds::No);
  } else if (is_json && !other.twice && other.depth <= most_deep) {
    REQUIRE_HOLDS(all_hold(asked, other.document) != Holds::Yes);
  }
  if (verdict.outcome == Outcome::WrongContent)
    REQUIRE_HOLDS(is_json && !asked.rules.equal.empty());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > kMostBytes) return 0;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::size_t line_end = input.find('\n');
  if (line_end == input.npos) return 0;
  const std::string_view line = input.substr(0, line_end);
  const std::string_view body = input.substr(line_end + 1);
  try_number(body);
  if (const auto ip = proxy::canonical_ip(line)) {
    try_lookup(ip->view(), body);
  } else {
    try_rules(line, body);
  }
  return 0;
}
