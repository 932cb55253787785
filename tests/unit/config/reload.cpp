// What a reload makes of other settings: what it applies, what waits for a restart, and which
// sections are other ones.
#include "config/reload.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "config/setting_table.h"
#include "start.h"

using namespace holdfast::config;
using namespace std::chrono_literals;

namespace {

using Names = std::vector<std::string>;

struct Reread : Start {
  explicit Reread(const std::string& text) { holds(text); }
  void holds(const std::string& text) { arguments = {"--config", file("h.toml", text)}; }
};

const std::string kRouteX = "[[route]]\nname = \"x\"\nmatch = \"/x\"\n";
const std::string kUpstreamGeo = "[upstream.geo]\nurls = [\"https://a.example\"]\n";

}  // namespace

TEST_CASE("a reload applies some settings and names those that wait for a restart") {
  Start start;
  const Settings before = start.settings();
  CHECK(reloaded(before, start.settings()).none());
  start.arguments = {"--log-level", "debug", "--port", "1", "--bind", "::1", "--cache-ttl", "1h"};
  const Changes found = reloaded(before, start.settings());
  CHECK(found.now == Names{"cache_ttl", "log_level"});
  CHECK(found.needs_restart == Names{"port", "bind"});
  // The lookup takes it from the whole program.
  CHECK(found.routes.text() == "changed lookup");
  CHECK(found.upstreams.none());
  const Settings after = in_force_after(before, start.settings());
  CHECK(after.cache_ttl == 1h);
  CHECK(after.routing->routes.front().settings.cache_ttl == 1h);
  CHECK(after.port == before.port);
  CHECK(after.is_default("port"));
  CHECK(!after.is_default("cache_ttl"));
}

TEST_CASE("every setting is in force after a reload, or as it was, as its row says") {
  Start start;
  Settings before = start.settings();
  const Settings read = start.settings();
  for (const Setting& setting : setting_table()) {
    CAPTURE(setting.key);
    // Where it has more than one value, by a text that is none of the default's.
    Settings changed = read;
    for (const char* text : {"7", "7s", "7MiB", "off", "on", "auto", "text", "realtime", "warn",
                             "https://b.example", "192.0.2.7", "/seven"}) {
      if (!setting.value.set(changed, text)) continue;
      if (setting.value.text(changed) != setting.value.text(before)) break;
    }
    REQUIRE(setting.value.text(changed) != setting.value.text(before));
    changed.sources[std::string(setting.key)] = {Source::Kind::File, 7};
    const Settings after = in_force_after(before, changed);
    const bool now = setting.reload == Reload::Now;
    CHECK(setting.value.text(after) == setting.value.text(now ? changed : before));
    CHECK(after.is_default(setting.key) != now);
    const Changes found = changes(before, after, changed);
    CHECK((now ? found.now : found.needs_restart) == Names{std::string(setting.key)});
  }
}

TEST_CASE("what follows from a setting follows from the one that was read") {
  Reread file(kUpstreamGeo + kRouteX);
  const Settings before = file.settings();
  file.holds("request_deadline = \"1s\"\n" + kUpstreamGeo + kRouteX);
  const Settings after = in_force_after(before, file.settings());
  CHECK(after.attempt_timeout == 900ms);
  CHECK(after.routing->upstreams[0].settings.request_deadline == 1s);
  CHECK(after.routing->upstreams[0].settings.attempt_timeout == 900ms);
  // It is another one then; where that is said, it is the same.
  CHECK(reloaded(before, file.settings()).upstreams.text() == "changed geo");
  const std::string said = "attempt_timeout = \"9s\"\n";
  file.holds("request_deadline = \"1s\"\nmax_waiting = 7\n" + kUpstreamGeo + said + kRouteX);
  const Changes found = reloaded(before, file.settings());
  CHECK(found.upstreams.none());
  CHECK(found.now == Names{"request_deadline", "max_waiting", "attempt_timeout"});
}

TEST_CASE("sections are the same by what is in force for them, not by how it is said") {
  Reread file(kUpstreamGeo + kRouteX);
  const Settings before = file.settings();
  const auto now_with = [&](const std::string& text) {
    file.holds(text);
    const Changes found = reloaded(before, file.settings());
    return found.upstreams.text() + "|" + found.routes.text();
  };
  CHECK(now_with("# moved\n" + kRouteX + "max_body = \"8MiB\"\n" + kUpstreamGeo) == "|");
  CHECK(now_with("cache_ttl = \"24h\"\n" + kUpstreamGeo + "hedge = \"p95\"\n" + kRouteX) == "|");
  CHECK(now_with(kUpstreamGeo + "hedge = \"off\"\n" + kRouteX) == "changed geo|");
  CHECK(now_with("hedge = \"off\"\n" + kUpstreamGeo + kRouteX) == "changed geo|");
  CHECK(now_with(kUpstreamGeo + kRouteX + "target = \"/y\"\n") == "|changed x");
  CHECK(now_with("cache_ttl = \"1h\"\n" + kUpstreamGeo + kRouteX) == "|changed x");
  CHECK(now_with("cache_ttl = \"1h\"\n" + kUpstreamGeo + kRouteX + "cache_ttl = \"24h\"\n") == "|");
  CHECK(now_with(kUpstreamGeo + kRouteX + "[[route]]\nname = \"y\"\nmatch = \"/y\"\n") ==
        "|added y");
  CHECK(now_with("[upstream.other]\nurls = [\"https://a.example\"]\n" + kRouteX) ==
        "added other; removed geo|changed x");
  CHECK(now_with("") == "added api; removed geo|added lookup; removed x");
}

TEST_CASE("the token is no part of what an upstream is") {
  Start tokens;
  const std::string one = tokens.file("one", "one");
  const std::string other = tokens.file("other", "other");
  Reread file(kUpstreamGeo + "token_file = \"" + one + "\"\n" + kRouteX);
  const Settings before = file.settings();
  file.holds(kUpstreamGeo + "token_file = \"" + other + "\"\n" + kRouteX);
  CHECK(reloaded(before, file.settings()).none());
}

TEST_CASE("of many names the first are told, and how many more") {
  SectionChanges changes;
  for (int i = 0; i < 30; ++i) changes.added.push_back("r" + std::to_string(i));
  CHECK(changes.text().ends_with("r18, r19 and 10 more"));
}
