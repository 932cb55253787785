// CurlTransport over TLS: whom it believes, what it says when it does not, and what a
// handshake costs.
#include <doctest/doctest.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>

#include "curl_bench.h"
#include "mute_server.h"
#include "tls_server.h"

namespace holdfast::upstream {
namespace {

using namespace std::chrono_literals;
using namespace test;

const std::string kServerName = "api.test.invalid";
const std::string kKeyLog = "/tmp/holdfast-test-keys-" + std::to_string(::getpid());
// Before the first CurlTransport of this program.
const bool kKeyLogAsked = ::setenv("SSLKEYLOGFILE", kKeyLog.c_str(), 1) == 0;

Sending there(bool new_connection = false) {
  return {.address = "127.0.0.1", .new_connection = new_connection, .timeout = 20s};
}

CurlTransport::Settings trusting(const std::string& url, const TempFile& authorities) {
  return {.base_urls = {url}, .ca_file = authorities.path()};
}

// What comes of an attempt at a server that has that certificate.
Reply reply_from(const Identity& identity, const Authority& trusted) {
  TlsServer server(identity);
  const TempFile authorities(trusted.certificate());
  CurlSession session(trusting(server.url(kServerName), authorities));
  const Reply reply = session.get(there());
  const Reply knocked = session.knock(0, "127.0.0.1");
  CHECK(knocked.transport == reply.transport);
  CHECK(knocked.detail == reply.detail);
  return reply;
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("over TLS a whole answer comes, by way of the TLS phase, and the connection is kept") {
  const Authority authority("authority");
  TlsServer server(authority.issue(kServerName));
  const TempFile authorities(authority.certificate());
  CurlSession session(trusting(server.url(kServerName), authorities));
  const Reply first = session.get(there());
  CHECK(first.transport == Outcome::Ok);
  CHECK(first.body == "hello");
  CHECK(first.took(Phase::Connect) > 0ns);
  CHECK(first.took(Phase::Tls) > 0ns);
  CHECK(first.took(Phase::Answer) > 0ns);
  CHECK_FALSE(first.kept);
  const Reply second = session.get(there());
  CHECK(second.kept);
  CHECK(second.took(Phase::Tls) == 0ns);
  CHECK(server.handshakes() == 1);
  const Reply knocked = session.knock(0, "127.0.0.1");
  CHECK(knocked.transport == Outcome::Ok);
  CHECK(knocked.took(Phase::Tls) > 0ns);
  CHECK(server.heads().size() == 2);
}

TEST_CASE("a new connection takes the last one's session up, in TLS 1.3 and in 1.2") {
  for (const bool old : {false, true}) {
    CAPTURE(old);
    const Authority authority("authority");
    TlsServer server(authority.issue(kServerName), {.tls12 = old});
    const TempFile authorities(authority.certificate());
    CurlSession session(trusting(server.url(kServerName), authorities));
    CHECK(session.get(there()).transport == Outcome::Ok);
    CHECK(session.get(there(true)).transport == Outcome::Ok);
    CHECK(server.handshakes() == 2);
    CHECK(server.resumed() == 1);
  }
}

TEST_CASE("a server that cannot bear a session taken up costs one attempt") {
  const Authority authority("authority");
  TlsServer server(authority.issue(kServerName), {.tls12 = true, .refuses_resumed = true});
  const TempFile authorities(authority.certificate());
  CurlSession session(trusting(server.url(kServerName), authorities));
  CHECK(session.get(there()).transport == Outcome::Ok);
  CHECK(session.get(there(true)).transport != Outcome::Ok);
  CHECK(session.get(there(true)).transport == Outcome::Ok);
}

TEST_CASE("a server that ends TCP without ending TLS says as much as one without TLS") {
  struct Case {
    const char* answer;
    Outcome outcome;
    bool open_ended;
  };
  for (const Case& each :
       {Case{"HTTP/1.1 200 OK\r\n\r\nhello", Outcome::Ok, true},
        Case{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", Outcome::Ok, false},
        Case{"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", Outcome::Truncated, false},
        Case{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
             Outcome::Truncated, false},
        Case{"HTTP/1.1 200 OK\r\nContent-", Outcome::Reset, false}}) {
    CAPTURE(each.answer);
    for (const bool old : {false, true}) {
      CAPTURE(old);
      const Authority authority("authority");
      TlsServer server(authority.issue(kServerName), {.tls12 = old, .last_answer = each.answer});
      const TempFile authorities(authority.certificate());
      CurlSession session(trusting(server.url(kServerName), authorities));
      const Reply reply = session.get(there());
      CHECK(reply.transport == each.outcome);
      if (each.outcome == Outcome::Ok) CHECK(reply.body == "hello");
      if (each.outcome != Outcome::Reset) CHECK(reply.open_ended == each.open_ended);
    }
  }
}

TEST_CASE("a certificate that is not in order is told at once, and what is wrong with it") {
  const Authority authority("authority");
  const Authority stranger("stranger");
  const Reply good = reply_from(authority.issue(kServerName), authority);
  CHECK(good.transport == Outcome::Ok);

  const Reply expired = reply_from(authority.issue(kServerName, -2), authority);
  CHECK(expired.transport == Outcome::Certificate);
  CHECK(expired.phase == Phase::Tls);
  CHECK(has(expired.detail, "expired"));

  const Reply unknown = reply_from(stranger.issue(kServerName), authority);
  CHECK(unknown.transport == Outcome::Certificate);
  CHECK(has(unknown.detail, "from nobody we trust"));

  const Reply others = reply_from(authority.issue("other.test.invalid"), authority);
  CHECK(others.transport == Outcome::Certificate);
  CHECK(has(others.detail, "another host's"));
  CHECK(has(others.detail, kServerName));
}

TEST_CASE("what is no TLS at all is a TLS failure") {
  RawServer server([](const RawServer::Peer&) { return false; });
  server.greet("220 mail.test.invalid ready\r\n");
  const TempFile authorities(Authority("authority").certificate());
  CurlSession session(trusting("https://127.0.0.1:" + std::to_string(server.port()), authorities));
  const Reply reply = session.get();
  CHECK(reply.transport == Outcome::Tls);
  CHECK(reply.phase == Phase::Tls);
  CHECK_FALSE(reply.detail.empty());
}

TEST_CASE("a handshake that does not end is a TLS timeout, within the bound for set-up") {
  // Reads a request's head, which never comes.
  RawServer server([](const RawServer::Peer&) { return false; });
  const TempFile authorities(Authority("authority").certificate());
  auto settings = trusting("https://127.0.0.1:" + std::to_string(server.port()), authorities);
  settings.connect_timeout = 800ms;
  CurlSession session(settings);
  CHECK(session.get().transport == Outcome::TlsTimeout);
  CHECK(session.knock(0, "").transport == Outcome::TlsTimeout);
}

TEST_CASE("a client's certificate is shown to a server that wants one") {
  const Authority authority("authority");
  const Authority clients("clients");
  TlsServer server(authority.issue(kServerName), {.client_authority = clients.certificate()});
  const TempFile authorities(authority.certificate());
  const Identity own = clients.issue("holdfast");
  const TempFile certificate(own.certificate);
  const TempFile key(own.key);
  const TempFile both(own.both());

  auto settings = trusting(server.url(kServerName), authorities);
  CHECK(CurlSession(settings).get(there()).transport != Outcome::Ok);
  settings.client_cert_file = certificate.path();
  settings.client_key_file = key.path();
  CHECK(CurlSession(settings).get(there()).transport == Outcome::Ok);
  CHECK(server.client() == "holdfast");
  settings.client_cert_file = both.path();
  settings.client_key_file.clear();
  CHECK(CurlSession(settings).get(there()).transport == Outcome::Ok);
}

TEST_CASE("files that cannot be used are a failure of ours that names them") {
  const Authority authority("authority");
  TlsServer server(authority.issue(kServerName));
  const TempFile authorities(authority.certificate());
  const TempFile nothing("nothing\n");
  const TempFile other_key(authority.issue("x").key);
  const TempFile own(authority.issue("y").certificate);
  const auto failure = [&](CurlTransport::Settings settings) {
    settings.base_urls = {server.url(kServerName)};
    CurlSession session(settings);
    const Reply reply = session.get(there());
    CHECK(reply.transport == Outcome::Certificate);
    CHECK(reply.own_lack);
    CHECK(session.with([](CurlTransport& transport) { return transport.trust_problem(); }) ==
          reply.detail);
    return reply.detail;
  };
  CHECK(has(failure({.ca_file = "/nonexistent/ca.pem"}), "/nonexistent/ca.pem: No such file"));
  CHECK(has(failure({.ca_file = nothing.path()}), nothing.path()));
  CHECK(has(failure({.ca_file = authorities.path(), .client_cert_file = nothing.path()}),
            nothing.path()));
  CHECK(has(failure({.ca_file = authorities.path(),
                     .client_cert_file = own.path(),
                     .client_key_file = other_key.path()}),
            "not the key"));
  CHECK(server.handshakes() == 0);
}

TEST_CASE("trust follows its file; what was set up under the old one is not used again") {
  const Authority first("first");
  const Authority second("second");
  TlsServer server(first.issue(kServerName));
  const TempFile authorities(first.certificate());
  auto settings = trusting(server.url(kServerName), authorities);
  settings.trust_check_interval = 1ms;
  CurlSession session(settings);
  CHECK(session.get(there()).transport == Outcome::Ok);
  authorities.replace(second.certificate());
  // Neither the kept connection nor its session helps.
  Reply reply = session.get(there());
  while (reply.transport == Outcome::Ok) reply = session.get(there());
  CHECK(reply.transport == Outcome::Certificate);
  authorities.replace("not a certificate\n");
  const auto problem = [&] {
    return session.with([](CurlTransport& transport) { return transport.trust_problem(); });
  };
  while (problem().empty()) std::this_thread::yield();
  CHECK(session.get(there()).transport == Outcome::Certificate);  // the last good one holds
  authorities.replace(first.certificate());
  while (session.get(there()).transport != Outcome::Ok) std::this_thread::yield();
  CHECK(problem().empty());
}

TEST_CASE("an attempt that comes before the authorities have been read waits for them") {
  const Authority authority("authority");
  TlsServer server(authority.issue(kServerName));
  const TempFile place("");
  const std::string pipe = place.path() + ".pipe";
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  {
    CurlSession session(
        CurlTransport::Settings{.base_urls = {server.url(kServerName)}, .ca_file = pipe});
    Sending brief = there();
    brief.timeout = 50ms;
    const Reply late = session.get(brief);
    CHECK(late.transport == Outcome::TlsTimeout);
    CHECK(late.own_lack);
    std::promise<Reply> told;
    session.with([&](CurlTransport& transport) {
      const auto cancelled =
          transport.start(there(), {"/", {}}, [](const Reply&) { FAIL_CHECK("was cancelled"); });
      const auto id = transport.start(there(), {"/", {}},
                                      [&](Reply reply) { told.set_value(std::move(reply)); });
      CHECK(transport.progress(id)->phase == Phase::Tls);
      transport.cancel(cancelled);
    });
    std::ofstream(pipe) << authority.certificate();
    CHECK(told.get_future().get().transport == Outcome::Ok);
    CHECK(server.heads().size() == 1);
  }
  std::remove(pipe.c_str());
}

TEST_CASE("authorities are read once, not for each connection") {
  const Authority authority("authority");
  TlsServer server(authority.issue(kServerName));
  auto authorities = std::make_unique<TempFile>(authority.certificate());
  CurlSession session(trusting(server.url(kServerName), *authorities));
  CHECK(session.get(there()).transport == Outcome::Ok);
  authorities.reset();
  CHECK(session.get(there(true)).transport == Outcome::Ok);
}

TEST_CASE("HTTP/2 is offered where it is wanted, and nowhere else") {
  const Authority authority("authority");
  TlsServer server(authority.issue(kServerName));
  const TempFile authorities(authority.certificate());
  auto settings = trusting(server.url(kServerName), authorities);
  CHECK(CurlSession(settings).get(there()).transport == Outcome::Ok);
  CHECK_FALSE(has(server.alpn(), "h2"));
  CHECK(has(server.alpn(), "http/1.1"));
  settings.http2 = true;
  CHECK(CurlSession(settings).get(there()).transport == Outcome::Ok);
  CHECK(has(server.alpn(), "h2"));
}

TEST_CASE("SSLKEYLOGFILE is not obeyed") {
  REQUIRE(kKeyLogAsked);
  const Authority authority("authority");
  TlsServer server(authority.issue(kServerName));
  const TempFile authorities(authority.certificate());
  CHECK(CurlSession(trusting(server.url(kServerName), authorities)).get(there()).transport ==
        Outcome::Ok);
  CHECK(std::getenv("SSLKEYLOGFILE") == nullptr);
  struct stat status = {};
  CHECK(::stat(kKeyLog.c_str(), &status) != 0);
}

}  // namespace holdfast::upstream
