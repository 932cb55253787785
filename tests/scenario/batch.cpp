// Many addresses in one request are looked up as if each were asked for alone.
#include <doctest/doctest.h>
#include <zlib.h>

#include <algorithm>
#include <thread>

#include "raw_client.h"
#include "stage.h"

using namespace holdfast::scenario;

namespace {

std::string array_of(const std::vector<std::string>& ips) {
  std::string out = "[";
  for (const std::string& ip : ips) {
    if (out.size() > 1) out += ", ";
    out.append("\"").append(ip).append("\"");
  }
  return out + "]";
}

std::string expected_array(const std::vector<std::string>& ips) {
  std::string out = "[";
  for (const std::string& ip : ips) {
    if (out.size() > 1) out += ",";
    out += expected_body(ip);
  }
  return out + "]";
}

Query batch_query(const Daemon& daemon, const std::string& content) {
  return {daemon.url("/lookup"), "POST", {"Content-Type: application/json", "Expect:"}, content};
}

Response post(const Daemon& daemon, const std::string& content) {
  return ask(batch_query(daemon, content));
}

std::string error_element(const std::string& ip, const std::string& error, int status) {
  return R"({"ip":")" + ip + R"(","error":")" + error + R"(","status":)" + std::to_string(status) +
         "}";
}

std::string gunzip(const std::string& coded) {
  z_stream stream{};
  REQUIRE(inflateInit2(&stream, 15 + 16) == Z_OK);
  std::string out(4 << 20, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(coded.data()));
  stream.avail_in = static_cast<uInt>(coded.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  CHECK(inflate(&stream, Z_FINISH) == Z_STREAM_END);
  out.resize(out.size() - stream.avail_out);
  inflateEnd(&stream);
  return out;
}

}  // namespace

TEST_CASE("a batch of 1000 is answered in order, each element the upstream's own bytes") {
  const Folder folder;
  Upstream upstream;
  Daemon daemon(folder, upstream.url(), one_attempt());
  std::vector<std::string> ips = test_ips(996);
  ips.insert(ips.end(), {ips[0], "2001:db8::1", "192.0.2.7", ips[0]});
  std::vector<std::string> unique = ips;
  std::sort(unique.begin(), unique.end());
  unique.erase(std::unique(unique.begin(), unique.end()), unique.end());

  for (int i = 0; i < 2; ++i) {
    const Response response = post(daemon, array_of(ips));
    CHECK(response.status == 200);
    CHECK(response.field("Content-Type") == "application/json");
    CHECK(response.field("Cache-Control") == "no-store");
    CHECK((response.body == expected_array(ips)));
  }
  // On a slow machine a few are tried again: what the first ones took is the measure of
  // how long the others may.
  const auto retries = daemon.metric("holdfast_upstream_retries_total");
  CHECK(upstream.count("requests") >= unique.size());
  CHECK(static_cast<double>(upstream.count("requests")) <=
        static_cast<double>(unique.size()) + retries);
  // What a batch fetched is a hit for everybody.
  CHECK(get(daemon.lookup_url(ips[5])).field("Cache-Status").find("holdfast; hit") == 0);
  CHECK(daemon.metric(R"(holdfast_requests_total{route="lookup_batch",code="200",cache="hit"})") ==
        1000);
}

TEST_CASE("an element that is no address has an error of its own, and costs the others nothing") {
  const Folder folder;
  Upstream upstream;
  Daemon daemon(folder, upstream.url(), one_attempt());
  const std::string error = "not an IPv4 or IPv6 address";
  const Response response =
      post(daemon, R"(["999.1.1.1","8.8.8.8","","::FFFF:8.8.8.8","8.8.8.%38","\"\u0007"])");
  CHECK(response.status == 200);
  CHECK(response.body == "[" + error_element("999.1.1.1", error, 400) + "," +
                             expected_body("8.8.8.8") + "," + error_element("", error, 400) + "," +
                             expected_body("8.8.8.8") + "," +
                             error_element("8.8.8.%38", error, 400) + "," +
                             error_element("\\\"\\u0007", error, 400) + "]");
  CHECK(upstream.count("requests") == 1);
  CHECK(post(daemon, "[]").body == "[]");
  CHECK(
      ask({daemon.url("/lookup"),
           "POST",
           {"Content-Type: application/json; charset=utf-8; foo=bar", "Content-Encoding: identity"},
           "[]"})
          .body == "[]");
}

TEST_CASE("a batch that is wrong as a whole is told what is, and reaches nobody") {
  const Folder folder;
  Upstream upstream;
  Daemon daemon(folder, upstream.url());
  const auto refused = [&](const Query& query, int status, const std::string& detail) {
    const Response response = ask(query);
    CAPTURE(detail);
    CHECK(response.status == status);
    CHECK(response.field("Content-Type") == "application/problem+json");
    CHECK(response.body.find(detail) != std::string::npos);
  };
  Query query = batch_query(daemon, "[\"8.8.8.8\",]");
  refused(query, 400, "not JSON: error at byte 12");
  query.body = "[\"8.8.8.8\",1]";
  refused(query, 400, "element 1 is not a string");
  query.body = array_of(std::vector<std::string>(1001, "8.8.8.8"));
  refused(query, 413, "more than 1000 addresses");
  query.body = "[\"" + std::string(70'000, '1') + "\"]";
  refused(query, 413, "too large");
  query.body = "[\"8.8.8.8\"]";
  query.fields = {"Content-Type: text/plain"};
  refused(query, 415, "application/json");
  query.fields = {"Content-Type:"};
  refused(query, 415, "application/json");
  // Before it is parsed: these bytes are no JSON, and are not called so.
  query.body = "\x1f\x8b\x08";
  query.fields = {"Content-Type: application/json", "Content-Encoding: gzip"};
  refused(query, 415, "content coding");
  CHECK(ask(query).field("Accept-Encoding") == "identity");
  for (const char* method : {"GET", "HEAD", "DELETE"}) {
    CAPTURE(method);
    const Response other = ask({daemon.url("/lookup"), method});
    CHECK(other.status == 405);
    CHECK(other.field("Allow") == "POST, OPTIONS");
  }
  CHECK(ask({daemon.url("/lookup"), "OPTIONS"}).field("Allow") == "POST, OPTIONS");
  CHECK(ask({daemon.lookup_url("8.8.8.8"), "POST", {}, "x"}).status == 405);
  CHECK(upstream.count("requests") == 0);
}

TEST_CASE("batches and single requests for the same cold keys share one upstream request each") {
  const Folder folder;
  Upstream upstream;
  Daemon daemon(folder, upstream.url(), one_attempt());
  const std::vector<std::string> ips = test_ips(20);
  upstream.tell("hold", "");
  std::vector<Query> queries(30, batch_query(daemon, array_of(ips)));
  for (const std::string& ip : ips) queries.push_back({daemon.lookup_url(ip)});
  std::vector<Response> responses;
  std::jthread asking([&] { responses = ask_all(queries, queries.size()); });
  upstream.wait_until("held=1");
  daemon.wait_for_metric("holdfast_flight_waiters", [](double n) { return n == 31 * 20; });
  upstream.tell("release", "");
  asking.join();
  for (std::size_t i = 0; i < responses.size(); ++i) {
    CHECK(responses[i].status == 200);
    CHECK(responses[i].body == (i < 30 ? expected_array(ips) : expected_body(ips[i - 30])));
  }
  CHECK(upstream.count("requests") == 20);
}

TEST_CASE("elements without an answer at the deadline are 504, and the others are there") {
  const Folder folder;
  Upstream upstream;
  Daemon daemon(folder, upstream.url(), {{"REQUEST_DEADLINE", "5s"}});
  CHECK(get(daemon.lookup_url("8.8.8.8")).status == 200);
  upstream.tell("mode", "blackhole");
  const Response response = post(daemon, R"(["8.8.4.4","8.8.8.8","x"])");
  CHECK(response.status == 200);
  CHECK(response.body.find(R"([{"ip":"8.8.4.4","error":")") == 0);
  CHECK(response.body.find(R"(","status":504},)" + expected_body("8.8.8.8") + ",{") !=
        std::string::npos);
  CHECK(response.field("Cache-Status") == R"(holdfast; detail="hit=1 error=2")");
}

TEST_CASE("a batch whose client goes away leaves nothing behind") {
  const Folder folder;
  Upstream upstream;
  Daemon daemon(folder, upstream.url(), one_attempt());
  upstream.tell("hold", "");
  {
    const std::string content = array_of(test_ips(500));
    RawClient client(daemon.port());
    client.send(
        "POST /lookup HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
        "Content-Length: " +
        std::to_string(content.size()) + "\r\n\r\n" + content);
    upstream.wait_until("held=1");
  }
  daemon.wait_for_metric("holdfast_requests_in_flight", [](double n) { return n <= 1; });
  upstream.tell("release", "");
  daemon.wait_for_metric("holdfast_flight_waiters", [](double n) { return n == 0; });
  CHECK(get(daemon.lookup_url("8.8.8.8")).status == 200);
  CHECK(daemon.stop() == 0);
}

TEST_CASE("large content is compressed for those who ask, small content for nobody") {
  const Folder folder;
  Upstream upstream({"--oversized-bytes", "5000"});
  upstream.tell("script?ip=192.0.2.1", "oversized");
  Daemon daemon(folder, upstream.url(), one_attempt());
  const std::vector<std::string> ips = test_ips(100);
  Query query = batch_query(daemon, array_of(ips));
  CHECK(ask(query).field("Vary") == "Accept-Encoding");
  query.fields.push_back("Accept-Encoding: br, gzip;q=0.8");
  const Response batch = ask(query);
  CHECK(batch.field("Content-Encoding") == "gzip");
  CHECK(batch.field("Vary") == "Accept-Encoding");
  CHECK(batch.body.size() < expected_array(ips).size() / 2);
  CHECK((gunzip(batch.body) == expected_array(ips)));

  const std::string url = daemon.lookup_url("192.0.2.1");
  const Response plain = get(url);
  REQUIRE(plain.status == 200);
  REQUIRE(plain.body.size() > 5000);
  CHECK(plain.field("Content-Encoding") == "");
  CHECK(plain.field("Vary") == "Accept-Encoding");
  const Response coded = ask({url, "GET", {"Accept-Encoding: gzip"}});
  CHECK(coded.field("Content-Encoding") == "gzip");
  CHECK(coded.field("Content-Length") == std::to_string(coded.body.size()));
  CHECK(coded.field("ETag") == "W/" + plain.field("ETag"));
  CHECK((gunzip(coded.body) == plain.body));
  const Response unchanged =
      ask({url, "GET", {"Accept-Encoding: gzip", "If-None-Match: " + coded.field("ETag")}});
  CHECK(unchanged.status == 304);
  CHECK(unchanged.field("ETag") == coded.field("ETag"));
  CHECK(unchanged.field("Vary") == "Accept-Encoding");
  CHECK(ask({url, "GET", {"Accept-Encoding: gzip;q=0"}}).body == plain.body);

  for (int i = 0; i < 2; ++i) {
    const Response small = ask({daemon.lookup_url("8.8.8.8"), "GET", {"Accept-Encoding: gzip"}});
    CHECK(small.field("Content-Encoding") == "");
    CHECK(small.field("Vary") == "");
    CHECK(small.body == expected_body("8.8.8.8"));
  }
}
