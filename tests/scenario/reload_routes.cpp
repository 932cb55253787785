// SIGHUP takes other routes and upstreams into service, as a whole or not at all, while clients go
// on asking: who has begun is answered, what is the same goes on, and what is stored never answers
// for what means something else now.
#include <doctest/doctest.h>
#include <signal.h>

#include <atomic>
#include <fstream>
#include <future>
#include <sstream>
#include <thread>

#include "health_page.h"
#include "raw_client.h"
#include "stage.h"

using namespace holdfast::scenario;

namespace {

std::string section(const std::string& name, const std::string& url, const std::string& more = "") {
  return "[upstream." + name + "]\nurls = [\"" + url + "\"]\n" + more;
}

std::string named_route(const std::string& name, const std::string& more = "",
                        const std::string& target = "/packages/{name}") {
  return "[[route]]\nname = \"" + name + "\"\nupstream = \"api\"\nmatch = \"/" + name +
         "/{name}\"\ntarget = \"" + target + "\"\n" + more;
}

std::string package(const std::string& name) {
  return api_says("registry", "/packages/" + name);
}

struct Service {
  explicit Service(const std::string& more, Process::Environment settings = {})
      : daemon(routed(folder, section("api", upstream.url()) + more, std::move(settings))) {}

  // The line that says what became of it.
  std::string reload(const std::string& file, const std::string& outcome = "reloaded") {
    const std::string event = "\"event\":\"" + outcome;
    const auto told = [&] {
      std::vector<std::string> all;
      for (const std::string& line : daemon.process().lines()) {
        if (contains(line, event)) all.push_back(line);
      }
      return all;
    };
    const std::size_t before = told().size();
    std::ofstream(routing_file(folder)) << file;
    daemon.process().signal(SIGHUP);
    REQUIRE(eventually([&] { return told().size() > before; }));
    return told().back();
  }
  // The same with the upstream that it began with.
  std::string reload_routes(const std::string& routes, const std::string& outcome = "reloaded") {
    return reload(section("api", upstream.url()) + routes, outcome);
  }
  Response ask(const std::string& path) const { return get(daemon.url(path)); }

  const Folder folder;
  Upstream upstream{{"--api", "registry"}};
  Daemon daemon;
};

}  // namespace

TEST_CASE("a route that comes is served, one that goes is 404, and the others go on as they were") {
  Service service(named_route("a") + named_route("b", "batch = \"/b\"\n"));
  RawClient connection(service.daemon.port());
  CHECK(service.ask("/a/x").body == package("x"));
  CHECK(connection.ask(get_request("/a/x")).body == package("x"));
  CHECK(service.ask("/c/x").status == 404);
  const std::string hits = "holdfast_requests_total{route=\"a\",code=\"200\",cache=\"hit\"}";
  const double hits_before = service.daemon.metric(hits);
  const double connections = service.daemon.metric_sum("holdfast_connections_closed_total");

  const std::string said = service.reload_routes(named_route("a") + named_route("c"));
  CHECK(contains(said,
                 "\"changed\":\"none\",\"upstreams\":\"none\",\"routes\":\"added c; removed b\""));
  CHECK(service.ask("/c/y").body == package("y"));
  CHECK(service.ask("/b/x").status == 404);
  CHECK(ask({service.daemon.url("/b"), "POST", {"Content-Type: application/json"}, "[\"x\"]"})
            .status == 404);
  // Still stored, on the same connection, and counted where it was.
  CHECK(contains(connection.ask(get_request("/a/x")).head, "holdfast; hit"));
  CHECK(service.daemon.metric(hits) == hits_before + 1);
  CHECK(service.upstream.count("requests", "/packages/x") == 1);
  // Those of ours that asked for all this.
  CHECK(service.daemon.metric_sum("holdfast_connections_closed_total") >= connections);

  // A route that comes back has what was stored for it.
  service.reload_routes(named_route("b"));
  CHECK(service.ask("/a/x").status == 404);
  service.reload_routes(named_route("a") + named_route("b"));
  CHECK(contains(service.ask("/a/x").head, "holdfast; hit"));
  CHECK(service.upstream.count("requests", "/packages/x") == 1);
  CHECK(service.daemon.stop() == 0);
}

TEST_CASE("a request under way when its upstream's URL changes is answered by the old one") {
  Service service(named_route("a") + named_route("gone"), one_attempt());
  Upstream another({"--api", "registry"});
  service.upstream.tell("hold", "");
  auto slow = std::async(std::launch::async, [&] { return get(service.daemon.url("/a/slow")); });
  auto batch =
      std::async(std::launch::async, [&] { return get(service.daemon.url("/gone/away")); });
  service.upstream.wait_until("held=2");

  const std::string said =
      service.reload(section("api", another.url()) + named_route("a") + named_route("new"));
  CHECK(contains(said, "\"upstreams\":\"changed api\",\"routes\":\"added new; removed gone\""));
  // Who asks now is not held up by those.
  CHECK(service.ask("/a/other").body == package("other"));
  CHECK(service.ask("/gone/away").status == 404);
  CHECK(another.count("requests") >= 1);
  service.upstream.tell("release", "");
  CHECK(slow.get().body == package("slow"));
  CHECK(batch.get().body == package("away"));
  // What the old one said is not kept for the new one.
  CHECK(contains(service.ask("/a/slow").head, "fwd=uri-miss"));
  CHECK(another.count("requests", "/packages/slow") == 1);

  // Nothing speaks of it any more.
  const std::string old_url = service.upstream.url().substr(std::string("http://").size());
  const std::string state = "holdfast_breaker_state{";
  std::istringstream page(get(service.daemon.url("/metrics")).body);
  for (std::string line; std::getline(page, line);) {
    if (line.rfind(state, 0) == 0) CHECK_FALSE(contains(line, old_url));
  }
  CHECK(get(service.daemon.url("/status.json")).status == 200);
  CHECK(service.daemon.stop() == 0);
}

TEST_CASE("an upstream that is down and is removed is no trouble any more") {
  Upstream ill({"--api", "registry"});
  Service service(section("ill", ill.url()) + named_route("a") +
                      "[[route]]\nname = \"ill\"\nupstream = \"ill\"\nmatch = \"/ill/{x}\"\n",
                  {{"REQUEST_DEADLINE", "300ms"}});
  ill.kill();
  REQUIRE(eventually([&] {
    std::vector<Query> queries;
    for (int i = 0; i < 30; ++i)
      queries.push_back({service.daemon.url("/ill/" + std::to_string(i))});
    ask_all(queries, queries.size());
    return contains(get(service.daemon.url("/healthz")).body, "\"state\":\"down\"");
  }));
  service.reload_routes(named_route("a"));
  const std::string health = get(service.daemon.url("/healthz")).body;
  CHECK(contains(health, "\"name\":\"upstream api\""));
  CHECK_FALSE(contains(health, "upstream ill"));
  CHECK_FALSE(contains(health, "\"state\":\"down\""));
  CHECK_FALSE(contains(get(service.daemon.url("/metrics")).body,
                       "holdfast_breaker_state{upstream=\"ill\""));
  CHECK(service.daemon.stop() == 0);
}

TEST_CASE("a file with a mistake in it changes nothing, whatever else it says") {
  Service service(named_route("a"));
  CHECK(service.ask("/a/x").status == 200);
  const std::string said = service.reload_routes(
      named_route("b") + named_route("c", "validate = { require = [\"ip\"] }\n"), "reload_failed");
  CHECK(contains(said, "[[route]] \\\"c\\\": validate.require"));
  CHECK(contains(service.ask("/a/x").head, "holdfast; hit"));
  CHECK(service.ask("/b/x").status == 404);
  // What its files say is looked at, too.
  CHECK(contains(
      service.reload(section("api", "https://127.0.0.1:1", "api_ca_file = \"/no/such/file\"\n") +
                         named_route("a"),
                     "reload_failed"),
      "/no/such/file"));
  CHECK(service.ask("/a/y").body == package("y"));
  CHECK(contains(get(service.daemon.url("/healthz")).body, "the last reload failed"));
  service.reload_routes(named_route("a") + named_route("b"));
  CHECK(service.ask("/b/x").status == 200);
  CHECK(service.daemon.stop() == 0);
}

TEST_CASE("a reload that changes nothing says so and touches nothing") {
  Service service(named_route("a"), {{"UPSTREAM_SPARE", "off"}});
  RawClient connection(service.daemon.port());
  CHECK(connection.ask(get_request("/a/x")).status == 200);
  CHECK(contains(service.upstream.stats(), "\"connections\":{\"accepted\":1,"));
  for (int i = 0; i < 3; ++i) {
    const std::string said =
        service.reload_routes("# " + std::to_string(i) + "\n" + named_route("a"));
    CHECK(contains(said, "\"changed\":\"none\""));
    CHECK(connection.ask(get_request("/a/y" + std::to_string(i))).status == 200);
  }
  CHECK(contains(service.upstream.stats(), "\"connections\":{\"accepted\":1,"));
  CHECK(service.daemon.stop() == 0);
}

TEST_CASE("what is stored does not answer for another target, nor by rules it breaks") {
  const Folder sockets;
  const std::string socket = (sockets.path / "admin").string();
  Service service(named_route("a") + named_route("b"),
                  {{"REQUEST_DEADLINE", "500ms"}, {"ADMIN_SOCKET", socket}});
  CHECK(service.ask("/a/x").body == package("x"));
  CHECK(service.ask("/b/x").body == package("x"));
  service.reload_routes(named_route("a", "", "/packages/{name}-2") + named_route("b"));
  CHECK(service.ask("/a/x").body == package("x-2"));
  CHECK(contains(service.ask("/b/x").head, "holdfast; hit"));

  // What is in memory is judged, as a hit will not be; what is right stays.
  const std::string right = "validate = { require = [\"/name:string\"] }\n";
  const std::string wrong = "validate = { require = [\"/nothing:string\"] }\n";
  service.reload_routes(named_route("a", right, "/packages/{name}-2") + named_route("b", wrong));
  CHECK(contains(service.ask("/a/x").head, "holdfast; hit"));
  // Nor is it taken from the disk, or from the upstream, nor brought back by hand.
  CHECK(service.ask("/b/x").status == 502);
  CHECK(contains(ask({"http://x/stale?path=/b/x", "POST", {}, {}, socket}).body, "\"marked\":0"));
  CHECK(service.ask("/b/x").status == 502);
  // Mended, it is asked for at once.
  service.reload_routes(named_route("a", right, "/packages/{name}-2") + named_route("b", right));
  CHECK(service.ask("/b/x").body == package("x"));
  CHECK(service.daemon.stop() == 0);
}

TEST_CASE("settings that sections inherit take effect with a reload") {
  Service service(named_route("a"));
  CHECK(seconds_left(service.ask("/a/x")) > 12 * 3600);
  const std::string file = section("api", service.upstream.url()) + named_route("a") +
                           named_route("b", "cache_ttl = \"2h\"\n");
  const std::string said = service.reload("cache_ttl = \"1h\"\ncache_ttl_override = true\n" + file);
  CHECK(contains(said, "\"changed\":\"cache_ttl, cache_ttl_override\""));
  CHECK(contains(said, "\"routes\":\"added b; changed a\""));
  CHECK(seconds_left(service.ask("/a/y")) <= 3960);
  const long of_b = seconds_left(service.ask("/b/y"));
  CHECK(of_b > 6000);
  CHECK(of_b <= 7920);
  CHECK(contains(get(service.daemon.url("/status.json")).body, "\"cache_ttl\",\"value\":\"60m\""));
  CHECK(service.daemon.stop() == 0);
}

TEST_CASE("a token that is rotated in its file reaches upstreams old and new, and no other") {
  const Folder tokens;
  const auto token = tokens.path / "token";
  std::ofstream(token) << "first-t0ken\n";
  const std::string says = "token_file = \"" + token.string() + "\"\n";
  Upstream guarded({"--api", "registry", "--token", "second-t0ken"});
  Service service(section("kept", guarded.url(), says) + named_route("a") +
                  "[[route]]\nname = \"kept\"\nupstream = \"kept\"\nmatch = \"/kept/{x}\"\n"
                  "target = \"/packages/{x}\"\n");
  CHECK(service.ask("/kept/x").status == 502);
  const std::string late = section("late", guarded.url(), says + "hedge = \"off\"\n") +
                           "[[route]]\nname = \"late\"\nupstream = \"late\"\nmatch = "
                           "\"/late/{x}\"\ntarget = \"/packages/{x}\"\n";
  // Their numbers are other ones now.
  service.reload(late + section("kept", guarded.url(), says) +
                 "[[route]]\nname = \"kept\"\nupstream = \"kept\"\nmatch = \"/kept/{x}\"\n"
                 "target = \"/packages/{x}\"\n" +
                 section("api", service.upstream.url()) + named_route("a"));
  std::ofstream(token) << "second-t0ken\n";
  service.daemon.process().wait_for_line("\"event\":\"token_changed\"");
  CHECK(eventually([&] { return service.ask("/late/x").status == 200; }));
  CHECK(eventually([&] { return service.ask("/kept/x").status == 200; }));
  CHECK(service.ask("/a/x").status == 200);
  CHECK_FALSE(contains(service.upstream.heard(), "t0ken"));
  CHECK(service.daemon.stop() == 0);
}

TEST_CASE("explain, inspect and purge speak of the routes in force") {
  const Folder sockets;
  const std::string socket = (sockets.path / "admin").string();
  Service service(named_route("a"), {{"ADMIN_SOCKET", socket}});
  const auto admin = [&](const std::string& what, const std::string& method = "GET") {
    return ask({"http://x" + what, method, {}, {}, socket});
  };
  service.ask("/a/x");
  const std::string key = admin("/inspect?path=/a/x").body;
  CHECK(contains(key, "\"in_memory\":true"));
  service.reload_routes(named_route("a", "", "/packages/{name}-2") + named_route("b"));
  CHECK(contains(admin("/inspect?path=/a/x").body, "\"in_memory\":false"));
  CHECK(contains(admin("/explain?path=/b/y").body, "\"route\":\"b\""));
  CHECK(service.ask("/b/y").status == 200);
  CHECK(contains(admin("/purge?path=/b/y", "POST").body, "\"purged\":1"));
  CHECK(contains(service.ask("/b/y").head, "fwd=uri-miss"));
  service.reload_routes(named_route("a"));
  CHECK(admin("/explain?path=/b/y").status == 400);
  CHECK(service.daemon.stop() == 0);
}

TEST_CASE("names that are new each time come to an end by a refusal that says so") {
  Service service(named_route("a"));
  const auto many = [](int reload) {
    std::string routes;
    for (int i = 0; i < 250; ++i) {
      routes += named_route("r" + std::to_string(reload) + "-" + std::to_string(i),
                            "batch = \"/b" + std::to_string(i) + "\"\n");
    }
    return routes;
  };
  std::string said;
  for (int i = 0; i < 8 && !contains(said, "needs a restart"); ++i) {
    const std::string text = section("api", service.upstream.url()) + named_route("a") + many(i);
    said = service.reload(text, "reload");
  }
  CHECK(contains(said, "reload_failed"));
  CHECK(contains(said, "no room for the metrics"));
  // It goes on with what it has, and with names that it knows.
  CHECK(service.ask("/a/x").status == 200);
  CHECK(service.ask("/r0-7/x").status == 404);
  CHECK(contains(service.reload_routes(named_route("a")), "reloaded"));
  CHECK(contains(service.reload_routes(named_route("a") + many(0)), "reloaded"));
  CHECK(service.ask("/r0-7/x").status == 200);
  CHECK(service.daemon.stop() == 0);
}

TEST_CASE("under load, and reloaded all the time, every answer is right") {
  Service service(named_route("a") + named_route("b"));
  Upstream another({"--api", "registry"});
  const std::string one = section("api", service.upstream.url());
  const std::string other = section("api", another.url(), "hedge = \"off\"\n");
  std::atomic<bool> over{false};
  std::atomic<std::size_t> asked{0};
  std::atomic<std::size_t> wrong{0};
  const auto load = [&](const std::string& path) {
    for (std::size_t round = 0; !over; ++round) {
      std::vector<Query> queries;
      for (std::size_t i = 0; i < 40; ++i) {
        queries.push_back({service.daemon.url("/" + path + "/p" + std::to_string(i % 30))});
      }
      queries.push_back({service.daemon.url("/" + path + "/new" + std::to_string(round))});
      const std::vector<Response> responses = ask_all(queries, 10);
      for (std::size_t i = 0; i < responses.size(); ++i) {
        const std::string name =
            i < 40 ? "p" + std::to_string(i % 30) : "new" + std::to_string(round);
        const bool right = responses[i].status == 200 && responses[i].body == package(name);
        ++asked;
        if (!right) ++wrong;
      }
    }
  };
  {
    std::jthread by_a(load, "a");
    std::jthread by_b(load, "b");
    for (int i = 0; i < 6; ++i) {
      service.reload(other + named_route("b", "cache_ttl = \"1h\"\n") + named_route("c") +
                     named_route("a"));
      service.reload(one + named_route("a") + named_route("b"));
    }
    over = true;
  }
  CHECK(asked > 0);
  CHECK(wrong == 0);
  CHECK(service.daemon.stop() == 0);
}
