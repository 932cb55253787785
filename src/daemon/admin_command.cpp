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
    {"purge",
     " URL...|ADDRESS|BLOCK|path=/PATH [host=HOST] [field='NAME: VALUE']...|--variants URL|"
     "--route NAME|--tag TAG|--all"},
    {"stale",
     " URL...|ADDRESS|BLOCK|path=/PATH [host=HOST] [field='NAME: VALUE']...|--variants URL|"
     "--route NAME|--tag TAG|--all"},
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
    "  purge WHAT|BLOCK|SET           forget it, in memory and store\n"
    "  stale WHAT|BLOCK|SET           keep it, but refresh it with its next use\n"
    "  breaker open|close|auto [ORIGIN] [upstream=NAME]\n"
    "  log-level debug|info|warn|error    until the next reload\n"
    "  drain                          finish what is in flight and exit, as SIGTERM\n"
    "WHAT is path=/PATH [host=HOST] [field='NAME: VALUE']..., as a client would ask for it, its\n"
    "query with it, or an ADDRESS of the first route that takes batches; so is a BLOCK.\n"
    "SET is --route NAME, --tag TAG, --all, or --variants with a path: whatever its query and\n"
    "fields. Of URLs (http://HOST/PATH, or /PATH), routes and tags there may be several.\n"
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

// "--route NAME" and the like as the names that the verbs have; null: one lacks its value.
std::optional<std::vector<std::string>> without_flags(const std::vector<std::string>& words) {
  std::vector<std::string> plain;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (word == "--route" || word == "--tag") {
      if (i + 1 == words.size()) return std::nullopt;
      plain.push_back(word.substr(2) + "=" + words[++i]);
    } else if (word.starts_with("--route=") || word.starts_with("--tag=") || word == "--all" ||
               word == "--variants") {
      plain.push_back(word.substr(2));
    } else {
      plain.push_back(word);
    }
  }
  return plain;
}

// Of each URL, path, route and tag a call of its own, with what goes with all of them. A URL
// says its host itself.
std::vector<std::vector<std::string>> one_by_one(const std::vector<std::string>& words) {
  std::vector<std::vector<std::string>> targets;
  std::vector<std::string> with_all;
  std::size_t others = 0;
  for (std::size_t i = 1; i < words.size(); ++i) {
    const std::string& word = words[i];
    const std::size_t scheme = word.starts_with("http://")    ? 7
                               : word.starts_with("https://") ? 8
                                                              : 0;
    if (scheme > 0) {
      const std::size_t slash = std::min(word.find_first_of("/?", scheme), word.size());
      std::string path = word.substr(slash);
      if (!path.starts_with('/')) path.insert(0, "/");
      targets.push_back({"path=" + path, "host=" + word.substr(scheme, slash - scheme)});
    } else if (word.starts_with('/')) {
      targets.push_back({word.find('?') == word.npos ? word : "path=" + word});
    } else if (word.starts_with("route=") || word.starts_with("tag=")) {
      targets.push_back({word});
    } else {
      const bool goes_with =
          word.starts_with("host=") || word.starts_with("field=") || word == "variants";
      others += goes_with ? 0 : 1;
      with_all.push_back(word);
    }
  }
  // What is not to be told apart goes as it is: the daemon says what is wrong with it.
  if (targets.empty() || (targets.size() > 1 && others > 0)) return {words};
  std::vector<std::vector<std::string>> calls;
  for (std::vector<std::string>& target : targets) {
    calls.push_back({words[0]});
    calls.back().insert(calls.back().end(), target.begin(), target.end());
    calls.back().insert(calls.back().end(), with_all.begin(), with_all.end());
  }
  return calls;
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
    const auto name_of = [](std::string_view word) {
      if (word == "all" || word == "variants") return word;
      if (word.starts_with('/')) return std::string_view("path");
      const bool block = word.find('/') != word.npos;
      return std::string_view(block ? "block" : "ip");
    };
    return call_with(true, words, {"ip", "block", "path", "host", "field", "route", "tag"},
                     name_of);
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

// Null: they are no verb's.
std::optional<std::vector<AdminCall>> calls_for(const std::vector<std::string>& words) {
  const bool purge = !words.empty() && (words[0] == "purge" || words[0] == "stale");
  std::vector<std::vector<std::string>> all{words};
  if (purge) {
    const auto plain = without_flags(words);
    if (!plain) return std::nullopt;
    all = one_by_one(*plain);
  }
  std::vector<AdminCall> calls;
  for (const std::vector<std::string>& one : all) {
    auto call = call_for(one);
    if (!call) return std::nullopt;
    calls.push_back(*std::move(call));
  }
  return calls;
}

int make_call(const std::string& path, const AdminCall& call) {
  const auto answer = ask_admin(path, call);
  if (!answer) {
    std::fprintf(stderr, "holdfast admin: %s\n", answer.error().message.c_str());
    return kExitRefused;
  }
  const bool done = answer->status < 400;
  std::fputs(answer->body.c_str(), done ? stdout : stderr);
  if (!done) std::fputs("\n", stderr);
  return done ? 0 : kExitRefused;
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
  const auto calls = calls_for(words);
  if (!calls || !path) {
    const std::string problem = !calls ? problem_of(words) : path.error().message;
    std::fprintf(stderr, "holdfast admin: %s\n", problem.c_str());
    return kUsage;
  }
  int code = 0;
  for (const AdminCall& call : *calls) code = std::max(code, make_call(*path, call));
  return code;
}

}  // namespace holdfast::daemon
