// What a route does where its upstream has no right answer, or is not to be asked: `on_invalid` and
// `offline`, through the real daemon.
#include <csignal>
#include <fstream>
#include <memory>
#include <sstream>

#include <doctest/doctest.h>

#include "stage.h"

using namespace holdfast::scenario;

namespace {

std::string section(const Upstream& upstream) {
  return "[upstream.registry]\nurls = [\"" + upstream.url() + "\"]\n";
}

std::string route(const std::string& name, const std::string& more) {
  return "[[route]]\nname = \"" + name + "\"\nmatch = \"/" + name +
         "/{name}\"\nupstream = \"registry\"\ntarget = \"/packages/{name}\"\n" + more;
}

std::string says(const std::string& name) {
  return api_says("registry", "/packages/" + name);
}

Response post(const Daemon& daemon, const std::string& path, const std::string& content) {
  return ask({daemon.url(path), "POST", {"Content-Type: application/json"}, content});
}

// Of attempts that ended with that outcome.
double attempts(const Daemon& daemon, const std::string& outcome) {
  std::istringstream lines(get(daemon.url("/metrics")).body);
  double count = 0;
  for (std::string line; std::getline(lines, line);) {
    const bool counts = line.starts_with("holdfast_upstream_attempts_total{") &&
                        contains(line, "outcome=\"" + outcome + "\"");
    if (counts) count += std::stod(line.substr(line.rfind(' ')));
  }
  return count;
}

}  // namespace

TEST_CASE("an answer that stays wrong is passed on where its route says so, and stored nowhere") {
  const Folder folder;
  const Folder sockets;
  const std::string socket = (sockets.path / "admin").string();
  Upstream upstream({"--api", "registry"});
  const std::string checked = "validate = { require = [\"/name:string\"] }\nattempts = 2\n";
  const std::string passing = checked + "on_invalid = \"pass\"\n";
  Daemon daemon =
      routed(folder,
             section(upstream) + route("strict", checked) +
                 route("loose", passing + "batch = \"/loose\"\nstale_while_revalidate = \"0s\"\n") +
                 route("http", passing + "mode = \"rfc9111\"\n"),
             one_attempt({{"ADMIN_SOCKET", socket}}));

  upstream.script("/packages/a", "html,html,ok");
  const Response page = get(daemon.url("/loose/a"));
  CHECK(page.status == 200);
  CHECK(page.field("Content-Type") == "text/html; charset=utf-8");
  CHECK(page.field("Cache-Control") == "no-store");
  CHECK(page.field("Cache-Status") ==
        "holdfast; fwd=uri-miss; fwd-status=200; detail=invalid-body");
  CHECK(contains(page.body, "<html"));
  CHECK(upstream.count("requests", "/packages/a") == 2);
  CHECK(attempts(daemon, "invalid_body") == 2);
  const Response right = get(daemon.url("/loose/a"));
  CHECK(right.body == says("a"));
  CHECK(contains(right.field("Cache-Status"), "; stored"));

  // What is stored goes before it, however old.
  CHECK(
      contains(ask({"http://x/stale?path=/loose/a", "POST", {}, {}, socket}).body, "\"marked\":1"));
  upstream.script("/packages/a", "html,html");
  const Response stale = get(daemon.url("/loose/a"));
  CHECK(stale.body == says("a"));
  CHECK(contains(stale.field("Cache-Status"), "detail=stale-if-error"));

  // What did not come whole is no answer of any kind.
  for (const std::string fault : {"short-body", "short-chunked", "reset-body", "500", "html404"}) {
    CAPTURE(fault);
    upstream.script("/packages/" + fault, fault + "," + fault);
    const Response error = get(daemon.url("/loose/" + fault));
    CHECK(error.status == 502);
    CHECK(error.field("Content-Type") == "application/problem+json");
  }
  // Nor is it one of an array.
  upstream.script("/packages/b", "not-an-object,not-an-object");
  const Response batch = post(daemon, "/loose", R"(["b","c"])");
  CHECK(contains(batch.body, R"([{"name":"b","error":")"));
  CHECK(contains(batch.body, "\"status\":502}," + says("c") + "]"));

  upstream.script("/packages/d", "html,html");
  CHECK(get(daemon.url("/strict/d")).status == 502);
  upstream.script("/packages/e", "html,html,ok");
  const Response http = get(daemon.url("/http/e"));
  CHECK(http.status == 200);
  CHECK(contains(http.body, "<html"));
  CHECK(http.field("Cache-Control") == "no-store");
  CHECK(contains(http.field("Cache-Status"), "detail=invalid-body"));
  CHECK(get(daemon.url("/http/e")).body == says("e"));
  CHECK(daemon.stop() == 0);
}

TEST_CASE("a route that a reload takes offline asks nobody, keeps what is stored, and comes back") {
  const Folder folder;
  const Folder sockets;
  const std::string socket = (sockets.path / "admin").string();
  Upstream upstream({"--api", "registry"});
  const std::string online =
      section(upstream) + route("a", "methods = \"*\"\nbatch = \"/a\"\n") +
      route("http", "methods = \"*\"\nmode = \"rfc9111\"\nvalidate = { json = true }\n");
  std::string offline = online;
  for (std::size_t at = 0; (at = offline.find("methods", at)) != std::string::npos; at += 20) {
    offline.insert(at, "offline = true\n");
  }
  const Process::Environment settings{{"ADMIN_SOCKET", socket}};
  // A spare connection costs a request, which might be under way when they are counted.
  std::unique_ptr<Daemon> daemon(
      new Daemon(routed(folder, online, {{"ADMIN_SOCKET", socket}, {"UPSTREAM_SPARE", "off"}})));
  const auto reload = [&](const std::string& file) {
    const auto told = [&] {
      std::size_t count = 0;
      for (const std::string& line : daemon->process().lines()) {
        count += contains(line, "\"event\":\"reloaded\"") ? 1 : 0;
      }
      return count;
    };
    const std::size_t before = told();
    std::ofstream(routing_file(folder)) << file;
    daemon->process().signal(SIGHUP);
    REQUIRE(eventually([&] { return told() > before; }));
  };
  CHECK(get(daemon->url("/a/x")).body == says("x"));

  reload(offline);
  const auto asked = upstream.count("requests");
  CHECK(get(daemon->url("/a/x")).field("Cache-Status").starts_with("holdfast; hit; ttl="));
  CHECK(contains(ask({"http://x/stale?path=/a/x", "POST", {}, {}, socket}).body, "\"marked\":1"));
  const auto is_stale = [&] {
    const Response stale = get(daemon->url("/a/x"));
    CHECK(stale.status == 200);
    CHECK(stale.body == says("x"));
    CHECK(stale.field("Cache-Status").starts_with("holdfast; hit; ttl="));
    CHECK(contains(stale.field("Cache-Status"), "; detail=offline"));
  };
  is_stale();
  const auto refused = [&](const Response& response) {
    CHECK(response.status == 504);
    CHECK(response.field("Content-Type") == "application/problem+json");
    CHECK(response.field("Retry-After") == "60");
    CHECK(response.field("Cache-Status") == "holdfast; detail=offline");
    CHECK(contains(response.body, "offline"));
  };
  refused(get(daemon->url("/a/new")));
  refused(get(daemon->url("/http/new")));
  refused(post(*daemon, "/a/x", "{}"));
  refused(post(*daemon, "/http/x", "{}"));
  refused(ask({daemon->url("/a/x"), "DELETE"}));
  const Response batch = post(*daemon, "/a", R"(["x","new"])");
  CHECK(batch.body.starts_with("[" + says("x") + ",{\"name\":\"new\","));
  CHECK(contains(batch.body, "\"status\":504}]"));
  const Response explained = ask({"http://x/explain?path=/a/new", "GET", {}, {}, socket});
  CHECK(contains(explained.body, "\"rung\":\"not-stored\""));

  // A restart changes nothing; no trouble of theirs is one of ours.
  CHECK(daemon->stop() == 0);
  daemon.reset(new Daemon(routed(folder, offline, settings)));
  is_stale();
  upstream.tell("mode", "down");
  const std::string health = get(daemon->url("/healthz")).body;
  CHECK(contains(health, "{\"status\":\"ok\""));
  CHECK_FALSE(contains(health, "upstream"));
  upstream.tell("mode", "up");
  CHECK(upstream.count("requests") == asked);

  reload(online);
  CHECK(get(daemon->url("/a/new")).body == says("new"));
  CHECK(contains(get(daemon->url("/healthz")).body, "upstream registry"));
  CHECK(daemon->stop() == 0);
}
