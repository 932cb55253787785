// However many ask for the same thing at once, the upstream is asked once.
#include <doctest/doctest.h>

#include "stage.h"

using namespace holdfast::scenario;

namespace {

void all_500_from(Daemon& daemon, const std::string& ip) {
  const std::vector<Query> queries(500, Query{daemon.lookup_url(ip)});
  std::size_t collapsed = 0;
  for (const Response& response : ask_all(queries, queries.size())) {
    CHECK(response.status == 200);
    CHECK(response.body == expected_body(ip));
    if (response.field("Cache-Status").find("; collapsed") != std::string::npos) ++collapsed;
  }
  // The rest came after the answer was there: hits, and the one that asked.
  CHECK(collapsed > 0);
}

}  // namespace

TEST_CASE("500 simultaneous requests for one cold key are one upstream request") {
  const Folder folder;
  Upstream upstream({"--latency", "300ms", "--latency-sigma", "0"});
  Daemon daemon(folder, upstream.url(), one_attempt());
  all_500_from(daemon, "8.8.8.8");
  CHECK(upstream.count("requests", "8.8.8.8") == 1);
}

TEST_CASE("if that attempt fails, its retry serves all 500") {
  const Folder folder;
  Upstream upstream({"--latency", "300ms", "--latency-sigma", "0"});
  upstream.tell("script?ip=8.8.8.8", "500");
  Daemon daemon(folder, upstream.url(), one_attempt());
  all_500_from(daemon, "8.8.8.8");
  CHECK(upstream.count("requests", "8.8.8.8") == 2);
}

TEST_CASE("what may not be stored goes to who asked for it; each of the others asks on") {
  const Folder folder;
  Upstream upstream({"--latency", "300ms", "--latency-sigma", "0", "--cache-control", "private"});
  Daemon daemon(folder, upstream.url(), one_attempt());
  const std::vector<Query> queries(20, Query{daemon.lookup_url("8.8.8.8")});
  for (const Response& response : ask_all(queries, queries.size())) {
    CHECK(response.status == 200);
    CHECK(response.body == expected_body("8.8.8.8"));
    CHECK(response.field("Cache-Status").find("; collapsed") == std::string::npos);
  }
  CHECK(upstream.count("requests", "8.8.8.8") == 20);
}
