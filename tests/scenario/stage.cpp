#include "stage.h"

#include <doctest/doctest.h>
#include <signal.h>
#include <unistd.h>

#include <simdjson.h>
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <stdexcept>

#include "api.h"
#include "geo_answer.h"

namespace holdfast::scenario {
namespace {

// Told by meson: where the programs and the list of addresses are.
std::string path_from(const char* variable) {
  const char* const path = std::getenv(variable);
  if (!path) throw std::runtime_error(std::string(variable) + " is not set; run by meson test");
  return path;
}

std::uint64_t number_in(const std::string& json, const std::string& member) {
  simdjson::dom::parser parser;
  simdjson::dom::element document = parser.parse(json);
  std::uint64_t number = 0;
  if (document[member].get(number) != simdjson::SUCCESS) {
    throw std::runtime_error("no number " + member + " in " + json);
  }
  return number;
}

// "?ip=192.0.2.7", "?key=%2Fpackages%2Fa", or nothing.
std::string as_parameter(const std::string& subject) {
  if (subject.empty()) return {};
  if (subject.front() != '/') return "?ip=" + subject;
  std::string parameter = "?key=";
  for (const unsigned char c : subject) {
    char escaped[4];
    std::snprintf(escaped, sizeof escaped, "%%%02X", c);
    parameter += escaped;
  }
  return parameter;
}

// What a sanitizer, or a loop that hung, had to say is among them.
std::string last_lines(const std::vector<std::string>& lines, std::size_t count) {
  std::string text;
  for (std::size_t i = lines.size() - std::min(lines.size(), count); i < lines.size(); ++i) {
    text += lines[i] + "\n";
  }
  return text;
}

}  // namespace

Folder::Folder() {
  std::string name = (std::filesystem::temp_directory_path() / "holdfast-scenario-XXXXXX").string();
  if (!mkdtemp(name.data())) throw std::runtime_error("mkdtemp failed");
  path = name;
}

Folder::~Folder() {
  std::error_code ignored;
  std::filesystem::remove_all(path, ignored);
}

Upstream::Upstream(std::vector<std::string> options) {
  std::vector<std::string> command{path_from("FLAKY_UPSTREAM"), "--port", "0", "--control-port",
                                   "0"};
  const auto has = [&](const char* option) {
    return std::find(options.begin(), options.end(), option) != options.end();
  };
  if (!has("--api") && !has("--token")) command.insert(command.end(), {"--token", kToken});
  command.insert(command.end(), options.begin(), options.end());
  process_ = std::make_unique<Process>(std::move(command), Process::Environment{});
  const std::string ready = process_->wait_for_line("\"port\"");
  port_ = static_cast<std::uint16_t>(number_in(ready, "port"));
  control_port_ = static_cast<std::uint16_t>(number_in(ready, "control_port"));
}

std::string Upstream::url() const {
  return "http://127.0.0.1:" + std::to_string(port_);
}

void Upstream::tell(const std::string& knob, const std::string& content) {
  const Response response = ask({control_url("/" + knob), "PUT", {}, content});
  if (response.status != 200)
    throw std::runtime_error(knob + ": " + response.body + response.error);
}

void Upstream::script(const std::string& subject, const std::string& outcomes) {
  tell("script" + as_parameter(subject), outcomes);
}

std::string Upstream::control_url(const std::string& path) const {
  return "http://127.0.0.1:" + std::to_string(control_port_) + path;
}

std::string Upstream::stats(const std::string& subject) {
  return get(control_url("/stats" + as_parameter(subject))).body;
}

std::string Upstream::heard() {
  return get(control_url("/heard")).body;
}

std::uint64_t Upstream::count(const std::string& member, const std::string& subject) {
  return number_in(stats(subject), member);
}

void Upstream::wait_until(const std::string& condition) {
  const Response response = get(control_url("/wait?timeout=50s&" + condition));
  if (response.status != 200) throw std::runtime_error(condition + ": " + response.body);
}

void Upstream::kill() {
  process_->signal(SIGKILL);
  process_->wait();
}

Daemon::Daemon(const Folder& folder, const std::string& api_url, Process::Environment settings,
               Launch launch) {
  Process::Environment environment{{"API_URL", api_url},
                                   {"API_TOKEN", Upstream::kToken},
                                   {"BIND", "127.0.0.1"},
                                   {"PORT", "0"},
                                   // Requests are counted.
                                   {"UPSTREAM_SPARE", "off"},
                                   {"STORE_PATH", (folder.path / "holdfast.db").string()}};
  for (const auto& setting : settings) {
    const std::string& name = setting.first;
    std::erase_if(environment, [&](const auto& entry) {
      // The token comes from one place.
      return entry.first == name || (name == "API_TOKEN_FILE" && entry.first == "API_TOKEN");
    });
    if (!setting.second.empty()) environment.push_back(setting);
  }
  launch.launcher.push_back(launch.program.empty() ? path_from("HOLDFAST") : launch.program);
  process_ =
      std::make_unique<Process>(std::move(launch.launcher), std::move(environment), launch.passed);
  port_ = static_cast<std::uint16_t>(
      number_in(process_->wait_for_line("\"event\":\"listening\""), "port"));
}

// A machine under load holds a turn up for a part of a second (a lock whose owner has no core,
// pages that must come first). A look-up, a sync or a lock held across one takes seconds. The
// scenario loop_stalls holds the origin loop to 50 ms.
Daemon::~Daemon() {
  if (process_->ended_by_itself()) {
    const int code = process_->wait();
    FAIL_CHECK("the daemon ended with " << code << ":\n" << last_lines(process_->lines(), 90));
  }
  if (may_be_blocked_) return;
  for (const std::string& line : process_->lines()) {
    const std::string blocked = "\"blocked_seconds\":";
    const std::size_t at = line.find(blocked);
    if (!contains(line, "\"event\":\"loop_stalled\"") || at == std::string::npos) continue;
    INFO(line);
    CHECK(std::strtod(line.c_str() + at + blocked.size(), nullptr) < 1);
  }
}

std::string Daemon::url(const std::string& path) const {
  return "http://127.0.0.1:" + std::to_string(port_) + path;
}

int Daemon::stop() {
  process_->signal(SIGTERM);
  const int code = process_->wait();
  if (code != 0)
    MESSAGE("the daemon ended with " << code << ":\n" << last_lines(process_->lines(), 60));
  return code;
}

void Daemon::kill() {
  process_->signal(SIGKILL);
  process_->wait();
}

void Daemon::wait_for_metric(const std::string& series,
                             const std::function<bool(double)>& holds) const {
  const auto until = std::chrono::steady_clock::now() + kPatience;
  // Asking takes a while: no pause is needed between two times.
  while (!holds(metric(series))) {
    if (std::chrono::steady_clock::now() > until) {
      throw std::runtime_error(series + " is " + std::to_string(metric(series)));
    }
  }
}

double Daemon::metric(const std::string& series) const {
  const std::string page = "\n" + get(url("/metrics")).body;
  const std::size_t at = page.find("\n" + series + " ");
  return at == std::string::npos ? 0 : std::strtod(page.c_str() + at + series.size() + 2, nullptr);
}

double Daemon::metric_sum(const std::string& family) const {
  const std::string page = "\n" + get(url("/metrics")).body;
  double sum = 0;
  for (std::size_t at = 0; (at = page.find("\n" + family, at)) != std::string::npos;) {
    at += 1 + family.size();
    if (page[at] != '{' && page[at] != ' ') continue;  // a longer name
    // Label values hold no space.
    sum += std::strtod(page.c_str() + page.find(' ', at), nullptr);
  }
  return sum;
}

std::filesystem::path routing_file(const Folder& folder) {
  return folder.path / "routing.toml";
}

Daemon routed(const Folder& folder, const std::string& file, Process::Environment settings) {
  std::ofstream(routing_file(folder)) << file;
  settings.insert(settings.end(),
                  {{"HOLDFAST_CONFIG", routing_file(folder).string()}, {"API_TOKEN", ""}});
  return Daemon(folder, "", std::move(settings));
}

Process::Environment one_attempt(Process::Environment more) {
  more.insert(more.end(),
              {{"HEDGE", "off"}, {"ATTEMPT_TIMEOUT", "60s"}, {"REQUEST_DEADLINE", "60s"}});
  return more;
}

Refusal start_refused(const Process::Environment& environment,
                      const std::vector<std::string>& arguments) {
  std::vector<std::string> command{path_from("HOLDFAST")};
  command.insert(command.end(), arguments.begin(), arguments.end());
  Process process(std::move(command), environment);
  Refusal refusal;
  refusal.exit_code = process.wait();
  refusal.output = process.output();
  return refusal;
}

bool eventually(const std::function<bool()>& condition) {
  const auto end = std::chrono::steady_clock::now() + kPatience;
  while (!condition()) {
    if (std::chrono::steady_clock::now() >= end) return condition();
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return true;
}

std::vector<std::string> test_ips(std::size_t most) {
  std::ifstream file(path_from("TEST_IPS"));
  std::vector<std::string> ips;
  for (std::string line; ips.size() < most && std::getline(file, line);) {
    if (!line.empty()) ips.push_back(line);
  }
  if (ips.empty()) throw std::runtime_error("no addresses in " + path_from("TEST_IPS"));
  return ips;
}

std::string expected_body(const std::string& ip) {
  const auto address = flaky::parse_address(ip);
  if (!address) throw std::runtime_error(ip + " is not an address");
  return flaky::geo_answer(*address);
}

std::string api_says(const std::string& api, const std::string& target,
                     const std::string& accept_language) {
  flaky::Request request;
  request.method = "GET";
  request.target = target;
  if (!accept_language.empty()) request.fields.emplace_back("Accept-Language", accept_language);
  const auto made = flaky::make_api(api);
  const auto answer = made ? (*made)->answer(request, 0) : std::nullopt;
  if (!answer || answer->message.status != 200) {
    throw std::runtime_error(api + " has nothing at " + target);
  }
  return answer->message.content;
}

std::vector<std::string> other_ips(std::size_t count) {
  std::vector<std::string> ips;
  for (std::size_t i = 0; i < count; ++i) {
    ips.push_back("20.77." + std::to_string(i / 256 % 256) + "." + std::to_string(i % 256));
  }
  return ips;
}

Tally tally(const std::vector<std::string>& ips, std::vector<Response> responses) {
  Tally tally;
  tally.responses = std::move(responses);
  for (std::size_t i = 0; i < ips.size(); ++i) {
    const Response& response = tally.responses[i];
    const bool right = response.body == expected_body(ips[i]);
    ++(response.status != 200 ? tally.other : right ? tally.ok : tally.wrong);
    if (tally.first_problem.empty() && (response.status != 200 || !right)) {
      tally.first_problem = ips[i] + ": " + std::to_string(response.status) + " " + response.error +
                            "\n" + response.head + response.body;
    }
  }
  return tally;
}

std::vector<Query> lookups(const Daemon& daemon, const std::vector<std::string>& ips) {
  std::vector<Query> queries;
  for (const std::string& ip : ips) queries.push_back(Query{daemon.lookup_url(ip)});
  return queries;
}

Tally look_up_all(const Daemon& daemon, const std::vector<std::string>& ips,
                  std::size_t concurrency) {
  return tally(ips, ask_all(lookups(daemon, ips), concurrency));
}

}  // namespace holdfast::scenario
