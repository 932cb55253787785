#include "daemon/admin_command.h"

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace holdfast::daemon {
namespace {

constexpr int kRefused = 1;
constexpr int kUsage = 2;
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
  std::string method;
  std::string target;
};

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
  if (arguments == 0 && verb == "status") return Call{"GET", "/status"};
  if (arguments == 0 && verb == "drain") return Call{"POST", "/drain"};
  if (arguments == 1 && verb == "inspect") return Call{"GET", "/inspect?ip=" + words[1]};
  if (arguments == 1 && verb == "log-level") return Call{"POST", "/log-level?level=" + words[1]};
  if (arguments == 1 && (verb == "purge" || verb == "stale")) {
    if (words[1] == "all" && verb == "purge") return Call{"POST", "/purge?all"};
    const bool block = words[1].find('/') != std::string::npos;
    return Call{"POST", "/" + verb + (block ? "?block=" : "?ip=") + words[1]};
  }
  if ((arguments == 1 || arguments == 2) && verb == "breaker") {
    return Call{"POST",
                "/breaker?state=" + words[1] + (arguments == 2 ? "&origin=" + words[2] : "")};
  }
  return std::nullopt;
}

std::string default_socket() {
  if (const char* path = std::getenv("ADMIN_SOCKET")) return path;
  if (const char* folder = std::getenv("RUNTIME_DIRECTORY")) {
    return std::string(folder) + "/admin.sock";
  }
  return "/run/holdfast/admin.sock";
}

struct Answer {
  int status = 0;
  std::string body;
};

// One request on a connection of its own; the server closes it after the answer.
base::Result<Answer> ask(const std::string& path, const Call& call) {
  const auto failed = [&path](const std::string& why) {
    return base::internal_error(base::ErrorKind::Io, path + ": " + why);
  };
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return failed("the path is too long");
  std::memcpy(address.sun_path, path.c_str(), path.size());
  const base::UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const timeval patience{30, 0};
  if (!fd || ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) != 0 ||
      ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return failed(std::strerror(errno));
  }
  const std::string request = call.method + " " + call.target +
                              " HTTP/1.1\r\nHost: holdfast\r\nConnection: close\r\n"
                              "Content-Length: 0\r\n\r\n";
  if (::send(fd.get(), request.data(), request.size(), MSG_NOSIGNAL) !=
      static_cast<ssize_t>(request.size())) {
    // Whoever refuses us may have answered already.
    if (errno != EPIPE) return failed(std::strerror(errno));
  }
  std::string received;
  std::array<char, 16384> chunk;
  for (;;) {
    const ssize_t size = ::recv(fd.get(), chunk.data(), chunk.size(), 0);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return failed(errno == EAGAIN ? "no answer in time" : std::strerror(errno));
    if (size == 0) break;
    received.append(chunk.data(), static_cast<std::size_t>(size));
  }
  Answer answer;
  constexpr std::string_view kStart = "HTTP/1.1 ";
  const std::size_t head = received.find("\r\n\r\n");
  if (head == received.npos || !received.starts_with(kStart) ||
      std::from_chars(received.data() + kStart.size(), received.data() + kStart.size() + 3,
                      answer.status)
              .ec != std::errc()) {
    return failed("no HTTP answer came");
  }
  answer.body = received.substr(head + 4);
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
  if (!call) {
    std::fputs(kUsageText, stderr);
    return kUsage;
  }
  const auto answer = ask(path, *call);
  if (!answer) {
    std::fprintf(stderr, "holdfast admin: %s\n", answer.error().message.c_str());
    return kRefused;
  }
  const bool done = answer->status < 400;
  std::fputs(answer->body.c_str(), done ? stdout : stderr);
  if (!done) std::fputs("\n", stderr);
  return done ? 0 : kRefused;
}

}  // namespace holdfast::daemon
