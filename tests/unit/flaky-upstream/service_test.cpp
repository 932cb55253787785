// The healthy service: what it answers, and how it treats connections.
#include <doctest/doctest.h>

#include <vector>

#include "harness.h"

using namespace holdfast::flaky;

TEST_CASE("a lookup gets the answer, byte for byte") {
  Instance instance;
  for (const char* ip : {"192.0.2.7", "8.8.8.8", "2001:db8::7"}) {
    const auto reply = ask(instance.port(), "/geoip/" + std::string(ip));
    CHECK(reply.status == 200);
    CHECK(reply.field("Content-Type") == "application/json");
    CHECK(reply.content == truth(ip));
  }
  CHECK(ask(instance.port(), "/geoip/2001%3ADB8%3A%3A7?x=1").content == truth("2001:db8::7"));
}

TEST_CASE("a connection is kept for the next request, and pipelined ones are answered in order") {
  Instance instance;
  Client client(instance.port());
  std::string requests;
  for (int i = 0; i < 200; ++i) requests += get("/geoip/192.0.2." + std::to_string(i));
  client.write(requests);
  for (int i = 0; i < 200; ++i) {
    const auto reply = client.read();
    CHECK(reply.status == 200);
    CHECK(reply.content == truth("192.0.2." + std::to_string(i)));
  }
  client.write(get("/geoip/192.0.2.1", "Connection: close\r\n"));
  const auto last = client.read_all();
  CHECK(last.field("Connection") == "close");
  CHECK(last.ended == Ended::Fin);
  CHECK(instance.count("requests") == 201);
}

TEST_CASE("a request may come in pieces") {
  Instance instance;
  Client client(instance.port());
  for (const char c : get("/geoip/192.0.2.1")) client.write(std::string_view(&c, 1));
  CHECK(client.read().content == truth("192.0.2.1"));
}

TEST_CASE("without the bearer token the answer is a JSON 401") {
  Instance instance({.token = "s3cret"});
  const auto none = ask(instance.port(), "/geoip/192.0.2.1");
  CHECK(none.status == 401);
  CHECK(none.field("WWW-Authenticate") == "Bearer");
  CHECK(is_json(none.content));
  for (const char* wrong : {"Bearer s3cre", "Bearer s3crets", "Basic s3cret", "s3cret", ""}) {
    CAPTURE(wrong);
    CHECK(ask(instance.port(), "/geoip/192.0.2.1", "Authorization: " + std::string(wrong) + "\r\n")
              .status == 401);
  }
  const auto right = ask(instance.port(), "/geoip/192.0.2.1", "authorization: bearer s3cret\r\n");
  CHECK(right.status == 200);
  CHECK(instance.count("unauthorized") == 6);
}

TEST_CASE("a bad address is a JSON 400, another path a JSON 404, another method a 405") {
  Instance instance;
  for (const char* bad : {"abc", "", "999.1.1.1", "1.2.3.4%0d%0aX:1", "::1%25eth0", "%00", "%zz"}) {
    CAPTURE(bad);
    const auto reply = ask(instance.port(), "/geoip/" + std::string(bad));
    CHECK(reply.status == 400);
    CHECK(is_json(reply.content));
  }
  const auto other = ask(instance.port(), "/elsewhere");
  CHECK(other.status == 404);
  CHECK(is_json(other.content));
  Client client(instance.port());
  client.write("DELETE /geoip/192.0.2.1 HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n");
  const auto reply = client.read_all();
  CHECK(reply.status == 405);
  CHECK(reply.field("Allow") == "GET");
  CHECK(instance.count("invalid_ip") == 7);
}

TEST_CASE("what is not HTTP, or far too long, is refused and the connection closed") {
  Instance instance;
  Client client(instance.port());
  client.write("\x16\x03\x01 hello\r\n\r\n");
  const auto reply = client.read_all();
  CHECK(reply.status == 400);
  CHECK(reply.ended != Ended::Open);
  Client talker(instance.port());
  talker.write("GET /geoip/" + std::string(100'000, '1') + " HTTP/1.1\r\n\r\n");
  CHECK(talker.read_all().ended != Ended::Open);
  CHECK(instance.count("requests") == 0);
}

TEST_CASE("the validators asked for are sent, and a matching condition gets 304 without content") {
  Instance instance({.etag = true,
                     .fields = {{"Cache-Control", "max-age=60"},
                                {"Last-Modified", "Tue, 01 Sep 2026 00:00:00 GMT"}}});
  const auto full = ask(instance.port(), "/geoip/192.0.2.1");
  const auto etag = full.field("ETag");
  CHECK(etag.size() == 18);
  CHECK(full.field("Cache-Control") == "max-age=60");
  CHECK(full.field("Last-Modified") == "Tue, 01 Sep 2026 00:00:00 GMT");

  for (const auto& condition : {etag, "W/" + etag, "\"x\", " + etag, std::string("*")}) {
    const auto reply =
        ask(instance.port(), "/geoip/192.0.2.1", "If-None-Match: " + condition + "\r\n");
    CHECK(reply.status == 304);
    CHECK(reply.content.empty());
    CHECK(reply.field("ETag") == etag);
    CHECK(reply.field("Cache-Control") == "max-age=60");
  }
  CHECK(ask(instance.port(), "/geoip/192.0.2.1",
            "If-Modified-Since: Tue, 01 Sep 2026 00:00:00 GMT\r\n")
            .status == 304);
  // If-None-Match alone decides.
  CHECK(ask(instance.port(), "/geoip/192.0.2.1",
            "If-None-Match: \"x\"\r\nIf-Modified-Since: Tue, 01 Sep 2026 00:00:00 GMT\r\n")
            .status == 200);
  CHECK(instance.count("not_modified") == 5);

  // New data, new validator.
  CHECK(instance.put("/edition", "1").status == 200);
  const auto fresh = ask(instance.port(), "/geoip/192.0.2.1", "If-None-Match: " + etag + "\r\n");
  CHECK(fresh.status == 200);
  CHECK(fresh.content == geo_answer(*parse_address("192.0.2.1"), 1));
  CHECK(fresh.field("ETag") != etag);
}

TEST_CASE("five hundred connections are served at the same time") {
  Instance instance;
  REQUIRE(instance.put("/hold").status == 200);
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 500; ++i) {
    clients.push_back(std::make_unique<Client>(instance.port()));
    clients.back()->write(
        get("/geoip/10.0." + std::to_string(i / 250) + "." + std::to_string(i % 250)));
  }
  instance.wait("held=500");
  CHECK(instance.count("in_flight") == 500);
  CHECK(instance.count("max_open") == 500);
  CHECK(instance.put("/release").content == R"({"release":500})");
  int right = 0;
  for (int i = 0; i < 500; ++i) {
    const auto ip = "10.0." + std::to_string(i / 250) + "." + std::to_string(i % 250);
    right += clients[static_cast<std::size_t>(i)]->read().content == truth(ip) ? 1 : 0;
  }
  CHECK(right == 500);
  instance.wait("in_flight_at_most=0");
}
