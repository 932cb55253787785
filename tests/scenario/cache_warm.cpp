// cache-warm fills the cache for an outage to come: all of it, once, politely.
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <signal.h>
#include <simdjson.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/unique_fd.h"
#include "stage.h"

using namespace holdfast::scenario;

namespace {

std::string write_list(const Folder& folder, const std::string& text) {
  const std::string path = (folder.path / "list.txt").string();
  std::ofstream(path, std::ios::binary) << text;
  return path;
}

std::string joined(const std::vector<std::string>& ips) {
  std::string text;
  for (const std::string& ip : ips) text += ip + "\n";
  return text;
}

// A run of cache-warm with --json: what it printed and how it ended. It waits, as
// a daemon that has said where it listens is not ready at once.
class Warming {
 public:
  Warming(const std::string& url, const std::vector<std::string>& arguments,
          const std::string& wait = "--wait")
      : process_(command(url, arguments, wait), {}) {}

  Process& process() { return process_; }
  int wait() {
    const int code = process_.wait();
    output = process_.output();
    for (const std::string& line : process_.lines()) {
      if (line.starts_with("{")) REQUIRE(parser_.parse(line).get(summary_) == simdjson::SUCCESS);
    }
    return code;
  }
  std::uint64_t count(const char* member) const {
    INFO(output);
    std::uint64_t number = 0;
    REQUIRE(summary_[member].get(number) == simdjson::SUCCESS);
    return number;
  }
  bool flag(const char* member) const {
    INFO(output);
    bool value = false;
    REQUIRE(summary_[member].get(value) == simdjson::SUCCESS);
    return value;
  }

  std::string output;

 private:
  static std::vector<std::string> command(const std::string& url,
                                          const std::vector<std::string>& arguments,
                                          const std::string& wait) {
    const char* const program = std::getenv("CACHE_WARM");
    REQUIRE(program != nullptr);
    std::vector<std::string> all{program, "--json", "--url", url, wait};
    all.insert(all.end(), arguments.begin(), arguments.end());
    return all;
  }

  Process process_;
  simdjson::dom::parser parser_;
  simdjson::dom::element summary_;
};

const std::string kTestIps = std::getenv("TEST_IPS") ? std::getenv("TEST_IPS") : "";

void all_are_hits(const Daemon& daemon, const std::vector<std::string>& ips) {
  const Tally tally = look_up_all(daemon, ips, 8);
  INFO(tally.first_problem);
  CHECK(tally.ok == ips.size());
  for (const Response& response : tally.responses) {
    const std::string status = response.field("Cache-Status");
    if (status.find("holdfast; hit; ttl=") != 0) {
      FAIL_CHECK("Cache-Status: " << status);
      break;
    }
  }
}

// The settings file of a daemon that has the lookup, and other routes to the same upstream.
std::string write_routes(const Folder& folder) {
  const std::string path = (folder.path / "routes.toml").string();
  std::ofstream(path) << R"([upstream.geo]
[[route]]
name = "lookup"
match = "/lookup/{ip:ip}"
target = "/geoip/{ip}"
[[route]]
name = "places"
match = "/places/{place}"
target = "/geoip/{place}"
query = { ignore = ["utm_*"] }
validate = { equal = { "/ip" = "place" } }
[[route]]
name = "site"
host = "www.example.com"
match = "/geo/{place}"
target = "/geoip/{place}"
)";
  return path;
}

// A port that refuses connections, for as long as this lives.
class RefusingPort {
 public:
  RefusingPort() : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    auto* const generic = reinterpret_cast<sockaddr*>(&address);
    REQUIRE(bind(fd_.get(), generic, size) == 0);
    REQUIRE(getsockname(fd_.get(), generic, &size) == 0);
    url = "http://127.0.0.1:" + std::to_string(ntohs(address.sin_port));
  }
  std::string url;

 private:
  holdfast::base::UniqueFd fd_;
};

}  // namespace

TEST_CASE("1000 of 1000 through an upstream that fails 30 %, then all are hits without it") {
  const Folder folder;
  Upstream upstream({"--faults", "mixed=0.3", "--seed", "7"});
  Daemon daemon(folder, upstream.url());
  Warming warming(daemon.url(""), {kTestIps});
  CHECK(warming.wait() == 0);
  INFO(warming.output);
  CHECK(warming.flag("complete"));
  CHECK_FALSE(warming.flag("interrupted"));
  CHECK(warming.count("addresses") == 1000);
  CHECK(warming.count("stored") == 1000);
  CHECK(warming.count("fetched") == 1000);
  CHECK(warming.count("failed") == 0);

  upstream.kill();
  Warming again(daemon.url(""), {kTestIps});
  CHECK(again.wait() == 0);
  CHECK(again.count("there") == 1000);
  CHECK(again.count("requests") == 1000);
  all_are_hits(daemon, test_ips());
  daemon.wait_for_metric("holdfast_store_puts_total{result=\"committed\"}",
                         [](double n) { return n == 1000; });
  daemon.kill();
  Daemon after_the_crash(folder, upstream.url());
  all_are_hits(after_the_crash, test_ips());
}

TEST_CASE("an interrupted run says so, and the next one goes on where it stopped") {
  for (const int signal : {SIGINT, SIGTERM}) {
    CAPTURE(signal);
    const Folder folder;
    Upstream upstream({"--latency", "100ms", "--latency-sigma", "0"});
    Daemon daemon(folder, upstream.url());
    Warming first(daemon.url(""), {"--concurrency", "8", kTestIps});
    upstream.wait_until("requests=50");
    upstream.tell("hold", "");
    upstream.wait_until("held=8");
    first.process().signal(signal);
    CHECK(first.wait() == 1);
    CHECK(first.flag("interrupted"));
    CHECK_FALSE(first.flag("complete"));
    const std::uint64_t stored = first.count("stored");
    CHECK(stored >= 1);
    CHECK(stored + first.count("pending") == 1000);
    CHECK(first.output.find("run it again") == std::string::npos);  // --json says it in its way

    upstream.tell("release", "");
    upstream.tell("latency", "off");
    Warming second(daemon.url(""), {kTestIps});
    CHECK(second.wait() == 0);
    CHECK(second.count("stored") == 1000);
    CHECK(second.count("there") >= stored);
    CHECK(second.count("fetched") <= 1000 - stored);
  }
}

TEST_CASE("no daemon: exit code 1 and a line that says what to do, also after waiting") {
  const RefusingPort nobody;
  Warming at_once(nobody.url, {kTestIps}, "--quiet");
  CHECK(at_once.wait() == 1);
  CHECK(at_once.output.find(nobody.url + " is not ready: ") != std::string::npos);
  CHECK(at_once.output.find("--wait") != std::string::npos);
  Warming waited(nobody.url, {kTestIps}, "--wait=400ms");
  CHECK(waited.wait() == 1);
  CHECK(waited.output.find("waiting for") != std::string::npos);
}

TEST_CASE("--wait waits for a daemon that is not ready yet, and a signal ends the waiting") {
  const Folder folder;
  Upstream upstream;
  Daemon daemon(folder, upstream.url());
  daemon.may_be_blocked();
  daemon.process().signal(SIGSTOP);
  const std::string list = write_list(folder, "8.8.8.8\n");
  Warming patient(daemon.url(""), {list}, "--wait=10m");
  Warming stopped(daemon.url(""), {list}, "--wait=10m");
  patient.process().wait_for_line("waiting for");
  stopped.process().wait_for_line("waiting for");
  stopped.process().signal(SIGTERM);
  CHECK(stopped.wait() == 1);
  daemon.process().signal(SIGCONT);
  CHECK(patient.wait() == 0);
  CHECK(patient.count("fetched") == 1);
}

TEST_CASE("the upstream down and nothing stored: it ends, with exit code 1 and the reason") {
  const Folder folder;
  Upstream upstream;
  upstream.tell("mode", "refuse");
  Daemon daemon(folder, upstream.url(), {{"REQUEST_DEADLINE", "1s"}});
  const std::string list = write_list(folder, joined(test_ips(20)));
  Warming warming(daemon.url(""), {"--attempts", "2", "--give-up-after", "2s", list});
  CHECK(warming.wait() == 1);
  INFO(warming.output);
  CHECK(warming.count("stored") == 0);
  CHECK(warming.count("failed") + warming.count("pending") == 20);
  CHECK((warming.flag("gave_up") || warming.count("failed") == 20));

  upstream.tell("mode", "up");
  Warming later(daemon.url(""), {list});
  CHECK(later.wait() == 0);
  CHECK(later.count("stored") == 20);
}

TEST_CASE("what would expire soon is refreshed, what is fresh is left alone") {
  const Folder folder;
  Upstream upstream;
  const std::string list = write_list(folder, joined(test_ips(50)));
  {
    Daemon daemon(folder, upstream.url(), {{"HEDGE", "off"}});
    CHECK(Warming(daemon.url(""), {list}).wait() == 0);
    CHECK(daemon.stop() == 0);
  }
  const std::uint64_t cold = upstream.count("requests");
  Daemon later(folder, upstream.url(), {{"HEDGE", "off"}, {"CLOCK_OFFSET", "18h"}});
  Warming hourly(later.url(""), {list});
  CHECK(hourly.wait() == 0);
  CHECK(hourly.count("there") == 50);
  CHECK(upstream.count("requests") == cold);
  Warming check(later.url(""), {"--check", "--refresh-within", "12h", list});
  CHECK(check.wait() == 1);
  CHECK(check.count("missing") == 50);
  CHECK(upstream.count("requests") == cold);
  Warming nightly(later.url(""), {"--refresh-within", "12h", list});
  CHECK(nightly.wait() == 0);
  CHECK(nightly.count("fetched") == 50);
  const std::uint64_t requests = upstream.count("requests");
  CHECK(requests >= cold + 50);
  // --all asks for no more than the daemon does for anybody.
  Warming all(later.url(""), {"--all", list});
  CHECK(all.wait() == 0);
  CHECK(all.count("there") == 50);
  CHECK(upstream.count("requests") == requests);
}

TEST_CASE("a refresh while the upstream is down keeps what is stored, and says so") {
  const Folder folder;
  Upstream upstream;
  const std::string list = write_list(folder, joined(test_ips(5)));
  {
    Daemon daemon(folder, upstream.url());
    CHECK(Warming(daemon.url(""), {list}).wait() == 0);
    CHECK(daemon.stop() == 0);
  }
  upstream.kill();
  for (const std::string offset : {"18h", "30h", "9d"}) {
    CAPTURE(offset);
    Daemon later(folder, upstream.url(), {{"CLOCK_OFFSET", offset}, {"REQUEST_DEADLINE", "1s"}});
    Warming nightly(later.url(""), {"--all", "--attempts", "2", list});
    CHECK(nightly.wait() == 0);
    CHECK(nightly.count("kept") == 5);
    CHECK(nightly.count("stored") == 5);
    CHECK(later.stop() == 0);
  }
}

// As during a deployment, or while the API's data is loaded anew.
TEST_CASE("a refresh while every address is 404 keeps what is stored, and says so") {
  for (const std::string fault : {"html404=1", "404=1"}) {
    CAPTURE(fault);
    const Folder folder;
    Upstream upstream;
    const std::string list = write_list(folder, joined(test_ips(5)));
    {
      Daemon daemon(folder, upstream.url());
      CHECK(Warming(daemon.url(""), {list}).wait() == 0);
      CHECK(daemon.stop() == 0);
    }
    upstream.tell("faults", fault);
    Daemon later(folder, upstream.url(), {{"CLOCK_OFFSET", "30h"}, {"REQUEST_DEADLINE", "1s"}});
    Warming nightly(later.url(""), {"--all", "--attempts", "2", list});
    CHECK(nightly.wait() == 0);
    CHECK(nightly.count("kept") == 5);
    CHECK(nightly.count("stored") == 5);
  }
}

TEST_CASE("a bad line costs that line alone, and the exit code; with --strict nothing is asked") {
  const Folder folder;
  Upstream upstream;
  Daemon daemon(folder, upstream.url());
  const std::string list =
      write_list(folder,
                 "\xef\xbb\xbf"
                 "8.8.8.8\r\n8.8.8.\r\n::ffff:8.8.8.8\r\n# end\r\n192.0.2.0/30\r\n");
  Warming strict(daemon.url(""), {"--strict", list});
  CHECK(strict.wait() == 2);
  CHECK(upstream.count("requests") == 0);
  Warming warming(daemon.url(""), {list});
  CHECK(warming.wait() == 1);
  CHECK(warming.output.find(list + ":2: \"8.8.8.\": not an IP address") != std::string::npos);
  CHECK(warming.count("bad_lines") == 1);
  CHECK(warming.count("duplicates") == 1);
  CHECK(warming.count("stored") == 5);
  all_are_hits(daemon, {"8.8.8.8", "192.0.2.0", "192.0.2.1", "192.0.2.2", "192.0.2.3"});

  Warming too_many(daemon.url(""), {"--max-addresses", "4", list});
  CHECK(too_many.wait() == 2);
  CHECK(too_many.output.find(list + ":5:") != std::string::npos);
}

TEST_CASE("a list that cannot be read is named in one line, and the others are warmed") {
  const Folder folder;
  Upstream upstream;
  Daemon daemon(folder, upstream.url());
  const std::string list = write_list(folder, "8.8.8.8\n");
  const std::string absent = (folder.path / "absent").string();
  const std::string dangling = (folder.path / "dangling").string();
  const std::string subfolder = (folder.path / "folder").string();
  const std::string utf16 = (folder.path / "utf16").string();
  std::filesystem::create_symlink("nowhere", dangling);
  std::filesystem::create_directory(subfolder);
  std::ofstream(utf16, std::ios::binary) << std::string("\xff\xfe\x31\0.\0\x31\0\n\0", 10);
  const std::vector<std::string> bad{absent, dangling, subfolder, utf16};

  std::vector<std::string> all = bad;
  all.push_back(list);
  Warming warming(daemon.url(""), all);
  CHECK(warming.wait() == 1);
  INFO(warming.output);
  const std::vector<std::string> lines = warming.process().lines();
  for (const std::string& name : bad) {
    CAPTURE(name);
    CHECK(std::count_if(lines.begin(), lines.end(), [&](const std::string& line) {
            return line.starts_with(name + ": ");
          }) == 1);
  }
  CHECK(contains(warming.output, subfolder + ": cannot be read: Is a directory"));
  CHECK(contains(warming.output, dangling + ": cannot be read: No such file"));
  CHECK(contains(warming.output, utf16 + ": UTF-16"));
  CHECK(warming.count("unread_lists") == 4);
  CHECK(warming.count("stored") == 1);
  CHECK_FALSE(warming.flag("complete"));
  all_are_hits(daemon, {"8.8.8.8"});

  all.insert(all.begin(), "--strict");
  const std::uint64_t requests = upstream.count("requests");
  CHECK(Warming(daemon.url(""), all).wait() == 2);
  Warming nothing(daemon.url(""), {subfolder, utf16});
  CHECK(nothing.wait() == 2);
  CHECK(contains(nothing.output, "no addresses"));
  CHECK(upstream.count("requests") == requests);
}

TEST_CASE("several lists and standard input are one list") {
  const Folder folder;
  Upstream upstream;
  Daemon daemon(folder, upstream.url());
  const std::string list = write_list(folder, "8.8.8.8\n1.1.1.1\n");
  Process piped({"sh", "-c", "printf '1.1.1.1\\n9.9.9.9' | \"$@\"", "sh", std::getenv("CACHE_WARM"),
                 "--url", daemon.url(""), list, "-"},
                {});
  CHECK(piped.wait() == 0);
  INFO(piped.output());
  CHECK(piped.output().find("3 of 3 stored: 3 fetched, 0 there already") != std::string::npos);
  CHECK(upstream.count("distinct_ips") == 3);
}

TEST_CASE("paths, URLs and addresses of one list are stored by their routes, and answer alone") {
  const Folder folder;
  Upstream upstream({"--faults", "mixed=0.3", "--seed", "7"});
  Daemon daemon(folder, upstream.url(), {{"HOLDFAST_CONFIG", write_routes(folder)}});
  const std::vector<std::string> ips = other_ips(40);
  std::string text = "8.8.8.8\n";
  for (std::size_t i = 0; i < ips.size(); ++i) {
    const std::string path = "/places/" + ips[i] + "?full=1";
    text += (i % 2 == 0 ? path : daemon.url(path) + "&utm_source=x") + "\n";
  }
  text += "https://www.example.com/geo/" + ips[0] + "\n/nowhere\n";
  const std::string list = write_list(folder, text);
  Warming warming(daemon.url(""), {list});
  CHECK(warming.wait() == 1);
  INFO(warming.output);
  CHECK(contains(warming.output, list + ":42: \"https://www.example.com/geo/" + ips[0] +
                                     "\": a URL of another site"));
  CHECK(warming.count("bad_lines") == 1);
  CHECK(warming.count("addresses") == 42);
  CHECK(warming.count("paths") == 41);
  CHECK(warming.count("stored") == 41);
  CHECK(warming.count("failed") == 1);
  CHECK(contains(warming.output, "{\"path\":\"/nowhere\",\"status\":404"));

  upstream.kill();
  all_are_hits(daemon, {"8.8.8.8"});
  for (const std::string& ip : ips) {
    const Response response = get(daemon.url("/places/" + ip + "?full=1"));
    CHECK(response.status == 200);
    CHECK(response.body == expected_body(ip));
    CHECK(response.field("Cache-Status").starts_with("holdfast; hit; "));
  }
}

TEST_CASE("--route asks for each line of a list as text, and --check says what is missing") {
  const Folder folder;
  Upstream upstream;
  Daemon daemon(folder, upstream.url(), {{"HOLDFAST_CONFIG", write_routes(folder)}});
  const std::string list = write_list(folder, "192.0.2.7\n192.0.2.8 # of two\n");
  Warming check(daemon.url(""), {"--check", "--route", "/places/{}?full=1", list});
  CHECK(check.wait() == 1);
  CHECK(check.count("missing") == 2);
  CHECK(upstream.count("requests") == 0);
  Warming warming(daemon.url(""), {"--route", "/places/{}?full=1", list});
  CHECK(warming.wait() == 0);
  CHECK(warming.count("fetched") == 2);
  upstream.kill();
  CHECK(get(daemon.url("/places/192.0.2.8?full=1")).body == expected_body("192.0.2.8"));
  Warming again(daemon.url(""), {"--check", "--route", "/places/{}?full=1", list});
  CHECK(again.wait() == 0);
}

TEST_CASE("a sitemap of the site that --host names is warmed for that site") {
  const Folder folder;
  Upstream upstream;
  Daemon daemon(folder, upstream.url(), {{"HOLDFAST_CONFIG", write_routes(folder)}});
  const std::string list = write_list(
      folder,
      "<?xml version=\"1.0\"?>\n<urlset xmlns=\"http://www.sitemaps.org/schemas/sitemap/0.9\">\n"
      "<url><loc>https://www.example.com/geo/192.0.2.7?a=1&amp;b=2</loc></url>\n"
      "<url><loc>https://www.example.com/geo/192.0.2.8</loc></url>\n</urlset>\n");
  Warming warming(daemon.url(""), {"--host", "www.example.com", list});
  CHECK(warming.wait() == 0);
  CHECK(warming.count("fetched") == 2);
  upstream.kill();
  const Response response =
      ask({.url = daemon.url("/geo/192.0.2.7?a=1&b=2"), .fields = {"Host: www.example.com"}});
  CHECK(response.status == 200);
  CHECK(response.body == expected_body("192.0.2.7"));
}

TEST_CASE("an answer of some other server is never taken for stored") {
  const Folder folder;
  Upstream upstream({"--path", "/lookup/", "--path", "/geoip/"});
  const std::string list = write_list(folder, "8.8.8.8\n");
  // It answers /lookup/8.8.8.8 with 401, and knows no /readyz.
  Warming warming(upstream.url(), {list});
  CHECK(warming.wait() == 1);
  CHECK(warming.count("stored") == 0);
  CHECK(warming.count("failed") == 1);
}
