// The files of tools/examples, each in front of the API that it is written for: half of what that
// does goes wrong, and every client gets the right answer; then it is gone, and they still do.
#include <doctest/doctest.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <stdexcept>

#include "stage.h"

using namespace holdfast::scenario;

namespace {

constexpr const char* kNames[] = {"weather", "registry", "search"};
constexpr std::size_t kAtOnce = 20;

// The file as it stands, but for where its upstream is.
std::string example(const std::string& name, const std::string& url = "") {
  const char* const folder = std::getenv("EXAMPLES");
  if (!folder) throw std::runtime_error("EXAMPLES is not set; run by meson test");
  std::ifstream file(std::filesystem::path(folder) / (name + ".toml"));
  std::string text{std::istreambuf_iterator<char>(file), {}};
  const std::string line = "urls = [\"";
  const std::size_t start = text.find(line);
  if (start == std::string::npos) throw std::runtime_error("no urls in " + name + ".toml");
  const std::size_t from = start + line.size();
  if (!url.empty()) text.replace(from, text.find('"', from) - from, url);
  return text;
}

// What is asked, and the one right answer to it.
struct Asked {
  std::vector<Query> queries;
  std::vector<std::string> bodies;

  void add(Query query, std::string body) {
    queries.push_back(std::move(query));
    bodies.push_back(std::move(body));
  }
};

std::vector<Response> all_are_right(const Asked& asked) {
  std::vector<Response> responses = ask_all(asked.queries, kAtOnce);
  std::size_t right = 0;
  std::string first_problem;
  for (std::size_t i = 0; i < responses.size(); ++i) {
    const Response& response = responses[i];
    if (response.status == 200 && response.body == asked.bodies[i]) {
      ++right;
    } else if (first_problem.empty()) {
      first_problem = asked.queries[i].url + "\n" + std::to_string(response.status) + "\n" +
                      response.head + response.body + response.error;
    }
  }
  INFO(first_problem);
  CHECK(right == asked.queries.size());
  return responses;
}

std::string place(std::size_t i) {
  return std::to_string(static_cast<int>(i % 120) - 60) + ".25/" + std::to_string(i) + ".5";
}

}  // namespace

TEST_CASE("each example is valid as it stands") {
  const Folder folder;
  for (const std::string name : kNames) {
    const std::filesystem::path file = folder.path / (name + ".toml");
    std::ofstream(file) << example(name);
    const Refusal checked = start_refused({{"HOLDFAST_CONFIG", file.string()},
                                           {"PORT", "0"},
                                           {"STORE_PATH", (folder.path / "x.db").string()}},
                                          {"--check-config"});
    CAPTURE(checked.output);
    CHECK(checked.exit_code == 0);
    CHECK(!contains(checked.output, "warn"));
  }
}

TEST_CASE("weather: half goes wrong, then all; every forecast is of the place that was asked for") {
  const Folder folder;
  Upstream upstream({"--api", "weather", "--faults", "mixed=0.45,html404=0.05", "--seed", "7"});
  Daemon daemon = routed(folder, example("weather", upstream.url()));
  Asked asked, otherwise;
  for (std::size_t i = 0; i < 150; ++i) {
    const std::string at = place(i);
    const std::string target = "/v1/forecast?latitude=" + at.substr(0, at.find('/')) +
                               "&longitude=" + at.substr(at.find('/') + 1);
    const std::string imperial = api_says("weather", target + "&units=imperial");
    asked.add({daemon.url("/weather/" + at)}, api_says("weather", target));
    asked.add({daemon.url("/weather/" + at + "?units=imperial")}, imperial);
    // Other spellings: an escape that none is needed for, and parameters that the API has not.
    std::string escaped = at;
    escaped.replace(escaped.find(".25"), 3, "%2E%325");
    otherwise.add({daemon.url("/weather/" + escaped + "?utm_x=1&units=%69mperial&_=17")}, imperial);
  }
  all_are_right(asked);
  const double attempts = daemon.metric_sum("holdfast_upstream_attempts_total");
  upstream.tell("mode", "down");
  all_are_right(asked);
  all_are_right(otherwise);
  CHECK(daemon.metric_sum("holdfast_upstream_attempts_total") == attempts);
  CHECK(daemon.stop() == 0);
}

TEST_CASE("registry: names of all kinds, ETags and entries that are not there") {
  const Folder folder;
  Upstream upstream({"--api", "registry", "--faults", "mixed=0.45,html404=0.05", "--seed", "8"});
  std::string file = example("registry", upstream.url());
  Asked asked;
  std::string a_package;
  {
    Daemon daemon = routed(folder, file);
    for (std::size_t i = 0; i < 50; ++i) {
      const std::string n = std::to_string(i);
      // The two "@scope/" are two keys (RFC 3986, 2.2), and "c++" needs no escape.
      for (const std::string& name : {"plain-" + n, "@scope%2Fname-" + n, "%40scope%2fname-" + n,
                                      "caf%C3%A9-" + n, "c++-" + n, "%E5%8C%85%20" + n}) {
        asked.add({daemon.url("/packages/" + name)}, api_says("registry", "/packages/" + name));
      }
    }
    all_are_right(asked);
    // As a client writes it, unescaped: the same key.
    asked.add({daemon.url("/packages/caf\xc3\xa9-7?x=1")},
              api_says("registry", "/packages/caf%C3%A9-7"));
    upstream.tell("mode", "down");
    all_are_right(asked);
    upstream.tell("mode", "up");
    upstream.tell("faults", "none");

    a_package = daemon.url("/packages/plain-1");
    const Response whole = get(a_package);
    CHECK(ask({a_package, "GET", {"If-None-Match: " + whole.field("ETag")}}).status == 304);
    const Response head = ask({a_package, "HEAD"});
    CHECK(head.status == 200);
    CHECK(head.body == "");
    CHECK(head.field("Content-Length") == std::to_string(whole.body.size()));
    CHECK(head.field("ETag") == whole.field("ETag"));

    for (int i = 0; i < 3; ++i) {
      const Response missing = get(daemon.url("/packages/missing-1"));
      CHECK(missing.status == 404);
      CHECK(missing.field("Content-Type") == "application/json");
      CHECK(missing.body == "{\"code\":\"package_not_found\",\"name\":\"missing-1\"}");
      CHECK(seconds_left(missing) <= 33);
    }
    CHECK(ask({daemon.url("/packages/missing-1"), "HEAD"}).status == 404);
    CHECK(upstream.count("requests", "/packages/missing-1") == 1);
    upstream.script("/packages/new", "html404,html404,ok");
    CHECK(get(daemon.url("/packages/new")).body == api_says("registry", "/packages/new"));
    CHECK(upstream.count("requests", "/packages/new") >= 3);
    CHECK(daemon.stop() == 0);
  }
  // Ten minutes later: what is stored is stale, and is refreshed by its ETag.
  Daemon daemon = routed(folder, file, one_attempt({{"CLOCK_OFFSET", "10m"}}));
  const std::uint64_t before = upstream.count("not_modified");
  const Response stale = get(daemon.url("/packages/plain-1"));
  CHECK(stale.status == 200);
  CHECK(contains(stale.field("Cache-Status"), "detail=stale-while-revalidate"));
  daemon.wait_for_metric("holdfast_refreshes_total{result=\"freshened\",upstream=\"registry\"}",
                         [](double count) { return count == 1; });
  CHECK(upstream.count("not_modified") == before + 1);
  const Response fresh = get(daemon.url("/packages/plain-1"));
  CHECK(fresh.body == stale.body);
  CHECK(stated_ttl(fresh) > 200);
  // The 404 was for thirty seconds.
  upstream.script("/packages/missing-1", "500,404");
  CHECK(get(daemon.url("/packages/missing-1")).status == 404);
  CHECK(upstream.count("requests", "/packages/missing-1") == 3);
  CHECK(daemon.stop() == 0);
}

TEST_CASE("search: pages, queries in any order, and each client in its language") {
  const Folder folder;
  // All of the mix but an answer about another query, which nothing in it gives away.
  Upstream upstream({"--api", "search", "--seed", "9", "--faults",
                     "5xx=0.12,429=0.03,reset=0.04,reset-body=0.04,short-body=0.04,malformed=0.05,"
                     "html=0.04,empty=0.04,hang=0.02,drip=0.02,slow=0.02,missing-fields=0.02,"
                     "html404=0.02"});
  Daemon daemon = routed(folder, example("search", upstream.url()));
  const std::vector<std::string> languages = {"", "de", "fr-CH, fr;q=0.9"};
  Asked asked, otherwise;
  for (std::size_t i = 0; i < 90; ++i) {
    const std::string& language = languages[i % languages.size()];
    const std::string q = "q=m%C3%BCsli%26co+" + std::to_string(i / 9);
    const std::string page = std::to_string(1 + i / 3 % 3);
    const std::string body = api_says("search", "/search?" + q + "&page=" + page, language);
    std::vector<std::string> fields;
    if (!language.empty()) fields.push_back("Accept-Language: " + language);
    asked.add({daemon.url("/search?" + q + "&page=" + page), "GET", fields}, body);
    otherwise.add(
        {daemon.url("/search?page=" + page + "&x=1&" + q + "&session=" + std::to_string(i)), "GET",
         fields},
        body);
  }
  for (const Response& response : all_are_right(asked)) {
    CHECK(response.field("Vary") == "Accept-Language");
    CHECK(contains(response.body, "\"language\":\"" + response.field("Content-Language") + "\""));
  }
  // What is posted is asked once, right or wrong, and stored nowhere.
  upstream.tell("faults", "none");
  const Query post{daemon.url("/search"), "POST", {"Accept-Language: de"}, "q=posted&page=1"};
  const std::string subject = "/search?q=posted&page=1 de";
  for (int i = 1; i <= 2; ++i) {
    const Response posted = ask(post);
    CHECK(posted.status == 200);
    CHECK(posted.body == api_says("search", "/search?q=posted&page=1", "de"));
    CHECK(contains(posted.field("Cache-Status"), "fwd=method"));
    CHECK(upstream.count("requests", subject) == static_cast<std::uint64_t>(i));
  }
  upstream.tell("faults", "reset=1");
  CHECK(ask(post).status == 502);
  CHECK(upstream.count("requests", subject) == 3);
  const double attempts = daemon.metric_sum("holdfast_upstream_attempts_total");
  upstream.tell("mode", "blackhole");
  all_are_right(asked);
  all_are_right(otherwise);
  CHECK(daemon.metric_sum("holdfast_upstream_attempts_total") == attempts);
  CHECK(daemon.stop() == 0);
}
