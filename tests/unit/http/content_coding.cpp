#include "http/content_coding.h"

#include <doctest/doctest.h>
#include <zlib.h>

#include <cstdint>

using namespace holdfast::http;

namespace {

// By zlib's own reader of gzip files, size and checksum included.
std::string gunzip(std::string_view coded) {
  z_stream stream{};
  REQUIRE(inflateInit2(&stream, 15 + 16) == Z_OK);
  std::string out(1 << 20, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(coded.data()));
  stream.avail_in = static_cast<uInt>(coded.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  CHECK(inflate(&stream, Z_FINISH) == Z_STREAM_END);
  CHECK(stream.avail_in == 0);
  out.resize(out.size() - stream.avail_out);
  inflateEnd(&stream);
  return out;
}

}  // namespace

TEST_CASE("gzip is taken where the client allows it and does not prefer the plain content") {
  for (const char* field :
       {"gzip", "GZIP", "x-gzip", "deflate, gzip, br", "gzip;q=1.0", "gzip; q=0.5", "gzip ;q=0.001",
        "*", "br, *;q=0.1", "identity;q=0.5, gzip", "identity, gzip", "gzip;q=1, *;q=0",
        ",, gzip ,", "identity;q=0, gzip;q=0.1"}) {
    CAPTURE(field);
    CHECK(accepts_gzip(field));
  }
  for (const char* field : {"",
                            "identity",
                            "br",
                            "gzip;q=0",
                            "gzip;q=0.000",
                            "*;q=0",
                            "gzip;q=0, *",
                            "gzipped",
                            "identity, gzip;q=0.5",
                            "identity;q=0.6, *;q=0.5",
                            "gzip;q=2",
                            "gzip;q=1.001",
                            "gzip;q=.5",
                            "gzip;q=0.1234",
                            "gzip;q=",
                            "gzip;q",
                            "gzip;",
                            "gzip;level=1",
                            "gzip x",
                            "gzip;q=-1",
                            "gzip;q=0,5"}) {
    CAPTURE(field);
    CHECK(!accepts_gzip(field));
  }
}

TEST_CASE("gzip gives the same content back, or nothing where it would be no smaller") {
  std::string text;
  for (int i = 0; i < 2000; ++i) text += R"({"ip":"192.0.2.)" + std::to_string(i) + "\"},";
  const auto coded = gzip(text);
  REQUIRE(coded);
  CHECK(coded->size() < text.size() / 4);
  CHECK(gunzip(*coded) == text);

  std::string noise;
  std::uint64_t state = 1;
  for (int i = 0; i < 5000; ++i) {
    state = state * 6364136223846793005U + 1442695040888963407U;
    noise += static_cast<char>(state >> 56);
  }
  CHECK(!gzip(noise));
  CHECK(!gzip(""));
  CHECK(!gzip("short"));
}
