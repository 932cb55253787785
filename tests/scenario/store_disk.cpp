// What disks do to a store while its daemon runs. Whatever it is: clients get
// their answers, /healthz says what is wrong, the log says so once and once when
// it is over, and then everything is on the disk again.
#include <doctest/doctest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <simdjson.h>
#include <cstdlib>
#include <fstream>

#include "sqlite_file.h"
#include "stage.h"

using namespace holdfast::scenario;

namespace {

struct StoreHealth {
  std::string state;
  std::string reason;
  bool writable = false;
};

StoreHealth store_health(const Daemon& daemon) {
  const Response page = get(daemon.url("/healthz"));
  simdjson::dom::parser parser;
  const simdjson::dom::element document = parser.parse(page.body);
  for (const simdjson::dom::element dependency : document["dependencies"]) {
    if (std::string_view(dependency["name"]) != "store") continue;
    StoreHealth health{
        std::string(std::string_view(dependency["state"])), {}, bool(dependency["writable"])};
    if (dependency["reason"].is_string()) health.reason = std::string_view(dependency["reason"]);
    return health;
  }
  throw std::runtime_error("no store in " + page.body);
}

bool becomes(const Daemon& daemon, const std::string& state) {
  return eventually([&] { return store_health(daemon).state == state; });
}

// The reason may change while the daemon tries again.
bool gives_as_reason(const Daemon& daemon, const std::string& text) {
  std::string last;
  const bool given = eventually([&] {
    last = store_health(daemon).reason;
    return last.find(text) != std::string::npos;
  });
  if (!given) MESSAGE("the reason given is: " << last);
  return given;
}

// The states the log has reported, in order.
std::vector<std::string> reported(Daemon& daemon) {
  std::vector<std::string> states;
  simdjson::dom::parser parser;
  for (const std::string& line : daemon.process().lines()) {
    if (line.find("\"event\":\"store_state\"") == std::string::npos) continue;
    const simdjson::dom::element event = parser.parse(line);
    states.emplace_back(std::string_view(event["state"]));
  }
  return states;
}

using States = std::vector<std::string>;

void all_answer(const Daemon& daemon, const std::vector<std::string>& ips) {
  const Tally tally = look_up_all(daemon, ips, 8);
  INFO(tally.first_problem);
  CHECK(tally.ok == ips.size());
}

bool stores(const Daemon& daemon, std::size_t count) {
  return eventually([&] {
    return daemon.metric("holdfast_store_entries") == static_cast<double>(count) &&
           daemon.metric("holdfast_store_queue_length") == 0;
  });
}

// A daemon with 200 answers on its disk, and 100 addresses nobody has asked for
// yet. Its file is in a folder of its own, which can go.
struct DiskStage {
  explicit DiskStage(Launch as = {}) : launch(std::move(as)) {
    std::filesystem::create_directory(disk);
    start();
    all_answer(*daemon, known);
    REQUIRE(stores(*daemon, known.size()));
  }
  void start() {
    daemon = std::make_unique<Daemon>(folder, upstream.url(),
                                      Process::Environment{{"STORE_PATH", file.string()}}, launch);
  }
  // The disk is away, and that matters to no client.
  void suffers(const std::string& reason) {
    all_answer(*daemon, known);
    all_answer(*daemon, unknown);
    CHECK(becomes(*daemon, "degraded"));
    CHECK(gives_as_reason(*daemon, reason));
    CHECK_FALSE(store_health(*daemon).writable);
    CHECK(daemon->metric("holdfast_store_up") == 0);
    CHECK(daemon->metric("holdfast_store_errors_total{kind=\"write\"}") > 0);
    CHECK(get(daemon->url("/readyz")).status == 200);
    CHECK(get(daemon->url("/healthz")).status == 200);
    all_answer(*daemon, unknown);
  }
  // The disk is back: all that was answered is on it, and outlives the daemon.
  void recovers() {
    CHECK(eventually([&] { return daemon->metric("holdfast_store_up") == 1; }));
    CHECK(becomes(*daemon, "ok"));
    CHECK(store_health(*daemon).reason.empty());
    CHECK(store_health(*daemon).writable);
    CHECK(stores(*daemon, known.size() + unknown.size()));
    INFO(daemon->process().output());
    CHECK(reported(*daemon) == States{"degraded", "ok"});
    daemon->kill();
    upstream.kill();
    start();
    all_answer(*daemon, known);
    all_answer(*daemon, unknown);
    CHECK(reported(*daemon).empty());
    CHECK(daemon->stop() == 0);
  }

  const Folder folder;
  const std::filesystem::path disk = folder.path / "disk";
  const std::filesystem::path file = disk / "holdfast.db";
  const Launch launch;
  Upstream upstream;
  std::vector<std::string> all = test_ips(300);
  const std::vector<std::string> known{all.begin(), all.begin() + 200};
  const std::vector<std::string> unknown{all.begin() + 200, all.end()};
  std::unique_ptr<Daemon> daemon;
};

// Root may write anywhere, so that a daemon which shall not is started as nobody
// (from a copy: nobody may not be allowed where the build is).
Launch unprivileged_daemon(const Folder& folder) {
  const std::string program = std::getenv("HOLDFAST");
  if (::geteuid() != 0) return {};
  const auto copy = folder.path / "holdfast";
  std::filesystem::copy_file(program, copy);
  std::filesystem::permissions(folder.path, std::filesystem::perms(0755));
  std::filesystem::permissions(copy, std::filesystem::perms(0755));
  return {.launcher = {"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"},
          .program = copy.string()};
}

void give_to_daemon(const std::filesystem::path& path) {
  if (::geteuid() == 0) REQUIRE(::chown(path.c_str(), 65534, 65534) == 0);
}

}  // namespace

TEST_CASE("the store's file is deleted: a new one takes its place, with what memory holds") {
  DiskStage stage;
  // The database last: with it gone, a new one is made at any moment.
  for (const char* end : {"-shm", "-wal", ""}) {
    std::filesystem::remove(stage.file.string() + end);
  }
  CHECK(eventually([&] { return std::filesystem::exists(stage.file); }));
  all_answer(*stage.daemon, stage.unknown);
  stage.daemon->process().wait_for_line("was deleted or replaced");
  stage.daemon->process().wait_for_line("\"state\":\"ok\"");
  stage.recovers();
}

TEST_CASE("the store's folder is removed, and is there again later") {
  DiskStage stage;
  // At once, or a new file might be made in the middle of it.
  std::filesystem::rename(stage.disk, stage.folder.path / "gone");
  std::filesystem::remove_all(stage.folder.path / "gone");
  stage.suffers("holdfast.db");
  std::filesystem::create_directory(stage.disk);
  stage.recovers();
}

TEST_CASE("the disk takes no more bytes, then it does again") {
  DiskStage stage;
  // The limit on file sizes stands for a full disk: it needs no privileges.
  rlimit before{};
  const pid_t pid = stage.daemon->process().pid();
  REQUIRE(::prlimit(pid, RLIMIT_FSIZE, nullptr, &before) == 0);
  const rlimit full{0, before.rlim_max};
  REQUIRE(::prlimit(pid, RLIMIT_FSIZE, &full, nullptr) == 0);
  stage.suffers("disk I/O error");
  REQUIRE(::prlimit(pid, RLIMIT_FSIZE, &before, nullptr) == 0);
  stage.recovers();
}

TEST_CASE("another process holds the store's lock, and lets go later") {
  DiskStage stage;
  {
    SqliteFile other(stage.file);
    other.run("BEGIN IMMEDIATE");
    stage.suffers("locked");
    other.run("ROLLBACK");
  }
  stage.recovers();
}

TEST_CASE("the store's folder may not be written any more, and may again later") {
  const Folder programs;
  const auto launch = unprivileged_daemon(programs);
  const Folder folder;
  std::filesystem::permissions(folder.path, std::filesystem::perms(0755));
  const auto disk = folder.path / "disk";
  const auto other = folder.path / "other";
  for (const auto& path : {disk, other}) {
    std::filesystem::create_directory(path);
    give_to_daemon(path);
  }
  Upstream upstream;
  const auto ips = test_ips(50);
  Daemon daemon(folder, upstream.url(), {{"STORE_PATH", (disk / "holdfast.db").string()}}, launch);
  all_answer(daemon, ips);
  REQUIRE(stores(daemon, ips.size()));

  std::filesystem::permissions(other, std::filesystem::perms(0555));
  std::filesystem::rename(disk, folder.path / "gone");
  std::filesystem::rename(other, disk);
  CHECK(becomes(daemon, "degraded"));
  CHECK(gives_as_reason(daemon, "unable to open database file"));
  all_answer(daemon, ips);

  std::filesystem::permissions(disk, std::filesystem::perms(0755));
  CHECK(becomes(daemon, "ok"));
  CHECK(stores(daemon, ips.size()));
  CHECK(reported(daemon) == States{"degraded", "ok"});
  CHECK(daemon.stop() == 0);
}

TEST_CASE("a store's file that may not be read: the daemon serves, and takes it up once it may") {
  const Folder programs;
  const auto launch = unprivileged_daemon(programs);
  const Folder folder;
  give_to_daemon(folder.path);
  std::filesystem::permissions(folder.path, std::filesystem::perms(0755));
  const auto file = folder.path / "holdfast.db";
  Upstream upstream;
  const auto ips = test_ips(50);
  {
    Daemon daemon(folder, upstream.url(), {}, launch);
    all_answer(daemon, ips);
    CHECK(daemon.stop() == 0);
  }
  std::filesystem::permissions(file, std::filesystem::perms(0000));
  Daemon daemon(folder, upstream.url(), {}, launch);
  CHECK(becomes(daemon, "degraded"));
  CHECK(get(daemon.lookup_url(ips[0])).status == 200);
  upstream.kill();
  std::filesystem::permissions(file, std::filesystem::perms(0600));
  CHECK(becomes(daemon, "ok"));
  CHECK(reported(daemon) == States{"degraded", "ok"});
  all_answer(daemon, ips);
  CHECK(daemon.stop() == 0);
}

TEST_CASE("a store that may only be read answers while the upstream is away, loudly") {
  const Folder programs;
  const auto launch = unprivileged_daemon(programs);
  const Folder folder;
  give_to_daemon(folder.path);
  std::filesystem::permissions(folder.path, std::filesystem::perms(0755));
  const auto file = folder.path / "holdfast.db";
  Upstream upstream;
  const auto ips = test_ips(50);
  {
    Daemon daemon(folder, upstream.url(), {}, launch);
    all_answer(daemon, ips);
    CHECK(daemon.stop() == 0);
  }
  upstream.kill();
  for (const char* end : {"", "-wal", "-shm"}) {
    std::filesystem::permissions(file.string() + end, std::filesystem::perms(0444));
  }
  std::filesystem::permissions(folder.path, std::filesystem::perms(0555));
  Daemon daemon(folder, upstream.url(), {}, launch);
  all_answer(daemon, ips);
  CHECK(becomes(daemon, "degraded"));
  CHECK(gives_as_reason(daemon, "can be read, not written"));
  CHECK(daemon.metric("holdfast_store_up") == 0);
  std::filesystem::permissions(folder.path, std::filesystem::perms(0755));
  for (const char* end : {"", "-wal", "-shm"}) {
    std::filesystem::permissions(file.string() + end, std::filesystem::perms(0600));
  }
  CHECK(becomes(daemon, "ok"));
  CHECK(reported(daemon) == States{"degraded", "ok"});
  all_answer(daemon, ips);
  CHECK(daemon.stop() == 0);
}

TEST_CASE("a damaged store: the daemon serves at once, and what is readable comes back") {
  DiskStage stage;
  CHECK(stage.daemon->stop() == 0);
  stage.upstream.kill();
  {
    std::fstream bytes(stage.file, std::ios::in | std::ios::out | std::ios::binary);
    bytes.seekp(0);
    bytes << "no longer SQLite";
  }
  stage.start();
  CHECK(eventually([&] { return get(stage.daemon->url("/readyz")).status == 200; }));
  CHECK(stores(*stage.daemon, stage.known.size()));
  all_answer(*stage.daemon, stage.known);
  stage.daemon->process().wait_for_line("store_salvaged");
  CHECK(eventually([&] {
    int salvaged = 0;
    for (const auto& entry : std::filesystem::directory_iterator(stage.disk)) {
      salvaged += entry.path().filename().string().starts_with("holdfast.db.salvaged-2");
    }
    return salvaged > 0;
  }));
  CHECK(stage.daemon->stop() == 0);
}

TEST_CASE("a file of another program in the store's place: served without it, and untouched") {
  const Folder folder;
  const auto file = folder.path / "holdfast.db";
  std::ofstream(file) << "[Unit]\nDescription=something else\n";
  Upstream upstream;
  Daemon daemon(folder, upstream.url());
  all_answer(daemon, test_ips(50));
  CHECK(becomes(daemon, "down"));
  CHECK(store_health(daemon).reason.find("was not made by Holdfast") != std::string::npos);
  CHECK(get(daemon.url("/healthz")).status == 200);
  CHECK(reported(daemon) == States{"off"});
  CHECK(daemon.stop() == 0);
  std::ifstream bytes(file);
  std::string first;
  std::getline(bytes, first);
  CHECK(first == "[Unit]");
}

TEST_CASE(
    "a second daemon on the same file says so, answers without, and has it when the first is "
    "gone") {
  const Folder folder;
  Upstream upstream;
  Daemon first(folder, upstream.url());
  const std::vector<std::string> ips = test_ips(20);
  all_answer(first, ips);
  REQUIRE(stores(first, ips.size()));

  Daemon second(folder, upstream.url());
  second.process().wait_for_line("is in use by another holdfast (process " +
                                 std::to_string(first.process().pid()));
  CHECK(gives_as_reason(second, "in use by another holdfast"));
  CHECK(store_health(second).state == "degraded");
  CHECK(second.metric("holdfast_store_up") == 0);
  CHECK(get(second.url("/readyz")).status == 200);
  // What the first one has it does not read: a purge there would not be heard here.
  CHECK(ask({second.lookup_url(ips[0]), "GET", {"Cache-Control: only-if-cached"}}).status == 504);
  const std::vector<std::string> others = other_ips(5);
  all_answer(second, others);
  CHECK(store_health(first).state == "ok");

  first.kill();
  CHECK(becomes(second, "ok"));
  upstream.kill();
  all_answer(second, ips);
  CHECK(stores(second, ips.size() + others.size()));
  CHECK(reported(second) == States{"degraded", "ok"});
  CHECK(second.stop() == 0);
}
