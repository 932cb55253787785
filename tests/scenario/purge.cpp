// Purges by route, tag and path through the real daemon: what they take, that they hold after a
// crash, and what the verbs say.
#include <doctest/doctest.h>

#include <fstream>

#include "command.h"
#include "stage.h"

using namespace holdfast::scenario;

namespace {

struct Purged {
  explicit Purged(std::vector<std::string> options = {"--api", "registry"})
      : upstream(std::move(options)), socket((folder.path / "admin.sock").string()) {}

  Daemon start(Process::Environment more = {}) {
    more.emplace_back("ADMIN_SOCKET", socket);
    const auto route = [](const std::string& name, const std::string& keys) {
      return "[[route]]\nname = \"" + name + "\"\nmatch = \"/" + name + "/{name}\"\n" +
             "target = \"/packages/{name}\"\n" + keys + "\n";
    };
    return routed(folder,
                  "[upstream.registry]\nurls = [\"" + upstream.url() + "\"]\n" +
                      route("one", "tags = [\"first\"]") +
                      route("two", "key_fields = [\"Accept-Language\"]"),
                  std::move(more));
  }

  Said admin(std::vector<std::string> words) const {
    words.insert(words.begin(), "admin");
    return run_holdfast(std::move(words), {{"ADMIN_SOCKET", socket}});
  }

  static const std::vector<std::string>& paths() {
    static const std::vector<std::string> all{"/one/a", "/one/b", "/two/a", "/two/a?x=1", "/two/b"};
    return all;
  }
  void fill(const Daemon& daemon) const {
    for (const std::string& path : paths()) REQUIRE(get(daemon.url(path)).status == 200);
  }
  // Those that are stored, and fresh.
  static std::string stored(const Daemon& daemon) {
    std::string found;
    for (const std::string& path : paths()) {
      const Response response = ask({daemon.url(path), "GET", {"Cache-Control: only-if-cached"}});
      const std::string status = response.field("Cache-Status");
      if (response.status != 200 || contains(status, "detail=")) continue;
      found += (found.empty() ? "" : " ") + path;
    }
    return found;
  }

  const Folder folder;
  Upstream upstream;
  const std::string socket;
};

}  // namespace

TEST_CASE("a purge of a tag, a route, all variants of a path or all holds also after kill -9") {
  Purged p;
  struct Case {
    std::vector<std::string> words;
    std::string says;
    std::string left;
  };
  for (const Case& purge :
       std::vector<Case>{{{"purge", "--tag", "package/a"},
                          R"({"purged":"tag","tag":"package/a","durable":true})",
                          "/one/b /two/b"},
                         {{"purge", "--tag", "first"},
                          R"({"purged":"tag","tag":"first","durable":true})",
                          "/two/a /two/a?x=1 /two/b"},
                         {{"purge", "--route=two"},
                          R"({"purged":"route","route":"two","durable":true})",
                          "/one/a /one/b"},
                         {{"purge", "--variants", "http://any.example/two/a?y=2"},
                          R"({"purged":"path","path":"/two/a","durable":true})",
                          "/one/a /one/b /two/b"},
                         {{"purge", "--all"}, R"({"purged":"all","durable":true})", ""},
                         {{"purge", "--tag", "nobody bears it"},
                          R"(can come from Cache-Groups alone","durable":true})",
                          "/one/a /one/b /two/a /two/a?x=1 /two/b"}}) {
    CAPTURE(purge.says);
    {
      Daemon daemon = p.start();
      p.fill(daemon);
      const auto done = p.admin(purge.words);
      CHECK(done.code == 0);
      CHECK(contains(done.output, purge.says));
      daemon.kill();
    }
    Daemon daemon = p.start();
    CHECK(p.stored(daemon) == purge.left);
    CHECK(daemon.stop() == 0);
  }
}

TEST_CASE("stale by route or tag: answers at once, and with the next use is asked for anew") {
  Purged p;
  Daemon daemon = p.start();
  p.fill(daemon);
  const std::uint64_t before = p.upstream.count("requests");
  CHECK(contains(p.admin({"stale", "--tag", "package/a"}).output,
                 R"({"marked":"tag","tag":"package/a","durable":true})"));
  CHECK(p.stored(daemon) == "/one/b /two/b");
  const Response stale = get(daemon.url("/one/a"));
  CHECK(stale.body == api_says("registry", "/packages/a"));
  CHECK(contains(stale.field("Cache-Status"), "detail=stale-while-revalidate"));
  CHECK(eventually([&] { return p.stored(daemon) == "/one/a /one/b /two/b"; }));
  CHECK(p.upstream.count("requests") == before + 1);
  CHECK(daemon.metric("holdfast_purges_total{kind=\"tag\",mode=\"stale\"}") == 1);
  CHECK(daemon.stop() == 0);
  Daemon again = p.start();
  CHECK(p.stored(again) == "/one/a /one/b /two/b");
  CHECK(again.stop() == 0);
}

TEST_CASE("several URLs and tags are purged one by one, and what is wrong is named") {
  Purged p;
  Daemon daemon = p.start();
  p.fill(daemon);
  const auto urls = p.admin({"purge", daemon.url("/one/a"), "/two/a?x=1"});
  CHECK(urls.code == 0);
  CHECK(urls.output ==
        "{\"purged\":1}\n"
        "{\"purged\":1,\"note\":\"of requests without the route's key_fields; "
        "field='Name: value' names others\"}\n");
  CHECK(p.stored(daemon) == "/one/b /two/a /two/b");
  CHECK(p.admin({"purge", "--tag", "package/b", "--tag", "package/a"}).code == 0);
  CHECK(p.stored(daemon) == "");
  p.fill(daemon);
  const auto typo = p.admin({"purge", "--route", "tow"});
  CHECK(typo.code == 1);
  CHECK(contains(typo.output, "did you mean two?; there are: one, two"));
  CHECK(p.admin({"purge", "--route"}).code == 2);
  CHECK(p.admin({"purge", "--variants"}).code == 1);
  CHECK(p.stored(daemon) == "/one/a /one/b /two/a /two/a?x=1 /two/b");
  CHECK(contains(p.admin({"inspect", "/one/a"}).output,
                 "\"tags\":[\"first\",\"packages\",\"package/a\"],\"more_tags\":false"));
  CHECK(daemon.metric("holdfast_purges_total{kind=\"url\",mode=\"purge\"}") == 2);
  CHECK(daemon.metric("holdfast_purges_total{kind=\"tag\",mode=\"purge\"}") == 2);
  // What only we read stays here.
  CHECK(get(daemon.url("/one/a")).field("Surrogate-Key") == "");
  CHECK(daemon.stop() == 0);
}

TEST_CASE("a purge that no disk keeps says so, and holds as long as the daemon lives") {
  Purged p;
  const std::string path = (p.folder.path / "other.db").string();
  std::ofstream(path) << "not a store\n";
  Daemon daemon = p.start({{"STORE_PATH", path}});
  p.fill(daemon);
  const auto done = p.admin({"purge", "--tag", "package/a"});
  CHECK(done.code == 0);
  CHECK(contains(done.output, R"({"purged":"tag","tag":"package/a","durable":false,"why":")"));
  CHECK(contains(done.output, "was not made by Holdfast"));
  CHECK(p.stored(daemon) == "/one/b /two/b");
  CHECK(daemon.stop() == 0);
}
