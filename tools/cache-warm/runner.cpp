#include "runner.h"

#include <poll.h>
#include <sys/signalfd.h>

#include <algorithm>
#include <csignal>
#include <stdexcept>

#include "http_client.h"

namespace holdfast::warm {
namespace {

using base::Duration;
using base::SteadyTime;
using std::chrono::milliseconds;

// How often progress is drawn though nothing ends.
constexpr Duration kTick = milliseconds(100);
constexpr Duration kReadyTimeout = std::chrono::seconds(2);
constexpr Duration kReadyInterval = milliseconds(250);

SteadyTime now() {
  return std::chrono::steady_clock::now();
}

// One request, to its end or the signal's.
Reply ask_ready(HttpClient& client, Duration timeout, const StopSignals& signals) {
  client.start(0, "/readyz", "", timeout);
  while (!signals.came()) {
    auto ended = client.wait(kTick, signals.fd());
    if (!ended.empty()) return std::move(ended.front().reply);
  }
  return {};
}

std::string why_not(const Reply& reply) {
  if (reply.status == 0) return reply.error;
  return "/readyz says " + std::to_string(reply.status);
}

std::string wishes(const Step& step, std::chrono::seconds refresh_within) {
  std::string text = step.ask == Step::Ask::Probe ? "only-if-cached" : "";
  if (refresh_within > std::chrono::seconds(0)) {
    if (!text.empty()) text += ", ";
    text += "min-fresh=" + std::to_string(refresh_within.count());
  }
  return text;
}

std::uint64_t tag_of(const Step& step) {
  return (std::uint64_t{step.item} << 1) | (step.ask == Step::Ask::Fetch ? 1 : 0);
}

Step step_of(std::uint64_t tag) {
  return {static_cast<std::uint32_t>(tag >> 1),
          (tag & 1) != 0 ? Step::Ask::Fetch : Step::Ask::Probe};
}

}  // namespace

StopSignals::StopSignals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  if (sigprocmask(SIG_BLOCK, &set, nullptr) != 0) throw std::runtime_error("sigprocmask failed");
  fd_ = base::UniqueFd(signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC));
  if (!fd_) throw std::runtime_error("signalfd failed");
}

// The signal stays unread, so that everybody who asks later sees it too.
bool StopSignals::came() const {
  pollfd waiting{fd_.get(), POLLIN, 0};
  return poll(&waiting, 1, 0) > 0;
}

bool daemon_is_ready(const Options& options, const StopSignals& signals) {
  HttpClient client(options.url);
  const SteadyTime deadline = now() + options.wait.value_or(Duration::zero());
  bool told = false;
  for (;;) {
    const Duration left = deadline - now();
    const Duration timeout =
        options.wait ? std::clamp<Duration>(left, milliseconds(1), kReadyTimeout) : kReadyTimeout;
    const Reply reply = ask_ready(client, timeout, signals);
    if (signals.came()) {
      std::fprintf(stderr, "cache-warm: interrupted\n");
      return false;
    }
    // What is not ours to judge (a proxy that hides /readyz, say) may pass.
    if (reply.status != 0 && reply.status < 500) return true;
    if (now() >= deadline) {
      std::fprintf(stderr, "cache-warm: %s is not ready: %s%s\n", options.url.c_str(),
                   why_not(reply).c_str(), options.wait ? "" : " (--wait waits for it)");
      return false;
    }
    if (!told && !options.quiet) {
      std::fprintf(stderr, "cache-warm: waiting for %s: %s\n", options.url.c_str(),
                   why_not(reply).c_str());
    }
    told = true;
    const SteadyTime again = std::min(deadline, now() + kReadyInterval);
    while (now() < again && !signals.came()) client.wait(again - now(), signals.fd());
  }
}

Ending run(Plan& plan, const RequestList& list, const Options& options, const StopSignals& signals,
           Progress& progress) {
  HttpClient client(options.url, options.host);
  const SteadyTime started = now();
  Ending ending;
  progress.update(plan, started);
  while (!plan.finished()) {
    if (signals.came()) {
      ending.interrupted = true;
      break;
    }
    if (plan.gave_up(now())) {
      ending.gave_up = true;
      break;
    }
    while (const auto step = plan.next(now())) {
      client.start(tag_of(*step), list.target(step->item), wishes(*step, options.refresh_within),
                   options.timeout);
    }
    const SteadyTime wake = plan.wake();
    Duration most = kTick;
    if (wake != SteadyTime::max())
      most = std::clamp<Duration>(wake - now(), Duration::zero(), kTick);
    for (const HttpClient::Ended& ended : client.wait(most, signals.fd())) {
      plan.end(step_of(ended.tag), judge(ended.reply), now());
    }
    progress.update(plan, now());
  }
  ending.took = now() - started;
  progress.finish(plan, now());
  return ending;
}

}  // namespace holdfast::warm
