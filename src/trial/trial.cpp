#include "trial/trial.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <exception>
#include <optional>

#include "base/event_loop.h"
#include "control.h"
#include "faults.h"
#include "upstream.h"

namespace holdfast::trial {
namespace {

constexpr std::uint16_t kUsualPort = 3000;

// What the child says once it listens.
struct Ports {
  std::uint16_t service = 0;
  std::uint16_t control = 0;
};

struct Pipe {
  base::UniqueFd reading, writing;
};

std::optional<Pipe> make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return std::nullopt;
  return Pipe{base::UniqueFd(ends[0]), base::UniqueFd(ends[1])};
}

base::Error failed(const char* what) {
  return {base::ErrorKind::Io, base::Side::Internal, false,
          std::string("--try: ") + what + ": " + std::strerror(errno)};
}

// The child's whole life.
void serve(const flaky::FaultMix& faults, int life_line, int ready) {
  // A terminal's Ctrl-C and its end go to both of us: the daemon may still finish what it asks for.
  std::signal(SIGINT, SIG_IGN);
  std::signal(SIGHUP, SIG_IGN);
  ::prctl(PR_SET_NAME, "flaky-upstream");
  const base::SystemClock clock;
  base::EventLoop loop("flaky-upstream", clock);
  flaky::UpstreamSettings settings;
  settings.faults = faults;
  flaky::Upstream upstream(loop, {}, std::move(settings));
  flaky::Control control(loop, "127.0.0.1", 0, upstream);
  const Ports ports{upstream.port(), control.port()};
  if (::write(ready, &ports, sizeof ports) != sizeof ports) return;
  ::close(ready);
  base::FdWatch parent(
      loop, life_line,
      [](void* context, unsigned) { static_cast<base::EventLoop*>(context)->stop(); }, &loop);
  parent.want(base::kFdReadable);
  loop.run();
}

bool may_listen(std::uint16_t port) {
  const base::UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int on = 1;
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return fd && ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
         ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 &&
         ::listen(fd.get(), 1) == 0;
}

}  // namespace

base::Result<std::unique_ptr<Trial>> Trial::start(std::string_view faults) {
  const auto mix = flaky::FaultMix::parse(faults);
  if (!mix) return base::invalid_input("--faults: " + mix.error().message);
  auto life_line = make_pipe();
  auto ready = make_pipe();
  if (!life_line || !ready) return tl::unexpected(failed("no pipe"));
  const pid_t child = ::fork();
  if (child < 0) return tl::unexpected(failed("no process for its upstream"));
  if (child == 0) {
    life_line->writing.reset();
    ready->reading.reset();
    try {
      serve(*mix, life_line->reading.get(), ready->writing.release());
    } catch (const std::exception& error) {
      std::fprintf(stderr, "holdfast: --try: its upstream: %s\n", error.what());
    }
    ::_exit(0);  // what our parent has begun is not ours to end
  }
  std::unique_ptr<Trial> trial(new Trial(child, std::move(life_line->writing), faults));
  ready->writing.reset();
  Ports ports;
  ssize_t got = 0;
  do {
    got = ::read(ready->reading.get(), &ports, sizeof ports);  // as whole as it was written
  } while (got < 0 && errno == EINTR);
  if (got != sizeof ports) {
    return base::internal_error(base::ErrorKind::Io, "--try: its upstream did not start");
  }
  trial->port_ = ports.service;
  trial->control_port_ = ports.control;
  trial->defaults_ = {
      {"api_url", "http://127.0.0.1:" + std::to_string(ports.service)},
      {"port", may_listen(kUsualPort) ? std::to_string(kUsualPort) : "0"},
      {"store_path", "off"},
      {"log_level", "warn"},
      {"log_format", "text"},
  };
  return trial;
}

Trial::~Trial() {
  ::kill(child_, SIGKILL);  // also if it was stopped; it has nothing to clean up
  while (::waitpid(child_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

std::string Trial::greeting(const std::string& port) const {
  const std::string here = "http://localhost:" + port;
  const std::string control = "http://127.0.0.1:" + std::to_string(control_port_);
  return "Holdfast serves GET " + here + "/lookup/{ip}, from an upstream of its own, " +
         defaults_.front().second + ",\nwith these faults: " + faults_ +
         ". Ctrl-C ends both. Try, from another terminal:\n\n"
         "    curl -i " +
         here +
         "/lookup/8.8.8.8\n"
         "    ./test-ips.sh --url " +
         here +
         "      # 1000 lookups: a file of the repository\n"
         "    " +
         here +
         "/status                   # in a browser\n"
         "    curl " +
         here +
         "/metrics\n"
         "    curl -X PUT -d mixed=0.7 " +
         control +
         "/faults     # other faults; none: none\n"
         "    curl -X PUT -d down " +
         control +
         "/mode            # an outage; up: its end\n\n"
         "With an API that you have: holdfast --api-url URL. The log follows, of what is amiss.\n";
}

}  // namespace holdfast::trial
