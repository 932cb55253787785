#include "daemon/admin_command.h"

#include <curl/curl.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/suggest.h"

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
    {"inspect", " ADDRESS"},
    {"purge", " ADDRESS|BLOCK|all"},
    {"stale", " ADDRESS|BLOCK"},
    {"breaker", " open|close|auto [ORIGIN]"},
    {"log-level", " debug|info|warn|error"},
    {"drain", ""},
};
constexpr const char* kUsageText =
    "usage: holdfast admin [--socket PATH] VERB ...\n"
    "  status                         what runs, what is stored, what the upstream does\n"
    "  inspect ADDRESS                what is stored for it: age, ttl, validators\n"
    "  purge ADDRESS|BLOCK|all        forget it, in memory and store\n"
    "  stale ADDRESS|BLOCK            keep it, but refresh it with its next use\n"
    "  breaker open|close|auto [ORIGIN]\n"
    "  log-level debug|info|warn|error    until the next reload\n"
    "  drain                          finish what is in flight and exit, as SIGTERM\n"
    "The socket is ADMIN_SOCKET, else $RUNTIME_DIRECTORY/admin.sock, else\n"
    "/run/holdfast/admin.sock. Only the daemon's own user and root may use it.\n";

struct Call {
  bool is_post = false;
  std::string target;
};
Call get(std::string target) {
  return {false, std::move(target)};
}
Call post(std::string target) {
  return {true, std::move(target)};
}

// What could end a target or a request line early has no place in an argument.
bool is_plain(const std::string& text) {
  if (text.empty()) return false;
  for (const char c : text) {
    if (c <= ' ' || c == '&' || c == '#' || c == '?' || c == '%' || c == 0x7f) return false;
  }
  return true;
}

std::optional<Call> call_for(const std::vector<std::string>& words) {
  if (words.empty()) return std::nullopt;
  for (const std::string& word : words) {
    if (!is_plain(word)) return std::nullopt;
  }
  const std::string& verb = words[0];
  const std::size_t arguments = words.size() - 1;
  if (arguments == 0 && verb == "status") return get("/status");
  if (arguments == 0 && verb == "drain") return post("/drain");
  if (arguments == 1 && verb == "inspect") return get("/inspect?ip=" + words[1]);
  if (arguments == 1 && verb == "log-level") return post("/log-level?level=" + words[1]);
  if (arguments == 1 && (verb == "purge" || verb == "stale")) {
    if (words[1] == "all" && verb == "purge") return post("/purge?all");
    const bool block = words[1].find('/') != std::string::npos;
    return post("/" + verb + (block ? "?block=" : "?ip=") + words[1]);
  }
  if ((arguments == 1 || arguments == 2) && verb == "breaker") {
    return post("/breaker?state=" + words[1] + (arguments == 2 ? "&origin=" + words[2] : ""));
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
    return "the only flag is --socket PATH, before the verb" + std::string(kSeeHelp);
  }
  for (const VerbUsage& verb : kVerbUsages) {
    if (word == verb.name) return "expected: " + word + verb.arguments + kSeeHelp;
  }
  const std::string hint = base::nearest(word, names);
  return "no such verb" + (hint.empty() ? "" : "; did you mean " + hint + "?") + "; there are " +
         all + kSeeHelp;
}

// A blank variable is one that is not set.
std::string variable(const char* name) {
  const char* const text = std::getenv(name);
  return text ? text : "";
}

std::string default_socket() {
  if (std::string path = variable("ADMIN_SOCKET"); !path.empty()) return path;
  if (const std::string folder = variable("RUNTIME_DIRECTORY"); !folder.empty()) {
    return folder + "/admin.sock";
  }
  return "/run/holdfast/admin.sock";
}

struct Answer {
  int status = 0;
  std::string body;
};

constexpr long kPatienceSeconds = 30;

std::size_t append(char* bytes, std::size_t, std::size_t count, void* body) {
  static_cast<std::string*>(body)->append(bytes, count);
  return count;
}

base::Result<Answer> ask(const std::string& path, const Call& call) {
  const std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> curl(curl_easy_init(),
                                                                 &curl_easy_cleanup);
  const std::string url = "http://holdfast" + call.target;
  Answer answer;
  const auto set = [&curl](CURLoption option, auto value) {
    return curl_easy_setopt(curl.get(), option, value) == CURLE_OK;
  };
  const bool ready = curl && set(CURLOPT_UNIX_SOCKET_PATH, path.c_str()) &&
                     set(CURLOPT_URL, url.c_str()) && set(CURLOPT_NOPROXY, "*") &&
                     set(CURLOPT_TIMEOUT, kPatienceSeconds) &&
                     set(CURLOPT_WRITEFUNCTION, &append) && set(CURLOPT_WRITEDATA, &answer.body) &&
                     (!call.is_post || set(CURLOPT_POSTFIELDS, ""));
  const CURLcode result = ready ? curl_easy_perform(curl.get()) : CURLE_FAILED_INIT;
  if (result != CURLE_OK) {
    long system_error = 0;
    if (curl) curl_easy_getinfo(curl.get(), CURLINFO_OS_ERRNO, &system_error);
    const char* const why = system_error != 0 ? std::strerror(static_cast<int>(system_error))
                                              : curl_easy_strerror(result);
    const bool absent = system_error == ENOENT;
    return base::internal_error(
        base::ErrorKind::Io,
        path + ": " + why +
            (absent ? "; is the daemon running, with ADMIN_SOCKET set to that?" : ""));
  }
  long status = 0;
  curl_easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &status);
  answer.status = static_cast<int>(status);
  return answer;
}

}  // namespace

int admin_command(int argc, const char* const* argv) {
  std::vector<std::string> words(argv + 1, argv + argc);
  std::string path = default_socket();
  if (!words.empty() && (words[0] == "--help" || words[0] == "-h")) {
    std::fputs(kUsageText, stdout);
    return 0;
  }
  if (words.size() >= 2 && words[0] == "--socket") {
    path = words[1];
    words.erase(words.begin(), words.begin() + 2);
  }
  const auto call = call_for(words);
  // libcurl would take an empty path for none, and ask whoever is called "holdfast".
  if (!call || path.empty()) {
    const std::string problem = path.empty() ? "--socket: is blank" : problem_of(words);
    std::fprintf(stderr, "holdfast admin: %s\n", problem.c_str());
    return kUsage;
  }
  const auto answer = ask(path, *call);
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
