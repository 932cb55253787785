// The sections of the settings file, [upstream.NAME] and [[route]], as Routing. An error names
// file, line, section and key, says what is wrong there and what was expected, and never repeats
// what may be a secret. Blocks on reading token files; one thread.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "config/apply.h"
#include "config/routing.h"
#include "config/settings.h"
#include "config/settings_file.h"

namespace holdfast::config {

// Of the token in a file, as read_token_file() does.
using TokenReader = std::function<base::Result<std::string>(const std::string& path)>;

// What the file's sections say over `global`, the settings in force. It is only whole if `problems`
// has none then.
Routing read_sections(const FileValue& file, const Settings& global, const TokenReader& read_token,
                      FirstProblem& problems);

// The routing in force: the file's, or the built-in one where it has no [[route]].
base::Result<Routing> read_routing(const FileValue& file, const Settings& global,
                                   const TokenReader& read_token);

// Whether the section says it, and not only the settings of the whole program.
bool says(const SectionPlace& place, std::string_view key);

// The sections as they would stand in a file.
enum class Secrets {
  Shown,   // to compare them, or to read them again
  Masked,  // for people: a section that would show one is masked, and a comment
};
std::string section_text(const UpstreamConfig& upstream, Secrets secrets);
std::string section_text(const RouteConfig& route, const Routing& routing, Secrets secrets);

// What the section says, key by key, masked.
struct SectionRow {
  std::string key;
  std::string value;  // as in a file
};
std::vector<SectionRow> section_rows(const UpstreamConfig& upstream);
std::vector<SectionRow> section_rows(const RouteConfig& route, const Routing& routing);

// All that is in force for a section, as one text: two are the same to whoever is served if and
// only if these are. The token is no part of it, nor are the places where things stand.
std::string meaning_of(const UpstreamConfig& upstream);
std::string meaning_of(const RouteConfig& route, const Routing& routing);

}  // namespace holdfast::config
