#include "cache/store_admin.h"

#include <doctest/doctest.h>
#include <sqlite3.h>

#include <cstring>
#include <utility>
#include <vector>

#include "cache/base64.h"
#include "cache/json_lines.h"
#include "store_fixture.h"

namespace holdfast::cache {
namespace {

// A FILE* over memory.
class Text {
 public:
  explicit Text(const std::string& content = {}) : file_(std::tmpfile()) {
    REQUIRE(file_);
    std::fwrite(content.data(), 1, content.size(), file_);
    std::rewind(file_);
  }
  ~Text() { std::fclose(file_); }
  FILE* file() { return file_; }
  std::string content() {
    std::rewind(file_);
    std::string all;
    char part[4096];
    for (std::size_t got = 0; (got = std::fread(part, 1, sizeof part, file_)) > 0;) {
      all.append(part, got);
    }
    return all;
  }

 private:
  FILE* file_;
};

// Whoever waits for a lock of SQLite's sleeps here, in no time: counted, and once that is
// longer than `patience`, `act` is called, once. SQLite's default while it lives.
class LockWaits {
 public:
  LockWaits(std::chrono::microseconds patience, std::function<void()> act) {
    left = patience;
    over = std::move(act);
    shim = *sqlite3_vfs_find(nullptr);
    shim.pNext = nullptr;
    shim.zName = "holdfast-lock-waits";
    shim.xSleep = [](sqlite3_vfs*, int microseconds) {
      left -= std::chrono::microseconds(microseconds);
      if (left.count() < 0 && over) std::exchange(over, nullptr)();
      return microseconds;
    };
    REQUIRE(sqlite3_vfs_register(&shim, 1) == SQLITE_OK);
  }
  ~LockWaits() {
    sqlite3_vfs_unregister(&shim);
    over = nullptr;
  }
  LockWaits(const LockWaits&) = delete;
  LockWaits& operator=(const LockWaits&) = delete;

  bool are_over() const { return !over; }

 private:
  static inline sqlite3_vfs shim;
  static inline std::chrono::microseconds left;
  static inline std::function<void()> over;
};

std::string none(std::string_view, const StoredResponse&) {
  return {};
}

TEST_CASE("an export can be imported elsewhere, and nothing is lost on the way") {
  StoreFixture f;
  f.open();
  std::vector<std::pair<std::string, StoredPtr>> all;
  for (int i = 0; i < 1500; ++i) {
    all.emplace_back("key-" + std::to_string(i), f.make("{\"n\":" + std::to_string(i) + "}"));
  }
  all.emplace_back(std::string("\xff\0 key", 6),
                   make_stored({.status = 404,
                                .fields = "X-A: b\r\n",
                                .body = std::string("\0\xfe\"\\\n", 5),
                                .upstream_etag = "W/\"e\"",
                                .upstream_last_modified = "then",
                                .response_time = f.clock.wall(),
                                .initial_age = 1s,
                                .freshness_lifetime = 2s,
                                .stale_while_revalidate = 3s,
                                .stale_if_error = 400h}));
  for (const auto& [key, stored] : all) REQUIRE(f.store->put(key, stored));
  f.store->flush();
  Text exported;
  const auto written = store_export(f.settings.path, exported.file());  // beside the daemon
  REQUIRE(written);
  CHECK(written->written == all.size());
  CHECK(written->damaged == 0);

  StoreFixture other;
  Text in(exported.content());
  Text complaints;
  const auto imported =
      store_import(other.settings.path, other.clock, in.file(), complaints.file(), none);
  REQUIRE(imported);
  CHECK(imported->written == all.size());
  CHECK(imported->refused == 0);
  other.open();
  for (const auto& [key, stored] : all) {
    const auto found = other.store->find(key);
    REQUIRE(found);
    REQUIRE(*found);
    REQUIRE(same(**found, *stored));
  }
  Text again;
  other.store->flush();
  REQUIRE(store_export(other.settings.path, again.file()));
  CHECK(again.content() == exported.content());
}

TEST_CASE("an import beside a running daemon is seen by it and spares what is more recent") {
  StoreFixture f;
  f.open();
  Text in;
  std::string lines;
  append_json_line(lines, "kept", *f.make("imported"));
  append_json_line(lines, "new", *f.make("imported"));
  f.clock.advance(1min);
  REQUIRE(f.store->put("kept", f.make("fresher")));
  f.store->flush();
  Text source(lines);
  Text complaints;
  const auto imported =
      store_import(f.settings.path, f.clock, source.file(), complaints.file(), none);
  REQUIRE(imported);
  CHECK(imported->written == 1);
  CHECK(imported->older == 1);
  CHECK(f.body("kept") == "fresher");
  CHECK(f.body("new") == "imported");
  REQUIRE(f.store->put("more", f.make("x")));
  f.store->flush();
  CHECK(f.store->status().entries == 3);
}

TEST_CASE("a line that would make a wrong answer is refused, and the line is named") {
  const std::string good =
      R"({"key":"k","status":200,"response_time_ms":1777593600000,"freshness_lifetime":1,)"
      R"("fields":"A: b\r\n","body":"{}"})";
  const auto with = [&](std::string_view from, std::string_view to) {
    std::string line = good;
    const auto at = line.find(from);
    REQUIRE(at != line.npos);
    return line.replace(at, from.size(), to);
  };
  const std::vector<std::string> bad{
      "not JSON",
      "[]",
      good.substr(0, good.size() - 1),
      with("\"key\"", "\"no_key\""),
      with("200", "\"200\""),
      with("200", "99"),
      with("200", "199"),
      with("200", "600"),
      with("200", "20000000000000000000000"),
      with("1777593600000", "-1"),
      with("1777593600000", "1e300"),
      with("\"freshness_lifetime\":1", "\"freshness_lifetime\":-1"),
      with("A: b\\r\\n", "A: b"),
      with("A: b\\r\\n", "A: b\\nSet-Cookie: x\\r\\n"),
      with("A: b\\r\\n", "A: b\\r\\n\\r\\n"),
      with("A: b\\r\\n", "A b: c\\r\\n"),
      with("A: b\\r\\n", ": c\\r\\n"),
      with("A: b\\r\\n", "Content-Length: 1\\r\\n"),
      with("A: b\\r\\n", "transfer-encoding: chunked\\r\\n"),
      with("A: b\\r\\n", "content-encoding: gzip\\r\\n"),
      with("A: b\\r\\n", "Vary: *\\r\\n"),
      with("\"body\":\"{}\"", "\"body\":{}"),
      with("\"body\":\"{}\"", "\"body_base64\":\"a\""),
      with("\"body\":\"{}\"", "\"body_base64\":\"====\""),
  };
  JsonLineReader reader;
  std::string key;
  REQUIRE(reader.read(good, key));
  CHECK(key == "k");
  std::string lines;
  for (const std::string& line : bad) {
    CAPTURE(line);
    CHECK_FALSE(reader.read(line, key));
    lines += line + "\n";
  }
  lines += good + "\n";
  StoreFixture f;
  Text in(lines);
  Text complaints;
  const auto imported = store_import(f.settings.path, f.clock, in.file(), complaints.file(), none);
  REQUIRE(imported);
  CHECK(imported->refused == bad.size());
  CHECK(imported->written == 1);
  CHECK(complaints.content().find("line 1: ") == 0);
  CHECK(complaints.content().find("line " + std::to_string(bad.size()) + ": ") !=
        std::string::npos);
}

TEST_CASE("an import takes CRLF and a byte order mark at its start, and names UTF-16 once") {
  StoreFixture f;
  std::string first;
  std::string second;
  append_json_line(first, "first", *f.make("1"));
  append_json_line(second, "second", *f.make("2"));
  first.insert(first.size() - 1, "\r");
  Text in("\xef\xbb\xbf" + first + second);
  Text complaints;
  const auto imported = store_import(f.settings.path, f.clock, in.file(), complaints.file(), none);
  REQUIRE(imported);
  CHECK(imported->written == 2);
  CHECK(imported->refused == 0);

  for (const std::string mark : {"\xff\xfe", "\xfe\xff"}) {
    Text wide(mark + std::string("{\0}\0\n\0{\0}\0\n\0", 12));
    const auto refused =
        store_import(f.settings.path, f.clock, wide.file(), complaints.file(), none);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().message.find("UTF-16") != std::string::npos);
  }
  CHECK(complaints.content().empty());
}

TEST_CASE("a byte order mark within the lines is refused, and told") {
  StoreFixture f;
  std::string line;
  append_json_line(line, "key", *f.make("1"));
  Text in("\xef\xbb\xbf\xef\xbb\xbf" + line + "\xef\xbb\xbf" + line);
  Text complaints;
  const auto imported = store_import(f.settings.path, f.clock, in.file(), complaints.file(), none);
  REQUIRE(imported);
  CHECK(imported->written == 0);
  CHECK(imported->refused == 2);
  CHECK(complaints.content() ==
        "line 1: it begins with a byte order mark\nline 2: it begins with a byte order mark\n");
}

TEST_CASE("an exported line that any bit was flipped in is refused, or says what it said") {
  StoreFixture f;
  const StoredPtr stored = make_stored({.fields = "Content-Type: application/json\r\nX-A: b\r\n",
                                        .body = R"({"ip":"192.0.2.7","latitude":12.5})",
                                        .upstream_etag = "\"e\"",
                                        .response_time = f.clock.wall(),
                                        .initial_age = 1s,
                                        .freshness_lifetime = 2s,
                                        .stale_while_revalidate = 3s,
                                        .stale_if_error = 400h});
  std::string line;
  append_json_line(line, "lookup/192.0.2.7", *stored);
  line.pop_back();
  JsonLineReader reader;
  std::string key;
  int refused_for_it = 0;
  for (std::size_t bit = 0; bit < line.size() * 8; ++bit) {
    CAPTURE(bit);
    std::string flipped = line;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    const auto read = reader.read(flipped, key);
    if (read) {
      CHECK(key == "lookup/192.0.2.7");
      CHECK(same(**read, *stored));
    } else if (read.error().message.starts_with("does not match its checksum")) {
      ++refused_for_it;
    }
  }
  CHECK(refused_for_it > 500);
}

TEST_CASE("a line without a checksum is taken, one whose checksum is wrong is named") {
  StoreFixture f;
  std::string good;
  append_json_line(good, "key", *f.make("body"));
  const std::size_t at = good.find(",\"checksum\":\"");
  REQUIRE(at != good.npos);
  REQUIRE(good.size() - at == std::strlen(",\"checksum\":\"0123456789abcdef\"}\n"));
  const std::string start = good.substr(0, at);
  Text in(start + "}\n" + start + ",\"checksum\":\"\"}\n" + start + ",\"checksum\":0}\n" + start +
          ",\"checksum\":null}\n" + start + ",\"checksum\":\"0123456789abcdef\"}\n");
  Text complaints;
  const auto imported = store_import(f.settings.path, f.clock, in.file(), complaints.file(), none);
  REQUIRE(imported);
  CHECK(imported->written == 1);
  CHECK(imported->refused == 4);
  std::string expected;
  for (int line = 2; line <= 5; ++line) {
    expected += "line " + std::to_string(line) +
                ": does not match its checksum: it was damaged, or changed by hand without taking "
                "that out\n";
  }
  CHECK(complaints.content() == expected);
}

TEST_CASE("what one release exported, later ones import") {
  JsonLineReader reader;
  std::string key;
  CHECK(reader.read(
      R"({"key":"key","status":200,"response_time_ms":1,"initial_age":0,"freshness_lifetime":2,)"
      R"("stale_while_revalidate":0,"stale_if_error":0,)"
      R"("fields":"Content-Type: application/json\r\n","body":"{}","checksum":"a65137ad7b36ca12"})",
      key));
}

TEST_CASE("an import refuses what is from the future: it would stand for the newest, and stale") {
  StoreFixture f;
  std::string lines;
  const StoredPtr present = f.make("of now");
  f.clock.advance(59min);
  append_json_line(lines, "a little ahead", *f.make("b"));
  f.clock.advance(2min);
  append_json_line(lines, "present", *f.make("of tomorrow"));
  f.clock.advance(-61min);
  f.open();
  REQUIRE(f.store->put("present", present));
  f.store->flush();
  Text in(lines);
  Text complaints;
  const auto imported = store_import(f.settings.path, f.clock, in.file(), complaints.file(), none);
  REQUIRE(imported);
  CHECK(imported->written == 1);
  CHECK(imported->refused == 1);
  CHECK(complaints.content() == "line 2: is from the future\n");
  CHECK(f.body("present") == "of now");
  CHECK(f.body("a little ahead") == "b");
}

TEST_CASE("import and compact wait for a lock that is there from the start") {
  StoreFixture f;
  f.open();
  REQUIRE(f.store->put("there", f.make("x")));
  f.store.reset();
  std::string line;
  append_json_line(line, "key", *f.make("imported"));
  sqlite3* daemon = nullptr;
  REQUIRE(sqlite3_open(f.settings.path.c_str(), &daemon) == SQLITE_OK);
  REQUIRE(sqlite3_exec(daemon, "BEGIN IMMEDIATE", nullptr, nullptr, nullptr) == SQLITE_OK);
  int committed = -1;
  {
    // Longer than opening the file waits by itself.
    const LockWaits waits(
        251ms, [&] { committed = sqlite3_exec(daemon, "COMMIT", nullptr, nullptr, nullptr); });
    Text out;
    SUBCASE("import") {
      Text in(line);
      const auto imported = store_import(f.settings.path, f.clock, in.file(), out.file(), none);
      REQUIRE_MESSAGE(imported, (imported ? std::string() : imported.error().message));
      CHECK(imported->written == 1);
    }
    SUBCASE("compact") {
      const auto compacted = store_compact(f.settings.path, out.file());
      CHECK_MESSAGE(compacted, (compacted ? std::string() : compacted.error().message));
    }
    CHECK(waits.are_over());
  }
  CHECK(committed == SQLITE_OK);
  sqlite3_close(daemon);
}

TEST_CASE("base64 is the one of RFC 4648, both ways") {
  for (const auto& [plain, encoded] :
       std::vector<std::pair<std::string, std::string>>{{"", ""},
                                                        {"f", "Zg=="},
                                                        {"fo", "Zm8="},
                                                        {"foo", "Zm9v"},
                                                        {"foob", "Zm9vYg=="},
                                                        {"fooba", "Zm9vYmE="},
                                                        {"foobar", "Zm9vYmFy"},
                                                        {"\xff\xfe\xfd", "//79"}}) {
    std::string out;
    append_base64(out, plain);
    CHECK(out == encoded);
    REQUIRE(decode_base64(encoded, out));
    CHECK(out == plain);
  }
  std::string out;
  for (const char* wrong : {"Zg=", "Z===", "Z", "Zm9v=", "Z*9v", "Zg==Zg==", "===="}) {
    CAPTURE(wrong);
    CHECK_FALSE(decode_base64(wrong, out));
  }
}

TEST_CASE("the check finds a damaged row and damaged pages") {
  StoreFixture f;
  f.open();
  for (int i = 0; i < 500; ++i) {
    REQUIRE(f.store->put("key-" + std::to_string(i), f.make("body of " + std::to_string(i))));
  }
  f.store.reset();
  Text out;
  CHECK(store_check(f.settings.path, out.file()).value());
  CHECK(out.content() == "pages: ok\nresponses: 500 sound, 0 damaged\n");

  std::fstream file(f.settings.path, std::ios::in | std::ios::out | std::ios::binary);
  std::string bytes(std::istreambuf_iterator<char>(file), {});
  const auto at = bytes.find("body of 77");
  REQUIRE(at != bytes.npos);
  file.seekp(static_cast<std::streamoff>(at));
  file << "B";
  file.close();
  Text after;
  CHECK_FALSE(store_check(f.settings.path, after.file()).value());
  CHECK(after.content() == "pages: ok\nresponses: 499 sound, 1 damaged\n");
}

TEST_CASE("the figures are the file's") {
  StoreFixture f;
  f.open();
  REQUIRE(f.store->put("a", f.make("x")));
  REQUIRE(f.store->put("b", answer("expired", f.clock.wall() - 500h, 1s)));
  f.store->flush();
  Text out;
  REQUIRE(store_stats(f.settings.path, f.clock, out.file()));
  CHECK(out.content().find("\nresponses: 2\n") != std::string::npos);
  CHECK(out.content().find("\nusable: 1\n") != std::string::npos);
  CHECK(out.content().find("\nformat: 2\n") != std::string::npos);
}

TEST_CASE("compacting deletes what is hidden, gives free pages back, and needs a store of ours") {
  StoreFixture f;
  f.open();
  for (int i = 0; i < 2000; ++i) {
    while (!f.store->put(std::to_string(i), f.make(std::string(1000, 'x')))) f.store->flush();
  }
  f.store->flush();
  f.store->erase_all();
  f.store.reset();  // most of the erased rows are hidden only
  const auto before = std::filesystem::file_size(f.settings.path);
  Text out;
  REQUIRE(store_compact(f.settings.path, out.file()));
  CHECK(std::filesystem::file_size(f.settings.path) < before / 10);

  const TempFolder empty;
  CHECK_FALSE(store_compact(empty.file(), out.file()));
  CHECK_FALSE(std::filesystem::exists(empty.file()));
}

}  // namespace
}  // namespace holdfast::cache
