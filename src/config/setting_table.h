// The one table of settings: flags, environment variables, keys of the file, help,
// the printed tables and what a reload does all come from it. To add a setting,
// add a member to Settings and a row here. Immutable; any thread.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "config/settings.h"

namespace holdfast::config {

// What a changed value needs after SIGHUP.
enum class Reload { Now, Restart };

// How one member of Settings is written and read.
struct Value {
  std::string_view type;  // for --help: DURATION
  // The error's message says what was expected, and never repeats the text.
  std::function<base::Result<void>(Settings&, std::string_view text)> set;
  // In a form that set() takes; empty where there is none (no token).
  std::function<std::string(const Settings&)> text;
  std::function<void(Settings& to, const Settings& from)> copy;
  bool list = false;       // a comma-separated text, or an array in the file
  bool plain = false;      // written in the file without quotes: numbers and switches
  bool is_switch = false;  // as a flag, means "on" without a value
};

// What holds where nobody sets a value.
struct Initial {
  std::string_view text;     // as set() takes it; empty: worked out at start, as the note says
  std::string_view note;     // in words
  std::string_view example;  // for the example file
};

// How much of a value people may see.
enum class Secrecy {
  Open,
  InUrl,  // a URL, or a list of them, that may hold a key: as base::masked_url() shows it
  Secret,
};

// Where a setting may stand beside the whole program's: a section says it over that.
enum class Scope { Program, Upstream, Route };

struct Setting {
  std::string_view key;    // cache_ttl; CACHE_TTL and --cache-ttl follow from it
  std::string_view group;  // heading in --help and in the example file
  Initial initial;
  Reload reload;
  Secrecy secrecy;
  std::string_view help;
  Value value;

  // A text of its value, right or wrong, as it may be shown.
  std::string shown(std::string_view text) const;

  Scope scope() const;  // its group decides, but for API_URL and the token

  std::string flag() const;                  // --cache-ttl
  std::string environment_variable() const;  // CACHE_TTL
};

const std::vector<Setting>& setting_table();

// By key; cache-ttl is understood too. Null if there is none.
const Setting* find_setting(std::string_view key);

}  // namespace holdfast::config
