#include "target.h"

#include "proxy/canonical_path.h"
#include "proxy/percent_encoding.h"
#include "proxy/query_rules.h"

namespace holdfast::warm {
namespace {

using base::invalid_input;

constexpr std::string_view kAddress = "{ip}";
constexpr std::string_view kText = "{}";

// What may stand for itself besides the unreserved characters: in a segment what cannot end it, in
// a query what forms and lists do not read as a mark of theirs.
constexpr std::string_view kInSegment = "!$&'()*+,;=:@";
constexpr std::string_view kInQuery = ":/";

}  // namespace

base::Result<std::string> canonical_target(std::string_view text) {
  const std::size_t mark = text.find('?');
  const std::string_view path = text.substr(0, mark);
  std::string storage;
  std::string_view canonical;
  if (const char* problem = proxy::canonical_path(path, storage, canonical)) {
    return invalid_input(problem);
  }
  std::string target(canonical);
  if (mark == text.npos) return target;
  if (const char* problem = proxy::QueryRules().append(text.substr(mark + 1), target)) {
    return invalid_input(problem);
  }
  return target;
}

base::Result<Pattern> Pattern::parse(std::string_view text) {
  const std::size_t open = text.find('{');
  const std::size_t close = text.find('}');
  const std::string_view place =
      close == text.npos || open > close ? "" : text.substr(open, close + 1 - open);
  const bool once = text.find('{', open + 1) == text.npos && text.find('}', close + 1) == text.npos;
  if (!text.starts_with('/') || !once || (place != kText && place != kAddress)) {
    return invalid_input(
        "expected a path with {} in it once, for the text of a line, or {ip}, for an address");
  }
  Pattern pattern;
  pattern.before_ = text.substr(0, open);
  pattern.after_ = text.substr(close + 1);
  pattern.takes_addresses_ = place == kAddress;
  const std::string example = pattern.of_address("1");
  const auto canonical = canonical_target(example);
  if (!canonical) return tl::unexpected(canonical.error());
  if (*canonical != example) {
    return invalid_input("not in canonical form, which is " + *canonical +
                         ", where 1 is for what is in braces");
  }
  return pattern;
}

std::string Pattern::of_address(std::string_view address) const {
  std::string target = before_;
  return target.append(address).append(after_);
}

base::Result<std::string> Pattern::of_text(std::string_view text) const {
  const bool in_query = before_.find('?') != before_.npos;
  const std::string_view plain = in_query ? kInQuery : kInSegment;
  std::string target = before_;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (proxy::is_unreserved(byte) || plain.find(c) != plain.npos) {
      target += c;
    } else {
      proxy::append_escaped(byte, target);
    }
  }
  return canonical_target(target.append(after_));
}

}  // namespace holdfast::warm
