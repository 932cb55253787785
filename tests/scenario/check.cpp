// `holdfast check`: one attempt at the upstream, and what is said of it.
#include <doctest/doctest.h>

#include <simdjson.h>
#include <algorithm>
#include <filesystem>
#include <fstream>

#include "command.h"
#include "stage.h"

using namespace holdfast::scenario;

namespace {

struct Check {
  Said operator()(std::vector<std::string> words) const {
    words.insert(words.begin(), "check");
    Said said = run_holdfast(std::move(words), environment);
    CHECK_FALSE(contains(said.output, Upstream::kToken));
    return said;
  }

  Process::Environment environment;
};

Check check_of(const Upstream& upstream, Process::Environment more = {}) {
  Check check{{{"API_URL", upstream.url()}, {"API_TOKEN", Upstream::kToken}}};
  check.environment.insert(check.environment.end(), more.begin(), more.end());
  return check;
}

}  // namespace

TEST_CASE("an answer that is right is told with what was asked, and exit code 0") {
  const Folder folder;
  Upstream upstream;
  const std::string store = (folder.path / "store.db").string();

  const auto result = check_of(upstream, {{"STORE_PATH", store}})({"/lookup/8.8.8.8"});

  INFO(result.output);
  CHECK(result.code == 0);
  CHECK(result.has("route       lookup, /lookup/{ip:ip}"));
  CHECK(result.has("asks        GET /geoip/8.8.8.8\n"));
  CHECK(result.has("Authorization: Bearer (secret)\n"));
  CHECK(result.has("came        status 200, " + std::to_string(expected_body("8.8.8.8").size()) +
                   " bytes of content, from 127.0.0.1, in "));
  CHECK(result.has("            Content-Type: application/json\n"));
  CHECK(result.has("verdict     right\n"));
  // Once, and nothing is kept of it.
  CHECK(upstream.count("requests") == 1);
  CHECK_FALSE(std::filesystem::exists(store));
}

TEST_CASE("an answer that a rule refuses is told with the rule and the member, and exit code 1") {
  Upstream upstream;
  const Check check = check_of(upstream);
  const auto says = [&](const std::string& ip, const std::string& fault) {
    upstream.script(ip, fault);
    const auto result = check({"/lookup/" + ip});
    INFO(result.output);
    CHECK(result.code == 1);
    // Of several attempts the next one would have been answered.
    CHECK(upstream.count("requests", ip) == 1);
    return result.output;
  };
  CHECK(contains(says("8.8.8.1", "html"),
                 "verdict     not right, invalid_body: status 200, "
                 "Content-Type: text/html"));
  CHECK(contains(says("8.8.8.2", "missing-fields"), ": /location is missing\n"));
  CHECK(contains(says("8.8.8.3", "other-ip"),
                 "verdict     not right, wrong_content: status 200: "
                 "speaks of "));
  CHECK(contains(says("8.8.8.4", "not-an-object"), "not right, invalid_body: "));
  CHECK(contains(says("8.8.8.7", "500"), "verdict     not right, 5xx: status 500"));
  CHECK(contains(says("8.8.8.5", "close"), "came        nothing, from 127.0.0.1"));
  CHECK(contains(says("8.8.8.6", "404"), "the upstream has no such entry"));
}

TEST_CASE("whom nobody answers is told why") {
  Upstream upstream;
  const std::string url = upstream.url();
  const auto refused = Check{{{"API_URL", url}, {"API_TOKEN", "another"}}}({"/lookup/8.8.8.8"});
  CHECK(refused.code == 1);
  CHECK(refused.has("the upstream refuses our token"));
  const auto without = Check{{{"API_URL", url}}}({"/lookup/8.8.8.8"});
  CHECK(without.code == 1);
  CHECK(without.has("not right, unauthorized: status 401"));
  CHECK(without.has("no token is set"));
  upstream.kill();
  const auto gone = Check{{{"API_URL", url}}}({"/lookup/8.8.8.8"});
  INFO(gone.output);
  CHECK(gone.code == 1);
  CHECK(gone.has("came        nothing, from 127.0.0.1"));
  CHECK(gone.has("verdict     not right, connect: "));
  const auto nameless = Check{{{"API_URL", "http://no.such.host.invalid"}}}({"/lookup/8.8.8.8"});
  CHECK(nameless.code == 1);
  CHECK(nameless.has("verdict     not right, dns: no address of no.such.host.invalid"));
}

TEST_CASE("a host's name is looked up, and each address tried until one takes the connection") {
  Upstream upstream;
  std::string url = upstream.url();
  url.replace(url.find("127.0.0.1"), 9, "localhost");
  const auto result =
      Check{{{"API_URL", url}, {"API_TOKEN", Upstream::kToken}}}({"/lookup/8.8.8.8"});
  INFO(result.output);
  CHECK(result.code == 0);
  CHECK(result.has("from 127.0.0.1"));
}

TEST_CASE("where nobody is asked it is said why, with exit code 1") {
  const Folder folder;
  Upstream upstream;
  std::ofstream(routing_file(folder)) << "[upstream.a]\nurls = [\"" << upstream.url() << R"("]
[[route]]
name = "batched"
match = "/b/{x}"
upstream = "a"
batch = "/b"
methods = ["GET", "HEAD", "POST"]
[[route]]
name = "archive"
match = "/old/{x}"
upstream = "a"
offline = true
)";
  const Check check{{{"HOLDFAST_CONFIG", routing_file(folder).string()}}};
  const auto none = check({"/nobody/takes/it"});
  CHECK(none.code == 1);
  CHECK(none.has("verdict     nobody was asked: no route takes it: clients get 404"));
  const auto offline = check({"/old/a"});
  CHECK(offline.code == 1);
  CHECK(offline.has("nobody was asked: the route is offline"));
  CHECK(upstream.count("requests") == 0);
}

TEST_CASE("a command or settings that are wrong are one line and exit code 2") {
  const auto refused = [](const std::vector<std::string>& words, Process::Environment environment) {
    const auto result = Check{std::move(environment)}(words);
    INFO(result.output);
    CHECK(result.code == 2);
    CHECK(std::count(result.output.begin(), result.output.end(), '\n') == 1);
    return result.output;
  };
  CHECK(contains(refused({}, {}),
                 "check: expected a path as /lookup/8.8.8.8, or a URL; see "
                 "holdfast check --help"));
  CHECK(contains(refused({"/lookup/8.8.8.8", "--method", "POST"}, {}), "unknown flag"));
  CHECK(contains(refused({"/lookup/8.8.8.8"}, {{"PORT", "x"}}), "PORT"));
  CHECK(contains(refused({"/lookup/8.8.8.8"},
                         {{"API_URL", "https://localhost"}, {"API_CA_FILE", "/no/such/file"}}),
                 "API_CA_FILE: "));
}

TEST_CASE("a route of mode rfc9111 is asked as its client would have it, and judged as it is") {
  const Folder folder;
  Upstream upstream({"--api", "registry"});
  std::ofstream(routing_file(folder)) << "[upstream.a]\nurls = [\"" << upstream.url() << R"("]
[[route]]
name = "site"
match = "/packages/{x}"
upstream = "a"
mode = "rfc9111"
)";
  const Check check{{{"HOLDFAST_CONFIG", routing_file(folder).string()}}};
  const auto right =
      check({"/packages/a", "--field", "Accept-Language: de", "--field", "If-None-Match: \"x\""});
  INFO(right.output);
  CHECK(right.code == 0);
  CHECK(right.has("            Accept-Language: de\n"));
  CHECK(contains(upstream.heard(), "Accept-Language"));
  // Those are held against what comes.
  CHECK_FALSE(right.has("If-None-Match"));
  CHECK_FALSE(contains(upstream.heard(), "If-None-Match"));
  upstream.script("/packages/b", "500");
  const auto failed = check({"/packages/b"});
  CHECK(failed.code == 1);
  CHECK(failed.has("verdict     not right, 5xx: status 500"));
}

TEST_CASE("for programs it is one JSON object") {
  Upstream upstream;
  upstream.script("8.8.8.8", "missing-fields");
  const auto result = check_of(upstream)({"/lookup/8.8.8.8", "--json"});
  INFO(result.output);
  CHECK(result.code == 1);
  simdjson::dom::parser parser;
  simdjson::dom::element json;
  REQUIRE(parser.parse(result.output).get(json) == simdjson::SUCCESS);
  bool right = true;
  std::string_view route, outcome, reason;
  std::int64_t status = 0;
  REQUIRE(json["right"].get(right) == simdjson::SUCCESS);
  REQUIRE(json["route"].get(route) == simdjson::SUCCESS);
  REQUIRE(json["answer"]["status"].get(status) == simdjson::SUCCESS);
  REQUIRE(json["outcome"].get(outcome) == simdjson::SUCCESS);
  REQUIRE(json["reason"].get(reason) == simdjson::SUCCESS);
  CHECK_FALSE(right);
  CHECK(route == "lookup");
  CHECK(status == 200);
  CHECK(outcome == "invalid_body");
  CHECK(contains(std::string(reason), "/"));
}
