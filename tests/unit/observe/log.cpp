#include "observe/log.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <simdjson.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <regex>
#include <sstream>
#include <thread>
#include <vector>

#include "base/random.h"
#include "base/unique_fd.h"

using namespace holdfast::observe;
using holdfast::base::Random;
using holdfast::base::UniqueFd;

namespace {

// A file in memory to log into.
class Capture {
 public:
  Capture() : file_(::memfd_create("log", MFD_CLOEXEC)) { REQUIRE(file_); }
  int fd() const { return file_.get(); }

  std::string text() const {
    std::string out;
    char buffer[65536];
    off_t offset = 0;
    for (;;) {
      const ssize_t n = ::pread(file_.get(), buffer, sizeof buffer, offset);
      if (n <= 0) return out;
      out.append(buffer, static_cast<std::size_t>(n));
      offset += n;
    }
  }
  std::vector<std::string> lines() const {
    std::vector<std::string> all;
    std::istringstream in(text());
    for (std::string line; std::getline(in, line);) all.push_back(line);
    return all;
  }

 private:
  UniqueFd file_;
};

struct Pipe {
  UniqueFd read_end;
  UniqueFd write_end;

  Pipe() {
    int fds[2];
    REQUIRE(::pipe2(fds, O_CLOEXEC) == 0);
    read_end.reset(fds[0]);
    write_end.reset(fds[1]);
  }
};

std::string escaped(std::string_view text) {
  std::string out;
  append_json_escaped(out, text);
  return out;
}

// What a JSON parser makes of it.
std::string parsed_back(simdjson::dom::parser& parser, std::string_view text) {
  const std::string json = "\"" + escaped(text) + "\"";
  std::string_view value;
  REQUIRE(parser.parse(simdjson::padded_string(json)).get(value) == simdjson::SUCCESS);
  return std::string(value);
}

}  // namespace

TEST_CASE("an event is one JSON object a line: ts, level, event, then its fields") {
  Capture capture;
  {
    Log log({.fd = capture.fd()});
    log.event(Level::Warn, "attempt_failed",
              {{"request_id", "r-1"},
               {"attempt", 2},
               {"bytes", std::uint64_t{18446744073709551615U}},
               {"duration_ms", 12.5},
               {"final", false},
               {"owned", std::string("a b")}});
  }
  const auto lines = capture.lines();
  REQUIRE(lines.size() == 1);
  const std::regex expected(
      R"re(\{"ts":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z","level":"warn","event":"attempt_failed",)re"
      R"re("request_id":"r-1","attempt":2,"bytes":18446744073709551615,"duration_ms":12.5,)re"
      R"re("final":false,"owned":"a b"\})re");
  CHECK(std::regex_match(lines[0], expected));
}

TEST_CASE("braces in a value are text, not a format") {
  Capture capture;
  Log({.fd = capture.fd()}).event(Level::Info, "{} {0}", {{"{}", "{:>999999}"}});
  CHECK(capture.text().find(R"("event":"{} {0}","{}":"{:>999999}")") != std::string::npos);
}

TEST_CASE("a double that JSON cannot hold becomes null") {
  Capture capture;
  {
    Log log({.fd = capture.fd()});
    log.event(Level::Info, "e",
              {{"a", std::numeric_limits<double>::infinity()}, {"b", std::nan("")}});
  }
  CHECK(capture.text().find(R"("a":null,"b":null)") != std::string::npos);
}

TEST_CASE("text for people quotes what could be misread") {
  Capture capture;
  {
    Log log({.format = Log::Format::Text, .fd = capture.fd()});
    log.event(Level::Info, "started", {{"port", 3000}, {"path", "/a b"}, {"empty", ""}});
  }
  const std::regex expected(
      R"re(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z info  started port=3000 path="/a b" empty=""\n)re");
  CHECK(std::regex_match(capture.text(), expected));
}

TEST_CASE("nothing a client sends can end a line or reach a terminal as a control") {
  for (const auto format : {Log::Format::Json, Log::Format::Text}) {
    Capture capture;
    {
      Log log({.format = format, .fd = capture.fd()});
      log.event(Level::Info, "e", {{"path", "a\nb\rc\x1b[31m\x7f\xc2\x9b\xc2\x85"}});
    }
    const std::string text = capture.text();
    CHECK(std::count(text.begin(), text.end(), '\n') == 1);
    CHECK(text.find(R"("a\nb\rc\u001b[31m\u007f\u009b\u0085")") != std::string::npos);
  }
}

TEST_CASE("only events of the level and above are written, and the level can change") {
  Capture capture;
  {
    Log log({.fd = capture.fd()});
    CHECK(!log.enabled(Level::Debug));
    log.event(Level::Debug, "one");
    log.set_level(Level::Debug);
    log.event(Level::Debug, "two");
    log.set_level(Level::Error);
    log.event(Level::Warn, "three");
    log.event(Level::Error, "four");
  }
  const auto lines = capture.lines();
  REQUIRE(lines.size() == 2);
  CHECK(lines[0].find("two") != std::string::npos);
  CHECK(lines[1].find("four") != std::string::npos);
}

TEST_CASE("the format can change, and holds for the lines from then on") {
  Capture capture;
  Log log({.fd = capture.fd()});
  log.event(Level::Info, "before");
  log.set_format(Log::Format::Text);
  log.event(Level::Info, "behind");
  log.flush();
  const auto lines = capture.lines();
  REQUIRE(lines.size() == 2);
  CHECK(lines[0].starts_with("{"));
  CHECK_FALSE(lines[1].starts_with("{"));
  CHECK(lines[1].find("behind") != std::string::npos);
}

TEST_CASE("a log without a sink drops everything and says it is off") {
  Log log;
  CHECK(!log.enabled(Level::Error));
  log.event(Level::Error, "e");
  log.set_level(Level::Debug);
  log.flush();
  CHECK(log.dropped() == 0);
}

TEST_CASE("flush waits until the lines before it are written") {
  Capture capture;
  Log log({.fd = capture.fd()});
  for (int i = 0; i < 100; ++i) log.event(Level::Info, "e", {{"i", i}});
  log.flush();
  CHECK(capture.lines().size() == 100);
}

TEST_CASE("when the reader stalls, callers go on, the oldest lines go, and the loss is counted") {
  Pipe pipe;
  constexpr std::size_t kQueueBytes = 16U << 10;
  constexpr int kLines = 2000;
  const std::string padding(1000, 'x');  // far more than a pipe holds
  std::string read;
  std::uint64_t dropped = 0;
  {
    Log log({.queue_bytes = kQueueBytes, .fd = pipe.write_end.get()});
    for (int i = 0; i < kLines; ++i) log.event(Level::Info, "e", {{"i", i}, {"padding", padding}});
    // Nobody has read yet: at most the pipe, the buffer and one batch in hand are kept.
    dropped = log.dropped();
    CHECK(dropped > 0);
    std::thread reader([&] {
      char buffer[4096];
      for (ssize_t n; (n = ::read(pipe.read_end.get(), buffer, sizeof buffer)) > 0;) {
        read.append(buffer, static_cast<std::size_t>(n));
      }
    });
    log.flush();
    CHECK(log.dropped() == dropped);
    log.event(Level::Info, "last");
    log.flush();
    pipe.write_end.reset();
    reader.join();
  }
  const auto written = std::count(read.begin(), read.end(), '\n');
  const std::string gap = R"("event":"log_lines_dropped","lines":)";
  std::uint64_t reported = 0;
  std::int64_t gaps = 0;
  for (auto at = read.find(gap); at != std::string::npos; at = read.find(gap, at + 1)) {
    reported += std::stoull(read.substr(at + gap.size()));
    ++gaps;
  }
  CHECK(reported == dropped);
  CHECK(static_cast<std::uint64_t>(written - gaps) + dropped == kLines + 1);
  CHECK(read.find(R"("i":1999,)") != std::string::npos);  // the newest survives
}

TEST_CASE("a reader that stands still does not keep the log from ending") {
  const std::string padding(1000, 'x');
  std::array<int, 2> ends{};
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) == 0);
  const UniqueFd far_end(ends[0]);
  const UniqueFd journal(ends[1]);  // what systemd gives a service
  Pipe pipe;
  Pipe impatient;
  REQUIRE(::fcntl(impatient.write_end.get(), F_SETFL, O_NONBLOCK) == 0);
  for (const int fd : {pipe.write_end.get(), impatient.write_end.get(), journal.get()}) {
    Log log({.queue_bytes = 64U << 10, .fd = fd, .patience = std::chrono::milliseconds(20)});
    for (int i = 0; i < 2000; ++i) log.event(Level::Info, "e", {{"padding", padding}});
    log.flush();
    CHECK(log.dropped() > 0);
  }
  // What it did get is whole lines.
  char buffer[4096];
  REQUIRE(::fcntl(pipe.read_end.get(), F_SETFL, O_NONBLOCK) == 0);
  char last = 0;
  for (ssize_t n; (n = ::read(pipe.read_end.get(), buffer, sizeof buffer)) > 0;) {
    last = buffer[n - 1];
  }
  CHECK(last == '\n');
}

// As a disk that hangs does, and a pipe that says there is room which somebody else takes.
TEST_CASE("not even a write that does not return keeps the log from ending") {
  // Never closed: whoever hangs in a write to it still has it.
  const int fd = ::memfd_create("log", MFD_CLOEXEC);
  REQUIRE(fd >= 0);
  Pipe pipe;
  {
    Log log({.fd = fd, .patience = std::chrono::milliseconds(20)});
    REQUIRE(::dup2(pipe.write_end.get(), fd) == fd);
    for (int i = 0; i < 200; ++i)
      log.event(Level::Info, "e", {{"padding", std::string(1000, 'x')}});
  }
  char byte = 0;
  CHECK(::read(pipe.read_end.get(), &byte, 1) == 1);
}

TEST_CASE("the last lines are waited for") {
  Pipe pipe;
  const std::string padding(1000, 'x');
  std::string read;
  std::thread reader;
  {
    Log log({.fd = pipe.write_end.get(), .patience = std::chrono::minutes(1)});
    for (int i = 0; i < 500; ++i) log.event(Level::Info, "e", {{"padding", padding}});
    log.event(Level::Info, "last");
    reader = std::thread([&] {
      char buffer[4096];
      for (ssize_t n; (n = ::read(pipe.read_end.get(), buffer, sizeof buffer)) > 0;) {
        read.append(buffer, static_cast<std::size_t>(n));
      }
    });
  }
  pipe.write_end.reset();
  reader.join();
  CHECK(std::count(read.begin(), read.end(), '\n') == 501);
  CHECK(read.find(R"("event":"last"})") != std::string::npos);
}

// As a disk that is full for a while does.
TEST_CASE("a line that was cut off does not spoil the next one, and the gap is told") {
  struct SizeLimit {
    rlimit before{};
    SizeLimit() { REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0); }
    ~SizeLimit() { ::setrlimit(RLIMIT_FSIZE, &before); }
    void set(rlim_t bytes) const {
      const rlimit now{bytes, before.rlim_max};
      REQUIRE(::setrlimit(RLIMIT_FSIZE, &now) == 0);
    }
  };
  Capture capture;
  {
    Log log({.fd = capture.fd()});
    const SizeLimit limit;
    log.event(Level::Info, "before");
    log.flush();
    limit.set(capture.text().size() + 20);
    for (int i = 0; i < 3; ++i) {
      log.event(Level::Info, "refused", {{"i", i}});
      log.flush();
    }
    CHECK(log.dropped() == 3);
    limit.set(limit.before.rlim_cur);
    log.event(Level::Info, "after");
    log.flush();
  }
  const auto lines = capture.lines();
  REQUIRE(lines.size() == 4);
  CHECK(lines[1].size() == 20);
  CHECK(lines[2].find(R"("event":"log_lines_dropped","lines":3})") != std::string::npos);
  CHECK(lines[3].find(R"({"ts":)") == 0);
  CHECK(lines[3].find(R"("event":"after"})") != std::string::npos);
}

TEST_CASE("a reader that is gone costs lines, not the process") {
  Pipe pipe;
  pipe.read_end.reset();
  Log log({.fd = pipe.write_end.get()});
  log.event(Level::Info, "e");
  log.flush();
  CHECK(log.dropped() == 1);
}

TEST_CASE("a descriptor that does not block is waited for, not given up") {
  Pipe pipe;
  REQUIRE(::fcntl(pipe.write_end.get(), F_SETFL, O_NONBLOCK) == 0);
  std::string read;
  std::thread reader([&] {
    char buffer[4096];
    for (ssize_t n; (n = ::read(pipe.read_end.get(), buffer, sizeof buffer)) > 0;) {
      read.append(buffer, static_cast<std::size_t>(n));
    }
  });
  const std::string padding(1000, 'x');
  {
    Log log({.fd = pipe.write_end.get()});
    for (int i = 0; i < 500; ++i) log.event(Level::Info, "e", {{"padding", padding}});
    log.flush();
    CHECK(log.dropped() == 0);
  }
  pipe.write_end.reset();
  reader.join();
  CHECK(std::count(read.begin(), read.end(), '\n') == 500);
}

TEST_CASE("lines of several threads stay whole") {
  constexpr int kThreads = 4;
  constexpr int kLines = 500;
  Capture capture;
  {
    Log log({.fd = capture.fd()});
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        for (int i = 0; i < kLines; ++i) log.event(Level::Info, "e", {{"t", t}, {"i", i}});
      });
    }
    for (auto& thread : threads) thread.join();
    CHECK(log.dropped() == 0);
  }
  simdjson::dom::parser parser;
  const auto lines = capture.lines();
  CHECK(lines.size() == kThreads * kLines);
  for (const std::string& line : lines) {
    CHECK(parser.parse(simdjson::padded_string(line)).error() == simdjson::SUCCESS);
  }
}

TEST_CASE("escaping: what is valid comes back, what is not becomes U+FFFD") {
  CHECK(escaped("plain /lookup?x=1") == "plain /lookup?x=1");
  CHECK(escaped("\"\\\n\r\t") == R"(\"\\\n\r\t)");
  CHECK(escaped(std::string_view("\0\x1f", 2)) == R"(\u0000\u001f)");
  CHECK(escaped("Z\xC3\xBCrich \xF0\x9F\x8C\x8D") == "Z\xC3\xBCrich \xF0\x9F\x8C\x8D");
  const std::string bad = "\xEF\xBF\xBD";
  CHECK(escaped("\x80") == bad);
  CHECK(escaped("\xC3") == bad);                                // cut short
  CHECK(escaped("\xC3z") == bad + "z");                         // the next byte is kept
  CHECK(escaped("\xC0\xAF") == bad + bad);                      // overlong
  CHECK(escaped("\xE0\x80\x80") == bad + bad + bad);            // overlong
  CHECK(escaped("\xED\xA0\x80") == bad + bad + bad);            // surrogate
  CHECK(escaped("\xF4\x90\x80\x80") == bad + bad + bad + bad);  // past U+10FFFF
  CHECK(escaped("\xFF\xFE") == bad + bad);
}

TEST_CASE("random bytes always make valid JSON, and valid text survives the way back") {
  const std::uint64_t seed = Random::entropy();
  CAPTURE(seed);
  Random random(seed);
  simdjson::dom::parser parser;
  for (int round = 0; round < 3000; ++round) {
    std::string bytes(random.below(64), '\0');
    for (char& byte : bytes) {
      // Half ASCII, so that sequences and their neighbours both get their share.
      byte = static_cast<char>(random.below(random.below(2) == 0 ? 256 : 128));
    }
    parsed_back(parser, bytes);

    std::string text;
    for (std::uint64_t left = random.below(16); left > 0; --left) {
      std::uint32_t code = static_cast<std::uint32_t>(random.below(0x110000));
      if (code >= 0xD800 && code < 0xE000) code = 0xE000;
      if (code < 0x80) {
        text += static_cast<char>(code);
      } else if (code < 0x800) {
        text += static_cast<char>(0xC0 | (code >> 6));
        text += static_cast<char>(0x80 | (code & 0x3F));
      } else if (code < 0x10000) {
        text += static_cast<char>(0xE0 | (code >> 12));
        text += static_cast<char>(0x80 | ((code >> 6) & 0x3F));
        text += static_cast<char>(0x80 | (code & 0x3F));
      } else {
        text += static_cast<char>(0xF0 | (code >> 18));
        text += static_cast<char>(0x80 | ((code >> 12) & 0x3F));
        text += static_cast<char>(0x80 | ((code >> 6) & 0x3F));
        text += static_cast<char>(0x80 | (code & 0x3F));
      }
    }
    CHECK(parsed_back(parser, text) == text);
  }
}
