#include "options.h"

#include <CLI/CLI.hpp>
#include <iostream>

#include "text.h"

namespace holdfast::flaky {
namespace {

constexpr int kUsageError = 2;

// An option whose text one of our own parsers turns into a value.
template <typename Parse, typename Store>
CLI::Option* add_parsed(CLI::App& app, const std::string& name, const std::string& description,
                        Parse parse, Store store) {
  return app.add_option_function<std::string>(
      name,
      [name, parse, store](const std::string& text) {
        const auto parsed = parse(text);
        if (!parsed) throw CLI::ValidationError(name, parsed.error().message);
        store(*parsed);
      },
      description);
}

base::Result<std::shared_ptr<const Api>> make_api_for_all(std::string_view name) {
  return make_api(name).map(
      [](std::unique_ptr<Api>&& api) { return std::shared_ptr<const Api>(std::move(api)); });
}

std::string fault_help() {
  std::string text =
      "Faults for --faults NAME=FRACTION,... (and PUT /faults at the control port):\n";
  for (const auto& info : all_faults()) {
    std::string line = "  " + std::string(info.name);
    line.resize(18, ' ');
    text += line + std::string(info.summary) + (info.in_mixed ? "" : "  [not in mixed]") + "\n";
  }
  text +=
      "  5xx=F           F spread evenly over 500, 502 and 503\n"
      "  mixed=F         F spread evenly over every fault not marked otherwise: mixed=0.5 makes\n"
      "                  half of all requests meet some fault, each kind as often as the others\n"
      "Fractions are of the requests that would have been answered; they may add up to 1.\n"
      "A whole upstream that is gone is --mode: up, down (refuses, resets what is open), refuse,\n"
      "blackhole (accepts, never answers), flap:UP/DOWN such as flap:3s/2s.\n"
      "When ready, one line goes to stdout: {\"port\":N,\"control_port\":M}; with a certificate\n"
      "made here, also \"ca\":\"FILE\".";
  return text;
}

}  // namespace

std::optional<Options> parse_options(int argc, const char* const* argv, int& exit_code) {
  Options options;
  auto& upstream = options.upstream;
  auto& faults = upstream.fault_settings;
  std::vector<std::string> paths;
  std::string cache_control, last_modified;
  std::vector<std::string> binds, names, latencies_for;

  CLI::App app(
      "An upstream that misbehaves on demand: GET /geoip/{ip}, or one of the APIs of --api",
      "flaky-upstream");
  app.footer(fault_help());
  app.add_option("--bind", binds,
                 "address to listen on; may be given again, the control port is at the first "
                 "[127.0.0.1]")
      ->allow_extra_args(false);
  app.add_option("--port", options.port, "0: any free port")->capture_default_str();
  app.add_option("--control-port", options.control_port, "0: any free port")->capture_default_str();
  app.add_option("--path", paths, "what the address follows; may be given again [/geoip/]")
      ->allow_extra_args(false);
  add_parsed(app, "--api", "instead of the lookup: weather, registry or search", &make_api_for_all,
             [&](const std::shared_ptr<const Api>& api) { upstream.api = api; });
  app.add_option("--token", upstream.token, "token to ask for, as bearer; 401 without it");
  auto* const token_field =
      app.add_option("--token-field", upstream.token_field, "the field that has it instead");
  app.add_option("--token-query", upstream.token_query, "the query parameter that has it instead")
      ->excludes(token_field);
  app.add_option("--mmdb", options.mmdb,
                 "answer from this MaxMind-format database; may be given again")
      ->allow_extra_args(false);
  app.add_option("--edition", upstream.edition, "which release of the generated data");
  app.add_option("--print", options.print,
                 "print the answer for this address, or path and query of the API, and end");
  app.add_option("--seed", upstream.seed, "of all chance")->capture_default_str();

  add_parsed(app, "--faults", "which faults, and how often; see below", &FaultMix::parse,
             [&](const FaultMix& mix) { upstream.faults = mix; });
  add_parsed(app, "--mode", "see below", &parse_mode,
             [&](const Mode& mode) { options.mode = mode; });
  const auto at_least_a_millisecond = [](std::string_view text) -> base::Result<base::Duration> {
    const auto duration = parse_duration(text);
    if (duration && *duration < std::chrono::milliseconds(1)) {
      return base::invalid_input("less than 1ms");
    }
    return duration;
  };
  add_parsed(app, "--retry-after", "sent with the fault 429 [1s]", &parse_duration,
             [&](base::Duration value) { faults.retry_after = value; });
  add_parsed(app, "--drip-interval", "between the bytes of the fault drip [100ms]",
             at_least_a_millisecond, [&](base::Duration value) { faults.drip_interval = value; });
  add_parsed(app, "--slow-delay", "of the fault slow, on top of the latency [5s]", &parse_duration,
             [&](base::Duration value) { faults.slow_delay = value; });
  app.add_option("--oversized-bytes", faults.oversized_bytes, "padding of the fault oversized")
      ->capture_default_str();

  auto& latency = upstream.latency;
  add_parsed(app, "--latency", "median of the lognormal delay, such as 20ms [0]", &parse_median,
             [&](base::Duration value) { latency.median = value; });
  add_parsed(app, "--latency-sigma", "its sigma; 0: every delay is the median [0.3]", &parse_number,
             [&](double value) { latency.sigma = value; });
  add_parsed(
      app, "--latency-tail", "FRACTION=DURATION: so many take that long instead",
      [](std::string_view text) { return with_tail({}, text); },
      [&](const Latency& tailed) {
        latency.tail_fraction = tailed.tail_fraction;
        latency.tail = tailed.tail;
      });
  app.add_option("--latency-for", latencies_for,
                 "BLOCK=LATENCY, such as 10.0.0.0/8=1s or 192.0.2.7=1s,sigma=0: for these "
                 "addresses instead; may be given again")
      ->allow_extra_args(false);
  add_parsed(app, "--close-after", "after so many requests it closes after each answer",
             &parse_count, [&](std::uint64_t requests) { upstream.close_after = requests; });

  app.add_flag("--tls", options.tls, "speak TLS at the service's port");
  auto* const certificate = app.add_option(
      "--tls-cert", options.tls_certificate,
      "file with the certificate's chain; without it, a CA and a certificate are made");
  auto* const key = app.add_option("--tls-key", options.tls_key, "file with its key");
  certificate->needs(key);
  key->needs(certificate);
  app.add_option("--tls-name", names,
                 "what the certificate is made for, a name or an IP address; may be given again "
                 "[localhost, 127.0.0.1, ::1]")
      ->allow_extra_args(false)
      ->excludes(certificate);
  app.add_option("--tls-ca", options.tls_ca,
                 "file for the CA's certificate [a temporary one, which the ready line names]")
      ->excludes(certificate);
  add_parsed(app, "--handshake-delay", "how long a new connection waits to be read [0]",
             &parse_duration, [&](base::Duration value) { options.handshake_delay = value; });
  app.add_option("--requests-per-second", upstream.requests_per_second,
                 "429 with Retry-After beyond; 0: no limit")
      ->capture_default_str();

  app.add_flag("--etag", upstream.etag, "strong ETag; 304 to If-None-Match");
  app.add_option("--cache-control", cache_control, "field value for answers");
  app.add_option("--last-modified", last_modified,
                 "field value for answers; 304 to an equal If-Modified-Since");

  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    std::cout << app.help();
    exit_code = 0;
    return std::nullopt;
  } catch (const CLI::ParseError& error) {
    std::cerr << "flaky-upstream: " << error.what() << "\n";
    exit_code = kUsageError;
    return std::nullopt;
  }
  if (!paths.empty()) upstream.paths = paths;
  if (!binds.empty()) options.bind_addresses = binds;
  if (!names.empty()) options.tls_names = names;
  options.tls =
      options.tls || !options.tls_certificate.empty() || !names.empty() || !options.tls_ca.empty();
  for (const auto& text : latencies_for) {
    const auto equals = text.find('=');
    const auto block = Block::parse(text.substr(0, equals));
    const auto of = parse_latency(equals == std::string::npos ? "" : text.substr(equals + 1));
    if (!block || !of) {
      std::cerr << "flaky-upstream: --latency-for: " << (block ? of.error() : block.error()).message
                << "\n";
      exit_code = kUsageError;
      return std::nullopt;
    }
    upstream.latency_for.emplace_back(*block, *of);
  }
  if (!cache_control.empty()) upstream.fields.emplace_back("Cache-Control", cache_control);
  if (!last_modified.empty()) upstream.fields.emplace_back("Last-Modified", last_modified);
  return options;
}

}  // namespace holdfast::flaky
