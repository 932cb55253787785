#include "daemon/admin_command.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "config/config.h"
#include "daemon/admin_client.h"
#include "daemon/admin_print.h"
#include "daemon/admin_words.h"

namespace holdfast::daemon {
namespace {

constexpr int kExitRefused = 1;
constexpr int kUsage = 2;
constexpr const char* kUsageText =
    "usage: holdfast admin [--socket PATH] [--config FILE] [--json|--text] VERB ...\n"
    "  status                         what runs, what is stored, what the upstream does\n"
    "  inspect WHAT                   what is stored for it: age, ttl, validators\n"
    "  explain URL|path=/PATH [host=HOST] [method=METHOD] [field='NAME: VALUE']... [text]\n"
    "                                 which rung would answer that request now, and why\n"
    "  purge WHAT|BLOCK|SET           forget it, in memory and store\n"
    "  stale WHAT|BLOCK|SET           keep it, but refresh it with its next use\n"
    "  breaker open|close|auto [ORIGIN] [upstream=NAME]\n"
    "  log-level debug|info|warn|error    until the next reload\n"
    "  drain                          finish what is in flight and exit, as SIGTERM\n"
    "WHAT is a URL (http://HOST/PATH, or /PATH) or path=/PATH [host=HOST], with its query and\n"
    "[field='NAME: VALUE']..., as a client would ask for it; or an ADDRESS of the first route "
    "that\n"
    "takes batches, and so is a BLOCK.\n"
    "SET is --route NAME, --tag TAG, --all, or --variants with a URL: whatever its query and\n"
    "fields. purge and stale take several URLs, routes (--route A --route B) and tags.\n"
    "On a terminal what comes is told in lines, for people; elsewhere it is JSON, as it came, for\n"
    "programs. --json and --text say which, wherever it goes.\n"
    "The socket is ADMIN_SOCKET, else admin_socket in the daemon's settings file (--config, else\n"
    "HOLDFAST_CONFIG), else $RUNTIME_DIRECTORY/admin.sock, else /run/holdfast/admin.sock. Only "
    "the\n"
    "daemon's own user and root may use it. The manual is holdfast(8).\n";

struct Socket {
  std::string path;
  std::string note;  // where nobody answers there, maybe why
};

// Scripts have always had JSON, and get it without a word.
bool take_form(std::vector<std::string>& words) {
  const bool json = std::erase(words, "--json") > 0;
  const bool text = std::erase(words, "--text") > 0;
  return json || (!text && ::isatty(STDOUT_FILENO) == 0);
}

// There is a form of its own for people; of all else they get what is said, in lines.
AdminCall for_people(AdminCall call) {
  const std::string& target = call.target;
  if (target.starts_with("/explain?") && !target.ends_with("&text")) call.target += "&text";
  return call;
}

int make_call(const Socket& socket, const AdminCall& call, bool as_json) {
  const auto answer = ask_admin(socket.path, as_json ? call : for_people(call));
  if (!answer) {
    const bool nobody = answer.error().kind == base::ErrorKind::Unavailable;
    std::fprintf(stderr, "holdfast admin: %s%s\n", answer.error().message.c_str(),
                 nobody ? socket.note.c_str() : "");
    return kExitRefused;
  }
  const bool done = answer->status < 400;
  if (!as_json) {
    if (const auto why = done ? std::nullopt : text_member(answer->body, "detail")) {
      std::fprintf(stderr, "holdfast admin: %s\n", why->c_str());
      return kExitRefused;
    }
    std::fputs(readable(answer->body).c_str(), done ? stdout : stderr);
  } else {
    std::fputs(answer->body.c_str(), done ? stdout : stderr);
    if (!done) std::fputs("\n", stderr);
  }
  return done ? 0 : kExitRefused;
}

// Takes the flags off `words`. Errors are for people.
base::Result<Socket> take_socket(std::vector<std::string>& words) {
  std::optional<std::string> socket;
  std::optional<std::string> config;
  while (words.size() >= 2 && (words[0] == "--socket" || words[0] == "--config")) {
    (words[0] == "--socket" ? socket : config) = words[1];
    words.erase(words.begin(), words.begin() + 2);
  }
  // libcurl would take an empty path for none, and ask whoever is called "holdfast".
  if (socket && socket->empty()) return base::invalid_input("--socket: is blank");
  if (socket) return Socket{*std::move(socket), {}};
  auto of_daemon = config::admin_socket_of(config, config::process_environment());
  if (!of_daemon) {
    return base::invalid_input(of_daemon.error().message +
                               "; where the daemon runs all the same, say --socket PATH");
  }
  std::string note;
  if (!of_daemon->silent_file.empty())
    note = "; " + of_daemon->silent_file + " sets no admin_socket";
  if (!of_daemon->path) return Socket{kUsualAdminSocket, std::move(note)};
  if (of_daemon->path->empty()) {
    return base::invalid_input(
        "by these settings the daemon has none: admin_socket is off; with a "
        "path it makes one");
  }
  return Socket{*std::move(of_daemon->path), std::move(note)};
}

}  // namespace

int admin_command(int argc, const char* const* argv) {
  std::vector<std::string> words(argv + 1, argv + argc);
  if (!words.empty() && (words[0] == "--help" || words[0] == "-h")) {
    std::fputs(kUsageText, stdout);
    return 0;
  }
  const bool as_json = take_form(words);
  const auto socket = take_socket(words);
  if (words.size() == 2 && (words[1] == "--help" || words[1] == "-h")) {
    std::fputs(kUsageText, stdout);
    return 0;
  }
  const auto calls = admin_calls(words);
  if (!calls || !socket) {
    const std::string problem = !calls ? calls.error().message : socket.error().message;
    std::fprintf(stderr, "holdfast admin: %s\n", problem.c_str());
    return kUsage;
  }
  int code = 0;
  for (const AdminCall& call : *calls) code = std::max(code, make_call(*socket, call, as_json));
  return code;
}

}  // namespace holdfast::daemon
