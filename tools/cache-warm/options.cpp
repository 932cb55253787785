#include "options.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>

#include "config/values.h"
#include "site.h"

namespace holdfast::warm {
namespace {

constexpr const char* kFooter =
    "A list holds one address or CIDR block a line, or a path with its query, or a URL of\n"
    "the daemon's (or of --host), or it is an XML sitemap; # starts a comment. Each is\n"
    "asked for once, however often and in whatever spelling it is listed. A bad line is\n"
    "reported with its place and skipped, as is a list that cannot be read, and the exit\n"
    "code is then 1; with --strict nothing is asked.\n"
    "What is stored already is skipped, so an interrupted run is resumed by running it\n"
    "again. What would expire soon is refreshed, but never in the first half of its\n"
    "lifetime: the daemon does not do that for any client.\n"
    "Exit code: 0 everything listed is stored, 1 not everything, 2 usage, or nothing to\n"
    "ask for.";

// An option whose text one of our own parsers turns into a value.
template <typename Parse, typename Store>
void add_parsed(CLI::App& app, const std::string& name, const std::string& description, Parse parse,
                Store store) {
  app.add_option_function<std::string>(
         name,
         [name, parse, store](const std::string& text) {
           const auto parsed = parse(text);
           if (!parsed) throw CLI::ValidationError(name, parsed.error().message);
           store(*parsed);
         },
         description)
      ->take_last();
}

auto duration_of_at_least(base::Duration least) {
  return [least](std::string_view text) -> base::Result<base::Duration> {
    const auto duration = config::parse_duration(text);
    if (duration && *duration < least) return base::invalid_input("that is too short");
    return duration;
  };
}

auto count_within(std::uint64_t least, std::uint64_t most) {
  return [least, most](std::string_view text) { return config::parse_count(text, least, most); };
}

void add_what(CLI::App& app, Options& options) {
  app.add_option("FILE", options.files, "lists of addresses or paths; - is standard input");
  add_parsed(app, "--url", "the daemon's base URL [http://127.0.0.1:3000]", &config::parse_base_url,
             [&](const std::string& url) { options.url = url; });
  add_parsed(app, "--host", "the site whose URLs are listed: sent as Host [the host of --url]",
             &parse_host, [&](const std::string& host) { options.host = host; });
  add_parsed(app, "--route",
             "what a line that is no path is asked as: {ip} is an address, {} any text, "
             "percent-encoded [/lookup/{ip}]",
             &Pattern::parse, [&](const Pattern& pattern) { options.pattern = pattern; });
  add_parsed(app, "--max-addresses", "most addresses, with those of blocks, and paths [1000000]",
             count_within(1, 50'000'000), [&](std::uint64_t n) { options.max_addresses = n; });
  app.add_flag("--strict", options.strict,
               "ask nothing if any line is bad, or a list cannot be read");
  add_parsed(app, "--refresh-within",
             "refresh what expires within this time; 0: only what is missing [1h]",
             &config::parse_duration, [&](base::Duration within) {
               options.refresh_within = std::chrono::ceil<std::chrono::seconds>(within);
             });
  app.add_flag_callback(
      "--all", [&] { options.refresh_within = std::chrono::hours(24 * 3650); },
      "refresh whatever is past half of its lifetime");
  app.add_flag("--check", options.plan.check_only, "only say what is missing; fetch nothing");
}

void add_how(CLI::App& app, Options& options, std::string& wait) {
  PlanSettings& plan = options.plan;
  add_parsed(app, "--concurrency", "requests at a time [16]", count_within(1, 1000),
             [&](std::uint64_t n) { plan.concurrency = static_cast<unsigned>(n); });
  app.add_option("--rate", plan.fetches_per_second,
                 "most fetches a second; what is stored does not count [no limit]")
      ->check(CLI::Range(0.001, 1e6));
  add_parsed(app, "--attempts", "fetches of one address or path before it counts as failed [8]",
             count_within(1, 100),
             [&](std::uint64_t n) { plan.attempts = static_cast<unsigned>(n); });
  add_parsed(app, "--timeout", "longest wait for one answer [30s]",
             duration_of_at_least(std::chrono::milliseconds(1)),
             [&](base::Duration value) { options.timeout = value; });
  add_parsed(app, "--give-up-after",
             "end when the daemon refuses or is gone and nothing got on for so long, or the "
             "upstream answers none of 50 requests, and then none for so long [2m]",
             &config::parse_duration, [&](base::Duration value) { plan.give_up_after = value; });
  app.add_flag("--keep-going", plan.keep_going,
               "go through the list also where the upstream answers nothing");
  app.add_flag("--wait{60s}", wait, "--wait[=DURATION]: wait for the daemon to be ready [60s]");
}

}  // namespace

std::optional<Options> parse_options(int argc, const char* const* argv, int& exit_code) {
  Options options;
  std::string wait;
  CLI::App app(
      "Has a running holdfast fetch and store the answers for a list of addresses or paths.",
      "cache-warm");
  app.footer(kFooter);
  app.set_version_flag("--version", std::string("cache-warm ") + CACHE_WARM_VERSION);
  add_what(app, options);
  add_how(app, options, wait);
  app.add_flag("--json", options.json, "the summary as one JSON object");
  app.add_flag("--quiet", options.quiet, "no progress, only the summary and what is wrong");
  exit_code = kUsage;
  try {
    app.parse(argc, argv);
    if (!wait.empty()) {
      const auto duration = config::parse_duration(wait);
      if (!duration) throw CLI::ValidationError("--wait", duration.error().message);
      options.wait = *duration;
    }
  } catch (const CLI::CallForHelp&) {
    std::cout << app.help();
    exit_code = 0;
    return std::nullopt;
  } catch (const CLI::CallForVersion& version) {
    std::cout << version.what() << "\n";
    exit_code = 0;
    return std::nullopt;
  } catch (const CLI::ParseError& error) {
    std::cerr << "cache-warm: " << error.what() << "\n";
    return std::nullopt;
  }
  if (std::count(options.files.begin(), options.files.end(), "-") > 1) {
    std::cerr << "cache-warm: standard input (-) can be read only once\n";
    return std::nullopt;
  }
  return options;
}

}  // namespace holdfast::warm
