// SectionReader takes the values of one section of the settings file, each of the type it must
// have. What is wrong goes to the problems; a value that is then goes nowhere. For the files that
// know the keys: route_section.cpp, upstream_section.cpp. One thread, while the file is read.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "config/apply.h"
#include "config/routing.h"
#include "config/setting_table.h"
#include "config/settings_file.h"

namespace holdfast::config {

class SectionReader {
 public:
  // A text in a list, and where it stands.
  struct Element {
    std::string text;
    int line = 0;
  };

  // Both must outlive it. Lines are entered in `place` as keys are met.
  SectionReader(SectionPlace& place, FirstProblem& problems) : place_(place), problems_(problems) {}

  // `key` as in place.lines; empty: the section itself.
  void wrong(int line, std::string_view key, std::string_view what);

  // Enters the key; false if it was there before in another spelling.
  bool enter(const std::string& key, int line);

  // Each says whether there is a value of its type.
  bool text(const std::string& key, const FileValue& value, std::string& out);  // not blank
  bool flag(const std::string& key, const FileValue& value, bool& out);
  bool size(const std::string& key, const FileValue& value, std::uint64_t least, std::uint64_t most,
            std::uint64_t& out);
  std::optional<std::uint64_t> count(const std::string& key, const FileValue& value,
                                     std::uint64_t least, std::uint64_t most);
  bool is(FileValue::Kind kind, const std::string& key, const FileValue& value,
          std::string_view expected);
  // None twice; of fields, whose case does not count, `fields` says so. Each is entered.
  std::vector<Element> list(const std::string& key, const FileValue& value,
                            std::string_view expected, bool fields = false);

  // A setting of the table that this kind of section may say over the whole program's, or a key
  // that it does not have.
  void setting(const std::string& key, const FileMember& member, Scope scope, Settings& settings);

  SectionPlace& place() { return place_; }

 private:
  SectionPlace& place_;
  FirstProblem& problems_;
};

// The name of an upstream or a route, which is also a metric's label.
bool is_section_name(std::string_view name);
inline constexpr std::string_view kSectionNameExpected =
    "expected a name of a-z, 0-9, _ and -, at most 64 of them, with no - in front";

// RFC 9110, 5.6.2 and 5.5.
bool is_token(std::string_view text);
bool is_field_content(std::string_view text);
bool same_field(std::string_view one, std::string_view other);
// Host, Content-Length and the fields of one connection: no section may set or remove them, as
// they say where a message goes and where it ends.
bool is_framing_field(std::string_view name);
// Range, and what makes a request conditional: the answer to one is a part, or none.
bool is_partial_field(std::string_view name);
// traceparent and tracestate, which are each request's own and go upstream by themselves.
bool is_trace_field(std::string_view name);
// What tells which way a request came: Via, Forwarded, X-Forwarded-*.
bool is_way_field(std::string_view name);

// How the keys of a section are written: cache-ttl is cache_ttl.
std::string canonical_key(std::string_view key);

// A host with or without port in canonical form, or nothing.
std::optional<std::string> parse_host(std::string_view text);

// Sections, for routing_file.cpp. The upstream's name, and of a route its upstream by name, are
// looked at there.
void read_upstream(const FileValue& section, SectionReader& reader, UpstreamConfig& upstream,
                   const std::function<base::Result<std::string>(const std::string&)>& read_token);
// The name of its upstream; empty if there is none.
std::string read_route(const FileValue& section, SectionReader& reader, RouteConfig& route);

// Their own keys, beside settings of the table.
std::vector<std::string> keys_of_upstreams();
std::vector<std::string> keys_of_routes();
// Those of a route's table of rules.
std::vector<std::string> keys_of_validate();

}  // namespace holdfast::config
