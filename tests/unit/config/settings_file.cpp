#include "config/settings_file.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <future>
#include <thread>

#include "base/random.h"
#include "base/unique_fd.h"
#include "patience.h"
#include "rounds.h"

using namespace holdfast::config;

namespace {

struct Entry {
  std::string key;
  std::string value;
  int line = 0;
};

// The flat part, as values of settings.
holdfast::base::Result<std::vector<Entry>> parse(std::string_view text) {
  const auto file = parse_settings_file(text);
  if (!file) return tl::unexpected(file.error());
  std::vector<Entry> entries;
  for (const FileMember& member : file->members) {
    const auto value = flat_value(member.value);
    if (!value) {
      return holdfast::base::invalid_input(std::to_string(value.error().line) + ": " +
                                           std::string(value.error().what));
    }
    entries.push_back({member.key, *value, member.value.line});
  }
  return entries;
}

std::string value_of(std::string_view text) {
  const auto entries = parse(text);
  REQUIRE_MESSAGE(entries, text << ": " << (entries ? "" : entries.error().message));
  REQUIRE(entries->size() == 1);
  return entries->front().value;
}

std::string error_of(std::string_view text) {
  const auto entries = parse(text);
  REQUIRE_MESSAGE(!entries, text);
  return entries.error().message;
}

}  // namespace

TEST_CASE("keys, values of every kind, comments and line ends") {
  const auto entries = parse(
      "\xEF\xBB\xBF# a comment\r\n"
      "\n"
      "port = 3000 # why\r\n"
      "cache-ttl=\"24h\"\n"
      "  cache_ttl_override\t=\ttrue\n"
      "bind = [ \"::1\",  # one\n"
      "  '127.0.0.1',\n"
      "]\n"
      "'log_level' = 'info'");
  REQUIRE(entries);
  REQUIRE(entries->size() == 5);
  CHECK(entries->at(0).key == "port");
  CHECK(entries->at(0).value == "3000");
  CHECK(entries->at(0).line == 3);
  CHECK(entries->at(1).key == "cache-ttl");
  CHECK(entries->at(1).value == "24h");
  CHECK(entries->at(2).value == "true");
  CHECK(entries->at(3).value == "::1,127.0.0.1");
  CHECK(entries->at(3).line == 6);
  CHECK(entries->at(4).key == "log_level");
  CHECK(entries->at(4).line == 9);
  CHECK(parse("")->empty());
}

TEST_CASE("strings: escapes in double quotes, none in single ones, # is text in both") {
  CHECK(value_of(R"(a = "x#y\t\"\\\u00fc\U0001F30D")") == "x#y\t\"\\\xC3\xBC\xF0\x9F\x8C\x8D");
  CHECK(value_of(R"(a = 'C:\x#y')") == R"(C:\x#y)");
  CHECK(value_of("a = \"\"") == "");
  CHECK(value_of("a = -1") == "-1");
  CHECK(value_of("a = 1_000") == "1000");
  CHECK(value_of("a = 0x10") == "16");
  CHECK(value_of("a = \"\"\"\nx\"\"\"") == "x");
}

TEST_CASE("what is not this part of TOML is an error with its line and without the value") {
  CHECK(error_of("\n\n[section]").rfind("3: expected a value, not a table", 0) == 0);
  CHECK(error_of("a = 1.5").rfind("1: expected a value", 0) == 0);
  const std::string unquoted = error_of("cache_ttl = 24h");
  CHECK(unquoted.rfind("1: ", 0) == 0);
  CHECK(unquoted.find("text stands in quotes") != std::string::npos);
  for (const char* bad : {"b = hunter2", "b = thunter2", "b = infhunter2", "b = 1hunter2",
                          "b = 'a'hunter2", "b = 99999999999999999hunter2", "b = \"\\hunter2\"",
                          "b = thunter2', saw 'hunter2", "b = 0xhunter2", "b = 1979-05-hunter2",
                          "b = tru'hunter2'", "hunter2", "b = [\"x\" hunter2]"}) {
    CAPTURE(bad);
    const std::string error = error_of("a = 1\n" + std::string(bad) + "\n");
    CHECK(error.rfind("2: ", 0) == 0);
    CHECK(error.find("hunter2") == std::string::npos);
  }
  for (const char* bad : {"a",
                          "a =",
                          "a = \n",
                          "= 1",
                          "a b = 1",
                          "a = 1 2",
                          "a = \"x",
                          "a = 'x\n'",
                          "a = \"x\" y",
                          "a = \"\\q\"",
                          "a = \"\\u12\"",
                          "a = \"\\ud800\"",
                          "a = \"\\U00110000\"",
                          "a = \"\\",
                          "a = [\"x\"",
                          "a = [\"x\" \"y\"]",
                          "a = [1]",
                          "a = [,]",
                          "a = [\"x,y\"]",
                          "a = [\"x\"] 1",
                          "a = 1.5",
                          "a = +",
                          "a = 2026-01-01",
                          "a = {b = 1}",
                          "a.b = 1",
                          "a = \"\xFC\"",
                          "a = \"x\x01y\"",
                          "# \x01",
                          "a = 1 # \x7f",
                          "a = 1\rb = 2",
                          "a = True"}) {
    CAPTURE(bad);
    CHECK(error_of(bad).rfind("1: ", 0) == 0);
  }
  CHECK(error_of("a = 1\na = 2").rfind("2: ", 0) == 0);
  CHECK(error_of("a = 1\n\n[[[x]]]\nb = 1\n").rfind("3: ", 0) == 0);
  CHECK(error_of("[[=").rfind("1: ", 0) == 0);
  // Outside quotes nothing but ASCII is TOML, wherever it is in Unicode.
  for (const char* letter : {"\u00fc", "\u0451", "\u1680", "\u2003", "\ufedf", "\U0001f30d"}) {
    CAPTURE(letter);
    CHECK(error_of(std::string(letter) + " = 1").rfind("1: ", 0) == 0);
    CHECK(error_of("a = " + std::string(letter)).rfind("1: ", 0) == 0);
    CHECK(error_of("a" + std::string(letter) + "= 1").rfind("1: ", 0) == 0);
  }
  CHECK(!parse_settings_file(std::string_view("a = 1\0", 6)));
}

TEST_CASE("sections are tables in the file's order, each key with its line") {
  const auto file = parse_settings_file(
      "port = 1\n"
      "\n"
      "[upstream.z]\n"
      "urls = [\"a\",\n"
      "  \"b\"]\n"
      "[[route]]\n"
      "name = \"x\"\n"
      "validate.json = true\n"
      "validate.equal = { \"/ip\" = \"ip\" }\n"
      "[upstream.a]\n"
      "[[route]]\n"
      "[route.validate]\n"
      "min_body = 1\n"
      "since = 2026-01-01\n");
  REQUIRE(file);
  using Kind = FileValue::Kind;
  REQUIRE(file->members.size() == 3);
  const FileValue& upstreams = file->members[1].value;
  CHECK(file->members[1].key == "upstream");
  REQUIRE(upstreams.members.size() == 2);
  CHECK(upstreams.members[0].key == "z");
  CHECK(upstreams.members[0].value.line == 3);
  CHECK(upstreams.members[1].value.line == 10);
  const FileValue& urls = upstreams.members[0].value.members[0].value;
  CHECK(urls.kind == Kind::Array);
  CHECK(urls.line == 4);
  CHECK(urls.elements[1].line == 5);
  const FileValue& routes = file->members[2].value;
  REQUIRE(routes.elements.size() == 2);
  CHECK(routes.elements[0].line == 6);
  CHECK(routes.elements[1].line == 11);
  const FileValue& validate = routes.elements[0].members[1].value;
  CHECK(validate.kind == Kind::Table);
  CHECK(validate.line == 8);
  CHECK(validate.members[0].value.kind == Kind::Switch);
  CHECK(validate.members[1].value.line == 9);
  const FileValue& second = routes.elements[1].members[0].value;
  CHECK(second.members[0].value.kind == Kind::Integer);
  CHECK(second.members[1].value.kind == Kind::Other);
  CHECK(second.members[1].value.line == 14);
}

TEST_CASE("what is nested too deep is not looked at") {
  std::string deep = "a = ";
  for (int i = 0; i < 100; ++i) deep += '[';
  deep += std::string(100, ']');
  const auto file = parse_settings_file(deep);
  REQUIRE(file);
  const FileValue* value = &file->members[0].value;
  while (value->kind == FileValue::Kind::Array) value = &value->elements[0];
  CHECK(value->kind == FileValue::Kind::Other);
}

TEST_CASE("any string survives being written and read") {
  const std::uint64_t seed = holdfast::base::Random::entropy();
  CAPTURE(seed);
  holdfast::base::Random random(seed);
  for (int round = 0; round < holdfast::test::of_rounds(2000); ++round) {
    std::string text(random.below(24), '\0');
    for (char& c : text) c = static_cast<char>(random.below(128));
    text += "\u00fc\u20ac";
    const std::string line = "a = " + toml_string(text) + "\n";
    CHECK(value_of(line) == text);
  }
}

TEST_CASE("random text never does more than fail") {
  const std::uint64_t seed = holdfast::base::Random::entropy();
  CAPTURE(seed);
  holdfast::base::Random random(seed);
  const std::string_view alphabet = "a_=\"'[],#\\u0 \t\r\n1-tre";
  for (int round = 0; round < holdfast::test::of_rounds(20000); ++round) {
    std::string text(random.below(40), '\0');
    for (char& c : text) c = alphabet[random.below(alphabet.size())];
    const auto entries = parse(text);
    if (!entries) CHECK(entries.error().message.find(": ") != std::string::npos);
  }
}

TEST_CASE("a pipe is read to its end, and one that nobody writes to keeps nobody waiting") {
  using namespace std::chrono_literals;
  std::string folder = (std::filesystem::temp_directory_path() / "holdfast-XXXXXX").string();
  REQUIRE(::mkdtemp(folder.data()) != nullptr);
  const std::string path = folder + "/pipe";
  REQUIRE(::mkfifo(path.c_str(), 0600) == 0);

  auto alone = std::async(std::launch::async, [&] { return read_file(path, 100); });
  const bool came_back = alone.wait_for(holdfast::kPatience) == std::future_status::ready;
  // One that waits would wait for ever.
  if (!came_back) holdfast::base::UniqueFd(::open(path.c_str(), O_WRONLY | O_NONBLOCK)).reset();
  CHECK(came_back);
  // Not an empty file, by which all settings would be what they are by default.
  CHECK(alone.get().value_or("an error") == "an error");

  // As a shell's <(...) has it: the writer is there before the reader, and slower.
  holdfast::base::UniqueFd writer(::open(path.c_str(), O_RDWR));
  REQUIRE(writer);
  auto reader = std::async(std::launch::async, [&] { return read_file(path, 100); });
  REQUIRE(::write(writer.get(), "to", 2) == 2);
  REQUIRE(::write(writer.get(), "ken", 3) == 3);
  // The end comes once the reader has both: it may not have opened the pipe yet.
  for (int left = 1; left > 0; std::this_thread::yield()) {
    REQUIRE(::ioctl(writer.get(), FIONREAD, &left) == 0);
  }
  writer.reset();
  CHECK(reader.get().value_or("an error") == "token");

  // As mkfifo has it: the reader may be there before the writer.
  auto early = std::async(std::launch::async, [&] { return read_file(path, 100, 20s); });
  // Which nobody can open to write, until there is a reader.
  while (!writer && early.wait_for(0s) != std::future_status::ready) {
    writer.reset(::open(path.c_str(), O_WRONLY | O_NONBLOCK));
    std::this_thread::yield();
  }
  if (writer) CHECK(::write(writer.get(), "late", 4) == 4);
  writer.reset();
  CHECK(early.get().value_or("an error") == "late");

  // As /dev/stdin has it on a reload: all of it was read before.
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  const holdfast::base::UniqueFd end(ends[0]);
  REQUIRE(::write(ends[1], "once", 4) == 4);
  holdfast::base::UniqueFd(ends[1]).reset();
  const std::string standard = "/proc/self/fd/" + std::to_string(ends[0]);
  CHECK(read_file(standard, 100).value_or("an error") == "once");
  CHECK(read_file(standard, 100).value_or("an error") == "an error");
  std::filesystem::remove_all(folder);
}
