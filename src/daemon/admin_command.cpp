#include "daemon/admin_command.h"

#include <algorithm>
#include <cstdio>
#include <functional>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/suggest.h"
#include "config/config.h"
#include "daemon/admin_client.h"

namespace holdfast::daemon {
namespace {

constexpr int kExitRefused = 1;
constexpr int kUsage = 2;
constexpr const char* kSeeHelp = " (see holdfast admin --help)";
struct VerbUsage {
  const char* name;
  const char* arguments;  // as the usage has them
};
constexpr VerbUsage kVerbUsages[] = {
    {"status", ""},
    {"inspect", " ADDRESS|path=/PATH [host=HOST] [field='NAME: VALUE']..."},
    {"explain", " path=/PATH [host=HOST] [method=METHOD] [field='NAME: VALUE']... [text]"},
    {"purge", " ADDRESS|BLOCK|path=/PATH [host=HOST] [field='NAME: VALUE']...|all"},
    {"stale", " ADDRESS|BLOCK|path=/PATH [host=HOST] [field='NAME: VALUE']..."},
    {"breaker", " open|close|auto [ORIGIN] [upstream=NAME]"},
    {"log-level", " debug|info|warn|error"},
    {"drain", ""},
};
constexpr const char* kUsageText =
    "usage: holdfast admin [--socket PATH] [--config FILE] VERB ...\n"
    "  status                         what runs, what is stored, what the upstream does\n"
    "  inspect WHAT                   what is stored for it: age, ttl, validators\n"
    "  explain path=/PATH [host=HOST] [method=METHOD] [field='NAME: VALUE']... [text]\n"
    "                                 which rung would answer that request now, and why\n"
    "  purge WHAT|BLOCK|all           forget it, in memory and store\n"
    "  stale WHAT|BLOCK               keep it, but refresh it with its next use\n"
    "  breaker open|close|auto [ORIGIN] [upstream=NAME]\n"
    "  log-level debug|info|warn|error    until the next reload\n"
    "  drain                          finish what is in flight and exit, as SIGTERM\n"
    "WHAT is path=/PATH [host=HOST] [field='NAME: VALUE']..., as a client would ask for it, its\n"
    "query with it, or an ADDRESS of the first route that takes batches; so is a BLOCK.\n"
    "The socket is ADMIN_SOCKET, else admin_socket in the daemon's settings file (--config, else\n"
    "HOLDFAST_CONFIG), else $RUNTIME_DIRECTORY/admin.sock, else /run/holdfast/admin.sock. Only "
    "the\n"
    "daemon's own user and root may use it.\n";

// What could end a target or a request line early has no place in an argument without a name; it
// would be a mistake there, as none holds it.
bool is_plain(const std::string& text) {
  if (text.empty()) return false;
  for (const char c : text) {
    if (c <= ' ' || c == '&' || c == '#' || c == '?' || c == '%' || c == 0x7f) return false;
  }
  return true;
}

// "path=/v1/x?y" for one of the names: what follows is taken as it is.
std::optional<std::string_view> name_in(std::string_view word,
                                        std::initializer_list<std::string_view> names) {
  const std::string_view name = word.substr(0, word.find('='));
  const bool known =
      name.size() < word.size() && std::find(names.begin(), names.end(), name) != names.end();
  return known ? std::optional(name) : std::nullopt;
}

// Arguments with names as they are, one without by `name_of`. Null for one that has none.
std::optional<AdminCall> call_with(
    bool changes, const std::vector<std::string>& words,
    std::initializer_list<std::string_view> names,
    const std::function<std::string_view(std::string_view)>& name_of) {
  AdminCall call{changes, "/" + words[0]};
  char between = '?';
  for (std::size_t i = 1; i < words.size(); ++i) {
    std::string_view value = words[i];
    std::string_view name;
    if (const auto given = name_in(value, names)) {
      name = *given;
      value.remove_prefix(name.size() + 1);
    } else {
      name = is_plain(words[i]) ? name_of(value) : std::string_view();
      if (name.empty()) return std::nullopt;
    }
    call.target.append(1, between).append(name);
    between = '&';
    // It stands for itself.
    if (name == value) continue;
    call.target.append("=").append(escaped_argument(value));
  }
  return call;
}

std::optional<AdminCall> call_for(const std::vector<std::string>& words) {
  if (words.empty()) return std::nullopt;
  const std::string& verb = words[0];
  const std::size_t arguments = words.size() - 1;
  if (arguments == 0 && verb == "status") return AdminCall{false, "/status"};
  if (arguments == 0 && verb == "drain") return AdminCall{true, "/drain"};
  if (arguments == 0) return std::nullopt;
  if (verb == "inspect") {
    return call_with(false, words, {"ip", "path", "host", "field"}, [](std::string_view word) {
      return std::string_view(word.starts_with('/') ? "path" : "ip");
    });
  }
  if (verb == "explain") {
    return call_with(false, words, {"path", "host", "method", "field"}, [](std::string_view word) {
      return std::string_view(word.starts_with('/') ? "path" : word == "text" ? "text" : "");
    });
  }
  if (verb == "purge" || verb == "stale") {
    const bool purge = verb == "purge";
    const auto name_of = [purge](std::string_view word) {
      if (word == "all" && purge) return std::string_view("all");
      if (word.starts_with('/')) return std::string_view("path");
      const bool block = word.find('/') != word.npos;
      return std::string_view(block ? "block" : "ip");
    };
    return call_with(true, words, {"ip", "block", "path", "host", "field"}, name_of);
  }
  if (verb == "log-level" && arguments == 1) {
    return call_with(true, words, {}, [](std::string_view) { return std::string_view("level"); });
  }
  if (verb == "breaker") {
    std::size_t unnamed = 0;
    return call_with(true, words, {"origin", "upstream"}, [&unnamed](std::string_view) {
      return std::string_view(unnamed++ == 0 ? "state" : unnamed == 2 ? "origin" : "");
    });
  }
  return std::nullopt;
}

// Why call_for() knows none.
std::string problem_of(const std::vector<std::string>& words) {
  std::vector<std::string> names;
  std::string all;
  for (const VerbUsage& verb : kVerbUsages) {
    names.emplace_back(verb.name);
    all += (all.empty() ? "" : ", ") + names.back();
  }
  if (words.empty()) return "a verb is missing: " + all + kSeeHelp;
  const std::string& word = words.front();
  if (word.starts_with("-")) {
    return "the flags are --socket PATH and --config FILE, before the verb" + std::string(kSeeHelp);
  }
  for (const VerbUsage& verb : kVerbUsages) {
    if (word == verb.name) return "expected: " + word + verb.arguments + kSeeHelp;
  }
  const std::string hint = base::nearest(word, names);
  return "no such verb" + (hint.empty() ? "" : "; did you mean " + hint + "?") + "; there are " +
         all + kSeeHelp;
}

// Takes the flags off `words`. The path of the socket; errors are for people.
base::Result<std::string> take_socket(std::vector<std::string>& words) {
  std::optional<std::string> socket;
  std::optional<std::string> config;
  while (words.size() >= 2 && (words[0] == "--socket" || words[0] == "--config")) {
    (words[0] == "--socket" ? socket : config) = words[1];
    words.erase(words.begin(), words.begin() + 2);
  }
  // libcurl would take an empty path for none, and ask whoever is called "holdfast".
  if (socket && socket->empty()) return base::invalid_input("--socket: is blank");
  if (socket) return *std::move(socket);
  auto of_daemon = config::admin_socket_of(config, config::process_environment());
  if (!of_daemon) {
    return base::invalid_input(of_daemon.error().message +
                               "; where the daemon runs all the same, say --socket PATH");
  }
  if (!*of_daemon) return std::string(kUsualAdminSocket);
  if ((*of_daemon)->empty()) {
    return base::invalid_input("by these settings the daemon has none: admin_socket is off");
  }
  return **std::move(of_daemon);
}

}  // namespace

int admin_command(int argc, const char* const* argv) {
  std::vector<std::string> words(argv + 1, argv + argc);
  if (!words.empty() && (words[0] == "--help" || words[0] == "-h")) {
    std::fputs(kUsageText, stdout);
    return 0;
  }
  const auto path = take_socket(words);
  const auto call = call_for(words);
  if (!call || !path) {
    const std::string problem = !call ? problem_of(words) : path.error().message;
    std::fprintf(stderr, "holdfast admin: %s\n", problem.c_str());
    return kUsage;
  }
  const auto answer = ask_admin(*path, *call);
  if (!answer) {
    std::fprintf(stderr, "holdfast admin: %s\n", answer.error().message.c_str());
    return kExitRefused;
  }
  const bool done = answer->status < 400;
  std::fputs(answer->body.c_str(), done ? stdout : stderr);
  if (!done) std::fputs("\n", stderr);
  return done ? 0 : kExitRefused;
}

}  // namespace holdfast::daemon
