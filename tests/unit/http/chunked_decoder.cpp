#include "http/chunked_decoder.h"

#include <doctest/doctest.h>

#include <string>

using namespace holdfast::http;
using Chunked = ChunkedDecoder::Outcome;

namespace {

struct Decoded {
  Chunked outcome;
  std::size_t used;
  std::string content;
  bool operator==(const Decoded&) const = default;
};

// The same input in one piece, byte by byte, and split in two everywhere.
Decoded decode(std::string_view input, std::size_t limit = 100) {
  ChunkedDecoder whole(limit, true);
  const auto result = whole.feed(input);
  const Decoded expected{result.outcome, result.used, std::string(whole.content())};

  for (std::size_t split = 0; split <= input.size(); ++split) {
    ChunkedDecoder decoder(limit, true);
    auto first = decoder.feed(input.substr(0, split));
    std::size_t used = first.used;
    if (first.outcome == Chunked::Incomplete) {
      first = decoder.feed(input.substr(split));
      used += first.used;
    }
    CHECK(Decoded{first.outcome, used, std::string(decoder.content())} == expected);
  }
  return expected;
}

}  // namespace

TEST_CASE("chunks are put together, and what follows is left alone") {
  const auto d = decode("4\r\nWiki\r\n6\r\npedia \r\nB\r\nin \r\nchunks\r\n0\r\n\r\nGET /");
  CHECK(d.outcome == Chunked::Complete);
  CHECK(d.used == 41);
  CHECK(d.content == "Wikipedia in \r\nchunks");
}

TEST_CASE("extensions and trailers are read and ignored") {
  const auto d = decode("2 \t;a=b;c=\"d\"\r\nok\r\n000;x\r\nFoo: bar\r\nBaz:\r\n\r\n");
  CHECK(d.outcome == Chunked::Complete);
  CHECK(d.content == "ok");
}

TEST_CASE("an empty chunked content is complete") {
  CHECK(decode("0\r\n\r\n").outcome == Chunked::Complete);
}

TEST_CASE("chunked framing that two parsers could read in two ways is malformed") {
  for (const std::string_view input : {
           std::string_view("2\nok\r\n0\r\n\r\n"),      // bare LF after the size
           std::string_view("2\r\nok\n0\r\n\r\n"),      // and after the data
           std::string_view("2\r\nok\r\n0\n\r\n"),      //
           std::string_view("2\r\nok\r\n0\r\n\n"),      //
           std::string_view("2\rok"),                   // bare CR
           std::string_view("2\r\nokay\r\n0\r\n\r\n"),  // longer than its size
           std::string_view("\r\n"),                    // no size
           std::string_view("-1\r\n"),
           std::string_view("+1\r\n"),
           std::string_view("0x1\r\n"),
           std::string_view(" 1\r\n"),
           std::string_view("g\r\n"),
           std::string_view(";a\r\n"),
           std::string_view("2 \r\nok\r\n0\r\n\r\n"),  // white space, but no extension
           std::string_view("1 0\r\nk\r\n0\r\n\r\n"),  // 1 or 16?
           std::string_view("1\t0\r\n"),
           std::string_view("1;a\nb\r\n"),               // a line end inside an extension
           std::string_view("1;\0\r\n", 5),              //
           std::string_view("0\r\n folded\r\n\r\n"),     // trailer without a name
           std::string_view("0\r\nA : b\r\n\r\n"),       // space before the colon
           std::string_view("0\r\nA\r\n\r\n"),           // no colon
           std::string_view("0\r\nA: b\nC: d\r\n\r\n"),  //
       }) {
    CAPTURE(input);
    CHECK(decode(input).outcome == Chunked::Malformed);
  }
}

TEST_CASE("content beyond the limit is refused when its chunk is announced") {
  CHECK(decode("5\r\nabcde\r\n0\r\n\r\n", 5).outcome == Chunked::Complete);
  CHECK(decode("6\r\n", 5).outcome == Chunked::TooLarge);
  CHECK(decode("3\r\nabc\r\n3\r\n", 5).outcome == Chunked::TooLarge);
  CHECK(decode("fffffffffffffff\r\n", 5).outcome == Chunked::TooLarge);
  CHECK(decode("10000000000000000\r\n", 5).outcome == Chunked::TooLarge);
  CHECK(decode("00000000000000001\r\n", 5).outcome == Chunked::TooLarge);
}

TEST_CASE("extensions and trailers cannot go on for ever") {
  CHECK(ChunkedDecoder(100, true).feed("1;" + std::string(9000, 'x')).outcome == Chunked::TooLarge);
  std::string trailers = "0\r\n";
  for (int i = 0; i < 1000; ++i) trailers += "A: bcdefg\r\n";
  CHECK(ChunkedDecoder(100, true).feed(trailers).outcome == Chunked::TooLarge);
  ChunkedDecoder decoder(1U << 20, false);
  auto result = decoder.feed("1;a=b\r\nx\r\n");
  int chunks = 1;
  while (result.outcome == Chunked::Incomplete && chunks < 100'000) {
    result = decoder.feed("1;a=b\r\nx\r\n");
    ++chunks;
  }
  CHECK(result.outcome == Chunked::TooLarge);
}

TEST_CASE("content that nobody wants is counted but not kept") {
  ChunkedDecoder decoder(10, false);
  CHECK(decoder.feed("3\r\nabc\r\n0\r\n\r\n").outcome == Chunked::Complete);
  CHECK(decoder.content().empty());
}
