// `holdfast store ...` on the files of real daemons, running and stopped: a cache
// moves to another machine, damage is found, room is given back.
#include <doctest/doctest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>

#include "sqlite_file.h"
#include "stage.h"

using namespace holdfast::scenario;

namespace {

struct Ran {
  int exit_code = 0;
  std::string out;
  std::string error;
};

std::string contents(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

// holdfast store COMMAND FILE OPTION..., with `input` as standard input.
Ran store(const Folder& folder, const std::string& command, const std::filesystem::path& file,
          const std::string& input = {}, const std::vector<std::string>& options = {}) {
  const auto in = folder.path / "in";
  const auto out = folder.path / "out";
  const auto error = folder.path / "error";
  std::ofstream(in, std::ios::binary) << input;
  std::vector<std::string> arguments{
      "sh",
      "-c",
      R"(in=$1 out=$2 error=$3; shift 3; exec "$0" store "$@" <"$in" >"$out" 2>"$error")",
      std::getenv("HOLDFAST"),
      in.string(),
      out.string(),
      error.string(),
      command,
      file.string()};
  arguments.insert(arguments.end(), options.begin(), options.end());
  Process process(std::move(arguments), {});
  Ran ran;
  ran.exit_code = process.wait();
  ran.out = contents(out);
  ran.error = contents(error);
  return ran;
}

std::size_t lines(const std::string& text) {
  return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
}

// A figure of `stats`, which prints "name: number" lines.
long long figure(const std::string& text, const std::string& name) {
  const std::size_t at = ("\n" + text).find("\n" + name + ": ");
  REQUIRE_MESSAGE(at != std::string::npos, text);
  return std::atoll(text.c_str() + at + name.size() + 2);
}

void warm_up(const Daemon& daemon, const std::vector<std::string>& ips) {
  const Tally tally = look_up_all(daemon, ips, 8);
  INFO(tally.first_problem);
  REQUIRE(tally.ok == ips.size());
}

// Until the store has written what was answered.
void wait_for_entries(const Daemon& daemon, double count) {
  REQUIRE(eventually([&] { return daemon.metric("holdfast_store_entries") == count; }));
}

}  // namespace

TEST_CASE("a cache moves to another machine while its daemon runs, and answers there alone") {
  const Folder here;
  const Folder there;
  Upstream upstream;
  const auto ips = test_ips(300);
  Daemon daemon(here, upstream.url());
  warm_up(daemon, ips);
  wait_for_entries(daemon, static_cast<double>(ips.size()));
  const Ran exported = store(here, "export", here.path / "holdfast.db");
  CHECK(exported.exit_code == 0);
  CHECK(lines(exported.out) == ips.size());
  CHECK(exported.error == "exported: " + std::to_string(ips.size()) + "\ndamaged: 0\n");

  const auto file = there.path / "holdfast.db";
  const Ran imported = store(there, "import", file, exported.out);
  INFO(imported.error);
  CHECK(imported.exit_code == 0);
  CHECK(figure(imported.error, "imported") == static_cast<long long>(ips.size()));

  // The daemon that was exported from is none the worse for it.
  CHECK(get(daemon.lookup_url(ips.front())).status == 200);
  CHECK(daemon.metric("holdfast_store_up") == 1);
  CHECK(daemon.stop() == 0);

  upstream.kill();
  Daemon moved(there, upstream.url());
  const Tally tally = look_up_all(moved, ips, 8);
  INFO(tally.first_problem);
  CHECK(tally.ok == ips.size());
  CHECK(moved.stop() == 0);
}

TEST_CASE("an import beside a running daemon fills it, and its own answers stay") {
  const Folder source;
  const Folder target;
  Upstream upstream;
  const auto ips = test_ips(200);
  const std::vector<std::string> half(ips.begin(), ips.begin() + 100);
  std::string exported;
  {
    Daemon daemon(source, upstream.url());
    warm_up(daemon, ips);
    CHECK(daemon.stop() == 0);
    exported = store(source, "export", source.path / "holdfast.db").out;
  }
  Daemon daemon(target, upstream.url());
  warm_up(daemon, half);
  wait_for_entries(daemon, 100);
  upstream.kill();
  const Ran imported = store(target, "import", target.path / "holdfast.db", exported);
  INFO(imported.error);
  CHECK(imported.exit_code == 0);
  CHECK(figure(imported.error, "imported") == 100);
  CHECK(figure(imported.error, "already as recent") == 100);
  const double reads = daemon.metric("holdfast_store_read_duration_seconds_count");
  const Tally tally = look_up_all(daemon, ips, 8);
  INFO(tally.first_problem);
  CHECK(tally.ok == ips.size());
  // The other half came from the disk.
  CHECK(daemon.metric("holdfast_store_read_duration_seconds_count") == reads + 100);
  CHECK(daemon.stop() == 0);
}

TEST_CASE("lines that are no responses are named, the others are imported, and it shows") {
  const Folder folder;
  Upstream upstream;
  const auto ips = test_ips(3);
  {
    Daemon daemon(folder, upstream.url());
    warm_up(daemon, ips);
    CHECK(daemon.stop() == 0);
  }
  const Ran exported = store(folder, "export", folder.path / "holdfast.db");
  const Ran imported =
      store(folder, "import", folder.path / "other.db", "no JSON\n" + exported.out + "{}\n");
  CHECK(imported.exit_code == 1);
  CHECK(imported.error.starts_with("line 1: "));
  CHECK(imported.error.find("\nline 5: ") != std::string::npos);
  CHECK(figure(imported.error, "imported") == 3);
  CHECK(figure(imported.error, "refused") == 2);
}

TEST_CASE("an import takes nothing that would be a wrong answer") {
  const Folder folder;
  Upstream upstream;
  {
    Daemon daemon(folder, upstream.url());
    warm_up(daemon, {"192.0.2.7", "2001:db8::1"});
    CHECK(daemon.stop() == 0);
  }
  std::string good = store(folder, "export", folder.path / "holdfast.db").out;
  REQUIRE(lines(good) == 2);
  const auto file = folder.path / "other.db";
  {
    // A digit, and still an upstream's answer.
    std::string flipped = good;
    const std::size_t at = flipped.find(R"(\"latitude\":)");
    REQUIRE(at != std::string::npos);
    const std::size_t digit = flipped.find_first_of("123456789", at);
    flipped[digit] = static_cast<char>(flipped[digit] ^ 1);
    if (flipped[digit] == '0') flipped[digit] = '2';
    const Ran ran = store(folder, "import", file, flipped);
    CHECK(ran.exit_code == 1);
    CHECK(figure(ran.error, "refused") == 1);
    CHECK(ran.error.find(": does not match its checksum") != std::string::npos);
  }
  // Without it, each of these has to be found out by itself.
  for (std::size_t at = 0; (at = good.find(R"(,"checksum":")", at)) != std::string::npos;) {
    good.erase(at, good.find('}', at) - at);
  }
  const auto refuses = [&](const std::string& from, const std::string& to) {
    std::string bad = good;
    const std::size_t at = bad.find(from);
    REQUIRE(at != std::string::npos);
    const Ran ran = store(folder, "import", file, bad.replace(at, from.size(), to));
    CAPTURE(to);
    CHECK(ran.exit_code == 1);
    CHECK(figure(ran.error, "refused") == 1);
  };
  refuses("lookup/192.0.2.7", "lookup/192.0.2.8");                        // another's answer
  refuses("lookup/2001:db8::1", "lookup/2001:DB8::1");                    // a key nobody asks for
  refuses("lookup/192.0.2.7", "x");                                       // likewise
  refuses(R"("body":"{)", R"("body":"<)");                                // no JSON
  refuses("\"status\":200", "\"status\":100");                            // no whole answer
  refuses("\"status\":200", "\"status\":500");                            // never stored
  refuses("\"status\":200", "\"status\":404");                            // has another body
  refuses(R"("fields":")", R"("fields":"Content-Encoding: gzip\r\n)");    // not what the body is
  refuses("Type: application/json", "Type: text/html");                   // likewise
  refuses(R"("fields":")", R"("fields":"Cache-Status: other; hit\r\n)");  // never stored
  refuses(R"("fields":")", R"("fields":"Set-Cookie: a=b\r\n)");           // likewise
  const Ran imported = store(folder, "import", file, good);
  CHECK(imported.exit_code == 0);
  CHECK(store(folder, "check", file).out == "pages: ok\nresponses: 2 sound, 0 damaged\n");
}

TEST_CASE("an import judges the answers of each route by that route, without its token") {
  const Folder folder;
  Upstream upstream;
  const auto config = folder.path / "holdfast.toml";
  const auto token = folder.path / "token";
  std::ofstream(token) << Upstream::kToken;
  std::ofstream(config) << "[upstream.geo]\n"
                           "urls = [\""
                        << upstream.url()
                        << "\"]\n"
                           "token_file = \""
                        << token.string()
                        << "\"\n"
                           "[[route]]\n"
                           "name = \"places\"\n"
                           "match = \"/places/{place}\"\n"
                           "target = \"/geoip/{place}\"\n"
                           "validate = { json = true, require = [\"/ip:string\"] }\n"
                           "[[route]]\n"
                           "name = \"any\"\n"
                           "match = \"/any/{ip:ip}\"\n"
                           "target = \"/geoip/{ip}\"\n"
                           "query = \"none\"\n";
  {
    Daemon daemon(folder, upstream.url(), {{"HOLDFAST_CONFIG", config.string()}});
    CHECK(get(daemon.url("/places/192.0.2.7?b=1")).status == 200);
    CHECK(get(daemon.url("/any/192.0.2.8")).status == 200);
    CHECK(daemon.stop() == 0);
  }
  std::string exported = store(folder, "export", folder.path / "holdfast.db").out;
  REQUIRE(lines(exported) == 2);
  std::filesystem::remove(token);
  const std::vector<std::string> by_config{"--config", config.string()};
  const Ran imported = store(folder, "import", folder.path / "other.db", exported, by_config);
  INFO(imported.error);
  CHECK(imported.exit_code == 0);
  CHECK(figure(imported.error, "imported") == 2);

  // The built-in route knows neither key.
  const Ran strange = store(folder, "import", folder.path / "strange.db", exported);
  CHECK(strange.exit_code == 1);
  CHECK(figure(strange.error, "refused") == 2);
  CHECK(strange.error.find("the key is none of ours") != std::string::npos);

  // What one route requires is not the other's business.
  for (std::size_t at = 0; (at = exported.find(R"(,"checksum":")", at)) != std::string::npos;) {
    exported.erase(at, exported.find('}', at) - at);
  }
  for (std::size_t at = 0; (at = exported.find(R"(\"ip\")", at)) != std::string::npos;) {
    exported.replace(at, 6, R"(\"no\")");
  }
  const Ran judged = store(folder, "import", folder.path / "judged.db", exported, by_config);
  CHECK(judged.exit_code == 1);
  CHECK(figure(judged.error, "imported") == 1);
  CHECK(figure(judged.error, "refused") == 1);
  CHECK(judged.error.find("/ip") != std::string::npos);

  std::ofstream(config) << "[[route]]\nname = \"x\"\n";
  const Ran wrong = store(folder, "import", folder.path / "wrong.db", exported, by_config);
  CHECK(wrong.exit_code == 2);
  CHECK(wrong.error.find(config.string() + ":1: ") != std::string::npos);
  CHECK_FALSE(std::filesystem::exists(folder.path / "wrong.db"));
}

TEST_CASE("check: 0 beside a running daemon, 1 for a damaged copy, 2 for what is no store") {
  const Folder folder;
  Upstream upstream;
  const auto file = folder.path / "holdfast.db";
  Daemon daemon(folder, upstream.url());
  const auto ips = test_ips(200);
  warm_up(daemon, ips);
  wait_for_entries(daemon, 200);
  const Ran beside = store(folder, "check", file);
  CHECK(beside.exit_code == 0);
  CHECK(beside.out == "pages: ok\nresponses: 200 sound, 0 damaged\n");
  CHECK(daemon.stop() == 0);

  const std::string good = contents(file);
  const auto check_copy = [&](const std::string& bytes) {
    std::ofstream(folder.path / "copy.db", std::ios::binary) << bytes;
    return store(folder, "check", folder.path / "copy.db");
  };
  CHECK(check_copy(good).exit_code == 0);

  std::string bit = good;
  const std::size_t at = bit.find(expected_body(ips[50]));
  REQUIRE(at != std::string::npos);
  bit[at + 5] ^= 1;
  const Ran one_bit = check_copy(bit);
  CHECK(one_bit.exit_code == 1);
  CHECK(one_bit.out == "pages: ok\nresponses: 199 sound, 1 damaged\n");

  std::string header = good;
  header[0] = 'x';
  CHECK(check_copy(header).exit_code == 1);
  CHECK(check_copy(good.substr(0, good.size() / 2)).exit_code == 1);
  const Ran stranger = check_copy("[Unit]\nDescription=something else\n");
  CHECK(stranger.exit_code == 2);
  CHECK(stranger.error.find("was not made by Holdfast") != std::string::npos);
  CHECK(store(folder, "check", folder.path / "absent.db").exit_code == 2);
  CHECK_FALSE(std::filesystem::exists(folder.path / "absent.db"));
  CHECK(contents(file) == good);
}

TEST_CASE("compact gives free pages back while the daemon serves, and stats shows it") {
  const Folder folder;
  Upstream upstream;
  const auto file = folder.path / "holdfast.db";
  const auto ips = test_ips();
  {
    Daemon daemon(folder, upstream.url());
    warm_up(daemon, ips);
    CHECK(daemon.stop() == 0);
  }
  // As evictions leave them behind.
  SqliteFile(file).run(
      "DELETE FROM holdfast_response WHERE id>100;"
      "UPDATE holdfast_state SET entries=100");
  Daemon daemon(folder, upstream.url());
  const auto stats = [&] {
    const Ran ran = store(folder, "stats", file);
    REQUIRE_MESSAGE(ran.exit_code == 0, ran.error);
    return ran.out;
  };
  CHECK(figure(stats(), "responses") == 100);
  CHECK(figure(stats(), "free_pages") > 20);
  CHECK(figure(stats(), "format") == 2);
  const Ran compacted = store(folder, "compact", file);
  CHECK(compacted.exit_code == 0);
  INFO(compacted.out);
  CHECK(figure(compacted.out, "is_bytes") < figure(compacted.out, "was_bytes") / 2);
  CHECK(figure(stats(), "free_pages") == 0);
  const Tally tally = look_up_all(daemon, ips, 8);
  INFO(tally.first_problem);
  CHECK(tally.ok == ips.size());
  CHECK(daemon.stop() == 0);
  CHECK(store(folder, "check", file).exit_code == 0);
  CHECK(store(folder, "compact", folder.path / "absent.db").exit_code == 2);
}
