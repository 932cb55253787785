// The real look-up, asked of a name server on loopback.
#include "upstream/cares_source.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <functional>
#include <future>
#include <mutex>
#include <optional>
#include <thread>

#include "fake_name_server.h"
#include "patience.h"
#include "upstream/names.h"

using namespace std::chrono_literals;

namespace holdfast::upstream {
namespace {

using test::FakeNameServer;
using Says = FakeNameServer::Says;
using Kind = NameAnswer::Kind;
using Strings = std::vector<std::string>;

const std::string kName = "api.example.net";

// A loop on a thread of its own, and files that a test may write.
class SourceBench {
 public:
  SourceBench() : thread_([this] { loop.run(); }) {
    std::string path = (std::filesystem::temp_directory_path() / "holdfast-names-XXXXXX").string();
    REQUIRE(::mkdtemp(path.data()) != nullptr);
    folder_ = path;
    settings.servers = {server.address()};
    settings.hosts_file = folder_ / "hosts";
    settings.resolv_conf = folder_ / "resolv.conf";
    settings.watch_interval = 5ms;
    write("hosts", "127.0.0.1 localhost\n");
    write("resolv.conf", "");
  }
  ~SourceBench() {
    on_loop([this] { source.reset(); });
    loop.stop();
    thread_.join();
    std::filesystem::remove_all(folder_);
  }

  // A new file in the old one's place, as those who write these do.
  void write(const std::string& name, const std::string& content) {
    std::ofstream(folder_ / "new") << content;
    std::filesystem::rename(folder_ / "new", folder_ / name);
  }

  void on_loop(const std::function<void()>& work) {
    std::promise<void> done;
    loop.post([&] {
      work();
      done.set_value();
    });
    done.get_future().wait();
  }

  std::future<NameAnswer> ask(const std::string& host, AddressFamily family) {
    auto promise = std::make_shared<std::promise<NameAnswer>>();
    on_loop([&] {
      if (!source) source = make_name_source(loop, settings);
      source->ask(host, family,
                  [promise](NameAnswer answer) { promise->set_value(std::move(answer)); });
    });
    return promise->get_future();
  }
  NameAnswer answer(const std::string& host, AddressFamily family = AddressFamily::V4) {
    return ask(host, family).get();
  }

  FakeNameServer server;
  NameServers settings;
  base::SystemClock clock;
  base::EventLoop loop{"names-test", clock};
  std::unique_ptr<NameSource> source;  // the loop's

 private:
  std::filesystem::path folder_;
  std::thread thread_;
};

}  // namespace

TEST_CASE("addresses come with their time to live, each family by itself") {
  SourceBench bench;
  bench.server.set(kName, {.addresses = {"192.0.2.1", "192.0.2.2"}, .ttl = 30s},
                   {.addresses = {"2001:db8::1"}, .ttl = 90s});
  const NameAnswer v4 = bench.answer(kName);
  CHECK(v4.kind == Kind::Found);
  CHECK(v4.addresses == Strings{"192.0.2.1", "192.0.2.2"});
  CHECK(v4.ttl == 30s);
  const NameAnswer v6 = bench.answer(kName, AddressFamily::V6);
  CHECK(v6.addresses == Strings{"2001:db8::1"});
  CHECK(v6.ttl == 90s);

  // The shortest on the way counts, be it an alias'.
  bench.server.set(
      kName, {.addresses = {"192.0.2.1"}, .ttl = 90s, .alias = "b.example.net", .alias_ttl = 7s},
      {});
  CHECK(bench.answer(kName).ttl == 7s);
  bench.server.set(kName, {.addresses = {"192.0.2.1"}, .ttl = 0s}, {});
  CHECK(bench.answer(kName).ttl == 0s);
}

TEST_CASE("what is asked goes to the name servers, within an answer's time to live too") {
  SourceBench bench;
  bench.server.set(kName, {.addresses = {"192.0.2.1"}, .ttl = 1h}, {});
  CHECK(bench.answer(kName).addresses == Strings{"192.0.2.1"});
  bench.server.set(kName, {.addresses = {"192.0.2.2"}, .ttl = 1h}, {});
  CHECK(bench.answer(kName).addresses == Strings{"192.0.2.2"});
  CHECK(bench.server.asked(kName) == 2);
}

TEST_CASE("an answer without an address says what it was") {
  SourceBench bench;
  bench.server.set(kName, {}, {.says = Says::ServFail});
  CHECK(bench.answer(kName).kind == Kind::NoData);
  CHECK(bench.answer(kName).error == "no address");
  CHECK(bench.answer("unknown.example.net").kind == Kind::NoName);
  CHECK(bench.answer("unknown.example.net").error == "NXDOMAIN");
  CHECK(bench.answer(kName, AddressFamily::V6).kind == Kind::Failed);
  // Newer versions of c-ares tell which.
  const std::string error = bench.answer(kName, AddressFamily::V6).error;
  CHECK((error == "the name servers fail or refuse" || error == "SERVFAIL"));
}

TEST_CASE("silence ends after the tries of the settings") {
  SourceBench bench;
  bench.settings.try_timeout = 30ms;
  bench.settings.tries = 3;
  bench.server.set(kName, {.says = Says::Nothing}, {});
  const NameAnswer answer = bench.answer(kName);
  CHECK(answer.kind == Kind::Failed);
  CHECK(answer.error == "no answer from the name servers");
  while (bench.server.asked(kName) < 3) std::this_thread::sleep_for(1ms);
  CHECK(bench.server.asked(kName) == 3);
}

TEST_CASE("one family's silence leaves the other's answer alone") {
  SourceBench bench;
  bench.settings.try_timeout = 1h;
  bench.server.set(kName, {.addresses = {"192.0.2.1"}}, {.says = Says::Nothing});
  const auto v6 = bench.ask(kName, AddressFamily::V6);
  CHECK(bench.answer(kName).addresses == Strings{"192.0.2.1"});
  CHECK(v6.wait_for(0s) == std::future_status::timeout);
}

TEST_CASE("a name in the hosts file has what stands there, and is not asked for") {
  SourceBench bench;
  bench.server.set(kName, {.addresses = {"192.0.2.1"}}, {.addresses = {"2001:db8::1"}});
  bench.write("hosts", "127.0.0.1 localhost\n192.0.2.7 " + kName + "\n");
  const NameAnswer v4 = bench.answer(kName);
  CHECK(v4.addresses == Strings{"192.0.2.7"});
  CHECK_FALSE(v4.ttl);
  CHECK(bench.answer(kName, AddressFamily::V6).kind == Kind::NoData);
  CHECK(bench.server.asked(kName) == 0);
  CHECK(bench.answer("localhost").addresses == Strings{"127.0.0.1"});
  CHECK(bench.answer("localhost", AddressFamily::V6).kind == Kind::NoData);

  bench.write("hosts", "192.0.2.8 other " + kName + "\n");
  CHECK(bench.answer(kName).addresses == Strings{"192.0.2.8"});
  bench.write("hosts", "");
  CHECK(bench.answer(kName).addresses == Strings{"192.0.2.1"});
}

TEST_CASE("search domains are resolv.conf's") {
  SourceBench bench;
  bench.write("resolv.conf", "search a.example.net example.net\n");
  bench.server.set(kName, {.addresses = {"192.0.2.1"}}, {});
  CHECK(bench.answer("api").addresses == Strings{"192.0.2.1"});
  CHECK(bench.server.asked("api.a.example.net") == 1);
}

TEST_CASE("a changed resolv.conf counts, also for what is being asked") {
  SourceBench bench;
  bench.settings.try_timeout = 1h;
  bench.server.set("x.old.example.net", {.says = Says::Nothing}, {});
  bench.server.set("x.new.example.net", {.addresses = {"192.0.2.1"}}, {});
  bench.write("resolv.conf", "search old.example.net\n");
  auto asked = bench.ask("x", AddressFamily::V4);
  bench.write("resolv.conf", "search new.example.net\n");
  CHECK(asked.get().addresses == Strings{"192.0.2.1"});
  CHECK(bench.answer("x").addresses == Strings{"192.0.2.1"});
}

TEST_CASE("a name server that is not there is a failure, not an end") {
  SourceBench bench;
  bench.settings.try_timeout = 30ms;
  {
    FakeNameServer gone;
    bench.settings.servers = {gone.address()};
  }
  CHECK(bench.answer(kName).kind == Kind::Failed);
  CHECK(bench.answer(kName).kind == Kind::Failed);

  NameServers nonsense;
  nonsense.servers = {"not a server"};
  CHECK_THROWS_AS(make_name_source(bench.loop, nonsense), std::runtime_error);
}

TEST_CASE("the second name server answers where the first is silent") {
  SourceBench bench;
  bench.settings.try_timeout = 30ms;
  bench.settings.tries = 8;  // the second one may be slow to be scheduled
  FakeNameServer silent;
  silent.set(kName, {.says = Says::Nothing}, {});
  bench.settings.servers = {silent.address(), bench.server.address()};
  bench.server.set(kName, {.addresses = {"192.0.2.1"}}, {});
  CHECK(bench.answer(kName).addresses == Strings{"192.0.2.1"});
}

TEST_CASE("it can be taken away while questions are open") {
  SourceBench bench;
  bench.settings.try_timeout = 1h;
  bench.server.set(kName, {.says = Says::Nothing}, {.says = Says::Nothing});
  auto v4 = bench.ask(kName, AddressFamily::V4);
  auto v6 = bench.ask(kName, AddressFamily::V6);
  bench.on_loop([&] { bench.source.reset(); });
  CHECK_THROWS_AS(v4.get(), std::future_error);  // never answered
  CHECK_THROWS_AS(v6.get(), std::future_error);
}

TEST_CASE("a name that moves is followed, and kept while the name server is silent") {
  SourceBench bench;
  bench.settings.try_timeout = 50ms;
  bench.server.set(kName, {.addresses = {"127.0.0.1"}, .ttl = 0s}, {});
  std::mutex mutex;
  std::condition_variable changed;
  Strings now;
  observe::Log log;
  std::unique_ptr<Names> names;
  bench.on_loop([&] {
    names = std::make_unique<Names>(
        bench.loop, make_name_source(bench.loop, bench.settings), system_source_of,
        Names::Settings{.ttl_min = 50ms}, std::vector<std::string>{kName},
        [&](std::size_t, const Strings& addresses) {
          const std::lock_guard lock(mutex);
          now = addresses;
          changed.notify_all();
        },
        log);
  });
  const auto becomes = [&](const Strings& expected) {
    std::unique_lock lock(mutex);
    return changed.wait_for(lock, kPatience, [&] { return now == expected; });
  };
  CHECK(becomes({"127.0.0.1"}));
  bench.server.set(kName, {.addresses = {"127.0.0.2"}, .ttl = 0s},
                   {.addresses = {"::1"}, .ttl = 0s});
  CHECK(becomes({"::1", "127.0.0.2"}));

  bench.server.set(kName, {.says = Says::Nothing}, {.says = Says::ServFail});
  const auto kind = [&] {
    Names::State state;
    bench.on_loop([&] { state = names->state(0); });
    return state.kind;
  };
  while (kind() != Names::State::Kind::Stale) std::this_thread::sleep_for(1ms);
  CHECK(now == Strings{"::1", "127.0.0.2"});
  bench.server.set(kName, {.addresses = {"127.0.0.3"}, .ttl = 0s}, {});
  bench.on_loop([&] { names->urgent(0); });
  CHECK(becomes({"127.0.0.3"}));
  bench.on_loop([&] { names.reset(); });
}

}  // namespace holdfast::upstream
