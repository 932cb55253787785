#include "config/config.h"

#include <doctest/doctest.h>

#include <filesystem>

#include "config/setting_table.h"
#include "start.h"

using namespace holdfast::config;
using namespace std::chrono_literals;

TEST_CASE("defaults are those of the contract, without warnings") {
  const Settings s = Start().settings();
  CHECK(s.api_urls == std::vector<std::string>{"http://localhost:8000"});
  CHECK(s.api_token.empty());
  CHECK(s.port == 3000);
  CHECK(s.bind == std::vector<std::string>{"127.0.0.1", "::1"});
  CHECK(s.workers >= 1);
  CHECK(s.cache_ttl == 24h);
  CHECK(!s.cache_ttl_override);
  CHECK(s.negative_ttl == 5min);
  CHECK(s.stale_while_revalidate == 7 * 24h);
  CHECK(s.stale_if_error == 30 * 24h);
  CHECK(s.request_deadline == 10s);
  CHECK(s.max_connections == 10'000);
  CHECK(s.max_waiting == 20'000);
  CHECK(s.connection_max_requests == 0);
  CHECK(s.client_max_connections == 0);
  CHECK(s.client_rate == 0);
  CHECK(s.client_burst == 100);
  CHECK(s.idle_timeout == 75s);
  CHECK(s.head_timeout == 10s);
  CHECK(s.body_timeout == 10s);
  CHECK(s.write_timeout == 20s);
  CHECK(s.attempt_timeout == 9s);  // of a request_deadline of 10s
  CHECK(s.retry_base == 25ms);
  CHECK(s.retry_cap == 1s);
  CHECK(s.hedge == Hedge{Hedge::Kind::Percentile, {}, 95});
  CHECK(s.upstream_concurrency == 64);
  CHECK(s.memory_limit_bytes == 64u << 20);
  CHECK(s.store_path == "./holdfast.db");
  CHECK(s.store_limit_bytes == 2ULL << 30);
  CHECK(s.log_level == LogLevel::Info);
  CHECK(s.log_format == LogFormat::Json);
  CHECK(s.admin_socket.empty());
  CHECK(s.clock_offset == 0s);
  CHECK(s.warnings.empty());
  CHECK(s.is_default("bind"));
}

TEST_CASE("a flag wins over the environment, which wins over the file, over the default") {
  Start start;
  start.arguments = {"--config",
                     start.file("h.toml", "port = 1\nworkers = 2\ncache-ttl = \"3h\"\n")};
  start.variables = {{"PORT", "11"}, {"WORKERS", "12"}};
  start.arguments.insert(start.arguments.end(), {"--port", "111"});
  const Settings s = start.settings();
  CHECK(s.port == 111);
  CHECK(s.workers == 12);
  CHECK(s.cache_ttl == 3h);
  CHECK(s.sources.at("port").kind == Source::Kind::Flag);
  CHECK(s.sources.at("workers").kind == Source::Kind::Environment);
  CHECK(s.sources.at("cache_ttl").kind == Source::Kind::File);
  CHECK(s.sources.at("cache_ttl").line == 3);
  CHECK(s.is_default("hedge"));
}

TEST_CASE("the file's name comes from HOLDFAST_CONFIG too, and --config wins") {
  Start start;
  start.variables = {{"HOLDFAST_CONFIG", start.file("a.toml", "port = 1\n")}};
  CHECK(start.settings().port == 1);
  start.arguments = {"--config", start.file("b.toml", "port = 2\n")};
  CHECK(start.settings().port == 2);
}

TEST_CASE("every setting can be given as flag, variable and key, with the same result") {
  const std::map<std::string, std::string> samples = {
      {"api_url", "https://a.example,https://b.example/v1"},
      {"api_token", "abc"},
      {"port", "8080"},
      {"bind", "0.0.0.0,::"},
      {"workers", "3"},
      {"request_deadline", "5s"},
      {"max_connections", "50"},
      {"max_waiting", "51"},
      {"connection_max_requests", "52"},
      {"client_max_connections", "53"},
      {"client_rate", "54"},
      {"client_burst", "55"},
      {"idle_timeout", "1m"},
      {"head_timeout", "2s"},
      {"body_timeout", "3s"},
      {"write_timeout", "4s"},
      {"cache_ttl", "2h"},
      {"cache_ttl_override", "true"},
      {"negative_ttl", "1m"},
      {"stale_while_revalidate", "2d"},
      {"stale_if_error", "3d"},
      {"attempt_timeout", "900ms"},
      {"retry_base", "30ms"},
      {"retry_cap", "2s"},
      {"hedge", "70ms"},
      {"retry_budget", "20"},
      {"upstream_concurrency", "5"},
      {"upstream_spare", "2"},
      {"upstream_http2", "auto"},
      {"api_ca_file", "/x/ca.pem"},
      {"api_client_cert_file", "/x/client.pem"},
      {"api_client_key_file", "/x/client.key"},
      {"worker_scheduling", "realtime"},
      {"probe_path", "/health?deep=1"},
      {"probe_interval", "5s"},
      {"memory_limit", "1MiB"},
      {"store_path", "/x/y.db"},
      {"store_limit", "3GiB"},
      {"log_level", "debug"},
      {"log_format", "text"},
      {"admin_socket", "/x/a.sock"},
      {"clock_offset", "-25h"},
  };
  for (const Setting& setting : setting_table()) {
    const std::string key(setting.key);
    CAPTURE(key);
    Start start;
    const std::string sample =
        key == "api_token_file" ? start.file("token", "abc\n") : samples.at(key);
    const Settings defaults = start.settings();

    start.arguments = {setting.flag() + "=" + sample};
    const Settings by_flag = start.settings();
    start.arguments = {setting.flag(), sample};
    CHECK(setting.value.text(start.settings()) == setting.value.text(by_flag));
    start.arguments.clear();
    start.variables = {{setting.environment_variable(), sample}};
    const Settings by_variable = start.settings();
    start.variables.clear();
    const std::string quote = setting.value.plain ? "" : "\"";
    start.arguments = {"--config",
                       start.file("h.toml", key + " = " + quote + sample + quote + "\n")};
    const Settings by_file = start.settings();

    CHECK(setting.value.text(by_flag) == sample);
    CHECK(setting.value.text(by_variable) == sample);
    CHECK(setting.value.text(by_file) == sample);
    CHECK(setting.value.text(defaults) != sample);
    CHECK(!by_flag.is_default(key));
  }
}

TEST_CASE("a bad value stops the start with the setting, the value and what is expected") {
  struct Bad {
    const char* variable;
    const char* value;
    const char* expected;
  };
  for (const Bad& bad : {
           Bad{"PORT", "abc", "from 0 to 65535"},
           Bad{"PORT", "70000", "from 0 to 65535"},
           Bad{"CACHE_TTL", "-1", "such as 250ms"},
           Bad{"CACHE_TTL", "99999999999999999999d", "expected"},
           Bad{"API_URL", "ftp://x", "expected a URL"},
           Bad{"API_URL", "http://a,http://a", "twice"},
           Bad{"BIND", "localhost", "IP address"},
           Bad{"WORKERS", "0", "from 1 to 1024"},
           Bad{"ATTEMPT_TIMEOUT", "0s", "at least 1ms"},
           Bad{"REQUEST_DEADLINE", "2d", "at most 60m"},
           Bad{"HEDGE", "p0", "percentile"},
           Bad{"MEMORY_LIMIT", "1KiB", "at least 1MiB"},
           Bad{"STORE_LIMIT", "2GB", "size such as"},
           Bad{"LOG_LEVEL", "verbose", "debug, info, warn, error"},
           Bad{"CACHE_TTL_OVERRIDE", "maybe", "on or off"},
       }) {
    CAPTURE(bad.variable);
    Start start;
    start.variables = {{bad.variable, bad.value}};
    const std::string error = start.error();
    CHECK(error.rfind(std::string(bad.variable) + "=\"" + bad.value + "\": ", 0) == 0);
    CHECK(contains(error, bad.expected));
  }
}

TEST_CASE("an error says whether flag, environment or line of the file is to blame") {
  Start start;
  start.arguments = {"--port=abc"};
  CHECK(start.error().rfind("--port=\"abc\": ", 0) == 0);
  const std::string path = start.file("h.toml", "# one\nport = \"abc\"\n");
  start.arguments = {"--config", path};
  CHECK(start.error().rfind(path + ":2: port=\"abc\": ", 0) == 0);
}

TEST_CASE("a blank variable is one that is not set, and a blank flag is an error") {
  for (const Setting& setting : setting_table()) {
    CAPTURE(setting.key);
    Start start;
    const Settings usual = start.settings();
    for (const char* blank : {"", " ", "\t\n"}) {
      start.variables = {{setting.environment_variable(), blank}, {"HOLDFAST_CONFIG", blank}};
      const Settings settings = start.settings();
      CHECK(settings.is_default(setting.key));
      CHECK(setting.value.text(settings) == setting.value.text(usual));
    }
    start.variables.clear();
    start.arguments = {setting.flag(), ""};
    CHECK(contains(start.error(), setting.flag() + ": is blank"));
  }
}

TEST_CASE("a blank variable hides nothing of the file below it") {
  Start start;
  start.arguments = {"--config", start.file("h.toml", "port = 81\n")};
  start.variables = {{"PORT", ""}};
  CHECK(start.settings().port == 81);
}

TEST_CASE("words are understood in any case") {
  Start start;
  start.variables = {
      {"LOG_LEVEL", "INFO"},     {"LOG_FORMAT", "Text"},          {"HEDGE", "OFF"},
      {"STORE_PATH", "Off"},     {"PROBE_PATH", "OFF"},           {"UPSTREAM_HTTP2", "AUTO"},
      {"UPSTREAM_SPARE", "OFF"}, {"WORKER_SCHEDULING", "Normal"}, {"CACHE_TTL_OVERRIDE", "ON"}};
  const Settings settings = start.settings();
  CHECK(settings.log_level == LogLevel::Info);
  CHECK(settings.log_format == LogFormat::Text);
  CHECK(settings.hedge.kind == Hedge::Kind::Off);
  CHECK(settings.store_path.empty());
  CHECK(settings.probe_path.empty());
  CHECK(settings.upstream_http2);
  CHECK(settings.upstream_spare == 0);
  CHECK(settings.cache_ttl_override);
  start.variables = {{"HEDGE", "P90"}};
  CHECK(start.settings().hedge.percentile == 90);
}

TEST_CASE("the store is a file, and not what SQLite takes some names for") {
  for (const char* name : {":memory:", ":MEMORY:", ":", "file:holdfast.db", "FILE:/tmp/h.db?vfs=x",
                           "file::memory:?cache=shared"}) {
    CAPTURE(name);
    Start start;
    start.variables = {{"STORE_PATH", name}};
    CHECK(contains(start.error(), "STORE_PATH="));
    CHECK(contains(start.error(), "expected a file's path"));
  }
  Start start;
  start.variables = {{"STORE_PATH", "./:memory:"}};
  CHECK(start.settings().store_path == "./:memory:");
}

TEST_CASE("addresses that include each other are an error that names both") {
  for (const auto& [bind, both] : {std::pair{"0.0.0.0,127.0.0.1", "0.0.0.0 includes 127.0.0.1"},
                                   {"127.0.0.1,0.0.0.0", "0.0.0.0 includes 127.0.0.1"},
                                   {"::1,::", ":: includes ::1"}}) {
    Start start;
    start.variables = {{"BIND", bind}};
    CHECK(contains(start.error(), "BIND="));
    CHECK(contains(start.error(), both));
  }
  for (const char* bind : {"0.0.0.0,::", "0.0.0.0,::1", "::,127.0.0.1", "127.0.0.1,127.0.0.2"}) {
    CAPTURE(bind);
    Start start;
    start.variables = {{"BIND", bind}};
    CHECK(start.settings().bind.size() == 2);
  }
  Start mapped;
  mapped.variables = {{"BIND", "::ffff:127.0.0.1"}};
  CHECK(contains(mapped.error(), "expected the IPv4 address itself"));
}

TEST_CASE("a bad value in a layer that is hidden by another is still an error") {
  Start start;
  start.arguments = {"--config", start.file("h.toml", "port = 70000\n"), "--port", "1"};
  CHECK(contains(start.error(), "h.toml:1: port"));
}

TEST_CASE("of several wrong lines in the file the first is named") {
  Start start;
  for (const auto& [wrong, error] :
       {std::pair{"workers = 0\nport = 70000\n", ":1: workers=\"0\""},
        {"workers = 1.5\nport = 70000\n", ":1: expected a value"},
        {"port = 70000\nbind = [1]\n", ":1: port"},
        {"prot = 1\nbind = 1.5\n", ":1: unknown key"},
        {"port = 1\nport2 = 2\n[section]\n", ":2: unknown key"},
        {"upstream.x.urls = 1\nprot = 1\n", ":1: [upstream.x]: urls"},
        {"[sektion]\n[upstream.x]\nurls = 1\n", ":1: unknown section"}}) {
    const std::string text = wrong;
    CAPTURE(text);
    start.arguments = {"--config", start.file("h.toml", text)};
    CHECK(contains(start.error(), error));
  }
}

TEST_CASE("a long or hostile value makes a short, clean error") {
  Start start;
  start.variables = {{"PORT", std::string(100000, '\n') + "x" + std::string(100000, '\x1b')}};
  const std::string error = start.error();
  CHECK(error.size() < 1000);
  CHECK(!contains(error, "\x1b"));
}

TEST_CASE("unknown names are errors with a suggestion; unknown variables are not ours") {
  Start start;
  start.arguments = {"--cahce-ttl", "5m"};
  CHECK(start.error() == "unknown flag \"--cahce-ttl\"; did you mean --cache-ttl?");
  start.arguments = {"--cahce-ttl=5m"};
  CHECK(start.error() == "unknown flag \"--cahce-ttl\"; did you mean --cache-ttl?");
  start.arguments = {"--xyzzy"};
  CHECK(start.error() == "unknown flag \"--xyzzy\"");
  start.arguments = {"-x"};
  CHECK(contains(start.error(), "unknown flag"));
  start.arguments = {"serve"};
  CHECK(contains(start.error(), "unexpected argument"));
  start.arguments = {"--port", "1", "2"};
  CHECK(contains(start.error(), "unexpected argument"));
  const std::string path = start.file("h.toml", "\nstale_on_error = \"5m\"\n");
  start.arguments = {"--config", path};
  CHECK(start.error() == path + ":2: unknown key \"stale_on_error\"; did you mean stale_if_error?");
  start.arguments = {};
  start.variables = {{"CACHE_TLT", "5m"}};
  CHECK(start.settings().cache_ttl == 24h);
}

TEST_CASE("a flag without its value is an error that names it") {
  Start start;
  start.arguments = {"--port"};
  CHECK(contains(start.error(), "--port"));
  start.arguments = {"--port="};
  CHECK(contains(start.error(), "--port"));
  start.arguments = {"--check-config=no"};
  CHECK(contains(start.error(), "check-config"));
}

TEST_CASE("a key given twice in the file is an error, a flag given twice counts last") {
  Start start;
  start.arguments = {"--config", start.file("h.toml", "cache_ttl = \"1h\"\ncache-ttl = \"2h\"\n")};
  CHECK(contains(start.error(), ":2: cache_ttl is already set in line 1"));
  start.arguments = {"--port", "1", "--port", "2"};
  CHECK(start.settings().port == 2);
}

TEST_CASE("lists: commas, arrays and repeated flags are the same") {
  Start start;
  const std::vector<std::string> both = {"::1", "127.0.0.1"};
  start.arguments = {"--bind", "[::1], 127.0.0.1"};
  CHECK(start.settings().bind == both);
  start.arguments = {"--bind", "[::1]", "--bind", "127.0.0.1"};
  CHECK(start.settings().bind == both);
  start.arguments = {"--config", start.file("h.toml", "bind = [\"::1\", \"127.0.0.1\"]\n")};
  CHECK(start.settings().bind == both);
}

TEST_CASE("a switch may stand alone") {
  Start start;
  start.arguments = {"--cache-ttl-override"};
  CHECK(start.settings().cache_ttl_override);
  start.arguments = {"--cache-ttl-override", "--port", "1"};
  CHECK(start.settings().cache_ttl_override);
  start.arguments = {"--cache-ttl-override=off"};
  CHECK(!start.settings().cache_ttl_override);
  start.arguments = {"--cache-ttl-override", "off"};
  CHECK(!start.settings().cache_ttl_override);
}

TEST_CASE("a negative value is a value, not a flag") {
  Start start;
  start.arguments = {"--clock-offset", "-25h"};
  CHECK(start.settings().clock_offset == -25h);
  start.arguments = {"--cache-ttl", "-1"};
  CHECK(contains(start.error(), "--cache-ttl=\"-1\": expected a duration"));
}

TEST_CASE("what is probed is a path, or nothing") {
  Start start;
  CHECK(start.settings().probe_path.empty());
  start.arguments = {"--probe-path", "/health"};
  CHECK(start.settings().probe_path == "/health");
  start.arguments = {"--probe-path", "off"};
  CHECK(start.settings().probe_path.empty());
  for (const char* bad : {"health", "http://x/health", "/a b", "/a\r\nX: 1", "/a#b"}) {
    start.arguments = {"--probe-path", bad};
    CHECK(contains(start.error(), "begins with a slash"));
  }
}

TEST_CASE("systemd's directories decide where the store and the socket are") {
  Start start;
  start.variables = {{"STATE_DIRECTORY", "/var/lib/holdfast:/var/lib/other"},
                     {"RUNTIME_DIRECTORY", "/run/holdfast"}};
  CHECK(start.settings().store_path == "/var/lib/holdfast/holdfast.db");
  CHECK(start.settings().admin_socket == "/run/holdfast/admin.sock");
  start.arguments = {"--store-path", "off", "--admin-socket", "off"};
  CHECK(start.settings().store_path.empty());
  CHECK(start.settings().admin_socket.empty());
  start.arguments = {"--admin-socket", "/" + std::string(107, 'x')};
  CHECK(contains(start.error(), "at most 107 bytes"));
}

TEST_CASE("the token comes from a file, trimmed, and is read again by the next load") {
  Start start;
  const std::string path = start.file("token", std::string("  ") + kToken + "\r\n");
  start.variables = {{"API_TOKEN_FILE", path}};
  const Settings before = start.settings();
  CHECK(before.api_token == kToken);
  CHECK(before.api_token_file == path);

  start.file("token", "rotated");
  const Settings after = start.settings();
  CHECK(after.api_token == "rotated");
  CHECK(reloaded(before, after).now == std::vector<std::string>{"api_token"});
}

TEST_CASE("systemd's credential is used if it exists and nothing else is said") {
  Start start;
  start.variables = {{"CREDENTIALS_DIRECTORY", start.folder.string()}};
  CHECK(start.settings().api_token.empty());
  const std::string path = start.file("api_token", "from-systemd\n");
  CHECK(start.settings().api_token == "from-systemd");
  CHECK(start.settings().api_token_file == path);
  start.variables["API_TOKEN"] = "from-environment";
  CHECK(start.settings().api_token == "from-environment");
  CHECK(start.settings().api_token_file.empty());
}

TEST_CASE("an empty, unreadable or spoilt token file is an error that names the setting") {
  Start start;
  const auto error_with = [&](const std::string& path) {
    start.variables = {{"API_TOKEN_FILE", path}};
    return start.error();
  };
  CHECK(contains(error_with(start.file("empty", "\n")), "API_TOKEN_FILE"));
  CHECK(contains(error_with(start.folder / "absent"), "No such file"));
  CHECK(contains(error_with(start.folder), "API_TOKEN_FILE"));
  CHECK(contains(error_with(start.file("two", std::string(kToken) + "\nX: 1\n")), "visible ASCII"));
  CHECK(contains(error_with(start.file("huge", std::string(100000, 'x'))), "larger than"));
}

TEST_CASE("token and token file together: the higher layer wins, on one layer it is an error") {
  Start start;
  const std::string path = start.file("token", "of-file");
  start.variables = {{"API_TOKEN_FILE", path}, {"API_TOKEN", kToken}};
  CHECK(contains(start.error(), "give one of them"));
  start.variables = {{"API_TOKEN_FILE", path}};
  start.arguments = {"--api-token", "of-flag"};
  CHECK(start.settings().api_token == "of-flag");
  start.variables = {{"API_TOKEN", "of-variable"}};
  start.arguments = {"--api-token-file", path};
  CHECK(start.settings().api_token == "of-file");
}

TEST_CASE("no error and no printout shows the token or a password") {
  Start start;
  start.variables = {{"API_TOKEN", std::string(kToken) + "\x01"}};
  CHECK(contains(start.error(), "API_TOKEN=(not shown)"));
  start.variables = {{"API_URL", std::string("http://user:") + kToken + "@host"}};
  CHECK(contains(start.error(), "without credentials"));
  start.variables.clear();
  start.arguments = {std::string("--api-tokn=") + kToken};
  CHECK(contains(start.error(), "did you mean --api-token?"));
  start.arguments = {"--api-tokn", kToken};
  start.error();
  start.arguments = {kToken};
  start.error();
  start.arguments = {"--config", start.file("h.toml", std::string("api_token = ") + kToken)};
  start.error();
  start.arguments = {"--config", start.file("h.toml", std::string("api_token = \"") + kToken)};
  start.error();
  start.arguments = {"--print-config"};
  start.variables = {{"API_TOKEN", kToken}};
  CHECK(!contains(start.printout(), kToken));
  CHECK(contains(start.printout(), "# api_token = (secret)"));
  start.arguments.clear();
  bool masked = false;
  for (const InForce& setting : settings_in_force(start.settings())) {
    CHECK(!contains(setting.value, kToken));
    if (setting.key != "api_token") continue;
    masked = true;
    CHECK(setting.value == "(secret)");
    CHECK(setting.source == "environment API_TOKEN");
  }
  CHECK(masked);
}

TEST_CASE("a key in a URL's path is in no error and no printout") {
  Start start;
  const std::string key = "0123456789abcdefABCDEF";
  start.variables = {{"API_URL", "https://a.example/v1/" + key + ",http://b.example/geo"}};
  CHECK(start.settings().api_urls.front() == "https://a.example/v1/" + key);
  start.arguments = {"--print-config"};
  CHECK(!contains(start.printout(), key));
  // As a comment: a file made of this would ask for ***.
  CHECK(contains(start.printout(), "# api_url = https://a.example/v1/***,http://b.example/geo"));
  start.arguments.clear();
  for (const InForce& setting : settings_in_force(start.settings())) {
    CHECK(!contains(setting.value, key));
  }
  for (const std::string& bad :
       {"https://a.example/v1/" + key + "?x", "a.example/" + key, "https://a.example/?key=" + key,
        "https://a/x,b/" + key, key, "https://a/" + key + ",https://a/" + key}) {
    CAPTURE(bad);
    start.variables = {{"API_URL", bad}};
    CHECK(!contains(start.error(), key));
  }
}

TEST_CASE("a settings file that is absent or a folder is an error that names it") {
  Start start;
  start.arguments = {"--config", (start.folder / "absent.toml").string()};
  CHECK(contains(start.error(), "absent.toml: No such file"));
  start.arguments = {"--config", start.folder.string()};
  CHECK(contains(start.error(), "Is a directory"));
}

TEST_CASE("settings that contradict each other are warned of by name") {
  Start start;
  start.arguments = {"--request-deadline", "1s",   "--attempt-timeout", "2s",
                     "--retry-base",       "2s",   "--hedge",           "5s",
                     "--stale-if-error",   "1d",   "--clock-offset",    "25h",
                     "--negative-ttl",     "2d",   "--memory-limit",    "4GiB",
                     "--api-token",        kToken, "--api-url",         "http://api.example.com"};
  const Settings s = start.settings();
  for (const char* part :
       {"request_deadline (1s) is shorter than attempt_timeout (2s)", "retry_base (2s)",
        "hedge (5s)", "stale_if_error (24h)", "negative_ttl (2d)", "store_limit (2GiB)",
        "clock_offset (25h)", "unencrypted", "api_token on the command line"}) {
    CAPTURE(part);
    CHECK(warns(s, part));
  }
  for (const std::string& warning : s.warnings) CHECK(!contains(warning, kToken));
  start.arguments.push_back("--check-config");
  const auto to_check = start.load();
  REQUIRE(to_check);
  CHECK(warns(std::get<ToCheck>(*to_check).settings, "request_deadline"));

  Start fractions;
  fractions.arguments = {"--cache-ttl",    "1500ms", "--stale-while-revalidate", "1m500ms",
                         "--negative-ttl", "250ms",  "--stale-if-error",         "2s"};
  const Settings parts = fractions.settings();
  CHECK(warns(parts, "cache_ttl (1500ms) is kept in whole seconds: it is 1s"));
  CHECK(warns(parts, "negative_ttl (250ms) is kept in whole seconds: it is 0s"));
  CHECK(warns(parts, "stale_while_revalidate (60500ms) is kept in whole seconds: it is 1m"));
  CHECK_FALSE(warns(parts, "stale_if_error (2s) is kept"));
  Start stale;
  stale.arguments = {"--cache-ttl", "900ms", "--cache-ttl-override"};
  CHECK(warns(stale.settings(), "makes every stored response stale at once"));

  Start local;
  local.variables = {{"API_TOKEN", kToken}, {"API_URL", "http://127.0.0.1:80,http://localhost"}};
  CHECK(local.settings().warnings.empty());
}

TEST_CASE("every row is complete, and no two share a name") {
  std::map<std::string, int> seen;
  for (const Setting& setting : setting_table()) {
    CAPTURE(setting.key);
    CHECK(++seen[std::string(setting.key)] == 1);
    CHECK(setting.initial.text.empty() != setting.initial.note.empty());
    CHECK(setting.initial.text.empty() != setting.initial.example.empty());
    CHECK(!setting.help.empty());
    CHECK(find_setting(setting.key) == &setting);
    CHECK(find_setting(setting.flag().substr(2)) == &setting);
  }
}
