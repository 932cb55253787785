// SIGHUP reads the settings file and the token again: what can change without a
// restart does, what cannot is named, and a mistake changes nothing.
#include <doctest/doctest.h>
#include <signal.h>
#include <sys/stat.h>

#include <fstream>
#include <thread>

#include "stage.h"

using namespace holdfast::scenario;

namespace {

// A daemon with a settings file.
struct Reloading {
  Reloading() {
    write("log_level = \"info\"\n");
    daemon.emplace(folder, upstream.url(),
                   Process::Environment{{"HOLDFAST_CONFIG", file().string()},
                                        {"ADMIN_SOCKET", (folder.path / "admin.sock").string()}});
  }

  std::filesystem::path file() const { return folder.path / "holdfast.toml"; }
  void write(const std::string& content) const { std::ofstream(file()) << content; }
  std::string reload(const std::string& outcome) {
    daemon->process().signal(SIGHUP);
    return daemon->process().wait_for_line("\"event\":\"" + outcome + "\"");
  }

  const Folder folder;
  Upstream upstream;
  std::optional<Daemon> daemon;
};

}  // namespace

TEST_CASE("SIGHUP takes what can change at once and names what needs a restart") {
  Reloading service;
  // The environment says PORT, and wins over the file.
  service.write("log_level = \"debug\"\nport = 1\nstore_limit = \"1GiB\"\nworkers = 7\n");
  const std::string said = service.reload("reloaded");
  CHECK(contains(said, "\"changed\":\"log_level\""));
  CHECK(contains(said, "\"upstreams\":\"none\",\"routes\":\"none\""));
  CHECK(contains(said, "\"needs_restart\":\"workers, store_limit\""));
  CHECK(contains(
      ask({"http://x/status", "GET", {}, {}, (service.folder.path / "admin.sock").string()}).body,
      "\"needs_restart\":[\"workers\",\"store_limit\"]"));
  CHECK(service.daemon->stop() == 0);
}

TEST_CASE("limits and timeouts are other ones after a SIGHUP, and all else stays as it was") {
  Reloading service;
  Daemon& daemon = *service.daemon;
  CHECK(get(daemon.lookup_url("192.0.2.1")).status == 200);

  service.write(
      "max_connections = 77\nmax_waiting = 1\nmemory_limit = \"1MiB\"\nclient_rate = 1\n"
      "client_burst = 1\nlog_format = \"text\"\nattempt_timeout = \"9s\"\n");
  daemon.process().signal(SIGHUP);
  const std::string said = daemon.process().wait_for_line("needs_restart=none");
  CHECK(contains(said, "max_connections, max_waiting, client_rate, client_burst, memory_limit"));
  CHECK(contains(said, "upstreams=none routes=none"));
  // The first one may have its token of the second that has passed.
  CHECK(eventually([&] { return get(daemon.lookup_url("192.0.2.1")).status == 429; }));

  service.write(
      "client_rate = 0\nmax_waiting = 1\nmemory_limit = \"1MiB\"\nmax_connections = 77\n");
  service.reload("reloaded");
  const Response stored = get(daemon.lookup_url("192.0.2.1"));
  CHECK(stored.status == 200);
  CHECK(contains(stored.field("Cache-Status"), "hit"));
  CHECK(daemon.metric("holdfast_connections_limit") == 77);
  CHECK(daemon.metric_sum("holdfast_flight_waiters_limit") == 1);
  daemon.wait_for_metric("holdfast_memory_limit_bytes", [](double is) { return is == 1 << 20; });
  CHECK(get(daemon.lookup_url("192.0.2.2")).status == 200);
  CHECK(daemon.stop() == 0);
}

TEST_CASE("a deadline is another one after a SIGHUP; who waits already has the one of before") {
  Reloading service;
  Daemon& daemon = *service.daemon;
  service.upstream.tell("hold", "");
  std::thread patient([&] { CHECK(get(daemon.lookup_url("192.0.2.1")).status == 200); });
  service.upstream.wait_until("held=1");
  service.write("request_deadline = \"500ms\"\n");
  CHECK(contains(service.reload("reloaded"), "\"changed\":\"request_deadline"));
  const Response hurried = get(daemon.lookup_url("192.0.2.2"));
  CHECK(hurried.status == 504);
  service.upstream.tell("release", "");
  patient.join();
  CHECK(daemon.stop() == 0);
}

TEST_CASE("a SIGHUP that makes the log quieter, or louder again, is still told") {
  Reloading service;
  service.write("log_level = \"error\"\n");
  CHECK(contains(service.reload("reloaded"), "\"changed\":\"log_level\""));
  service.write("log_level = \"info\"\nworkers = 7\n");
  service.daemon->process().signal(SIGHUP);
  service.daemon->process().wait_for_line("\"needs_restart\":\"workers\"");
  CHECK(service.daemon->stop() == 0);
}

TEST_CASE("SIGHUP with a bad file changes nothing, says so, and the next good one counts") {
  Reloading service;
  Daemon& daemon = *service.daemon;
  service.write("log_level = \"debug\"\ncache_tll = \"1h\"\n");
  CHECK(contains(service.reload("reload_failed"),
                 "holdfast.toml:2: unknown key \\\"cache_tll\\\"; did you mean cache_ttl?"));
  for (int i = 0; i < 2; ++i) CHECK(get(daemon.lookup_url("8.8.8.8")).status == 200);

  service.write("log_level = \"debug\"\n");
  CHECK(contains(service.reload("reloaded"), "\"changed\":\"log_level\""));
  for (int i = 0; i < 2; ++i) CHECK(get(daemon.lookup_url("8.8.4.4")).status == 200);
  CHECK(daemon.stop() == 0);
  // A hit is worth a line at debug only: the one after the good reload.
  for (const std::string& line : daemon.process().lines()) {
    CHECK(!(contains(line, "\"cache\":\"hit\"") && contains(line, "8.8.8.8")));
  }
  CHECK(contains(daemon.process().output(), "\"cache\":\"hit\""));
}

TEST_CASE("a reload that failed is in health, metrics and on the status page until a good one") {
  Reloading service;
  Daemon& daemon = *service.daemon;
  const std::string successful = "holdfast_config_last_reload_successful";
  const std::string when = "holdfast_config_last_reload_success_timestamp_seconds";
  const auto health = [&] { return get(daemon.url("/healthz")).body; };
  const auto status = [&] { return get(daemon.url("/status.json")).body; };
  const double started = daemon.metric(when);
  CHECK(daemon.metric(successful) == 1);
  CHECK(started > 0);
  CHECK(contains(status(), "\"ok\":true,\"error\":\"\",\"needs_restart\":[]}"));
  CHECK_FALSE(contains(health(), "reload"));

  service.write("log_level = \"info\"\nworkers = 7\n");
  service.reload("reloaded");
  CHECK(contains(status(), "\"needs_restart\":[\"workers\"]"));
  CHECK(contains(get(daemon.url("/status")).body, "before a restart: workers."));
  CHECK(eventually([&] { return contains(health(), "{\"status\":\"ok\""); }));
  const double reloaded = daemon.metric(when);
  CHECK(reloaded > started);

  service.write("log_level = \"debug\"\ncache_tll = \"1h\"\n");
  service.reload("reload_failed");
  CHECK(daemon.metric(successful) == 0);
  CHECK(daemon.metric(when) == reloaded);
  const std::string line = "holdfast.toml:2: unknown key \\\"cache_tll\\\"";
  CHECK(contains(health(), "{\"status\":\"degraded\""));
  CHECK(contains(health(), line));
  CHECK(get(daemon.url("/healthz")).status == 200);
  CHECK(contains(status(), "\"ok\":false"));
  CHECK(contains(status(), line));
  CHECK(contains(status(), "\"needs_restart\":[\"workers\"]"));
  CHECK(contains(get(daemon.url("/status")).body, "The last reload failed: "));

  service.write("log_level = \"info\"\n");
  daemon.process().signal(SIGHUP);
  daemon.wait_for_metric(successful, [](double value) { return value == 1; });
  CHECK(contains(health(), "{\"status\":\"ok\""));
  CHECK(contains(status(), "\"needs_restart\":[]"));
  CHECK(daemon.metric(when) > reloaded);
  CHECK(daemon.stop() == 0);
}

TEST_CASE("after a SIGHUP the status page says where the values in force come from") {
  Reloading service;
  const auto source_of_level = [&] {
    const std::string status = get(service.daemon->url("/status.json")).body;
    const std::size_t at = status.find("\"log_level\"");
    REQUIRE(at != std::string::npos);
    return status.substr(at, status.find('}', at) - at);
  };
  CHECK(contains(source_of_level(), "holdfast.toml:1"));
  service.write("# quiet, please\nlog_level = \"warn\"\n");
  service.daemon->process().signal(SIGHUP);
  CHECK(eventually([&] { return contains(source_of_level(), "warn"); }));
  CHECK(contains(source_of_level(), "holdfast.toml:2"));
  CHECK(service.daemon->stop() == 0);
}

TEST_CASE("a token file that became a pipe keeps nobody waiting for what it may say") {
  const Folder folder;
  Upstream upstream;
  const std::filesystem::path token = folder.path / "token";
  std::ofstream(token) << Upstream::kToken;
  Daemon daemon(folder, upstream.url(), {{"API_TOKEN_FILE", token.string()}});
  std::filesystem::remove(token);
  REQUIRE(::mkfifo(token.c_str(), 0600) == 0);
  CHECK(contains(daemon.process().wait_for_line("\"event\":\"token_file_unreadable\""),
                 "a pipe without content"));
  daemon.process().signal(SIGHUP);
  daemon.process().wait_for_line("\"event\":\"reload_failed\"");
  CHECK(get(daemon.lookup_url("8.8.8.8")).status == 200);
  CHECK(get(daemon.url("/livez")).status == 200);
  CHECK(daemon.stop() == 0);
}

TEST_CASE("SIGHUP without the file it had keeps the settings and says so") {
  Reloading service;
  std::filesystem::remove(service.file());
  CHECK(contains(service.reload("reload_failed"), "holdfast.toml"));
  CHECK(get(service.daemon->lookup_url("8.8.8.8")).status == 200);
  CHECK(service.daemon->stop() == 0);
}

TEST_CASE("a token that is rotated in its file serves after SIGHUP; a broken one changes nothing") {
  const Folder folder;
  Upstream upstream;
  const auto file = folder.path / "api_token";
  std::ofstream(file) << "yesterdays-t0ken\n";
  Daemon daemon(folder, upstream.url(), {{"API_TOKEN", ""}, {"API_TOKEN_FILE", file.string()}});
  CHECK(get(daemon.lookup_url("8.8.8.8")).status == 502);

  std::ofstream(file) << Upstream::kToken << "\n";
  daemon.process().signal(SIGHUP);
  const std::string reloaded = daemon.process().wait_for_line("\"event\":\"reloaded\"");
  CHECK(contains(reloaded, "\"changed\":\"api_token\""));
  CHECK(get(daemon.lookup_url("8.8.8.8")).status == 200);

  std::ofstream(file) << "tw0 words\n";
  daemon.process().signal(SIGHUP);
  CHECK(contains(daemon.process().wait_for_line("\"event\":\"reload_failed\""), "API_TOKEN_FILE"));
  CHECK(get(daemon.lookup_url("8.8.4.4")).status == 200);
  CHECK(daemon.stop() == 0);
  for (const char* token : {"yesterdays-t0ken", Upstream::kToken, "tw0"}) {
    CHECK(!contains(daemon.process().output(), token));
  }
}

TEST_CASE("SIGTERM while the upstream hangs: the client gets its error in time, then exit 0") {
  const Folder folder;
  Upstream upstream;
  Daemon daemon(folder, upstream.url(), {{"REQUEST_DEADLINE", "1s"}});
  // Until every loop turns.
  REQUIRE(eventually([&] { return get(daemon.lookup_url("8.8.4.4")).status == 200; }));
  upstream.tell("hold", "");
  Response response;
  std::jthread client([&] { response = get(daemon.lookup_url("8.8.8.8")); });
  upstream.wait_until("held=1");
  CHECK(daemon.stop() == 0);
  client.join();
  CHECK(response.status == 504);
  CHECK(contains(response.head, "Connection: close"));
}
