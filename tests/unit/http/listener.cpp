#include "http/listener.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cstdlib>

#include "http/connection_places.h"
#include "test_server.h"

using namespace holdfast;
using namespace holdfast::http;
using namespace holdfast::http::test;

TEST_CASE("listening fails with the address and the reason") {
  const auto first = listen_at({"127.0.0.1", 0});
  REQUIRE(first.has_value());
  const auto port = local_port(first->get());
  CHECK(port != 0);
  // Another socket without SO_REUSEPORT holds this one.
  base::UniqueFd holder(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  REQUIRE(::bind(holder.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  REQUIRE(::listen(holder.get(), 1) == 0);
  const auto taken = listen_at({"127.0.0.1", local_port(holder.get())});
  REQUIRE(!taken.has_value());
  CHECK(taken.error().message.find("127.0.0.1 port " + std::to_string(local_port(holder.get()))) !=
        std::string::npos);
  CHECK(taken.error().message.find("Address already in use") != std::string::npos);

  CHECK(!listen_at({"localhost", 0}).has_value());
  CHECK(!listen_at({"", 0}).has_value());
  CHECK(!listen_at({"192.0.2.1", 0}).has_value());
}

TEST_CASE("a port that somebody shares is not unused") {
  CHECK(check_unused({"127.0.0.1", 0}).has_value());
  auto first = listen_at({"127.0.0.1", 0});
  REQUIRE(first.has_value());
  const auto port = local_port(first->get());
  const auto taken = check_unused({"127.0.0.1", port});
  REQUIRE(!taken.has_value());
  CHECK(taken.error().message.find("Address already in use") != std::string::npos);
  first->reset();
  CHECK(check_unused({"127.0.0.1", port}).has_value());
}

TEST_CASE("several sockets can listen at one port, and IPv6 is no IPv4") {
  const auto first = listen_at({"127.0.0.1", 0});
  REQUIRE(first.has_value());
  CHECK(listen_at({"127.0.0.1", local_port(first->get())}).has_value());
  const auto v6 = listen_at({"::1", 0});
  if (v6.has_value()) {  // where the machine has IPv6
    CHECK(listen_at({"::", local_port(v6->get())}).has_value());
  }
}

namespace {

// Leaves room for so many sockets of the test's and none for the server.
class NoDescriptors {
 public:
  explicit NoDescriptors(std::size_t left) {
    REQUIRE(::getrlimit(RLIMIT_NOFILE, &usual_) == 0);
    const int lowest_free = ::dup(0);
    ::close(lowest_free);
    const rlimit tight{static_cast<rlim_t>(lowest_free) + 20, usual_.rlim_max};
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &tight) == 0);
    for (int fd = ::dup(0); fd >= 0; fd = ::dup(0)) fillers_.emplace_back(fd);
    for (std::size_t i = 0; i < left; ++i) fillers_.pop_back();
  }
  ~NoDescriptors() {
    fillers_.clear();
    ::setrlimit(RLIMIT_NOFILE, &usual_);
  }
  NoDescriptors(const NoDescriptors&) = delete;
  NoDescriptors& operator=(const NoDescriptors&) = delete;

 private:
  rlimit usual_{};
  std::vector<base::UniqueFd> fillers_;
};

}  // namespace

TEST_CASE("without descriptors and with nobody idle a client is turned away, and it recovers") {
  TestServer server;
  Client before(server.port());
  before.send(get("/later"));
  const Seen waiting = server.handler.request(0);
  {
    const NoDescriptors none(1);
    Client unlucky(server.port());
    CHECK(unlucky.connected());
    CHECK(unlucky.read().status == 0);  // closed rather than left waiting
    CHECK(server.counted(observe::Family::ConnectionsRefused, "descriptors") >= 1);
    CHECK(server.value(observe::Family::ResourceShortages, "descriptors", "resource") >= 1);
    server.respond(waiting.id, {.body = "late"});
    CHECK(before.read().body == "late");
  }
  Client after(server.port());
  after.send(get("/after"));
  server.pass(1s);  // the pause is over
  CHECK(after.read().body == "GET /after");
}

TEST_CASE("without descriptors the connection that was idle longest gives way to a new one") {
  TestServer server;
  Client oldest(server.port());
  CHECK(oldest.ask(get("/")).status == 200);
  server.pass(1s);
  Client older(server.port());
  CHECK(older.ask(get("/")).status == 200);
  {
    const NoDescriptors none(1);
    Client newcomer(server.port());
    CHECK(newcomer.ask(get("/new")).body == "GET /new");
    CHECK(oldest.at_end());
    CHECK(older.ask(get("/")).status == 200);
    CHECK(server.value(observe::Family::ConnectionsRefused, "descriptors") == 0);
    CHECK(server.value(observe::Family::ResourceShortages, "descriptors", "resource") >= 1);
  }
}

TEST_CASE("without descriptors a client waits for one that another server is giving back") {
  const auto places = std::make_shared<ConnectionPlaces>(100, 2);
  TestServer first({.places = places});
  TestServer second({.places = places});
  Client idle(second.port());
  CHECK(idle.ask(get("/")).status == 200);
  second.barrier();  // it is idle by now
  {
    const NoDescriptors none(1);
    Client newcomer(first.port());
    newcomer.send(get("/new"));
    CHECK(idle.at_end());
    // Pauses are by the server's clock.
    CHECK(first.await([&] {
      first.clock.advance(1ms);
      return newcomer.readable_now();
    }));
    CHECK(newcomer.read().body == "GET /new");
    CHECK(first.value(observe::Family::ConnectionsRefused, "descriptors") == 0);
  }
}

TEST_CASE(":: for both families does not start beside who has IPv4, and says where that is") {
  const auto other = listen_at({.host = "0.0.0.0", .port = 0});
  REQUIRE(other.has_value());
  const auto port = local_port(other->get());
  const auto taken = check_unused({.host = "::", .port = port, .both = true});
  REQUIRE_FALSE(taken.has_value());
  if (taken.error().kind == base::ErrorKind::Unavailable) return;  // a machine without IPv6
  CHECK(taken.error().kind == base::ErrorKind::Busy);
  CHECK(taken.error().message.find("(another program has it on IPv4, which :: takes too)") !=
        std::string::npos);
  const auto both = listen_at({.host = "::", .port = 0, .both = true});
  REQUIRE(both.has_value());
  const auto own = check_unused({.host = "::", .port = local_port(both->get()), .both = true});
  REQUIRE_FALSE(own.has_value());
  CHECK(own.error().message.find("IPv4") == std::string::npos);
}

TEST_CASE(":: for both families is where clients of IPv4 come too, by their own address") {
  auto both = listen_at({.host = "::", .port = 0, .both = true});
  if (!both.has_value()) return;  // a machine without IPv6
  const auto port = local_port(both->get());
  CHECK(!check_unused({.host = "0.0.0.0", .port = port}).has_value());
  TestServer server({}, std::move(*both));
  CHECK(Client(port).ask(get("/")).status == 200);
  CHECK(server.handler.request(0).client == "127.0.0.1");
}

TEST_CASE("a client that left while it was queued does no harm") {
  TestServer server;
  std::promise<void> go;
  server.loop().post([&go] { go.get_future().wait(); });  // the loop is busy
  for (int i = 0; i < 5; ++i) Client(server.port()).reset();
  Client stays(server.port());
  go.set_value();
  CHECK(stays.ask(get("/")).status == 200);
  CHECK(server.await([&] { return server.connections() == 1; }));
}

TEST_CASE("addresses of clients are grouped as one customer has them") {
  const auto of = [](const char* text) {
    sockaddr_storage storage{};
    auto& v6 = reinterpret_cast<sockaddr_in6&>(storage);
    auto& v4 = reinterpret_cast<sockaddr_in&>(storage);
    if (inet_pton(AF_INET, text, &v4.sin_addr) == 1) {
      v4.sin_family = AF_INET;
    } else {
      REQUIRE(inet_pton(AF_INET6, text, &v6.sin6_addr) == 1);
      v6.sin6_family = AF_INET6;
    }
    return ClientAddress(storage, sizeof storage);
  };
  CHECK(of("192.0.2.1").text() == "192.0.2.1");
  CHECK(of("::ffff:192.0.2.1").text() == "192.0.2.1");
  CHECK(of("::ffff:192.0.2.1").key() == of("192.0.2.1").key());
  CHECK(of("192.0.2.1").key() != of("192.0.2.2").key());
  CHECK(of("2001:db8:1:2::3").text() == "2001:db8:1:2::3");
  CHECK(of("2001:db8:1:2::3").key() == of("2001:db8:1:2:ffff::").key());
  CHECK(of("2001:db8:1:2::3").key() != of("2001:db8:1:3::3").key());
  CHECK(of("::").key() != of("0.0.0.0").key());
  sockaddr_storage local{};
  local.ss_family = AF_UNIX;
  CHECK(ClientAddress(local, sizeof(sa_family_t)).text() == "local");
}

TEST_CASE("a Unix socket is its owner's alone, and only a dead one's place is taken") {
  std::string folder = "/tmp/holdfast-listener-XXXXXX";
  REQUIRE(::mkdtemp(folder.data()) != nullptr);
  const std::string path = folder + "/socket";
  {
    auto first = listen_at_path(path);
    REQUIRE(first.has_value());
    struct stat file = {};
    REQUIRE(::stat(path.c_str(), &file) == 0);
    CHECK((file.st_mode & 0777) == 0600);
    const auto second = listen_at_path(path);
    REQUIRE(!second.has_value());
    CHECK(second.error().message.find("in use") != std::string::npos);
  }
  CHECK(listen_at_path(path).has_value());
  const auto no_socket = listen_at_path(folder);
  REQUIRE(!no_socket.has_value());
  CHECK(no_socket.error().message.find("something else") != std::string::npos);
  CHECK(!listen_at_path("").has_value());
  CHECK(!listen_at_path(std::string(200, 'x')).has_value());
  CHECK(!listen_at_path(folder + "/absent/socket").has_value());
  ::unlink(path.c_str());
  ::rmdir(folder.c_str());
}
