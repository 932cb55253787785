// The service over TLS: its certificates, and that each fault is the same as without.
#include "tls.h"

#include <doctest/doctest.h>

#include <chrono>

#include "tls_client.h"

using namespace holdfast;
using namespace holdfast::flaky;
using namespace std::chrono_literals;

namespace {

struct TlsInstance {
  explicit TlsInstance(UpstreamSettings settings = {}, base::Duration handshake_delay = {})
      : tls(*Tls::make({"api.test", "127.0.0.1"})),
        instance({.tls = tls.get(), .handshake_delay = handshake_delay}, std::move(settings)) {}

  TlsInstance(const std::string& faults, FaultSettings of_faults)
      : TlsInstance({.faults = *FaultMix::parse(faults), .fault_settings = of_faults}) {}

  std::unique_ptr<Tls> tls;
  Instance instance;
};

struct Met {
  Reply reply;
  bool told_of_the_end = false;
};

Met meet_over_tls(const std::string& fault, FaultSettings of_faults = {}) {
  TlsInstance over_tls(fault + "=1", of_faults);
  TlsClient client(over_tls.instance.port(), over_tls.tls->ca_pem(), "api.test");
  REQUIRE(client.problem() == "");
  client.write(get("/geoip/192.0.2.7", "Connection: close\r\n"));
  auto reply = client.read_all();
  CHECK(over_tls.instance.count(fault) == 1);
  return {std::move(reply), client.was_told_of_the_end()};
}

}  // namespace

TEST_CASE("over TLS, a connection is kept for the next request") {
  TlsInstance over_tls;
  TlsClient client(over_tls.instance.port(), over_tls.tls->ca_pem(), "api.test");
  REQUIRE(client.problem() == "");
  for (const auto* ip : {"192.0.2.7", "192.0.2.8", "2001:db8::7"}) {
    client.write(get("/geoip/" + std::string(ip)));
    const auto reply = client.read();
    CHECK(reply.status == 200);
    CHECK(reply.content == truth(ip));
  }
  // Several in one record.
  client.write(get("/geoip/192.0.2.7") + get("/geoip/192.0.2.8"));
  CHECK(client.read().content == truth("192.0.2.7"));
  CHECK(client.read().content == truth("192.0.2.8"));
  CHECK(over_tls.instance.count("accepted") == 1);
}

TEST_CASE("the certificate is its names', and its CA's alone") {
  TlsInstance over_tls;
  const auto port = over_tls.instance.port();
  const auto& ca = over_tls.tls->ca_pem();
  CHECK(TlsClient(port, ca, "127.0.0.1").problem() == "");
  CHECK(TlsClient(port, ca, "other.test").problem() == "hostname mismatch");
  CHECK(TlsClient(port, ca, "127.0.0.2").problem() == "IP address mismatch");
  const auto stranger = *Tls::make({"api.test"});
  CHECK(TlsClient(port, stranger->ca_pem(), "api.test").problem() != "");
  CHECK_FALSE(Tls::make({}).has_value());
}

TEST_CASE("who speaks no TLS gets no answer, and others do") {
  TlsInstance over_tls;
  CHECK(ask(over_tls.instance.port(), "/geoip/192.0.2.7").status == 0);
  TlsClient client(over_tls.instance.port(), over_tls.tls->ca_pem(), "api.test");
  client.write(get("/geoip/192.0.2.7"));
  CHECK(client.read().status == 200);
  // The control port stays as it is.
  CHECK(over_tls.instance.control("/stats").status == 200);
}

TEST_CASE("over TLS, a reset is one, in the middle of the body too") {
  const auto before = meet_over_tls("reset");
  CHECK(before.reply.status == 0);
  CHECK(before.reply.ended == Ended::Rst);
  const auto within = meet_over_tls("reset-body");
  CHECK(within.reply.status == 200);
  CHECK(within.reply.content.size() == truth("192.0.2.7").size() / 2);
  CHECK(within.reply.ended == Ended::Rst);
}

TEST_CASE("over TLS, what ends early ends with a word to say so: only the framing tells") {
  const auto shorter = meet_over_tls("short-body");
  CHECK(shorter.reply.content == truth("192.0.2.7"));
  CHECK(shorter.reply.field("Content-Length") != std::to_string(shorter.reply.content.size()));
  CHECK(shorter.reply.ended == Ended::Fin);
  CHECK(shorter.told_of_the_end);
  const auto chunked = meet_over_tls("short-chunked");
  CHECK(chunked.reply.content.find("\r\n0\r\n") == std::string::npos);
  CHECK(chunked.told_of_the_end);
  const auto nothing = meet_over_tls("close");
  CHECK(nothing.reply.status == 0);
  CHECK(nothing.reply.ended == Ended::Fin);
  CHECK(nothing.told_of_the_end);
}

TEST_CASE("over TLS, garbage is the application's, and drip comes byte by byte") {
  const auto garbage = meet_over_tls("garbage");
  CHECK(garbage.reply.status == 0);
  CHECK_FALSE(garbage.reply.head.empty());
  CHECK(meet_over_tls("drip", {.drip_interval = 1ms}).reply.content == truth("192.0.2.7"));
  CHECK(meet_over_tls("oversized", {.oversized_bytes = 1 << 20}).reply.content.size() > 1 << 20);
}

TEST_CASE("over TLS, a client that leaves is noticed while its request hangs") {
  TlsInstance over_tls("hang=1", {});
  TlsClient client(over_tls.instance.port(), over_tls.tls->ca_pem(), "api.test");
  client.write(get("/geoip/192.0.2.7"));
  over_tls.instance.wait("in_flight=1");
  client.close();
  over_tls.instance.wait("aborted=1");
}

TEST_CASE("a handshake takes as long as it is told to") {
  TlsInstance over_tls({}, 50ms);
  auto start = std::chrono::steady_clock::now();
  TlsClient first(over_tls.instance.port(), over_tls.tls->ca_pem(), "api.test");
  CHECK(first.problem() == "");
  CHECK(std::chrono::steady_clock::now() - start >= 50ms);
  CHECK(over_tls.instance.put("/handshake-delay", "100ms").status == 200);
  start = std::chrono::steady_clock::now();
  TlsClient second(over_tls.instance.port(), over_tls.tls->ca_pem(), "api.test");
  CHECK(second.problem() == "");
  CHECK(std::chrono::steady_clock::now() - start >= 100ms);
  CHECK(over_tls.instance.put("/handshake-delay", "off").status == 200);
  CHECK(over_tls.instance.put("/handshake-delay", "soon").status == 400);
}

TEST_CASE("a certificate and key that are no such are named") {
  const auto missing = Tls::from_files("/nonexistent.pem", "/nonexistent.key");
  REQUIRE_FALSE(missing.has_value());
  CHECK(missing.error().message.find("/nonexistent.pem") != std::string::npos);
}
