#include "fleet/redis_link.h"

#include <doctest/doctest.h>

#include <string>

#include "test_node.h"

using namespace holdfast;
using namespace holdfast::fleet;
using fleet::test::TestLink;
using fleet::test::TestNode;
using namespace std::chrono_literals;

namespace {

constexpr std::string_view kGetA = "*2\r\n$3\r\nGET\r\n$1\r\na\r\n";

std::string nested(int depth) {
  std::string text;
  for (int i = 0; i < depth; ++i) text += "*1\r\n";
  return text + ":1\r\n";
}

}  // namespace

TEST_CASE(
    "a link greets with its user, password and database, and is ready when PING is answered") {
  const TestNode node;
  Endpoint endpoint = node.endpoint();
  endpoint.user = "app";
  endpoint.database = 2;
  TestLink link({.endpoint = endpoint, .password = "secret"});
  const auto peer = node.accept();
  peer.expect(
      "*3\r\n$4\r\nAUTH\r\n$3\r\napp\r\n$6\r\nsecret\r\n*2\r\n$6\r\nSELECT\r\n$1\r\n2\r\n"
      "*1\r\n$4\r\nPING\r\n");
  peer.send("+OK\r\n+OK\r\n");
  CHECK_FALSE(link.call({"GET", "a"}));
  peer.send("+PONG\r\n");
  CHECK(link.change() == "ready");
  CHECK(link.call({"GET", "a"}));
  peer.expect(kGetA);
}

TEST_CASE("a node that refuses the greeting is told by what it says, and greeted again") {
  const TestNode node;
  TestLink link({.endpoint = node.endpoint()});
  {
    const auto peer = node.accept();
    peer.expect("*1\r\n$4\r\nPING\r\n");
    peer.send("-LOADING Redis is loading the dataset in memory\r\n");
    CHECK(link.change() == "PING: LOADING Redis is loading the dataset in memory");
    CHECK(peer.closes());
  }
  node.accept().greet();
  CHECK(link.change() == "ready");
}

TEST_CASE("replies come back to who asked, in order, in all their kinds") {
  const TestNode node;
  TestLink link({.endpoint = node.endpoint()});
  const auto peer = node.accept();
  peer.greet();
  CHECK(link.change() == "ready");
  for (int i = 0; i < 6; ++i) CHECK(link.call({"GET", "a"}));
  // In pieces, as a network has them.
  for (const char* const piece : {"$3\r", "\na\r\n\r\n:-", "7\r\n$-", "1\r\n-WRONGTYPE no\r\n+O",
                                  "K\r\n*2\r\n$1\r\nb\r\n*1\r\n:4\r\n"}) {
    peer.send(piece);
  }
  const Reply text = link.reply();
  CHECK(text.kind == Reply::Kind::Text);
  CHECK(text.text == "a\r\n");
  const Reply integer = link.reply();
  CHECK(integer.kind == Reply::Kind::Integer);
  CHECK(integer.integer == -7);
  CHECK(link.reply().kind == Reply::Kind::Nil);
  const Reply error = link.reply();
  CHECK(error.kind == Reply::Kind::Error);
  CHECK(error.text == "WRONGTYPE no");
  CHECK(link.reply().text == "OK");
  const Reply array = link.reply();
  REQUIRE(array.elements.size() == 2);
  CHECK(array.elements[0].text == "b");
  REQUIRE(array.elements[1].elements.size() == 1);
  CHECK(array.elements[1].elements[0].integer == 4);
}

TEST_CASE("a reply that is overdue ends the connection, and nobody waits for the next") {
  const TestNode node;
  TestLink link({.endpoint = node.endpoint()});
  const auto silent = node.accept();
  silent.greet();
  CHECK(link.change() == "ready");
  CHECK(link.call({"GET", "a"}));  // has time, and none after that
  CHECK(link.call({"GET", "a"}, 1ms));
  CHECK(link.reply().kind == Reply::Kind::Lost);
  CHECK(link.reply().kind == Reply::Kind::Late);
  CHECK(link.change() == "a reply is overdue");
  CHECK(silent.closes());
  // It stands still, and takes connections all the same.
  const auto next = node.accept();
  CHECK_FALSE(link.call({"GET", "a"}));
  next.greet();
  CHECK(link.change() == "ready");
  CHECK(link.call({"GET", "a"}));
}

TEST_CASE("what is no reply, or none that was asked for, ends the connection") {
  for (const std::string& answer :
       {std::string("HTTP/1.1 400 Bad Request\r\n"), std::string("$-2\r\n"),
        std::string("$99999999999999999999\r\n"), std::string("*2147483647\r\n"),
        std::string("*65537\r\n"), std::string(":abc\r\n"), nested(12), std::string("\0\0\0", 3)}) {
    CAPTURE(answer);
    const TestNode node;
    TestLink link({.endpoint = node.endpoint()});
    const auto peer = node.accept();
    peer.greet();
    CHECK(link.change() == "ready");
    CHECK(link.call({"GET", "a"}));
    peer.expect(kGetA);
    peer.send(answer);
    CHECK(link.reply().kind == Reply::Kind::Lost);
    CHECK(link.change().starts_with("not a reply: "));
    CHECK(peer.closes());
  }
  const TestNode node;
  TestLink link({.endpoint = node.endpoint()});
  const auto peer = node.accept();
  peer.greet();
  CHECK(link.change() == "ready");
  peer.send("+OK\r\n");
  CHECK(link.change() == "a reply that nobody asked for");
  CHECK(peer.closes());
}

TEST_CASE("a reply without end is not read to its end") {
  const TestNode node;
  TestLink link({.endpoint = node.endpoint(), .longest_reply_bytes = 100'000});
  const auto peer = node.accept();
  peer.greet();
  CHECK(link.change() == "ready");
  CHECK(link.call({"GET", "a"}));
  peer.send("$500000000\r\n" + std::string(300'000, 'x'));
  CHECK(link.reply().kind == Reply::Kind::Lost);
  CHECK(link.change() == "a reply is longer than 100000 bytes");
}

TEST_CASE("no more is under way than may be, by number and by bytes") {
  const TestNode node;
  TestLink link({.endpoint = node.endpoint(), .most_commands = 2, .most_bytes = 1'000});
  const auto peer = node.accept();
  peer.greet();
  CHECK(link.change() == "ready");
  CHECK_FALSE(link.call({"SET", "a", std::string(1'000, 'x')}));
  CHECK(link.call({"GET", "a"}));
  CHECK(link.call({"GET", "a"}));
  CHECK_FALSE(link.call({"GET", "a"}));
  peer.send("$-1\r\n");
  CHECK(link.reply().kind == Reply::Kind::Nil);
  CHECK(link.call({"GET", "a"}));
}

TEST_CASE("a command longer than the socket's buffers is sent whole") {
  const TestNode node;
  TestLink link({.endpoint = node.endpoint(), .most_bytes = 32'000'000});
  const auto peer = node.accept();
  peer.greet();
  CHECK(link.change() == "ready");
  const std::string value(16'000'000, 'v');
  CHECK(link.call({"SET", "a", value}));
  peer.expect("*3\r\n$3\r\nSET\r\n$1\r\na\r\n$16000000\r\n" + value + "\r\n");
  peer.send("+OK\r\n");
  CHECK(link.reply().text == "OK");
}

TEST_CASE("when the node closes, what was under way is lost, and there is a new connection") {
  const TestNode node;
  TestLink link({.endpoint = node.endpoint()});
  {
    const auto peer = node.accept();
    peer.greet();
    CHECK(link.change() == "ready");
    CHECK(link.call({"GET", "a"}));
    peer.expect(kGetA);
  }
  CHECK(link.reply().kind == Reply::Kind::Lost);
  CHECK(link.change() == "the node closed the connection");
  node.accept().greet();
  CHECK(link.change() == "ready");
}

TEST_CASE("addresses are tried one after the other, and a name without any is told") {
  const TestNode node;
  {
    TestLink link({.endpoint = node.endpoint()}, {"not an address", "127.0.0.1"});
    CHECK(link.change() == "no address: not an address");
    node.accept().greet();
    CHECK(link.change() == "ready");
  }
  TestLink unknown({.endpoint = node.endpoint()}, {});
  CHECK(unknown.change() == "no address of node.example is known");
}

TEST_CASE("errors are counted by the class that their first word says") {
  CHECK(error_class("OOM command not allowed when used memory > 'maxmemory'.") == "oom");
  CHECK(error_class("WRONGPASS invalid username-password pair") == "noauth");
  CHECK(error_class("MOVED 3999 127.0.0.1:6381") == "moved");
  CHECK(error_class("ERR unknown command") == "other");
  CHECK(error_class("") == "other");
}
