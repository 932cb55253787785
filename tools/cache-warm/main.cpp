// cache-warm: has a running daemon fetch and store what a list of addresses or paths asks
// for. Lists in, plan, run, summary.
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <exception>
#include <fstream>
#include <iostream>

#include "runner.h"

namespace {

using namespace holdfast;
using namespace holdfast::warm;

int refuse(const std::string& why) {
  std::fprintf(stderr, "cache-warm: %s\n", why.c_str());
  return kUsage;
}

// False: too many requests.
bool read_list(const std::string& file, RequestList& list) {
  if (file == "-") return list.read(std::cin, "standard input");
  errno = 0;
  std::ifstream in(file, std::ios::binary);
  if (in) return list.read(in, file);
  list.skip(file, std::string("cannot be read: ") +
                      (errno != 0 ? std::strerror(errno) : "it cannot be opened"));
  return true;
}

void report_problems(const RequestList& list) {
  for (const RequestList::Problem& problem : list.problems()) {
    std::fprintf(stderr, "%s: \"%s\": %s\n", problem.place.c_str(), problem.text.c_str(),
                 problem.reason.c_str());
  }
  const std::size_t more = list.problem_count() - list.problems().size();
  if (more > 0) std::fprintf(stderr, "and %zu bad lines more\n", more);
  for (const RequestList::Unread& unread : list.unread()) {
    std::fprintf(stderr, "%s: %s\n", unread.name.c_str(), unread.reason.c_str());
  }
}

int warm_up(Options options) {
  if (options.files.empty()) {
    if (isatty(STDIN_FILENO))
      return refuse("name a list of addresses or paths, or - for standard input");
    options.files = {"-"};
  }
  RequestList list(options.max_addresses, options.pattern, Site(options.url, options.host));
  for (const std::string& file : options.files) {
    if (read_list(file, list)) continue;
    report_problems(list);
    return refuse("too many addresses or paths");
  }
  report_problems(list);
  if (list.size() == 0) {
    return refuse("no addresses or paths in " + options.files.front() +
                  (options.files.size() > 1 ? " or the other lists" : ""));
  }
  if (options.strict && !list.is_whole()) {
    return refuse("nothing was asked, as lines are bad or lists cannot be read (--strict)");
  }

  const StopSignals signals;
  if (!daemon_is_ready(options, signals)) return kNotAllStored;
  base::Random random(base::Random::entropy());
  Plan plan(list.size(), options.plan, random, std::chrono::steady_clock::now());
  Progress progress(stderr, Progress::style_for(stderr, options.quiet));
  const Ending ending = run(plan, list, options, signals, progress);
  std::fputs((options.json ? summary_json : summary_text)(plan, list, ending).c_str(), stdout);
  return complete(plan, list) ? kAllStored : kNotAllStored;
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  int exit_code = 0;
  auto options = parse_options(argc, argv, exit_code);
  if (!options) return exit_code;
  try {
    return warm_up(std::move(*options));
  } catch (const std::exception& error) {
    return refuse(error.what());
  }
}
