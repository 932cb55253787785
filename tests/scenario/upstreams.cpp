// Several upstreams in one daemon: what goes wrong with one costs the others nothing, and what one
// is told, a token above all, no other hears.
#include <doctest/doctest.h>
#include <signal.h>

#include <fstream>
#include <future>
#include <sstream>

#include "health_page.h"
#include "stage.h"

using namespace holdfast::scenario;

namespace {

std::string section(const std::string& name, const std::string& url, const std::string& more = "") {
  return "[upstream." + name + "]\nurls = [\"" + url + "\"]\n" + more;
}

std::string route(const std::string& name, const std::string& match, const std::string& target) {
  return "[[route]]\nname = \"" + name + "\"\nupstream = \"" + name + "\"\nmatch = \"" + match +
         "\"\ntarget = \"" + target + "\"\n";
}

// The series of a family with that label, added up.
double sum(const Daemon& daemon, const std::string& family, const std::string& label) {
  const std::string metrics = get(daemon.url("/metrics")).body;
  REQUIRE(contains(metrics, "\n# TYPE " + family + " "));  // or a mistyped one would always be 0
  std::istringstream page(metrics);
  double sum = 0;
  for (std::string line; std::getline(page, line);) {
    if (line.rfind(family + "{", 0) != 0 || !contains(line, label)) continue;
    sum += std::stod(line.substr(line.rfind(' ')));
  }
  return sum;
}

std::vector<Query> queries(const Daemon& daemon, const std::string& path, std::size_t count) {
  std::vector<Query> all;
  for (std::size_t i = 0; i < count; ++i) all.push_back({daemon.url(path + std::to_string(i))});
  return all;
}

std::size_t right(const std::vector<Response>& responses, const std::string& name) {
  std::size_t right = 0;
  for (std::size_t i = 0; i < responses.size(); ++i) {
    const bool same =
        responses[i].body == api_says("registry", "/packages/" + name + std::to_string(i));
    right += responses[i].status == 200 && same ? 1 : 0;
  }
  return right;
}

}  // namespace

TEST_CASE("while one upstream hangs, and is refused, the clients of the other notice nothing") {
  const Folder folder;
  Upstream well({"--api", "registry"});
  Upstream ill({"--api", "search"});
  Daemon daemon =
      routed(folder,
             section("well", well.url()) + section("ill", ill.url()) +
                 route("well", "/well/{name}", "/packages/{name}") +
                 route("ill", "/ill/{word}", "/search?q={word}"),
             {{"HEDGE", "off"}, {"ATTEMPT_TIMEOUT", "60s"}, {"REQUEST_DEADLINE", "5s"}});
  const std::string attempts = "holdfast_upstream_attempts_total";
  const std::string of_well = "upstream=\"well\"";
  CHECK(right(ask_all(queries(daemon, "/well/a", 100), 10), "a") == 100);
  CHECK(sum(daemon, attempts, of_well) == 100);
  CHECK(sum(daemon, attempts, "upstream=\"ill\"") == 0);

  for (const std::string mode : {"blackhole", "down"}) {
    CAPTURE(mode);
    ill.tell("mode", mode);
    auto waiting = std::async(
        std::launch::async, [&, mode] { return ask_all(queries(daemon, "/ill/" + mode, 60), 60); });
    // Not before those hang, or have been refused.
    if (mode == "blackhole") ill.wait_until("in_flight=20");
    if (mode == "down") {
      daemon.wait_for_metric("holdfast_flight_waiters{upstream=\"ill\"}",
                             [](double waiters) { return waiters >= 30; });
    }
    CHECK(right(ask_all(queries(daemon, "/well/" + mode, 100), 10), mode) == 100);
    CHECK(right(ask_all(queries(daemon, "/well/a", 100), 10), "a") == 100);
    for (const Response& response : waiting.get()) {
      CHECK(response.status >= 502);
      CHECK(response.status <= 504);
      CHECK(response.field("Retry-After") != "");
    }
  }
  // One for each key, as with a healthy neighbour; none was held up, thinned out or tried again.
  for (const char* family : {"holdfast_breaker_state", "holdfast_upstream_retries_total",
                             "holdfast_upstream_races_total", "holdfast_upstream_hedges_total",
                             "holdfast_retry_budget_exhausted_total", "holdfast_upstream_parked",
                             "holdfast_breaker_transitions_total"}) {
    CAPTURE(family);
    CHECK(sum(daemon, family, of_well) == 0);
  }
  CHECK(sum(daemon, attempts, of_well) == 300);
  CHECK(well.count("requests") == 300);
  CHECK(sum(daemon, "holdfast_breaker_state", "upstream=\"ill\"") > 0);
  CHECK(sum(daemon, "holdfast_breaker_transitions_total", "upstream=\"ill\"") > 0);

  CHECK(eventually([&] { return HealthPage(daemon).text("upstream ill", "state") == "\"down\""; }));
  HealthPage health(daemon);
  CHECK(health.text("upstream well", "state") == "\"ok\"");
  CHECK(health.text("upstream well", "breaker") == "\"closed\"");
  CHECK(health.response.status == 200);
  for (const char* page : {"/status", "/status.json"}) {
    const std::string body = get(daemon.url(page)).body;
    CHECK(contains(body, "well"));
    CHECK(contains(body, "ill"));
  }
  ill.tell("mode", "up");
  CHECK(eventually([&] { return get(daemon.url("/ill/again")).status == 200; }));
  CHECK(daemon.stop() == 0);
}

TEST_CASE(
    "a token reaches its upstream by its way, and stands nowhere else, also where it is repeated") {
  const Folder folder;
  // Nothing in them needs an escape in a path: what is repeated is repeated as it is.
  struct Secret {
    std::string name, api, token, setting;
    std::vector<std::string> options;
  };
  const std::vector<Secret> secrets = {
      {"bearer", "registry", "b3arer-t0ken.1", "", {}},
      {"field",
       "registry",
       "f1eld-t0ken.2",
       "token_field = \"X-Api-Key\"",
       {"--token-field", "X-Api-Key"}},
      {"query", "registry", "qu3ry-t0ken.3", "token_query = \"key\"", {"--token-query", "key"}},
      {"escaped", "registry", "e&s=c+a%41p3d", "token_query = \"key\"", {"--token-query", "key"}}};
  std::vector<std::unique_ptr<Upstream>> upstreams;
  std::string file = "log_level = \"debug\"\n";
  for (const Secret& secret : secrets) {
    std::vector<std::string> options{"--api", secret.api, "--token", secret.token};
    options.insert(options.end(), secret.options.begin(), secret.options.end());
    upstreams.push_back(std::make_unique<Upstream>(options));
    const std::filesystem::path token_file = folder.path / secret.name;
    std::ofstream(token_file) << secret.token << "\n";
    std::filesystem::permissions(
        token_file, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
    file += section(secret.name, upstreams.back()->url(),
                    "token_file = \"" + token_file.string() + "\"\n" + secret.setting + "\n") +
            route(secret.name, "/" + secret.name + "/{name}", "/packages/{name}") +
            "attempts = 1\n";
  }
  Daemon daemon = routed(folder, file, one_attempt());
  std::string said;
  const auto hear = [&](const Response& response) {
    said += response.head + response.body + response.error;
    return response.status;
  };
  for (std::size_t i = 0; i < secrets.size(); ++i) {
    CAPTURE(secrets[i].name);
    const std::string path = "/" + secrets[i].name + "/";
    // A client's own credentials go nowhere, nor does a parameter of the token's name.
    const Response answer =
        ask({daemon.url(path + "a?key=mine&b=1"),
             "GET",
             {"Authorization: Bearer cl1ent", "X-Api-Key: cl1ent", "Cookie: sid=cl1ent"}});
    CHECK(hear(answer) == 200);
    CHECK(answer.body == api_says("registry", "/packages/a"));
    for (const char* faults : {"500=1", "malformed=1", "403=1", "garbage=1"}) {
      upstreams[i]->tell("faults", faults);
      CHECK(hear(get(daemon.url(path + faults))) >= 502);
    }
    upstreams[i]->tell("faults", "redirect-echo=1");
    // So many in a row that it is told as the upstream's state.
    for (int n = 0; n < 12; ++n) {
      const Response redirected = get(daemon.url(path + "b" + std::to_string(n)));
      CHECK(hear(redirected) == 502);
      CHECK(contains(redirected.body, "status 301, Location: https://moved.example/"));
    }
    const std::string heard = upstreams[i]->heard();
    CHECK(!contains(heard, "cl1ent"));
    CHECK(contains(heard, "key=mine") == !contains(secrets[i].setting, "token_query"));
    for (std::size_t other = 0; other < secrets.size(); ++other) {
      CHECK(contains(heard, secrets[other].token) == (other == i && secrets[i].name != "escaped"));
    }
  }
  CHECK(contains(upstreams.back()->heard(), "key=e%26s%3Dc%2Ba%2541p3d"));
  CHECK(
      eventually([&] { return HealthPage(daemon).text("upstream query", "state") == "\"down\""; }));
  for (const char* page : {"/healthz", "/metrics", "/status", "/status.json"}) {
    CHECK(hear(get(daemon.url(page))) > 0);
  }
  CHECK(contains(said, "moved.example"));
  CHECK(daemon.stop() == 0);
  said += daemon.process().output();
  for (const Secret& secret : secrets) {
    CAPTURE(secret.name);
    CHECK(!contains(said, secret.token));
  }
  CHECK(!contains(said, "e%26s%3Dc%2Ba%2541p3d"));
}

TEST_CASE("SIGHUP: a new token at once, a changed route is named, a wrong file changes nothing") {
  const Folder folder;
  Upstream upstream({"--api", "registry", "--token", "second"});
  const std::filesystem::path token_file = folder.path / "token";
  const auto write_token = [&](const std::string& token) {
    std::ofstream(token_file) << token << "\n";
    std::filesystem::permissions(
        token_file, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  };
  write_token("first");
  const std::string good =
      section("registry", upstream.url(), "token_file = \"" + token_file.string() + "\"\n") +
      route("registry", "/p/{name}", "/packages/{name}");
  Daemon daemon = routed(folder, good, {{"REQUEST_DEADLINE", "2s"}});
  const auto reload = [&](const std::string& text, const std::string& said) {
    std::ofstream(routing_file(folder)) << text;
    daemon.process().signal(SIGHUP);
    return daemon.process().wait_for_line(said);
  };
  CHECK(get(daemon.url("/p/a")).status == 502);

  const std::string wrong = reload(good + "querry = \"none\"\n", "\"event\":\"reload_failed\"");
  CHECK(contains(wrong, "routing.toml:9"));
  CHECK(contains(wrong, "did you mean query?"));
  CHECK(HealthPage(daemon).text("settings", "state") == "\"degraded\"");
  // Two that take the same requests are found only when the routes are made.
  const std::string twice = reload(
      good + "[[route]]\nname = \"again\"\nupstream = \"registry\"\nmatch = \"/p/{other}\"\n",
      "same requests");
  CHECK(contains(twice, "reload_failed"));

  write_token("second");
  const std::string changed = reload(good + "attempts = 3\n", "\"event\":\"reloaded\"");
  CHECK(contains(changed, "\"routes\":\"changed registry\""));
  CHECK(eventually([&] { return get(daemon.url("/p/a")).status == 200; }));
  CHECK(HealthPage(daemon).text("settings", "state") == "\"ok\"");
  CHECK(daemon.stop() == 0);
}
