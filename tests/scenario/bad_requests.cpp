// What a client may not ask is told so, in JSON, and never reaches the upstream.
#include <doctest/doctest.h>

#include "raw_client.h"
#include "stage.h"

using namespace holdfast::scenario;

TEST_CASE("every invalid path is an error in JSON and never reaches the upstream") {
  const Folder folder;
  Upstream upstream;
  Daemon daemon(folder, upstream.url());
  for (const std::string& path :
       {std::string("/lookup/999.1.1.1"), std::string("/lookup/abc"), std::string("/lookup/"),
        std::string("/lookup"), std::string("/"), std::string("/lookup/1.2.3.4%0d%0aX:1"),
        std::string("/lookup/::1%25eth0"), std::string("/lookup/%00"),
        std::string("/lookup/8.8.8.8%00"), std::string("/lookup/01.2.3.4"),
        std::string("/lookup/8.8.8.8/"), std::string("/lookup/../livez"),
        std::string("/lookup/./8.8.8.8"), std::string("/../../etc/passwd"),
        std::string("/lookup/%2e%2e/x"), std::string("/lookup//8.8.8.8"),
        "/lookup/" + std::string(10'000, '1')}) {
    CAPTURE(path.substr(0, 60));
    const Response response = get(daemon.url(path));
    if (path == "/lookup") {
      CHECK(response.status == 405);  // it takes batches
    } else {
      CHECK((response.status == 400 || response.status == 404 || response.status == 414));
    }
    CHECK(response.field("Content-Type") == "application/problem+json");
    CHECK(response.body.find("\"status\":" + std::to_string(response.status)) != std::string::npos);
    CHECK(response.field("X-Evil") == "");
  }
  CHECK(upstream.count("requests") == 0);
}

TEST_CASE("all spellings of an address share one stored response") {
  const Folder folder;
  Upstream upstream;
  Daemon daemon(folder, upstream.url(), one_attempt());
  for (const char* ip : {"2001:DB8:0:0::1", "2001:db8::1", "2001%3Adb8::0001"}) {
    const Response response = get(daemon.lookup_url(ip));
    CHECK(response.status == 200);
    CHECK(response.body == expected_body("2001:db8::1"));
  }
  for (const char* ip : {"::ffff:8.8.8.8", "8.8.8.8", "::FFFF:808:808"}) {
    CHECK(get(daemon.lookup_url(ip)).body == expected_body("8.8.8.8"));
  }
  CHECK(upstream.count("requests") == 2);
}

TEST_CASE("other methods are refused with what is allowed") {
  const Folder folder;
  Upstream upstream;
  Daemon daemon(folder, upstream.url());
  for (const char* method : {"PUT", "DELETE", "PATCH"}) {
    const Response response = ask({daemon.lookup_url("8.8.8.8"), method});
    CHECK(response.status == 405);
    CHECK(response.field("Allow") == "GET, HEAD, OPTIONS");
  }
  CHECK(ask({daemon.lookup_url("8.8.8.8"), "OPTIONS"}).status == 204);
  CHECK(upstream.count("requests") == 0);
  const Response head = ask({daemon.lookup_url("8.8.8.8"), "HEAD"});
  CHECK(head.status == 200);
  CHECK(head.body.empty());
  CHECK(head.field("Content-Length") == std::to_string(expected_body("8.8.8.8").size()));
}

TEST_CASE("a balancer's check is answered, with Host, without, and with an empty one") {
  const Folder folder;
  Upstream upstream;
  Daemon daemon(folder, upstream.url());
  RawClient client(daemon.port());
  for (const std::string target : {"*", "/"}) {
    for (const std::string fields : {" HTTP/1.1\r\nHost: x\r\n", " HTTP/1.1\r\nHost:\r\n",
                                     " HTTP/1.0\r\nConnection: keep-alive\r\n"}) {
      CAPTURE(target);
      CAPTURE(fields);
      client.send("OPTIONS " + target + fields + "\r\n");
      const auto answer = client.read();
      CHECK(answer.status == 204);
      CHECK(contains(answer.head, "Allow: GET, HEAD, OPTIONS"));
    }
  }
  CHECK(client.ask("GET /lookup/8.8.8.8 HTTP/1.1\r\nHost:\r\n\r\n").status == 200);
  CHECK(client.ask("GET / HTTP/1.1\r\nHost:\r\n\r\n").status == 404);
}

TEST_CASE("an answer carries the fields of the contract, and If-None-Match gets 304") {
  const Folder folder;
  Upstream upstream;
  Daemon daemon(folder, upstream.url());
  const Response miss = get(daemon.lookup_url("8.8.8.8"));
  CHECK(miss.field("Content-Type") == "application/json");
  CHECK(miss.field("Content-Length") == std::to_string(miss.body.size()));
  CHECK(miss.field("Age").size() == 1);  // the seconds that the attempt took
  CHECK(miss.field("Date") != "");
  CHECK(seconds_left(miss) == stated_ttl(miss));
  CHECK(miss.field("Cache-Status").find("holdfast; fwd=uri-miss; fwd-status=200; stored; ttl=") ==
        0);
  CHECK(miss.field("X-Request-ID").size() == 16);

  const Response hit = ask({daemon.lookup_url("8.8.8.8"), "GET", {"X-Request-ID: mine-1"}});
  CHECK(hit.field("Cache-Status").find("holdfast; hit; ttl=") == 0);
  CHECK(seconds_left(hit) == stated_ttl(hit));
  CHECK(hit.field("Cache-Control") == miss.field("Cache-Control"));
  CHECK(hit.field("X-Request-ID") == "mine-1");
  CHECK(hit.field("ETag") == miss.field("ETag"));
  const std::string etag = hit.field("ETag");
  REQUIRE(etag.size() > 2);
  CHECK(etag.front() == '"');
  for (const std::string& condition : {etag, "W/" + etag, "\"other\", " + etag, std::string("*")}) {
    const Response unchanged =
        ask({daemon.lookup_url("8.8.8.8"), "GET", {"If-None-Match: " + condition}});
    CHECK(unchanged.status == 304);
    CHECK(unchanged.body.empty());
    CHECK(unchanged.field("ETag") == etag);
    CHECK(seconds_left(unchanged) == stated_ttl(unchanged));
  }
  CHECK(ask({daemon.lookup_url("8.8.8.8"), "GET", {"If-None-Match: \"other\""}}).status == 200);
}

// RFC 9110, 13.1.3 and 13.2.2.
TEST_CASE(
    "If-Modified-Since counts against the upstream's Last-Modified, and only without an ETag") {
  const std::string modified = "Tue, 01 Sep 2026 00:00:00 GMT";
  const Folder folder;
  Upstream upstream({"--last-modified", modified});
  Daemon daemon(folder, upstream.url(), one_attempt());
  const auto status = [&](const char* ip, std::vector<std::string> fields) {
    return ask({daemon.lookup_url(ip), "GET", std::move(fields)}).status;
  };
  CHECK(status("8.8.8.8", {"If-Modified-Since: " + modified}) == 304);  // a miss
  const Response hit =
      ask({daemon.lookup_url("8.8.8.8"), "GET", {"If-Modified-Since: " + modified}});
  CHECK(hit.status == 304);
  CHECK(hit.body.empty());
  CHECK(hit.field("ETag") != "");
  CHECK(status("8.8.8.8", {"If-Modified-Since: Tue, 01 Sep 2026 00:00:01 GMT"}) == 304);
  CHECK(status("8.8.8.8", {"If-Modified-Since: Mon, 31 Aug 2026 23:59:59 GMT"}) == 200);
  CHECK(status("8.8.8.8", {"If-Modified-Since: yesterday"}) == 200);
  CHECK(status("8.8.8.8", {"If-Modified-Since: " + modified, "If-None-Match: \"other\""}) == 200);
  CHECK(upstream.count("requests") == 1);

  Upstream silent;  // says nothing of when
  const Folder other;
  Daemon second(other, silent.url());
  CHECK(ask({second.lookup_url("8.8.8.8"), "GET", {"If-Modified-Since: " + modified}}).status ==
        200);
}

TEST_CASE("what the upstream forbids to store, no cache between us and the client may store") {
  // However it is written: folded, with the wrong separator, with a space before the colon. What
  // stands behind a line's end is sent as a field of its own.
  for (const char* says :
       {"no-store", "max-age=600,\r\n no-store", "no-cache; no-store",
        "max-age=600\r\nCache-Control : no-store", "max-age=600\r\nVary:\r\n *"}) {
    CAPTURE(says);
    const Folder folder;
    Upstream upstream({"--cache-control", says});
    Daemon daemon(folder, upstream.url(), one_attempt());
    for (int i = 0; i < 2; ++i) {
      const Response response = get(daemon.lookup_url("8.8.8.8"));
      CHECK(response.status == 200);
      CHECK(response.body == expected_body("8.8.8.8"));
      CHECK(response.field("Cache-Control") == "no-store");
      const std::string word = contains(says, "Vary") ? "vary-star" : "no-store";
      CHECK(response.field("Cache-Status") ==
            "holdfast; fwd=uri-miss; fwd-status=200; detail=" + word);
    }
    CHECK(upstream.count("requests") == 2);
  }
}

TEST_CASE("an upstream 404 is answered as 404 and kept") {
  const Folder folder;
  Upstream upstream;
  // Nothing is there: every path of this upstream is unknown.
  Daemon daemon(folder, upstream.url() + "/nowhere", one_attempt());
  for (int i = 0; i < 3; ++i) {
    const Response response = get(daemon.lookup_url("8.8.8.8"));
    CHECK(response.status == 404);
    CHECK(response.field("Content-Type") == "application/problem+json");
  }
  CHECK(upstream.count("requests") == 1);
}
