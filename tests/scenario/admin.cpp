// `holdfast admin` over the Unix socket: for the operator's own user, and exact
// about what it has done.
#include <doctest/doctest.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <simdjson.h>
#include <array>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <stop_token>
#include <thread>

#include "base/unique_fd.h"
#include "command.h"
#include "stage.h"

using namespace holdfast::scenario;

namespace {

struct Admin {
  explicit Admin(const Folder& folder) : socket((folder.path / "admin.sock").string()) {}

  Said operator()(std::vector<std::string> words) const {
    words.insert(words.begin(), "admin");
    return run_holdfast(std::move(words), setting());
  }
  // ... in lines, as people have it on a terminal.
  Said told(std::vector<std::string> words) const {
    words.insert(words.begin(), {"admin", "--text"});
    return run_holdfast(std::move(words), setting());
  }
  Process::Environment setting() const { return {{"ADMIN_SOCKET", socket}}; }

  const std::string socket;
};

int status_if_cached(const Daemon& daemon, const std::string& ip) {
  return ask({daemon.lookup_url(ip), "GET", {"Cache-Control: only-if-cached"}}).status;
}

}  // namespace

TEST_CASE("status and inspect say what is there, as JSON") {
  const Folder folder;
  const Admin admin(folder);
  Upstream upstream;
  Daemon daemon(folder, upstream.url(), admin.setting());
  struct stat file = {};
  REQUIRE(stat(admin.socket.c_str(), &file) == 0);
  CHECK((file.st_mode & 0777) == 0600);

  const auto absent = admin({"inspect", "8.8.8.8"});
  CHECK(absent.code == 0);
  CHECK(absent.has("\"in_memory\":false,\"in_store\":false"));
  REQUIRE(get(daemon.lookup_url("8.8.8.8")).status == 200);
  const auto there = admin({"inspect", "::ffff:8.8.8.8"});
  INFO(there.output);
  CHECK(there.has("\"key\":\"lookup/8.8.8.8\",\"in_memory\":true,\"in_store\":true"));
  CHECK(there.has("\"use\":\"fresh\""));
  // It ages meanwhile.
  const auto up_to_age = [](const std::string& output) {
    return output.substr(0, output.find("\"age\""));
  };
  CHECK(up_to_age(admin({"inspect", "http://any.example/lookup/8.8.8.8"}).output) ==
        up_to_age(there.output));
  CHECK(admin({"explain", "http://any.example/lookup/8.8.8.8"}).has("\"rung\":\"fresh\""));
  CHECK(admin({"--json", "inspect", "8.8.8.8"}).output.starts_with("{"));
  const auto told = admin.told({"inspect", "8.8.8.8"});
  CHECK(told.code == 0);
  CHECK(told.has("key                     lookup/8.8.8.8\n"));
  CHECK(told.has("\nuse                     fresh\n"));
  CHECK(admin.told({"explain", "/lookup/8.8.8.8"}).has("now         fresh: "));
  CHECK(admin.told({"status"}).has("\norigins\n  - "));
  const auto refused = admin.told({"purge", "x/y"});
  CHECK(refused.code == 1);
  CHECK(refused.output.starts_with("holdfast admin: block: not a block"));
  const auto status = admin({"status"});
  CHECK(status.code == 0);
  simdjson::dom::parser parser;
  simdjson::dom::element json;
  REQUIRE(parser.parse(status.output).get(json) == simdjson::SUCCESS);
  CHECK(std::uint64_t(json["memory"]["entries"]) == 1);
  CHECK(std::string_view(json["origins"].at(0)["breaker"]) == "closed");
  CHECK_FALSE(status.has(Upstream::kToken));
}

TEST_CASE("the verbs are plain HTTP, each by the one method it allows") {
  const Folder folder;
  const Admin admin(folder);
  Upstream upstream;
  Daemon daemon(folder, upstream.url(), admin.setting());
  REQUIRE(get(daemon.lookup_url("8.8.8.8")).status == 200);
  const auto by_http = [&](const std::string& method, const std::string& target) {
    return ask({"http://x" + target, method, {}, {}, admin.socket});
  };
  for (const char* method : {"GET", "PUT", "DELETE"}) {
    const Response purge = by_http(method, "/purge?ip=8.8.8.8");
    CHECK(purge.status == 405);
    CHECK(purge.field("Allow") == "POST");
  }
  const Response inspect = by_http("POST", "/inspect?ip=8.8.8.8");
  CHECK(inspect.status == 405);
  CHECK(inspect.field("Allow") == "GET");
  CHECK(by_http("GET", "/inspect?ip=8.8.8.8").body.find("\"in_memory\":true") != std::string::npos);
  CHECK(by_http("POST", "/explain?path=/lookup/8.8.8.8").status == 405);
  const Response explain =
      by_http("GET", "/explain?path=/lookup/8.8.8.8%3Fx&field=A%3A+b&field=C:d");
  CHECK(explain.field("Content-Type") == "application/json");
  CHECK(contains(explain.body, "{\"key\":\"lookup/8.8.8.8\",\"route\":\"lookup\""));
  CHECK(contains(explain.body, "\"rung\":\"fresh\""));
  CHECK(contains(by_http("GET", "/explain?path=/lookup/8.8.8.8&text").body, "now         fresh: "));
  for (const char* wrong :
       {"", "?path=x", "?path=/nowhere", "?path=/lookup/x", "?ip=8.8.8.8",
        "?path=/lookup/8.8.8.8&field=a%20b:c", "?path=/lookup/8.8.8.8&method=POST"}) {
    CAPTURE(wrong);
    CHECK(by_http("GET", "/explain" + std::string(wrong)).status == 400);
  }
  CHECK(by_http("POST", "/purge?ip=8.8.8.8%00").status == 400);
  CHECK(by_http("POST", "/purge?ip=").status == 400);
  CHECK(by_http("POST", "/purge?ip=8.8.8.8").body == "{\"purged\":1}\n");
  // As curl's --data-urlencode sends it.
  REQUIRE(get(daemon.lookup_url("2001:db8::1")).status == 200);
  CHECK(by_http("POST", "/purge?ip=2001%3Adb8%3a%3A1").body == "{\"purged\":1}\n");
  REQUIRE(get(daemon.lookup_url("2001:db8::1")).status == 200);
  CHECK(by_http("POST", "/purge?block=2001%3Adb8%3A%3A%2F120").body == "{\"purged\":1}\n");
  CHECK(status_if_cached(daemon, "8.8.8.8") == 504);
}

TEST_CASE("a blank socket is none, and never another host's") {
  const char* const holdfast = std::getenv("HOLDFAST");
  REQUIRE(holdfast != nullptr);
  Process no_path({holdfast, "admin", "--socket", "", "status"}, {});
  CHECK(no_path.wait() == 2);
  CHECK(contains(no_path.output(), "--socket: is blank"));
  const Folder folder;
  Process blank({holdfast, "admin", "status"},
                {{"ADMIN_SOCKET", ""}, {"RUNTIME_DIRECTORY", folder.path.string()}});
  CHECK(blank.wait() == 1);
  CHECK(contains(blank.output(), folder.path.string() + "/admin.sock: "));
}

TEST_CASE("the socket is the one of the settings file") {
  const char* const holdfast = std::getenv("HOLDFAST");
  REQUIRE(holdfast != nullptr);
  const Folder folder;
  const std::string socket = (folder.path / "own.sock").string();
  const std::string file = (folder.path / "h.toml").string();
  const std::string other = (folder.path / "off.toml").string();
  std::ofstream(file) << "admin_socket = \"" << socket << "\"\n"
                      << "api_token_file = \"/nonexistent\"\n";
  std::ofstream(other) << "admin_socket = \"off\"\n";
  using Environment = Process::Environment;
  const auto says = [&](std::vector<std::string> words, Environment environment, int code) {
    words.insert(words.begin(), {holdfast, "admin"});
    Process process(std::move(words), environment);
    CHECK(process.wait() == code);
    return process.output();
  };
  CHECK(contains(says({"--config", file, "status"}, {}, 1), socket + ": "));
  CHECK(contains(says({"--config", file, "status"}, {}, 1),
                 "The setting ADMIN_SOCKET (admin_socket in its file) makes its"));
  CHECK(contains(says({"status"}, {{"HOLDFAST_CONFIG", file}}, 1), socket + ": "));
  const Environment off{{"HOLDFAST_CONFIG", other}};
  CHECK(contains(says({"status"}, off, 2), "admin_socket is off"));
  CHECK(contains(says({"status"}, off, 2), "with a path it makes one"));
  CHECK(contains(says({"--config", file, "status"}, off, 1), socket + ": "));
  // As for the daemon, the environment comes first; and what is said by hand before all.
  CHECK(contains(says({"--config", file, "status"}, {{"ADMIN_SOCKET", "/x/env"}}, 1), "/x/env: "));
  CHECK(contains(says({"--config", other, "--socket", "/x/by-hand", "status"}, {}, 1),
                 "/x/by-hand: "));
  CHECK(contains(says({"--config", "/x/none.toml", "status"}, {}, 2), "/x/none.toml: "));
  CHECK(contains(says({"--config", "", "status"}, {}, 2), "--config: is blank"));
  // A file that sets none may be the wrong one, or lack the line.
  const std::string silent = (folder.path / "silent.toml").string();
  std::ofstream(silent) << "cache_ttl = \"1h\"\n";
  const Environment run{{"RUNTIME_DIRECTORY", folder.path.string()}};
  CHECK(contains(says({"--config", silent, "status"}, run, 1), silent + " sets no admin_socket"));
  CHECK_FALSE(contains(says({"--config", file, "status"}, run, 1), "sets no"));
  CHECK_FALSE(
      contains(says({"--config", silent, "--socket", socket, "status"}, run, 1), "sets no"));
}

TEST_CASE("what is not exactly a verb's arguments changes nothing and is named") {
  const Folder folder;
  const Admin admin(folder);
  Upstream upstream;
  Daemon daemon(folder, upstream.url(), admin.setting());
  REQUIRE(get(daemon.lookup_url("8.8.8.8")).status == 200);
  const auto refused = [&](const std::string& target, const std::string& named,
                           const std::string& content = "") {
    const Response response = ask({"http://x" + target, "POST", {}, content, admin.socket});
    CAPTURE(target);
    CHECK(response.status == 400);
    CHECK(contains(response.body, named));
  };
  refused("/purge?all=false", "all=false");
  refused("/purge?all=0&ip=8.8.8.8", "all=0");
  refused("/purge?all=", "all=");
  refused("/purge?all&ip=8.8.8.8", "all beside ip");
  refused("/purge?ip=8.8.8.8&ip=9.9.9.9", "ip is given more than once");
  refused("/purge?ip=8.8.8.8&block=8.8.8.0/24", "either ip=");
  refused("/purge?ip=8.8.8.8&url=", "url");
  refused("/purge?ip=8.8.8%252e8", "ip: not an IPv4 or IPv6 address");
  refused("/purge?ip=8.8.8.8+", "ip: not an IPv4 or IPv6 address");
  refused("/purge?block=8.8.8.8%252F32", "block: not a block");
  refused("/purge", "either ip=");
  refused("/purge", "the query", "all=true");
  refused("/purge?all&tag=x", "all beside tag");
  refused("/purge?route=lookup&tag=x", "route beside tag");
  refused("/purge?tag=x&path=/lookup/8.8.8.8", "tag beside path");
  refused("/purge?tag=", "tag: is empty");
  refused("/purge?tag=%C3%A4", "tag: has bytes beyond ASCII");
  refused("/purge?block=i/1", "a path begins with a slash");
  refused("/purge?ip=i/1", "a path begins with a slash");
  refused("/purge?route=lookpu", "did you mean lookup?; there are: lookup");
  refused("/purge?variants", "variants: goes with a path");
  refused("/purge?tag=x&variants", "variants: goes with a path");
  refused("/purge?path=/lookup/8.8.8.8&variants=no", "variants=no");
  refused("/stale?all=false", "all=false");
  refused("/breaker?state=open&orgin=nobody", "orgin");
  refused("/breaker?state=close&state=open", "state is given more than once");
  refused("/log-level?level=debug&level=error", "level is given more than once");
  refused("/drain?force", "force");
  CHECK(ask({"http://x/inspect?ip=8.8.8.8&ip=9.9.9.9", "GET", {}, {}, admin.socket}).status == 400);
  CHECK(status_if_cached(daemon, "8.8.8.8") == 200);
  CHECK(admin({"status"}).has("\"forced\":false"));
  CHECK(status_if_cached(daemon, "8.8.8.8") == 200);
  for (const char* all : {"/purge?all=true", "/purge?all=1", "/purge?all"}) {
    REQUIRE(get(daemon.lookup_url("8.8.8.8")).status == 200);
    CHECK(ask({"http://x" + std::string(all), "POST", {}, {}, admin.socket}).status == 200);
    CHECK(status_if_cached(daemon, "8.8.8.8") == 504);
  }
}

TEST_CASE("a purge forgets in memory and store, also after a crash, and nothing else") {
  const Folder folder;
  const Admin admin(folder);
  Upstream upstream;
  const std::vector<std::string> ips{"192.0.2.1", "192.0.2.2", "192.0.2.3", "8.8.8.8",
                                     "2001:db8::1"};
  {
    Daemon daemon(folder, upstream.url(), admin.setting());
    for (const std::string& ip : ips) REQUIRE(get(daemon.lookup_url(ip)).status == 200);
    CHECK(admin({"purge", "2001:DB8::1"}).has("{\"purged\":1}"));
    CHECK(admin({"purge", "192.0.2.2/31"}).has("{\"purged\":2}"));
    CHECK(admin({"purge", "192.0.2.2/31"}).has("{\"purged\":0}"));
    CHECK(status_if_cached(daemon, "192.0.2.1") == 200);
    CHECK(status_if_cached(daemon, "192.0.2.2") == 504);
    CHECK(daemon.stop() == 0);
    CHECK(access(admin.socket.c_str(), F_OK) != 0);
  }
  {
    Daemon daemon(folder, upstream.url(), admin.setting());
    CHECK(status_if_cached(daemon, "192.0.2.1") == 200);
    CHECK(status_if_cached(daemon, "192.0.2.2") == 504);
    CHECK(status_if_cached(daemon, "192.0.2.3") == 504);
    CHECK(status_if_cached(daemon, "2001:db8::1") == 504);
    CHECK(admin({"purge", "all"}).has("{\"purged\":\"all\",\"durable\":true}"));
    CHECK(status_if_cached(daemon, "8.8.8.8") == 504);
    CHECK(daemon.stop() == 0);
  }
  Daemon daemon(folder, upstream.url(), admin.setting());
  for (const std::string& ip : ips) CHECK(status_if_cached(daemon, ip) == 504);
}

TEST_CASE("a fetch under way while purging answers who waits and is not stored") {
  const Folder folder;
  const Admin admin(folder);
  Upstream upstream;
  Process::Environment settings = admin.setting();
  settings.emplace_back("HEDGE", "off");
  Daemon daemon(folder, upstream.url(), settings);
  upstream.tell("hold", "");
  std::jthread client([&] { CHECK(get(daemon.lookup_url("8.8.8.8")).status == 200); });
  upstream.wait_until("held=1");
  CHECK(admin({"inspect", "8.8.8.8"}).has("\"fetching\":true"));
  CHECK(admin({"purge", "8.8.8.8"}).code == 0);
  upstream.tell("release", "");
  client.join();
  CHECK(status_if_cached(daemon, "8.8.8.8") == 504);
  CHECK(get(daemon.lookup_url("8.8.8.8")).status == 200);
  CHECK(status_if_cached(daemon, "8.8.8.8") == 200);
}

TEST_CASE("who asks after a purge does not get what was fetched before it") {
  const Folder folder;
  const Admin admin(folder);
  Upstream upstream;
  Process::Environment settings = admin.setting();
  settings.emplace_back("HEDGE", "off");
  // However long all this takes, the first attempt is the one that is answered.
  settings.emplace_back("ATTEMPT_TIMEOUT", "50s");
  settings.emplace_back("REQUEST_DEADLINE", "55s");
  Daemon daemon(folder, upstream.url(), settings);
  upstream.tell("hold", "");
  Response before;
  std::jthread early([&] { before = get(daemon.lookup_url("8.8.8.8")); });
  upstream.wait_until("held=1");
  // The data change, and the operator says so.
  upstream.tell("edition", "2");
  CHECK(admin({"purge", "8.8.8.8"}).code == 0);
  Response after;
  std::jthread late([&] { after = get(daemon.lookup_url("8.8.8.8")); });
  const bool asked_anew = eventually([&] { return upstream.count("held") == 2; });
  upstream.tell("release", "");
  early.join();
  late.join();
  CHECK(asked_anew);
  CHECK(before.status == 200);
  CHECK(before.body == expected_body("8.8.8.8"));
  CHECK(after.status == 200);
  CHECK(after.body != expected_body("8.8.8.8"));
  CHECK(get(daemon.lookup_url("8.8.8.8")).body == after.body);
}

TEST_CASE("what is marked stale still answers, and is refreshed with its next use") {
  const Folder folder;
  const Admin admin(folder);
  // A 304 without a lifetime would leave the one that the mark has ended.
  Upstream upstream({"--etag"});
  Daemon daemon(folder, upstream.url(), admin.setting());
  REQUIRE(get(daemon.lookup_url("8.8.8.8")).status == 200);
  CHECK(admin({"stale", "8.8.8.8"}).has("{\"marked\":1}"));
  CHECK(admin({"inspect", "8.8.8.8"}).has("\"use\":\"stale-while-revalidate\""));
  const Response stale = get(daemon.lookup_url("8.8.8.8"));
  CHECK(stale.status == 200);
  CHECK(stale.field("Cache-Status").find("stale-while-revalidate") != std::string::npos);
  const auto give_up = std::chrono::steady_clock::now() + kPatience;
  while (!admin({"inspect", "8.8.8.8"}).has("\"use\":\"fresh\"")) {
    REQUIRE(std::chrono::steady_clock::now() < give_up);
  }
}

TEST_CASE("a breaker forced open keeps everything from the upstream until it is let go") {
  const Folder folder;
  const Admin admin(folder);
  Upstream upstream;
  Process::Environment settings = admin.setting();
  settings.emplace_back("REQUEST_DEADLINE", "1s");
  Daemon daemon(folder, upstream.url(), settings);
  CHECK(admin({"breaker", "open"}).code == 0);
  CHECK(admin({"status"}).has("\"breaker\":\"open\",\"forced\":true"));
  CHECK(get(daemon.lookup_url("8.8.8.8")).status >= 502);
  CHECK(upstream.count("requests") == 0);
  CHECK(admin({"breaker", "open", "nobody:1"}).code == 1);
  CHECK(admin({"breaker", "auto"}).code == 0);
  CHECK(get(daemon.lookup_url("8.8.8.8")).status == 200);
}

TEST_CASE("the log level changes at once, and drain ends the daemon with 0") {
  const Folder folder;
  const Admin admin(folder);
  Upstream upstream;
  Daemon daemon(folder, upstream.url(), admin.setting());
  CHECK(admin({"log-level", "debug"}).code == 0);
  REQUIRE(get(daemon.lookup_url("8.8.8.8")).status == 200);
  REQUIRE(get(daemon.lookup_url("8.8.8.8")).status == 200);
  daemon.process().wait_for_line("\"level\":\"debug\",\"event\":\"request\"");
  CHECK(admin({"log-level", "chatty"}).code == 1);
  daemon.process().wait_for_line(R"("verb":"log-level","arguments":"level=chatty","status":400)");
  CHECK(admin({"purge", "8.8.8.8"}).code == 0);
  daemon.process().wait_for_line(R"("verb":"purge","arguments":"ip=8.8.8.8","status":200)");
  CHECK(admin({"purge", "--route", "no"}).code == 1);
  daemon.process().wait_for_line(R"("verb":"purge","arguments":"route=no","status":400)");
  CHECK(admin({"drain"}).has("{\"draining\":true}"));
  CHECK(daemon.process().wait() == 0);
  const auto gone = admin({"status"});
  CHECK(gone.code == 1);
  CHECK(gone.has(admin.socket));
}

TEST_CASE("the first SIGTERM behind a drain cuts nobody off, the second one does") {
  const Folder folder;
  const Admin admin(folder);
  Upstream upstream;
  upstream.tell("hold", "");
  Daemon daemon(folder, upstream.url(),
                {{"ADMIN_SOCKET", admin.socket}, {"REQUEST_DEADLINE", "60s"}});
  Response response;
  std::jthread client([&] { response = get(daemon.lookup_url("8.8.8.8")); });
  upstream.wait_until("held=1");
  CHECK(admin({"drain"}).code == 0);
  daemon.process().signal(SIGTERM);
  // By its answer the control loop has seen the signal.
  CHECK(admin({"status"}).has("\"draining\":true"));
  SUBCASE("once") {
    upstream.tell("release", "");
    client.join();
    CHECK(response.status == 200);
  }
  SUBCASE("twice") {
    daemon.process().signal(SIGTERM);
    client.join();
    CHECK(response.status == 0);
    daemon.process().wait_for_line("\"event\":\"stopping_now\"");
  }
  CHECK(daemon.process().wait() == 0);
}

TEST_CASE("what makes no sense is refused with the reason and changes nothing") {
  const Folder folder;
  const Admin admin(folder);
  Upstream upstream;
  Daemon daemon(folder, upstream.url(), admin.setting());
  REQUIRE(get(daemon.lookup_url("10.0.0.1")).status == 200);
  for (const std::vector<std::string>& words :
       std::vector<std::vector<std::string>>{{"purge", "nowhere"},
                                             {"purge", "10.0.0.0/8"},
                                             {"purge", "10.0.0.1/24"},
                                             {"purge", "10.0.0.0/33"},
                                             {"purge", "10.0.0.0/"},
                                             {"stale", "10.0.0.0/x"},
                                             {"breaker", "half"},
                                             {"inspect", "10.0.0.0/24"}}) {
    CAPTURE(words[1]);
    const auto refused = admin(words);
    CHECK(refused.code == 1);
    CHECK(refused.has("\"status\":400"));
  }
  for (const std::vector<std::string>& words :
       std::vector<std::vector<std::string>>{{},
                                             {"purge"},
                                             {"purge", "a b"},
                                             {"purge", "8.8.8.8&all"},
                                             {"purge", ""},
                                             {"no-such"},
                                             {"status", "now"},
                                             {"stale", "all?"}}) {
    CHECK(admin(words).code == 2);
  }
  CHECK(status_if_cached(daemon, "10.0.0.1") == 200);
}

TEST_CASE("a socket left by a crash is taken over, one in use and other files are not") {
  const Folder folder;
  const Admin admin(folder);
  Upstream upstream;
  {
    Daemon daemon(folder, upstream.url(), admin.setting());
    daemon.kill();
  }
  CHECK(access(admin.socket.c_str(), F_OK) == 0);
  Daemon daemon(folder, upstream.url(), admin.setting());
  CHECK(admin({"status"}).code == 0);
  const Folder elsewhere;
  for (const std::string& path : {admin.socket, elsewhere.path.string()}) {
    const Refusal refusal = start_refused({{"ADMIN_SOCKET", path},
                                           {"PORT", "0"},
                                           {"BIND", "127.0.0.1"},
                                           {"STORE_PATH", (elsewhere.path / "other.db").string()}});
    INFO(refusal.output);
    CHECK(refusal.exit_code == 2);
    CHECK(refusal.output.find("ADMIN_SOCKET: ") != std::string::npos);
  }
  CHECK(admin({"status"}).code == 0);
}

// Needs root to become somebody else; elsewhere the file's mode is the test.
TEST_CASE("another user is refused by credentials, even where the mode would let it in") {
  const Folder folder;
  const Admin admin(folder);
  Upstream upstream;
  Daemon daemon(folder, upstream.url(), admin.setting());
  if (geteuid() != 0) {
    CHECK(admin({"status"}).code == 0);
    return;
  }
  REQUIRE(chmod(admin.socket.c_str(), 0666) == 0);
  REQUIRE(chmod(folder.path.c_str(), 0755) == 0);
  std::array<int, 2> pipe_fds{};
  REQUIRE(pipe(pipe_fds.data()) == 0);
  const pid_t child = fork();
  if (child == 0) {
    // Only system calls from here.
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, admin.socket.c_str(), admin.socket.size());
    const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    std::array<char, 64> start{};
    if (setuid(65534) != 0 ||
        connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
        read(fd, start.data(), start.size()) < 12) {
      _exit(1);
    }
    (void)!write(pipe_fds[1], start.data(), 12);
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  CHECK(status == 0);
  std::array<char, 12> start{};
  REQUIRE(read(pipe_fds[0], start.data(), start.size()) == 12);
  CHECK(std::string(start.data(), start.size()) == "HTTP/1.1 403");
  close(pipe_fds[0]);
  close(pipe_fds[1]);
  CHECK(daemon.metric("holdfast_connections_refused_total{reason=\"credentials\"}") == 1);
}

TEST_CASE("an answer that is cut off is an error") {
  const Folder folder;
  const Admin admin(folder);
  const holdfast::base::UniqueFd listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  REQUIRE(admin.socket.size() < sizeof address.sun_path);
  std::strcpy(address.sun_path, admin.socket.c_str());
  REQUIRE(::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  REQUIRE(::listen(listener.get(), 1) == 0);
  std::jthread server([&listener](const std::stop_token& over) {
    // Also if nobody comes.
    const std::stop_callback wake(over, [&] { ::shutdown(listener.get(), SHUT_RDWR); });
    const holdfast::base::UniqueFd client(::accept(listener.get(), nullptr, nullptr));
    std::array<char, 1024> request;
    (void)!::recv(client.get(), request.data(), request.size(), 0);
    const std::string answer = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"cut\":";
    (void)!::send(client.get(), answer.data(), answer.size(), MSG_NOSIGNAL);
  });
  const auto result = admin({"status"});
  CHECK(result.code == 1);
  CHECK(result.has("admin.sock: "));
}

namespace {

// Two routes beside each other; keys of the second hold a query.
constexpr const char* kRoutes = R"(
[upstream.geo]
urls = ["URL"]
token_file = "TOKEN"

[upstream.other]
urls = ["URL"]
token_file = "TOKEN"

[[route]]
name = "lookup"
match = "/lookup/{ip:ip}"
target = "/geoip/{ip}"
query = "none"
upstream = "geo"
batch = "/lookup"

[[route]]
name = "asked"
match = "/asked/{ip:ip}"
target = "/geoip/{ip}"
host = "asked.example"
upstream = "other"

[[route]]
name = "by-language"
match = "/by-language/{ip:ip}"
target = "/geoip/{ip}"
upstream = "geo"
key_fields = ["Accept-Language"]
)";

Process::Environment with_routes(const Folder& folder, const Upstream& upstream,
                                 Process::Environment settings) {
  std::string text = kRoutes;
  const std::string token = (folder.path / "token").string();
  std::ofstream(token) << Upstream::kToken;
  for (const auto& [name, value] : {std::pair{"URL", upstream.url()}, {"TOKEN", token}}) {
    const std::string what = name;
    for (std::size_t at = text.find(what); at != text.npos; at = text.find(what)) {
      text.replace(at, what.size(), value);
    }
  }
  const std::string path = (folder.path / "holdfast.toml").string();
  std::ofstream(path) << text;
  settings.emplace_back("HOLDFAST_CONFIG", path);
  settings.emplace_back("API_TOKEN", "");
  settings.emplace_back("API_URL", "");
  return settings;
}

Query asked(const Daemon& daemon, const std::string& path, bool if_cached = false) {
  Query query{daemon.url(path), "GET", {"Host: asked.example"}};
  if (if_cached) query.fields.push_back("Cache-Control: only-if-cached");
  return query;
}

}  // namespace

TEST_CASE("a path names what it is of every route, its query and the client's host with it") {
  const Folder folder;
  const Admin admin(folder);
  Upstream upstream;
  Daemon daemon(folder, upstream.url(), with_routes(folder, upstream, admin.setting()));
  const std::string query = "/asked/8.8.8.8?a=1&b=%26%3D";
  REQUIRE(ask(asked(daemon, query)).status == 200);
  REQUIRE(get(daemon.lookup_url("8.8.8.8")).status == 200);

  const auto there = admin({"inspect", "path=" + query, "host=ASKED.example:80"});
  INFO(there.output);
  CHECK(there.has("/8.8.8.8?a=1&b=%26%3D\",\"in_memory\":true"));
  CHECK(admin({"inspect", "path=/asked/8.8.8.8?a=1", "host=asked.example"})
            .has("\"in_memory\":false"));
  CHECK(admin({"stale", "path=" + query, "host=asked.example"}).has("{\"marked\":1}"));
  CHECK(admin({"inspect", "path=" + query, "host=asked.example"})
            .has("\"use\":\"stale-while-revalidate\""));
  CHECK(admin({"purge", "host=asked.example", "path=" + query}).has("{\"purged\":1}"));
  CHECK(ask(asked(daemon, query, true)).status == 504);
  CHECK(status_if_cached(daemon, "8.8.8.8") == 200);
  CHECK(admin({"purge", "/lookup/::ffff:8.8.8.8"}).has("{\"purged\":1}"));
  CHECK(status_if_cached(daemon, "8.8.8.8") == 504);

  // A variant is named by the fields that made it.
  const auto in_german = [&](bool if_cached) {
    Query german{daemon.url("/by-language/8.8.8.8"), "GET", {"Accept-Language: de"}};
    if (if_cached) german.fields.push_back("Cache-Control: only-if-cached");
    return ask(german).status;
  };
  REQUIRE(in_german(false) == 200);
  const auto without = admin({"purge", "/by-language/8.8.8.8"});
  CHECK(without.has("\"purged\":0"));
  CHECK(without.has("\"note\":\"of requests without the route's key_fields"));
  CHECK(in_german(true) == 200);
  CHECK(admin({"inspect", "/by-language/8.8.8.8", "field=Accept-Language: de"})
            .has("\"in_memory\":true"));
  CHECK(
      admin({"purge", "/by-language/8.8.8.8", "field=Accept-Language: de"}).has("{\"purged\":1}"));
  CHECK(in_german(true) == 504);

  REQUIRE(get(daemon.lookup_url("8.8.8.8")).status == 200);
  struct Refused {
    std::vector<std::string> words;
    std::string named;
  };
  for (const Refused& wrong : std::vector<Refused>{
           {{"purge", "path=/nowhere"}, "path: no route takes this path"},
           {{"purge", "path=/asked/8.8.8.8"}, "path: no route takes this path"},
           {{"purge", "path=/lookup/x"}, "path: not an IPv4 or IPv6 address"},
           {{"purge", "path="}, "path: "},
           {{"purge", "path=/lookup/%zz"}, "path: "},
           {{"purge", "path=/lookup/8.8.8.8", "8.8.8.8"}, "expected either ip="},
           {{"stale", "8.8.8.0/24", "path=/lookup/8.8.8.8"}, "expected either ip="},
           {{"purge", "all", "path=/lookup/8.8.8.8"}, "all beside path"},
           {{"purge", "path=/lookup/8.8.8.8", "path=/lookup/8.8.8.8"}, "more than once"},
           {{"inspect", "8.8.8.8", "host=a.example"}, "host: goes with a path"}}) {
    CAPTURE(wrong.words.back());
    const auto refused = admin(wrong.words);
    CHECK(refused.code == 1);
    INFO(refused.output);
    CHECK(refused.has(wrong.named));
  }
  CHECK(admin({"purge", "paht=/lookup/8.8.8.8"}).code != 0);
  CHECK(status_if_cached(daemon, "8.8.8.8") == 200);
}

TEST_CASE("a breaker is forced for one upstream by its name") {
  const Folder folder;
  const Admin admin(folder);
  Upstream upstream;
  Daemon daemon(folder, upstream.url(), with_routes(folder, upstream, admin.setting()));
  CHECK(admin({"breaker", "open", "upstream=other"}).has("\"origins\":1"));
  const std::string state = "\"breaker\":\"open\",\"forced\":true";
  const auto status = admin({"status"});
  CHECK(status.has("\"upstream\":\"other\"," + state));
  CHECK_FALSE(status.has("\"upstream\":\"geo\"," + state));
  CHECK(get(daemon.lookup_url("8.8.8.8")).status == 200);
  CHECK(ask(asked(daemon, "/asked/8.8.8.8")).status >= 502);
  const auto nobody = admin({"breaker", "auto", "upstream=nobody"});
  CHECK(nobody.code == 1);
  CHECK(nobody.has("no such upstream; there are: geo, other"));
  CHECK(admin({"breaker", "auto", "upstream=other"}).code == 0);
}

TEST_CASE("of a URL that varies the variants are counted, as none of them is its answer") {
  const Folder folder;
  const Admin admin(folder);
  Upstream upstream({"--cache-control", "max-age=600\r\nVary: Foo"});
  const std::string file = (folder.path / "holdfast.toml").string();
  std::ofstream(file) << "[upstream.geo]\n[[route]]\nname = \"site\"\nmatch = \"/{path:rest}\"\n"
                         "mode = \"rfc9111\"\n";
  Process::Environment environment = admin.setting();
  environment.emplace_back("HOLDFAST_CONFIG", file);
  Daemon daemon(folder, upstream.url(), environment);
  for (const char* foo : {"Foo: 1", "Foo: 2"}) {
    REQUIRE(ask({daemon.url("/geoip/8.8.8.8"), "GET", {foo}}).status == 200);
  }
  const auto there = admin({"inspect", "path=/geoip/8.8.8.8"});
  INFO(there.output);
  CHECK(there.has("\"varies\":true,\"variants\":2,"));
  CHECK_FALSE(there.has("\"ttl\""));
}
