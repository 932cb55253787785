// The shared tier on a real node. What the model of the unit tests answers is held against it, and
// what only a real one does is tried: memory that runs out, rights, a process that stands still.
#include <string>
#include <vector>

#include "base/virtual_scheduler.h"
#include "member.h"
#include "redis_server.h"
#include "unit/fleet/model_node.h"

using namespace holdfast;
using namespace holdfast::fleet;
using fleet::test::Member;
using fleet::test::ModelNode;
using fleet::test::RedisServer;
using Outcome = Tier::Outcome;

namespace {

// Of two replies, that they say the same: ids are the node's own.
std::string shape(const Reply& reply) {
  std::string text = std::to_string(static_cast<int>(reply.kind));
  if (!parse_position(reply.text)) text += " " + reply.text;
  text += " " + std::to_string(reply.integer) + "[";
  for (const Reply& element : reply.elements) text += shape(element) + ",";
  return text + "]";
}

}  // namespace

TEST_CASE("the model of a node answers as a node does") {
  const RedisServer server;
  Member member("a", server.socket());
  member.join();
  base::VirtualScheduler scheduler;
  ModelNode model(scheduler);
  const std::string replace =
      "if redis.call('GET',KEYS[1])==ARGV[1] then redis.call('SET',KEYS[1],ARGV[2]) return 1 "
      "else return 0 end";
  const std::vector<Link::Command> commands{
      {"GET", "k"},
      {"SET", "k", "v", "NX"},
      {"SET", "k", "w", "NX"},
      {"GET", "k"},
      {"SET", "k", "w", "EX", "100"},
      {"GET", "k"},
      {"EVAL", replace, "1", "k", "v", "x"},
      {"EVAL", replace, "1", "k", "w", "x"},
      {"EVAL", replace, "1", "none", "w", "x"},
      {"GET", "k"},
      {"UNLINK", "k"},
      {"UNLINK", "k"},
      {"XREVRANGE", "s", "+", "-", "COUNT", "1"},
      {"XRANGE", "s", "-", "+", "COUNT", "1"},
      {"XADD", "s", "NOMKSTREAM", "MAXLEN", "~", "10", "*", "a", "b"},
      {"XADD", "s", "*", "a", "b"},
      {"XADD", "s", "NOMKSTREAM", "MAXLEN", "~", "10", "*", "c", "d"},
      {"XREVRANGE", "s", "+", "-", "COUNT", "1"},
      {"XRANGE", "s", "-", "+", "COUNT", "1"},
      {"XRANGE", "s", "0-1", "+", "COUNT", "10"},
      {"XREAD", "COUNT", "10", "BLOCK", "1", "STREAMS", "s", "0-1"},
  };
  for (const Link::Command& command : commands) {
    CAPTURE(command.front());
    CHECK(shape(member.run(command)) == shape(model.run(command).value()));
  }
  // With nothing new it waits, and then says so.
  CHECK(member.run({"XREAD", "COUNT", "10", "BLOCK", "1", "STREAMS", "none", "0-1"}).kind ==
        Reply::Kind::Nil);
}

TEST_CASE("what one puts the others find, and what one purges none finds") {
  const RedisServer server;
  Member a("a", server.socket());
  a.join();
  Member b("b", server.socket());
  b.join();
  CHECK(b.find("k").outcome == Outcome::Miss);
  const Value early = a.value("k", "old");
  a.put(early);
  CHECK(b.find("k").value.body == "old");
  b.purge({Purge::Kind::Tag, false, "tag"});
  CHECK(b.find("k").outcome == Outcome::Purged);
  b.wait_until_told();
  CHECK(a.find("k").outcome == Outcome::Purged);
  a.wait_for_word("purged tag");
  a.put(early);
  CHECK(a.find("k").outcome == Outcome::Purged);
  a.put(a.value("k", "new"));
  CHECK(b.find("k").value.body == "new");
}

TEST_CASE("a node that loses everything is a gap, and goes on") {
  const RedisServer server;
  Member a("a", server.socket());
  a.join();
  a.put(a.value("k", "old"));
  REQUIRE(a.run({"FLUSHALL"}).text == "OK");
  a.wait_for_word("gap");
  a.join();
  a.put(a.value("k", "new"));
  CHECK(a.find("k").value.body == "new");
}

TEST_CASE("a node that is killed and started again is used again, and told what it was not") {
  RedisServer server;
  Member a("a", server.socket());
  a.join();
  server.stop();
  a.purge({Purge::Kind::Tag, false, "tag"});
  a.wait_for_word("the node closed the connection");
  CHECK(a.find("k").outcome == Outcome::Away);
  server.start();
  a.wait_until_told();
  a.join();
  a.put(a.value("k", "new"));
  a.wait_until_found("k", Outcome::Hit);
}

TEST_CASE("a node without memory is an error of its class, and reading goes on") {
  const RedisServer server({"--maxmemory", "3mb", "--maxmemory-policy", "noeviction"});
  Member a("a", server.socket());
  a.join();
  a.put(a.value("k", "v"));
  REQUIRE(a.run({"CONFIG", "SET", "maxmemory", "1"}).text == "OK");
  a.put(a.value("l", "v"));
  CHECK(a.stats().errors["oom"] == 1);
  CHECK(a.find("k").value.body == "v");
  CHECK(a.find("l").outcome == Outcome::Miss);
}

TEST_CASE("a password that is not right is told, and nothing waits for it") {
  const RedisServer server({"--requirepass", "right"});
  Member wrong("a", server.socket(), "wrong");
  wrong.wait_for_word("AUTH: WRONGPASS");
  CHECK(wrong.find("k").outcome == Outcome::Away);
  Member none("b", server.socket());
  none.wait_for_word("PING: NOAUTH");
  Member right("c", server.socket(), "right");
  right.join();
  CHECK(right.find("k").outcome == Outcome::Miss);
}

TEST_CASE("values of another type and bytes that are no value are refused") {
  const RedisServer server;
  Member a("a", server.socket());
  a.join();
  a.put(a.value("k", "v"));
  const Reply keys = a.run({"KEYS", "holdfast:*"});
  std::string name;
  for (const Reply& key : keys.elements) {
    if (!key.text.starts_with("holdfast:purges")) name = key.text;
  }
  REQUIRE_FALSE(name.empty());
  REQUIRE(a.run({"SETRANGE", name, "40", "x"}).kind == Reply::Kind::Integer);
  CHECK(a.find("k").outcome == Outcome::Refused);
  REQUIRE(a.run({"UNLINK", name}).integer == 1);
  REQUIRE(a.run({"RPUSH", name, "x"}).integer == 1);
  CHECK(a.find("k").outcome == Outcome::Error);
  CHECK(a.stats().errors["wrongtype"] == 1);
}
