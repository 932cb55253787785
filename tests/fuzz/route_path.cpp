// The way of a path: its canonical form, the route it finds, the target made of it. The first
// line of an input is a request, "GET host /path", the others are routes, as
// "GET,HEAD host /match /target" with "-" for any host and "*" for all methods.
//
// Promises: a canonical form is its own, means what the path meant, and is refused where the
// rules say so; the table answers as if all routes were asked in turn, so no two disagree; a
// target is canonical, and reads back as the parameters it was made of.
#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../unit/proxy/naive_routes.h"
#include "../unit/proxy/spellings.h"
#include "proxy/canonical_path.h"
#include "proxy/route_table.h"
#include "proxy/target_template.h"
#include "require.h"

using namespace holdfast::proxy;
using Outcome = RouteTable::Outcome;

namespace {

constexpr std::size_t kMostRoutes = 16;

std::string_view take_until(std::string_view& text, char end) {
  const std::string_view taken = text.substr(0, text.find(end));
  text.remove_prefix(std::min(text.size(), taken.size() + 1));
  return taken;
}

std::string decoded(std::string_view text) {
  std::string out;
  for (const test::PathByte& one : test::meaning(text)) out += static_cast<char>(one.byte);
  return out;
}

bool is_control(unsigned char byte) {
  return byte < 0x20 || byte == 0x7f;
}

bool is_dots(std::string_view name) {
  name = name.substr(0, name.find(';'));
  return name == "." || name == "..";
}

// By the table in canonical_path.h.
bool must_be_refused(std::string_view path) {
  if (path.empty() || path[0] != '/') return true;
  for (std::size_t i = 0; i < path.size(); ++i) {
    const auto byte = static_cast<unsigned char>(path[i]);
    if (is_control(byte) || byte == '\\' || byte == '?' || byte == '#') return true;
    if (byte != '%') continue;
    constexpr std::string_view kHex = "0123456789abcdefABCDEF";
    if (path.size() - i < 3 || kHex.find(path[i + 1]) == kHex.npos ||
        kHex.find(path[i + 2]) == kHex.npos) {
      return true;
    }
  }
  std::string all = decoded(path);
  if (std::any_of(all.begin(), all.end(),
                  [](char c) { return is_control(static_cast<unsigned char>(c)); })) {
    return true;
  }
  // A slash, a backslash and their escapes all separate here.
  std::replace(all.begin(), all.end(), '\\', '/');
  for (std::string_view left = all; !left.empty();) {
    if (is_dots(take_until(left, '/'))) return true;
  }
  return false;
}

// Null if it is refused.
std::optional<std::string> check_canonical(std::string_view path) {
  std::string storage, again;
  std::string_view form = "untouched";
  const char* const objection = canonical_path(path, storage, form);
  REQUIRE_HOLDS((objection != nullptr) == must_be_refused(path));
  if (objection != nullptr) {
    REQUIRE_HOLDS(form == "untouched" && *objection != '\0');
    return std::nullopt;
  }
  REQUIRE_HOLDS(test::meaning(form) == test::meaning(path));
  REQUIRE_HOLDS((form == path) == (form.data() == path.data()));
  for (const char c : form) REQUIRE_HOLDS(c > 0x20 && c < 0x7f);
  std::string_view second;
  REQUIRE_HOLDS(canonical_path(form, again, second) == nullptr);
  REQUIRE_HOLDS(second.data() == form.data() && second == form);
  return std::string(form);
}

MethodSet methods_of(std::string_view names) {
  if (names == "*") return MethodSet::all();
  MethodSet set;
  while (!names.empty()) set |= MethodSet::of_request(take_until(names, ','));
  return set;
}

// In lower case, and nothing but what a name may hold.
std::string host_of(std::string_view text) {
  std::string host;
  for (const char c : text.substr(0, 20)) {
    if (c >= 'a' && c <= 'z') host += c;
  }
  return host;
}

std::string shouted(std::string host) {
  for (char& c : host) c = static_cast<char>(c - 'a' + 'A');
  return host.empty() ? host : host + ".:8080";
}

// The target's path as a template with the types of `match`, if it can be one: each parameter
// once, as a whole segment, and the rest last.
std::optional<PathTemplate> as_template(std::string_view target, const PathTemplate& match) {
  static constexpr std::string_view kTypes[] = {":ip", ":uuid", ":int", ":hex", "", ":rest"};
  std::string text(target.substr(0, target.find('?')));
  for (const PathTemplate::Segment& segment : match.segments()) {
    if (!segment.type) continue;
    const auto at = text.find("{" + segment.text + "}");
    if (at == text.npos) continue;
    text.insert(at + 1 + segment.text.size(), kTypes[static_cast<std::size_t>(*segment.type)]);
  }
  auto parsed = PathTemplate::parse(text);
  if (!parsed) return std::nullopt;
  return *std::move(parsed);
}

std::size_t count_of(std::string_view text, char c) {
  return static_cast<std::size_t>(std::count(text.begin(), text.end(), c));
}

void check_target(std::string_view text, const PathTemplate& match, const Parameters& values) {
  const auto target = TargetTemplate::parse(text, match);
  if (!target) {
    REQUIRE_HOLDS(!target.error().message.empty());
    return;
  }
  std::string sent;
  target->append(values, sent);
  const std::string path = sent.substr(0, sent.find('?'));
  const std::optional<std::string> canonical = check_canonical(path);
  REQUIRE_HOLDS(canonical && *canonical == path);

  if (const auto back = as_template(text, match)) {
    Parameters read;
    REQUIRE_HOLDS(back->match(path, read));
    std::size_t at = 0;
    for (const std::string& name : back->parameter_names()) {
      REQUIRE_HOLDS(read[at++] == values[*match.parameter_index(name)]);
    }
  }

  // Nothing begins or ends in the query but what the template's own text says.
  const auto question = text.find('?');
  REQUIRE_HOLDS((question == text.npos) == (sent.find('?') == sent.npos));
  if (question == text.npos) return;
  const std::string_view query = text.substr(question);
  const std::string sent_query = sent.substr(path.size());
  for (const char c : {'&', '=', ';', '+', '#', '?', ' '}) {
    REQUIRE_HOLDS(count_of(query, c) == count_of(sent_query, c));
  }
  for (const std::string& name : match.parameter_names()) {
    if (!query.ends_with("={" + name + "}")) continue;
    REQUIRE_HOLDS(decoded(sent_query.substr(sent_query.rfind('=') + 1)) ==
                  decoded(values[*match.parameter_index(name)]));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 4'096) return 0;
  const std::string input(reinterpret_cast<const char*>(data), size);
  std::string_view left = input;
  std::string_view request = take_until(left, '\n');
  const std::string_view method = take_until(request, ' ');
  const std::string host = host_of(take_until(request, ' '));
  const std::optional<std::string> path = check_canonical(request);
  if (!path) return 0;

  RouteTable table;
  std::vector<test::NaiveRoute> routes;
  std::vector<std::string> targets;
  for (std::size_t lines = 0; !left.empty() && lines < kMostRoutes; ++lines) {
    std::string_view line = take_until(left, '\n');
    const MethodSet methods = methods_of(take_until(line, ' '));
    const std::string its_host = host_of(take_until(line, ' '));
    auto parsed = PathTemplate::parse(take_until(line, ' '));
    if (!parsed) {
      REQUIRE_HOLDS(!parsed.error().message.empty());
      continue;
    }
    test::NaiveRoute route{*std::move(parsed), its_host, methods};
    const auto first = table.add(routes.size(), route.path, its_host, methods);
    const auto same = [&](const test::NaiveRoute& earlier) {
      return test::same_paths(earlier, route);
    };
    REQUIRE_HOLDS(first.has_value() == std::any_of(routes.begin(), routes.end(), same));
    if (first) {
      REQUIRE_HOLDS(same(routes[*first]));
      continue;
    }
    targets.emplace_back(line);
    routes.push_back(std::move(route));
  }

  Parameters values;
  const RouteTable::Match match = table.find(shouted(host), method, *path, values);
  const RouteTable::Match naive = test::naive_find(routes, host, method, *path);
  REQUIRE_HOLDS(match.outcome == naive.outcome && match.route == naive.route);
  REQUIRE_HOLDS(match.allowed == naive.allowed && match.objection == naive.objection);
  if (match.outcome != Outcome::Found) REQUIRE_HOLDS(values.size() == 0);
  for (std::size_t i = 0; i < routes.size(); ++i) {
    Parameters expected;
    if (!routes[i].path.match(*path, expected)) continue;
    check_target(targets[i], routes[i].path, expected);
    if (match.outcome != Outcome::Found || match.route != i) continue;
    REQUIRE_HOLDS(values.size() == expected.size());
    for (std::size_t j = 0; j < values.size(); ++j) REQUIRE_HOLDS(values[j] == expected[j]);
  }
  return 0;
}
