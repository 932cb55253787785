// What slow, silent and greedy clients get.
#include <doctest/doctest.h>

#include <algorithm>
#include <optional>

#include "http/connection_places.h"
#include "test_server.h"

using namespace holdfast;
using namespace holdfast::http;
using namespace holdfast::http::test;
using observe::Family;

TEST_CASE("a connection without a request is closed after the idle timeout, not before") {
  TestServer server({.idle_timeout = 75s});
  Client silent(server.port());
  Client talking(server.port());
  CHECK(talking.ask(get("/")).status == 200);
  server.await([&] { return server.connections() == 2; });
  server.pass(74s);
  CHECK(talking.ask(get("/")).status == 200);
  CHECK(server.connections() == 2);
  server.pass(2s);
  CHECK(silent.at_end());
  CHECK(talking.ask(get("/")).status == 200);
  // It is idle only once the server has seen that its answer went out, a moment after we do.
  server.await([&] {
    server.pass(76s);
    return server.connections() == 0;
  });
  CHECK(talking.at_end());
  CHECK(server.counted(Family::ConnectionsClosed, "idle", 2) == 2);
}

TEST_CASE("empty lines do not keep an idle connection") {
  TestServer server({.idle_timeout = 75s});
  Client client(server.port());
  client.send("\r\n");
  server.await([&] { return server.connections() == 1; });
  server.pass(50s);
  deliver(server, client, "\r\n\r\n");
  server.pass(26s);
  CHECK(client.at_end());
}

TEST_CASE("a head that trickles in is 408 after the head timeout, counted from its first byte") {
  TestServer server({.head_timeout = 10s});
  Client client(server.port());
  CHECK(client.ask(get("/")).status == 200);
  server.pass(60s);
  for (const char* piece : {"GET", " / ", "HTTP/1.1\r\n"}) {
    deliver(server, client, piece);
    server.pass(3s);
    server.barrier();
    CHECK(!client.readable_now());
  }
  server.pass(1s);
  const auto answer = client.read();
  CHECK(answer.status == 408);
  CHECK(answer.field("Connection") == "close");
  client.half_close();
  CHECK(client.at_end());
  CHECK(server.counted(Family::ConnectionsClosed, "head_timeout") == 1);
  CHECK(server.handler.rejections(1) == std::vector<std::string>{"head_timeout"});
}

TEST_CASE("408 has content unless it was HEAD that did not come in time") {
  TestServer server({.head_timeout = 10s});
  Client get_client(server.port());
  CHECK(get_client.ask("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", true).status == 200);
  deliver(server, get_client, "GET / HTTP/1.1\r\n");
  Client head_client(server.port());
  CHECK(head_client.ask(get("/")).status == 200);
  deliver(server, head_client, "HEAD / HTTP/1.1\r\n");
  server.pass(11s);
  const auto with_content = get_client.read();
  CHECK(with_content.status == 408);
  CHECK(with_content.body.find("\"status\":408") != std::string::npos);
  CHECK(head_client.read(true).status == 408);
  head_client.half_close();
  CHECK(head_client.at_end());
}

TEST_CASE("each head of a connection has the whole head timeout") {
  TestServer server({.head_timeout = 10s});
  Client client(server.port());
  deliver(server, client, "GET /1 HTTP/1.1\r\n");
  server.pass(9s);
  client.send("Host: a\r\n\r\nGET /2 HTTP/1.1\r\n");
  CHECK(client.read().body == "GET /1");
  server.pass(9s);
  CHECK(client.ask("Host: a\r\n\r\n").body == "GET /2");
}

TEST_CASE("content that does not come in time is 408") {
  TestServer server({.body_timeout = 10s});
  Client client(server.port());
  deliver(server, client, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n");
  for (int i = 0; i < 3; ++i) {
    server.pass(3s);
    deliver(server, client, "x");
    CHECK(!client.readable_now());
  }
  server.pass(2s);
  CHECK(client.read().status == 408);
  client.half_close();
  CHECK(client.at_end());
  CHECK(server.counted(Family::ConnectionsClosed, "body_timeout") == 1);
  CHECK(server.handler.requests() == 0);
}

TEST_CASE("a request in flight has no timeout of the connection's") {
  TestServer server;
  Client client(server.port());
  client.send(get("/later"));
  const auto id = server.handler.request(0).id;
  server.pass(1h);
  server.barrier();
  server.respond(id, {.body = "at last"});
  CHECK(client.read().body == "at last");
}

namespace {

// A client that asks for much and reads nothing.
struct SlowReader {
  SlowReader(TestServer& server, int requests, std::size_t size = 500'000)
      : large(size, 'x'), client(server.port(), 4096) {
    server.handler.set([this](Server& http, ExchangeId id, const Request&) {
      ++handled;
      http.respond(id, {.body = large});
    });
    for (int i = 0; i < requests; ++i) stream += get("/");
    client.send(stream);
    server.await([this] { return handled > 0; });
    for (int i = 0; i < 20; ++i) server.barrier();
  }
  const std::string large;
  std::string stream;
  std::atomic<int> handled{0};
  Client client;
};

// Does it while the loop is held up, in such a way that the loop then looks at its
// timers before it looks at its connections.
void while_held_up(TestServer& server, const std::function<void()>& function) {
  std::promise<void> held, go_on;
  const std::shared_future<void> may_go_on(go_on.get_future());
  server.loop().post([&server, &held, may_go_on] {
    server.loop().call_at(server.loop().now(), [&held, may_go_on] {
      held.set_value();
      may_go_on.wait();
    });
  });
  held.get_future().wait();
  function();
  go_on.set_value();
}

}  // namespace

TEST_CASE("a slow reader's requests wait, so that its answers do not pile up") {
  TestServer server;
  SlowReader slow(server, 100);
  // What the kernel's buffers take, and one answer waiting; not all 50 MB.
  const int before = slow.handled;
  CHECK(before < 40);
  Client other(server.port());
  CHECK(other.ask(get("/")).status == 200);
  for (int i = 0; i < 100; ++i) {
    if (slow.client.read().body.size() != slow.large.size()) FAIL_CHECK("answer " << i);
  }
  CHECK(slow.handled == 101);
}

TEST_CASE("a reader that takes nothing for the write timeout is cut off") {
  TestServer server({.write_timeout = 20s});
  SlowReader slow(server, 100);
  server.pass(19s);
  server.barrier();
  CHECK(server.connections() == 1);
  server.pass(2s);
  CHECK(server.await([&] { return server.connections() == 0; }));
  CHECK(server.counted(Family::ConnectionsClosed, "write_timeout") == 1);
}

TEST_CASE("a reader that takes something within each write timeout is not cut off") {
  TestServer server({.write_timeout = 20s});
  SlowReader slow(server, 50);
  std::size_t read = 0;
  for (int i = 0; i < 10; ++i) {
    const std::size_t until = read + 2'000'000;
    while (read < until) read += slow.client.read_some(65'536);
    server.barrier();
    server.pass(15s);
    server.barrier();
  }
  CHECK(server.connections() == 1);
}

TEST_CASE("what came in time counts, though the loop was held up and reads it late") {
  TestServer server({.head_timeout = 10s, .body_timeout = 10s, .idle_timeout = 75s});
  Client idle(server.port());
  CHECK(idle.ask(get("/")).status == 200);
  Client head(server.port());
  deliver(server, head, "GET /head HT");
  Client content(server.port());
  deliver(server, content, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n[");
  Client trickling(server.port());
  deliver(server, trickling, "GET / HT");
  while_held_up(server, [&] {
    idle.send(get("/idle"));
    idle.wait_until_received();
    head.send("TP/1.1\r\nHost: a\r\n\r\n");
    head.wait_until_received();
    content.send("]");
    content.wait_until_received();
    trickling.send("T");
    trickling.wait_until_received();
    server.clock.advance(76s);
  });
  CHECK(idle.read().body == "GET /idle");
  CHECK(head.read().body == "GET /head");
  CHECK(content.read().body == "POST / with []");
  CHECK(trickling.read().status == 408);
}

TEST_CASE("a reader that took all there was is not cut off because the loop was held up") {
  TestServer server({.write_timeout = 20s});
  SlowReader slow(server, 100);
  REQUIRE(slow.handled > 1);
  while_held_up(server, [&] {
    // The server itself holds the end of one answer; all before is in the kernel.
    std::size_t left = (slow.handled - 1) * slow.large.size();
    while (left > 0) left -= slow.client.read_some(std::min<std::size_t>(left, 65'536));
    while (slow.client.readable_now()) slow.client.read_some(65'536);
    server.clock.advance(21s);
  });
  std::size_t whole = 0;
  while (whole < 100 && slow.client.read().body.size() == slow.large.size()) ++whole;
  CHECK(whole == 100);
}

TEST_CASE("beyond the memory for unsent answers the reader stuck longest is cut off") {
  TestServer server({.max_unsent_bytes = 700'000});
  std::vector<std::unique_ptr<SlowReader>> readers;
  const auto cut_off = [&] { return server.value(Family::ConnectionsClosed, "limit") > 0; };
  // Of each the kernel leaves the rest of an answer, as it happens: of sizes that differ not always
  // the same few kilobytes.
  while (!cut_off() && readers.size() < 30) {
    readers.push_back(std::make_unique<SlowReader>(server, 100, 500'000 + 37'000 * readers.size()));
  }
  REQUIRE(cut_off());
  CHECK(readers.size() > 1);  // one alone never has that much
  // Whoever came last is served to the end.
  for (int i = 0; i < 100; ++i) {
    if (readers.back()->client.read().body.size() != readers.back()->large.size()) {
      FAIL_CHECK("answer " << i);
      break;
    }
  }
  // The first one got what was on its way, and then a reset.
  int whole = 0;
  while (readers.front()->client.read().status == 200) ++whole;
  CHECK(whole < 100);
}

TEST_CASE("a client is told when there are too many connections") {
  TestServer server({.max_connections = 2});
  Client one(server.port());
  Client two(server.port());
  one.send(get("/later"));
  two.send(get("/later"));
  server.handler.request(1);
  Client three(server.port());
  const auto answer = three.ask(get("/"));
  CHECK(answer.status == 503);
  CHECK(answer.field("Retry-After") == "1");
  CHECK(answer.field("Connection") == "close");
  CHECK(server.counted(Family::ConnectionsRefused, "connections") == 1);
  CHECK(server.connections() == 2);
}

TEST_CASE("an idle connection makes room for a new one") {
  TestServer server({.max_connections = 2});
  Client busy(server.port());
  busy.send(get("/later"));
  server.handler.request(0);
  Client idle(server.port());
  CHECK(idle.ask(get("/")).status == 200);
  Client third(server.port());
  CHECK(third.ask(get("/x")).body == "GET /x");
  CHECK(idle.at_end());
  CHECK(server.counted(Family::ConnectionsClosed, "evicted") == 1);
  CHECK(server.counted(Family::ConnectionsClosed, "limit", 0) == 0);
  CHECK(server.connections() == 2);
}

TEST_CASE("a connection that has been trickling for a while makes room for a new one") {
  TestServer server({.max_connections = 2, .head_timeout = 1h, .body_timeout = 1h});
  Client head(server.port());
  deliver(server, head, "GET / HTTP/1.1\r\n");
  Client content(server.port());
  deliver(server, content, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n[");
  CHECK(Client(server.port()).ask(get("/")).status == 503);  // not at once
  server.pass(2s);
  Client third(server.port());
  CHECK(third.ask(get("/x")).body == "GET /x");
  CHECK(!head.at_end());  // reset
  third.send(get("/later"));
  server.handler.request(1);
  Client fourth(server.port());
  fourth.send(get("/later"));
  server.handler.request(2);
  CHECK(!content.at_end());
  // Those whose request is in flight stay.
  CHECK(Client(server.port()).ask(get("/")).status == 503);
  CHECK(server.counted(Family::ConnectionsClosed, "evicted", 2) == 2);
  CHECK(server.connections() == 2);
}

TEST_CASE("servers that share their places have as many connections as all together may") {
  const auto places = std::make_shared<ConnectionPlaces>(4, 2);
  TestServer first({.places = places});
  TestServer second({.places = places});
  Client other(second.port());
  other.send(get("/later"));
  const Seen waiting = second.handler.request(0);
  std::vector<Client> clients;
  for (std::size_t i = 0; i < 3; ++i) {
    clients.emplace_back(first.port()).send(get("/later"));
    first.handler.request(i);
  }
  // Nobody is idle.
  CHECK(Client(first.port()).read().status == 503);
  CHECK(first.connections() == 3);
  // What one gives back is there for the other.
  second.respond(waiting.id, {.body = "late"});
  CHECK(other.read().body == "late");
  other.close();
  REQUIRE(second.await([&] { return second.connections() == 0; }));
  CHECK(Client(first.port()).ask(get("/x")).body == "GET /x");
}

TEST_CASE("while another server is slow to close its idle connection, ours does not go for it") {
  const auto places = std::make_shared<ConnectionPlaces>(4, 2);
  TestServer crowded({.places = places});
  TestServer other({.places = places});
  Client oldest(other.port());
  CHECK(oldest.ask(get("/")).status == 200);
  other.pass(1s);
  crowded.pass(1s);
  std::vector<Client> clients;
  for (int i = 0; i < 2; ++i) {
    CHECK(clients.emplace_back(crowded.port()).ask(get("/")).status == 200);
  }
  Client slow(crowded.port());
  slow.send("GET / HT");
  std::promise<void> go_on;
  const std::shared_future<void> held = go_on.get_future().share();
  std::promise<void> holding;
  std::thread holder([&] {
    other.on_loop([&holding, held] {
      holding.set_value();
      held.wait();
    });
  });
  holding.get_future().wait();
  for (int i = 0; i < 2; ++i) {
    CHECK(clients.emplace_back(crowded.port()).ask(get("/")).status == 200);
  }
  // It ends with a sweep, behind which there is still one too many.
  crowded.pass(11s);
  CHECK(slow.read().status == 408);
  slow.close();
  CHECK(crowded.await([&] { return crowded.connections() == 4; }));
  go_on.set_value();
  holder.join();
  CHECK(other.await([&] { return other.connections() == 0; }));
  crowded.barrier();
  CHECK(crowded.connections() == 4);
  for (Client& client : clients) CHECK(client.ask(get("/")).status == 200);
}

TEST_CASE("with all places taken, the connection goes that was idle longest in all servers") {
  const auto places = std::make_shared<ConnectionPlaces>(4, 2);
  TestServer crowded({.places = places});
  TestServer other({.places = places});
  const auto pass_a_second = [&] {
    crowded.pass(1s);
    other.pass(1s);
  };
  Client oldest(other.port());
  CHECK(oldest.ask(get("/")).status == 200);
  std::vector<Client> clients;
  for (int i = 0; i < 3; ++i) {
    pass_a_second();
    CHECK(clients.emplace_back(crowded.port()).ask(get("/")).status == 200);
  }
  pass_a_second();
  // It is at its share and has idle ones, and yet the other's goes.
  CHECK(clients.emplace_back(crowded.port()).ask(get("/")).status == 200);
  CHECK(oldest.at_end());
  CHECK(other.await([&] { return other.connections() == 0; }));
  CHECK(crowded.connections() == 4);
  // And the other way round.
  pass_a_second();
  Client newcomer(other.port());
  CHECK(newcomer.ask(get("/")).status == 200);
  CHECK(clients[0].at_end());
  CHECK(crowded.await([&] { return crowded.connections() == 3; }));
  pass_a_second();
  CHECK(Client(crowded.port()).ask(get("/x")).body == "GET /x");
  CHECK(clients[1].at_end());
  for (Client* kept : {&clients[2], &clients[3], &newcomer}) {
    CHECK(kept->ask(get("/")).status == 200);
  }
  CHECK(crowded.value(Family::ConnectionsRefused, "connections") == 0);
  CHECK(other.value(Family::ConnectionsRefused, "connections") == 0);
}

TEST_CASE("those who never ask for anything push each other out, and nobody who did") {
  const auto places = std::make_shared<ConnectionPlaces>(4, 2);
  TestServer first({.places = places});
  TestServer second({.places = places});
  Client oldest(first.port());
  CHECK(oldest.ask(get("/")).status == 200);
  first.pass(1s);
  second.pass(1s);
  std::vector<Client> silent;
  for (std::size_t i = 0; i < 8; ++i) {
    silent.emplace_back(i % 2 == 0 ? first.port() : second.port());
    REQUIRE(first.await([&] {
      return first.value(Family::ConnectionsAccepted) + second.value(Family::ConnectionsAccepted) ==
             2.0 + static_cast<double>(i);
    }));
  }
  CHECK(first.await([&] { return first.connections() + second.connections() == 4; }));
  CHECK(oldest.ask(get("/")).status == 200);
  CHECK(silent.front().at_end());
}

TEST_CASE("a server that ends gives all of its places back") {
  const auto places = std::make_shared<ConnectionPlaces>(4, 2);
  TestServer stays({.places = places});
  {
    TestServer ends({.places = places});
    Client one(ends.port());
    CHECK(one.ask(get("/")).status == 200);
    Client two(ends.port());
    CHECK(two.ask(get("/")).status == 200);
  }
  std::vector<Client> clients;
  for (int i = 0; i < 4; ++i) {
    CHECK(clients.emplace_back(stays.port()).ask(get("/")).status == 200);
  }
  CHECK(stays.connections() == 4);
  CHECK(stays.value(Family::ConnectionsClosed, "evicted") == 0);
}

TEST_CASE("an idle connection goes where its descriptor is needed for something else") {
  const auto places = std::make_shared<ConnectionPlaces>(100, 2);
  TestServer first({.places = places});
  TestServer second({.places = places});
  places->make_room();  // nobody is idle: nothing is owed later
  Client older(second.port());
  CHECK(older.ask(get("/")).status == 200);
  second.pass(1s);
  first.pass(1s);
  Client younger(first.port());
  CHECK(younger.ask(get("/")).status == 200);
  places->make_room();
  CHECK(older.at_end());
  CHECK(younger.ask(get("/")).status == 200);
  CHECK(second.counted(Family::ConnectionsClosed, "evicted", 1) == 1);
  CHECK(first.value(Family::ConnectionsClosed, "evicted") == 0);
}

TEST_CASE("one address has no more connections than its limit, and gets them back") {
  TestServer server({.client_limits = limits({.connections = 2})});
  Client one(server.port());
  CHECK(one.ask(get("/")).status == 200);
  {
    Client two(server.port());
    CHECK(two.ask(get("/")).status == 200);
    Client three(server.port());
    CHECK(three.ask(get("/")).status == 429);
  }
  CHECK(server.await([&] { return server.connections() == 1; }));
  Client four(server.port());
  CHECK(four.ask(get("/")).status == 200);
  CHECK(server.counted(Family::ConnectionsRefused, "client_connections") == 1);
}

TEST_CASE("servers that share their limits count a client's connections and requests together") {
  const auto shared = limits({.connections = 2, .rate = 0.001, .burst = 3});
  TestServer first({.client_limits = shared});
  {
    TestServer second({.client_limits = shared});
    Client one(first.port());
    Client two(second.port());
    CHECK(one.ask(get("/")).status == 200);
    CHECK(two.ask(get("/")).status == 200);
    CHECK(Client(first.port()).read().status == 429);
    CHECK(Client(second.port()).read().status == 429);
    CHECK(one.ask(get("/")).status == 200);
    CHECK(two.ask(get("/")).status == 429);
    two.close();
    CHECK(second.await([&] { return second.connections() == 0; }));
    Client three(second.port());
    CHECK(three.ask(get("/")).status == 429);  // the rate's, on a connection
    CHECK(second.connections() == 1);
  }
  // A server that goes gives back what its clients had.
  Client four(first.port());
  CHECK(four.ask(get("/")).status == 429);
  CHECK(first.await([&] { return first.connections() == 1; }));
}

TEST_CASE("other limits of a client hold from then on, and nobody is counted who came before") {
  const auto shared = limits({});
  TestServer server({.client_limits = shared});
  std::optional<Client> uncounted(server.port());
  CHECK(uncounted->ask(get("/")).status == 200);

  shared->set({.connections = 1});
  Client one(server.port());
  CHECK(one.ask(get("/")).status == 200);
  CHECK(Client(server.port()).read().status == 429);
  // It gives nothing back, as it took nothing.
  uncounted.reset();
  CHECK(server.await([&] { return server.connections() == 1; }));
  CHECK(Client(server.port()).read().status == 429);

  shared->set({.rate = 0.001, .burst = 1});
  CHECK(one.ask(get("/")).status == 200);
  CHECK(one.ask(get("/")).status == 429);
  Client another(server.port());
  CHECK(another.ask(get("/")).status == 429);
  shared->set({.connections = 1, .rate = 0});
  CHECK(one.ask(get("/")).status == 200);
  one.close();
  CHECK(server.await([&] { return server.connections() == 1; }));
  Client last(server.port());
  CHECK(last.ask(get("/")).status == 200);
}

TEST_CASE("other timeouts hold for the connections that are there, from when they began to wait") {
  TestServer server({.head_timeout = 10s, .idle_timeout = 75s});
  Client idle(server.port());
  CHECK(idle.ask(get("/")).status == 200);
  Client trickling(server.port());
  deliver(server, trickling, "GET ");
  server.pass(9s);
  const Server::Settings other{.max_requests_per_connection = 2,
                               .head_timeout = 20s,
                               .idle_timeout = 10s,
                               .sweep_interval = 1ms};
  server.on_loop([&] { server.server().take(other); });
  server.pass(2s);
  CHECK(idle.at_end());
  CHECK(server.await([&] { return server.connections() == 1; }));
  server.pass(10s);
  CHECK(trickling.read().status == 408);
  Client next(server.port());
  CHECK(next.ask(get("/")).field("Connection") != "close");
  CHECK(next.ask(get("/")).field("Connection") == "close");
}

TEST_CASE("fewer places are made up for by those that are idle, and more are there at once") {
  const auto places = std::make_shared<ConnectionPlaces>(3, 1);
  TestServer server({.places = places});
  Client busy(server.port());
  busy.send(get("/later"));
  const Seen waiting = server.handler.request(0);
  std::vector<Client> idle;
  for (int i = 0; i < 2; ++i) CHECK(idle.emplace_back(server.port()).ask(get("/")).status == 200);
  places->set_limit(1);
  CHECK(server.await([&] {
    server.pass(10ms);
    return server.connections() == 1;
  }));
  CHECK(Client(server.port()).read().status == 503);
  places->set_limit(2);
  CHECK(Client(server.port()).ask(get("/")).status == 200);
  server.respond(waiting.id, {.body = "late"});
  CHECK(busy.read().body == "late");
}

TEST_CASE("contents beyond the number held at a time are 503, and others are served") {
  TestServer server({.max_contents_held = 2});
  const std::string begun = "POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab";
  Client one(server.port());
  Client two(server.port());
  deliver(server, one, begun);
  deliver(server, two, begun);
  CHECK(Client(server.port()).ask(begun).status == 503);
  CHECK(Client(server.port()).ask(get("/g")).status == 200);
  CHECK(Client(server.port()).ask(get("/g", "Content-Length: 1\r\n") + "x").status == 200);
  CHECK(server.counted(Family::RequestsRejected, "overload") == 1);
  CHECK(one.ask("cd").body == "POST /p with abcd");
  two.reset();
  CHECK(server.counted(Family::ConnectionsClosed, "error") == 1);
  Client three(server.port());
  Client four(server.port());
  deliver(server, three, begun);
  deliver(server, four, begun);
  CHECK(three.ask("cd").status == 200);
  CHECK(four.ask("cd").status == 200);
}

TEST_CASE("a connection closes after its last allowed request") {
  TestServer server({.max_requests_per_connection = 3});
  Client client(server.port());
  client.send(get("/1") + get("/2") + get("/3") + get("/4"));
  CHECK(client.read().field("Connection") == "(none)");
  CHECK(client.read().field("Connection") == "(none)");
  CHECK(client.read().field("Connection") == "close");
  client.half_close();
  CHECK(client.at_end());
  CHECK(server.handler.requests() == 3);
  CHECK(server.counted(Family::ConnectionsClosed, "limit") == 1);
}

TEST_CASE("a client that never ends after a refused request is cut off") {
  TestServer server;
  Client client(server.port());
  CHECK(client.ask("nonsense\r\n").status == 400);
  server.barrier();
  CHECK(server.connections() == 1);
  server.pass(3s);
  CHECK(server.await([&] { return server.connections() == 0; }));

  Client flood(server.port());
  CHECK(flood.ask("nonsense\r\n").status == 400);
  const std::string junk(64 * 1024, 'x');
  int sent = 0;
  while (sent < 1000 && flood.send(junk)) ++sent;
  CHECK(sent < 1000);
  CHECK(server.await([&] { return server.connections() == 0; }));
}

TEST_CASE("requests pipelined behind one in flight are buffered up to a bound") {
  TestServer server;
  Client client(server.port());
  client.send(get("/later"));
  const auto id = server.handler.request(0).id;
  // More than the socket buffers and ours can hold together.
  std::string stream;
  while (stream.size() < 20'000'000)
    stream += get("/next", "A: " + std::string(8000, 'a') + "\r\n");
  std::thread sender([&] { client.send(stream); });
  for (int i = 0; i < 50; ++i) server.barrier();
  CHECK(server.handler.requests() == 1);
  server.respond(id, {.body = "first"});
  CHECK(client.read().body == "first");
  const std::size_t expected =
      stream.size() / get("/next", "A: " + std::string(8000, 'a') + "\r\n").size();
  for (std::size_t i = 0; i < expected; ++i) {
    if (client.read().body != "GET /next") {
      FAIL_CHECK("answer " << i);
      break;
    }
  }
  sender.join();
}

TEST_CASE("draining closes idle connections and finishes the others") {
  TestServer server;
  Client idle(server.port());
  CHECK(idle.ask(get("/")).status == 200);
  Client waiting(server.port());
  waiting.send(get("/later"));
  const auto id = server.handler.request(1).id;
  Client partial(server.port());
  partial.send("GET /slow HTTP/1.1\r\n");
  CHECK(server.await([&] { return server.connections() == 3; }));
  for (int i = 0; i < 10; ++i) server.barrier();

  std::promise<void> drained;
  auto done = drained.get_future();
  server.on_loop([&] { server.server().drain([&] { drained.set_value(); }); });
  for (int i = 0; i < 10; ++i) server.barrier();
  CHECK(!Client(server.port()).connected());
  CHECK(server.connections() == 3);
  server.pass(500ms);
  CHECK(idle.at_end());

  auto answer = partial.ask("Host: a\r\n\r\n");
  CHECK(answer.body == "GET /slow");
  CHECK(answer.field("Connection") == "close");
  CHECK(partial.at_end());
  partial.close();
  CHECK(done.wait_for(0s) == std::future_status::timeout);
  server.respond(id, {.body = "late"});
  answer = waiting.read();
  CHECK(answer.body == "late");
  CHECK(answer.field("Connection") == "close");
  waiting.close();
  CHECK(done.wait_for(kPatience) == std::future_status::ready);
  CHECK(server.connections() == 0);
  CHECK(server.counted(Family::ConnectionsClosed, "drain", 3) == 3);
}

TEST_CASE("draining without connections is done at once, and answers what is in the queue") {
  TestServer server;
  std::promise<void> drained;
  Client client(server.port());
  client.send(get("/"));
  server.on_loop([&] { server.server().drain([&] { drained.set_value(); }); });
  const auto answer = client.read();
  CHECK(answer.status == 200);
  client.close();
  CHECK(drained.get_future().wait_for(kPatience) == std::future_status::ready);
}

TEST_CASE("draining serves the first request of a connection that has just been accepted") {
  TestServer server;
  Client asks(server.port());
  Client says_nothing(server.port());
  CHECK(server.await([&] { return server.connections() == 2; }));
  std::promise<void> drained;
  // A third is in the queue when the drain begins.
  std::optional<Client> queued;
  server.on_loop([&] {
    queued.emplace(server.port());
    server.server().drain([&] { drained.set_value(); });
  });
  for (int i = 0; i < 10; ++i) server.barrier();
  CHECK(server.connections() == 3);

  for (Client* client : {&asks, &*queued}) {
    const auto answer = client->ask(get("/"));
    CHECK(answer.status == 200);
    CHECK(answer.field("Connection") == "close");
    client->close();
  }
  server.pass(500ms);
  CHECK(says_nothing.at_end());
  CHECK(drained.get_future().wait_for(kPatience) == std::future_status::ready);
}

TEST_CASE("draining answers a request that is on its way on a kept connection") {
  TestServer server;
  Client kept(server.port());
  CHECK(kept.ask(get("/")).field("Connection") == "(none)");
  std::promise<void> drained;
  server.on_loop([&] { server.server().drain([&] { drained.set_value(); }); });
  for (int i = 0; i < 10; ++i) server.barrier();

  const auto answer = kept.ask(get("/last"));
  CHECK(answer.status == 200);
  CHECK(answer.body == "GET /last");
  CHECK(answer.field("Connection") == "close");
  kept.close();
  CHECK(drained.get_future().wait_for(kPatience) == std::future_status::ready);
}

TEST_CASE("the server may be destroyed when it is drained") {
  TestServer server;
  std::promise<void> destroyed;
  server.on_loop([&] {
    server.server().drain([&] {
      server.destroy_here();
      destroyed.set_value();
    });
  });
  CHECK(destroyed.get_future().wait_for(kPatience) == std::future_status::ready);
}
