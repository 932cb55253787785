// What people and scripts get to read: progress, summary, options.
#include <doctest/doctest.h>

#include <simdjson.h>

#include <sstream>

#include "options.h"
#include "progress.h"
#include "summary.h"

using namespace holdfast;
using namespace holdfast::warm;
using namespace std::chrono_literals;

namespace {

Snapshot half_way() {
  Snapshot snapshot;
  snapshot.total = 1000;
  snapshot.counts.fetched = 400;
  snapshot.counts.there = 112;
  snapshot.per_second = 230;
  return snapshot;
}

std::optional<Options> parse(std::vector<const char*> arguments, int& exit_code) {
  arguments.insert(arguments.begin(), "cache-warm");
  return parse_options(static_cast<int>(arguments.size()), arguments.data(), exit_code);
}

}  // namespace

TEST_CASE("a bar says how far, how fast, how long yet and with what outcome") {
  CHECK(bar_line(half_way(), 200) ==
        "[============>           ] 512/1000  51 %  230/s  ETA 3s  fetched 400, there 112");
  CHECK(bar_line(half_way(), 40).size() == 40);
  Snapshot done = half_way();
  done.counts.there = 590;
  done.counts.kept = 3;
  done.counts.failed = 7;
  done.counts.retries = 9;
  done.per_second = 0.5;
  CHECK(bar_line(done, 200) ==
        "[========================] 1000/1000  100 %  0.5/s  fetched 400, there 590, kept 3, "
        "failed 7, retries 9");
}

TEST_CASE("a pause says why, and no ETA is made up") {
  Snapshot waiting = half_way();
  waiting.per_second = 0;
  waiting.pause_reason = "status 503";
  CHECK(plain_line(waiting) ==
        "cache-warm: 512/1000  51 %  0.0/s  ETA -  fetched 400, there 112  (waiting: status 503)");
}

TEST_CASE("the rate is of the last ten seconds") {
  RateMeter meter;
  base::SteadyTime now{1h};
  meter.note(0, now);
  CHECK(meter.per_second() == 0);
  for (std::size_t settled = 100; settled <= 2000; settled += 100) meter.note(settled, now += 1s);
  CHECK(meter.per_second() == doctest::Approx(100));
  for (int i = 0; i < 15; ++i) meter.note(2000, now += 1s);
  CHECK(meter.per_second() == 0);
}

TEST_CASE("the summary as JSON holds every count, and reasons that need escaping") {
  RequestList list(10, {}, Site("http://127.0.0.1:3000"));
  std::istringstream in("8.8.8.8\n8.8.8.8\n2001:db8::1\nbad\n");
  REQUIRE(list.read(in, "list"));
  base::Random random(1);
  base::SteadyTime now{1h};
  Plan plan(2, {.attempts = 1}, random, now);
  const Step first = *plan.next(now);
  const Step second = *plan.next(now);
  plan.end(first, {.kind = Verdict::Kind::Fresh}, now);
  plan.end(second, {.kind = Verdict::Kind::TryAgain, .status = 502, .reason = "a \"bad\" one"},
           now);
  CHECK_FALSE(complete(plan, list));

  simdjson::dom::parser parser;
  simdjson::dom::element json;
  REQUIRE(parser.parse(summary_json(plan, list, {1500ms, true, false})).get(json) ==
          simdjson::SUCCESS);
  CHECK(bool(json["complete"]) == false);
  CHECK(bool(json["interrupted"]) == true);
  CHECK(std::uint64_t(json["addresses"]) == 2);
  CHECK(std::uint64_t(json["stored"]) == 1);
  CHECK(std::uint64_t(json["failed"]) == 1);
  CHECK(std::uint64_t(json["pending"]) == 0);
  CHECK(std::uint64_t(json["duplicates"]) == 1);
  CHECK(std::uint64_t(json["bad_lines"]) == 1);
  CHECK(double(json["seconds"]) == 1.5);
  simdjson::dom::element failure = json["failures"].at(0);
  CHECK(std::string_view(failure["ip"]) == "2001:db8::1");
  CHECK(std::uint64_t(failure["status"]) == 502);
  CHECK(std::string_view(failure["reason"]) == "a \"bad\" one");

  CHECK(summary_text(plan, list, {1500ms, true, false}) ==
        "2001:db8::1: a \"bad\" one\n"
        "1 of 2 stored: 0 fetched, 1 there already, 1 failed; 2 requests, 0 retries, 1.50 s\n"
        "bad lines, skipped: 1\n"
        "interrupted; run it again to go on\n");
}

TEST_CASE("what is no address is told by its path, in words and as JSON") {
  RequestList list(10, {}, Site("http://127.0.0.1:3000"));
  std::istringstream in("/a?b=\"\n8.8.8.8\n");
  REQUIRE(list.read(in, "list"));
  base::Random random(1);
  base::SteadyTime now{1h};
  Plan plan(2, {.attempts = 1}, random, now);
  const Step first = *plan.next(now);
  plan.end(first, {.kind = Verdict::Kind::Hopeless, .status = 400, .reason = "status 400"}, now);
  simdjson::dom::parser parser;
  simdjson::dom::element json;
  REQUIRE(parser.parse(summary_json(plan, list, {})).get(json) == simdjson::SUCCESS);
  CHECK(std::uint64_t(json["addresses"]) == 2);
  CHECK(std::uint64_t(json["paths"]) == 1);
  CHECK(std::string_view(json["failures"].at(0)["path"]) == "/a?b=%22");
  CHECK(summary_text(plan, list, {}).starts_with("/a?b=%22: status 400\n0 of 2 stored: "));
}

TEST_CASE("options are taken, and --wait takes no list for its duration") {
  int exit_code = 0;
  const auto options = parse({"--wait", "a.txt", "-", "--url=http://localhost:8080/x/", "--rate",
                              "2.5", "--refresh-within", "90m", "--concurrency=3", "--json"},
                             exit_code);
  REQUIRE(options.has_value());
  CHECK(options->files == std::vector<std::string>{"a.txt", "-"});
  CHECK(options->wait == 60s);
  CHECK(options->url == "http://localhost:8080/x");
  CHECK(options->plan.fetches_per_second == 2.5);
  CHECK(options->refresh_within == 90min);
  CHECK(options->plan.concurrency == 3);
  CHECK(options->json);
  CHECK(options->pattern.of_address("::1") == "/lookup/::1");
  CHECK(parse({"--route", "/v1/{}"}, exit_code)->pattern.of_text("a b").value() == "/v1/a%20b");
  CHECK(parse({"--host", "WWW.example.com:81"}, exit_code)->host == "www.example.com:81");
  CHECK(parse({"--wait=5s"}, exit_code)->wait == 5s);
  CHECK_FALSE(parse({}, exit_code)->wait.has_value());
}

TEST_CASE("a bad option is a usage error") {
  for (const std::vector<const char*>& arguments : {std::vector<const char*>{"--concurrency", "0"},
                                                    {"--concurrency", "many"},
                                                    {"--rate", "-1"},
                                                    {"--rate", "0"},
                                                    {"--wait=soon"},
                                                    {"--url", "ftp://x"},
                                                    {"--url", "localhost:3000"},
                                                    {"--refresh-within", "1"},
                                                    {"--attempts", "101"},
                                                    {"--max-addresses", "0"},
                                                    {"--timeout", "0"},
                                                    {"--route", "/v1"},
                                                    {"--route", "{}"},
                                                    {"--host", "http://x"},
                                                    {"--host", "x/y"},
                                                    {"--host", "a b"},
                                                    {"--host", ""},
                                                    {"--no-such"},
                                                    {"-", "-"}}) {
    CAPTURE(arguments[0]);
    int exit_code = 0;
    CHECK_FALSE(parse(arguments, exit_code).has_value());
    CHECK(exit_code == 2);
  }
}
