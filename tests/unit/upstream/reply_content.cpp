#include "upstream/reply_content.h"

#include <doctest/doctest.h>
#include <zlib.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

namespace holdfast::upstream {
namespace {

constexpr std::size_t kLimit = 100;

struct Chunks {
  bool good = true;
  bool whole = false;
  bool too_large = false;
  bool behind = false;
  std::string content;
};

Chunks join(const std::string& bytes, std::size_t step) {
  ChunkedContent chunks(200);
  Chunks result;
  for (std::size_t at = 0; at < bytes.size() && result.good; at += step) {
    result.good = chunks.take(std::string_view(bytes).substr(at, step), result.content, kLimit);
  }
  CHECK(result.good == !(chunks.broken() || chunks.too_large()));
  result.whole = chunks.whole();
  result.too_large = chunks.too_large();
  result.behind = chunks.something_behind();
  return result;
}

constexpr int kZlib = 15, kGzip = 15 + 16, kRaw = -15;

std::string coded(const std::string& content, int window) {
  z_stream stream{};
  REQUIRE(deflateInit2(&stream, 9, Z_DEFLATED, window, 8, Z_DEFAULT_STRATEGY) == Z_OK);
  std::string in = content, out(content.size() + 200, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(in.data());
  stream.avail_in = static_cast<uInt>(in.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  REQUIRE(deflate(&stream, Z_FINISH) == Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

Fields coding(const std::string& value) {
  return {{"Content-Encoding", value}};
}

}  // namespace

TEST_CASE("chunks are joined, however they come") {
  const char* const cases[] = {
      "5\r\nhello\r\n0\r\n\r\n",
      "3\r\nhel\r\n02\r\nlo\r\n000\r\n\r\n",
      "00000000000000000005\r\nhello\r\n0\r\n\r\n",
      "5 \t\r\nhello\r\n0;a=\"b;c\"\r\n\r\n",
      "5 ; a = b;;\r\nhello\r\n0 \r\n\r\n",
      "5\nhello\n0\n\n",
      "5\r\nhello\r\n0\r\nCache-Control: no-store\r\n folded\r\n\r\n",
      "5\r\nhello\r\n0\r\nA: b\n\n",
  };
  for (const char* const each : cases) {
    CAPTURE(each);
    for (std::size_t step = 1; step < 60; ++step) {
      const Chunks chunks = join(each, step);
      CHECK(chunks.whole);
      CHECK(chunks.content == "hello");
      CHECK_FALSE(chunks.behind);
      const Chunks more = join(std::string(each) + "H", step);
      CHECK(more.whole);
      CHECK(more.behind);
      CHECK(more.content == "hello");
    }
    const std::string text = each;
    for (std::size_t size = 0; size < text.size(); ++size) {
      CHECK_FALSE(join(text.substr(0, size), 60).whole);
    }
  }
}

TEST_CASE("chunks that are not by the letter are broken, however they come") {
  const char* const cases[] = {
      "\r\n0\r\n\r\n",
      ";a\r\n",
      " 5\r\nhello\r\n0\r\n\r\n",
      "5x\r\nhello\r\n0\r\n\r\n",
      "0x5\r\nhello\r\n0\r\n\r\n",
      "-5\r\nhello\r\n0\r\n\r\n",
      "5 5\r\nhello\r\n0\r\n\r\n",
      "5\r\r\nhello\r\n0\r\n\r\n",
      "5;a\rb\r\nhello\r\n0\r\n\r\n",
      "5\r\nhello\r\r\n0\r\n\r\n",
      "5\r\nhello0\r\n\r\n",
      "5\r\nhello!\r\n0\r\n\r\n",
      "5\r\nhello\r\n0\r\nA: b\rc\r\n\r\n",
      "5\r\nhello\r\n0\r\n\rA: b\r\n\r\n",
      "10000000000000005\r\nhello\r\n0\r\n\r\n",
  };
  for (const char* const each : cases) {
    CAPTURE(each);
    for (std::size_t step = 1; step < 60; ++step) {
      const Chunks chunks = join(each, step);
      CHECK_FALSE(chunks.good);
      CHECK_FALSE(chunks.whole);
    }
  }
}

TEST_CASE("what chunks hold and what they take is bounded") {
  CHECK(join("65\r\n", 1).too_large);
  CHECK(join("fffffffffffffff\r\n", 1).too_large);
  const std::string full = "64\r\n" + std::string(100, 'x') + "\r\n";
  CHECK(join(full + "0\r\n\r\n", 7).content.size() == 100);
  CHECK(join(full + "1\r\n", 1).too_large);
  CHECK(join("5;" + std::string(300, 'x'), 7).too_large);
  CHECK(join("0\r\nA: " + std::string(300, 'x'), 7).too_large);
  CHECK(join(std::string(300, '0'), 7).too_large);
  // Many small ones are as good as one.
  std::string small;
  for (int i = 0; i < 100; ++i) small += "00000001\r\nx\r\n";
  CHECK(join(small + "0\r\n\r\n", 7).whole);
}

TEST_CASE("codings are undone in the order in which they were applied") {
  const std::string hello = "hello";
  struct Case {
    Fields fields;
    std::string content;
  };
  const Case cases[] = {
      {{}, hello},
      {coding(""), hello},
      {coding("identity, ,Identity"), hello},
      {coding("none"), hello},
      {coding("gzip"), coded("hel", kGzip) + coded("", kGzip) + coded("lo", kGzip)},
      {coding("deflate"), coded(hello, kRaw)},
      {coding("gzip"), coded(hello, kGzip)},
      {coding("X-GZIP, identity"), coded(hello, kGzip)},
      {coding("deflate"), coded(hello, kZlib)},
      {coding("deflate,\tgzip"), coded(coded(hello, kZlib), kGzip)},
      {{{"Content-Encoding", "deflate"}, {"A", "b"}, {"content-encoding", "gzip"}},
       coded(coded(hello, kZlib), kGzip)},
  };
  for (const Case& each : cases) {
    std::string content = each.content;
    CHECK(undo_codings(each.fields, content, kLimit) == Undoing::Done);
    CHECK(content == hello);
  }
}

TEST_CASE("of the codings that a client takes those that can be undone are kept as they stand") {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", ""},
      {"gzip", "gzip"},
      {"gzip, deflate, br, zstd", "gzip, deflate"},
      {"br;q=1.0,GZip;q=0.8 ,\t*;q=0.1", "GZip;q=0.8"},
      {"x-gzip,,identity;q=0", "x-gzip, identity;q=0"},
      {"br", ""},
      {"*", ""},
      {"gzipped", ""}};
  for (const auto& each : cases) {
    CAPTURE(each.first);
    CHECK(codings_to_undo(each.first) == each.second);
  }
}

TEST_CASE("content of no bytes is none that was coded, unless the head says that there is none") {
  std::string nothing;
  CHECK(undo_codings(coding("gzip"), nothing, kLimit) == Undoing::Impossible);
  CHECK(undo_codings({{"Content-Encoding", "gzip"}, {"Content-Length", "0"}}, nothing, kLimit) ==
        Undoing::Done);
  CHECK(undo_codings({}, nothing, kLimit) == Undoing::Done);
}

TEST_CASE("coded content that is not whole, or goes on, is not decoded") {
  const std::string whole = coded("hello", kGzip);
  std::vector<std::string> cases{whole + "x", "hello", coded("hello", kZlib)};
  for (std::size_t size = 1; size < whole.size(); ++size) {
    cases.push_back(whole.substr(0, size));
    cases.push_back(whole + whole.substr(0, size));  // a second member
  }
  std::string damaged = whole;
  damaged[damaged.size() - 6] ^= 1;  // the checksum
  cases.push_back(damaged);
  for (const std::string& each : cases) {
    std::string content = each;
    CHECK(undo_codings(coding("gzip"), content, kLimit) == Undoing::Impossible);
    CHECK(content == each);
  }
  for (const auto& stream : {coded("hello", kRaw), coded("hello", kZlib)}) {
    for (std::size_t size = 1; size < stream.size(); ++size) {
      std::string cut = stream.substr(0, size);
      CHECK(undo_codings(coding("deflate"), cut, kLimit) == Undoing::Impossible);
    }
    std::string more = stream + "x";
    CHECK(undo_codings(coding("deflate"), more, kLimit) == Undoing::Impossible);
  }
  for (const char* const unknown : {"br", "gzip;q=1", "gzip, br", "gzip,gzip,gzip,gzip,gzip"}) {
    std::string content = whole;
    CHECK(undo_codings(coding(unknown), content, kLimit) == Undoing::Impossible);
  }
}

TEST_CASE("what coded content becomes is bounded") {
  std::string content = coded(std::string(100, 'x'), kGzip);
  CHECK(undo_codings(coding("gzip"), content, kLimit) == Undoing::Done);
  content = coded(std::string(101, 'x'), kGzip);
  CHECK(undo_codings(coding("gzip"), content, kLimit) == Undoing::TooLarge);
  content = coded(std::string(60, 'x'), kGzip) + coded(std::string(60, 'x'), kGzip);
  CHECK(undo_codings(coding("gzip"), content, kLimit) == Undoing::TooLarge);
  content = coded(std::string(1U << 24, 'x'), kGzip);
  CHECK(undo_codings(coding("gzip"), content, kLimit) == Undoing::TooLarge);
}

}  // namespace holdfast::upstream
