#include <sys/resource.h>

#include <csignal>
#include <cstdio>
#include <iostream>

#include "base/signal_watch.h"
#include "control.h"
#include "options.h"

namespace {

using namespace holdfast;
using namespace holdfast::flaky;

// Thousands of connections need as many descriptors; the soft limit is often 1024.
void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  (void)::setrlimit(RLIMIT_NOFILE, &limit);
}

int print_answer(const Options& options, const AnswerSource* database) {
  const auto address = parse_address(options.print_ip);
  if (!address) {
    std::cerr << "flaky-upstream: --print: \"" << options.print_ip << "\" is not an IP address\n";
    return 2;
  }
  const auto content = database != nullptr ? database->content(*address)
                                           : geo_answer(*address, options.upstream.edition);
  if (!content) {
    std::cerr << "flaky-upstream: no data for " << address->text << "\n";
    return 1;
  }
  std::cout << *content << "\n";
  return 0;
}

int run(Options options) {
  std::unique_ptr<AnswerSource> database;
  if (!options.mmdb.empty()) {
    auto opened = open_mmdb(options.mmdb);
    if (!opened) {
      std::cerr << "flaky-upstream: --mmdb: " << opened.error().message << "\n";
      return 2;
    }
    database = std::move(*opened);
  }
  if (!options.print_ip.empty()) return print_answer(options, database.get());

  raise_descriptor_limit();
  const base::SystemClock clock;
  base::EventLoop loop("flaky-upstream", clock);
  base::SignalWatch signals(loop, {SIGTERM, SIGINT}, [&loop](int) { loop.stop(); });
  Upstream upstream(loop, options.bind_address, options.port, std::move(options.upstream),
                    std::move(database));
  Control control(loop, options.bind_address, options.control_port, upstream);
  upstream.set_mode(options.mode);
  std::printf("{\"port\":%u,\"control_port\":%u}\n", upstream.port(), control.port());
  std::fflush(stdout);
  loop.run();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  int exit_code = 0;
  auto options = parse_options(argc, argv, exit_code);
  if (!options) return exit_code;
  try {
    return run(std::move(*options));
  } catch (const std::exception& error) {
    std::cerr << "flaky-upstream: " << error.what() << "\n";
    return 2;
  }
}
