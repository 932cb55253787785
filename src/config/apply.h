// A layer of settings (a flag, a variable, a key of the file) laid over those below it. The errors
// are for people: one line that names the place, and no secret. Pure functions; any thread.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "config/setting_table.h"
#include "config/settings.h"
#include "config/settings_file.h"

namespace holdfast::config {

// The mistake of a file that stands first in it, whatever the order in which they are found.
class FirstProblem {
 public:
  explicit FirstProblem(std::string file) : file_(std::move(file)) {}

  // Of two in a line, the first that was found.
  void add(int line, std::string_view what);
  bool found() const { return line_ > 0; }
  // "holdfast.toml:12: …"
  tl::unexpected<base::Error> error() const;

 private:
  std::string file_;
  int line_ = 0;
  std::string what_;
};

// Where the value in force was set: "--port", "PORT", "holdfast.toml:3: port".
std::string place_of(const Setting& setting, const Settings& settings, Source source);

// A value as it may stand in an error: short, in quotes, and never a credential.
std::string shown_in_error(const Setting& setting, std::string_view text);
std::string shown_in_error(std::string_view text);

// "; did you mean cache_ttl?", or nothing.
std::string did_you_mean(const std::string& name);

base::Result<void> apply(Settings& settings, const Setting& setting, std::string_view text,
                         Source source);

// What holds where nobody sets it: the request's deadline with room for the answer's way back, and
// for nothing else, as what is slow is raced, not cut.
void work_out_attempt_timeout(Settings& settings);

// The keys that stand alone in the file. Sections with a name that is known are left out.
void apply_flat_part(Settings& settings, const FileValue& file, FirstProblem& problems);

}  // namespace holdfast::config
