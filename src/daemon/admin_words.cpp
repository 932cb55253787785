#include "daemon/admin_words.h"

#include <algorithm>
#include <array>
#include <functional>
#include <initializer_list>
#include <iterator>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include "base/suggest.h"

namespace holdfast::daemon {
namespace {

constexpr std::size_t kLongestShown = 60;
constexpr std::array<std::string_view, 4> kFlagsOfPurge = {"route", "tag", "all", "variants"};
constexpr const char* kSeeHelp = " (see holdfast admin --help)";
struct VerbUsage {
  const char* name;
  const char* arguments;  // as the usage has them
};
constexpr VerbUsage kVerbUsages[] = {
    {"status", ""},
    {"inspect", " URL|ADDRESS|path=/PATH [host=HOST] [field='NAME: VALUE']..."},
    {"explain", " URL|path=/PATH [host=HOST] [method=METHOD] [field='NAME: VALUE']... [text]"},
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

std::string in_quotes(const std::string& word) {
  return "\"" + word.substr(0, kLongestShown) + (word.size() > kLongestShown ? "..." : "") + "\"";
}

bool is_purge(const std::string& verb) {
  return verb == "purge" || verb == "stale";
}

// What is wrong with a word that looks like a flag, and is none of those of its verb.
std::string about_flag(const std::string& verb, const std::string& word) {
  const std::string name = word.substr(0, word.find('='));
  const std::string bare = name.substr(std::min(name.find_first_not_of('-'), name.size()));
  if (bare == "socket" || bare == "config") {
    return "--" + bare + " goes before the verb, as in: holdfast admin --" + bare + " " +
           (bare == "socket" ? "PATH" : "FILE") + " " + verb + " ..." + kSeeHelp;
  }
  const std::string text = verb + ": unknown flag " + in_quotes(name);
  const auto is_one_of = [&](std::span<const std::string_view> names) {
    return std::find(names.begin(), names.end(), bare) != names.end();
  };
  if (!is_purge(verb) && is_one_of(kFlagsOfPurge)) {
    return text + "; it is one of purge and stale" + kSeeHelp;
  }
  const bool has_names = is_purge(verb) || verb == "inspect" || verb == "explain";
  if (has_names && (bare == "host" || bare == "field" || bare == "path" ||
                    (bare == "method" && verb == "explain"))) {
    return text + "; expected " + bare + "=..., without dashes" + kSeeHelp;
  }
  std::string near;
  if (is_purge(verb)) {
    near = base::nearest(bare, {kFlagsOfPurge.begin(), kFlagsOfPurge.end()});
  }
  return text + (near.empty() ? "" : "; did you mean --" + near + "?") + kSeeHelp;
}

// "--route NAME" and the like as the names that the verbs have.
base::Result<std::vector<std::string>> without_flags(const std::vector<std::string>& words) {
  const std::string& verb = words[0];
  std::vector<std::string> plain{verb};
  std::string last;   // of the tags and routes, as it was said
  std::string alone;  // a word that could be another one
  for (std::size_t i = 1; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (!word.starts_with('-')) {
      const bool could_be =
          word != "all" && word != "variants" && word.find_first_of("=/") == word.npos;
      if (could_be && alone.empty()) alone = word;
      plain.push_back(word);
    } else if (is_purge(verb) && (word == "--route" || word == "--tag")) {
      if (i + 1 == words.size()) return base::invalid_input(word + " lacks its value" + kSeeHelp);
      last = word;
      plain.push_back(word.substr(2) + "=" + words[++i]);
    } else if (is_purge(verb) && (word.starts_with("--route=") || word.starts_with("--tag="))) {
      last = word.substr(0, word.find('='));
      plain.push_back(word.substr(2));
    } else if (is_purge(verb) && (word == "--all" || word == "--variants")) {
      plain.push_back(word.substr(2));
    } else {
      return base::invalid_input(about_flag(verb, word));
    }
  }
  if (!last.empty() && !alone.empty()) {
    return base::invalid_input(in_quotes(alone) + " stands alone beside " + last +
                               "; several are given as " + last + " A " + last + " B" + kSeeHelp);
  }
  return plain;
}

// "http://HOST/PATH" or "/PATH" as the names that the verbs have; none: it is neither.
std::optional<std::vector<std::string>> named_url(const std::string& word) {
  const std::size_t scheme = word.starts_with("http://") ? 7 : word.starts_with("https://") ? 8 : 0;
  if (scheme > 0) {
    const std::size_t slash = std::min(word.find_first_of("/?", scheme), word.size());
    std::string path = word.substr(slash);
    if (!path.starts_with('/')) path.insert(0, "/");
    return std::vector{"path=" + path, "host=" + word.substr(scheme, slash - scheme)};
  }
  if (word.starts_with('/')) return std::vector{"path=" + word};
  return std::nullopt;
}

// Of each URL, path, route and tag a call of its own, with what goes with all of them. A URL
// says its host itself.
std::vector<std::vector<std::string>> one_by_one(const std::vector<std::string>& words) {
  std::vector<std::vector<std::string>> targets;
  std::vector<std::string> with_all;
  std::size_t others = 0;
  for (std::size_t i = 1; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (auto url = named_url(word)) {
      targets.push_back(*std::move(url));
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
    return call_with(false, words, {"ip", "path", "host", "field"},
                     [](std::string_view) { return std::string_view("ip"); });
  }
  if (verb == "explain") {
    return call_with(false, words, {"path", "host", "method", "field"}, [](std::string_view word) {
      return std::string_view(word == "text" ? "text" : "");
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

// The same words, URLs and paths by their names.
std::vector<std::string> with_names(const std::vector<std::string>& words) {
  std::vector<std::string> all{words[0]};
  for (std::size_t i = 1; i < words.size(); ++i) {
    const auto url = named_url(words[i]);
    url ? static_cast<void>(all.insert(all.end(), url->begin(), url->end()))
        : all.push_back(words[i]);
  }
  return all;
}

bool is_verb(const std::string& word) {
  return std::any_of(std::begin(kVerbUsages), std::end(kVerbUsages),
                     [&](const VerbUsage& verb) { return word == verb.name; });
}

// Why there is no call for them.
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
    return "the flags are --socket PATH, --config FILE, --json and --text, before the verb" +
           std::string(kSeeHelp);
  }
  for (const VerbUsage& verb : kVerbUsages) {
    if (word == verb.name) return "expected: " + word + verb.arguments + kSeeHelp;
  }
  const std::string hint = base::nearest(word, names);
  return "no such verb" + (hint.empty() ? "" : "; did you mean " + hint + "?") + "; there are " +
         all + kSeeHelp;
}

}  // namespace

base::Result<std::vector<AdminCall>> admin_calls(const std::vector<std::string>& words) {
  if (words.empty() || words[0].starts_with('-') || !is_verb(words[0])) {
    return base::invalid_input(problem_of(words));
  }
  const auto plain = without_flags(words);
  if (!plain) return tl::unexpected(plain.error());
  std::vector<std::vector<std::string>> all{*plain};
  if (is_purge(words[0])) {
    all = one_by_one(*plain);
  } else if (words[0] == "inspect" || words[0] == "explain") {
    all = {with_names(*plain)};
  }
  std::vector<AdminCall> calls;
  for (const std::vector<std::string>& one : all) {
    auto call = call_for(one);
    if (!call) return base::invalid_input(problem_of(words));
    calls.push_back(*std::move(call));
  }
  return calls;
}

}  // namespace holdfast::daemon
