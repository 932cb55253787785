#include "http/content_coding.h"

#include <doctest/doctest.h>
#include <zlib.h>

using namespace holdfast::http;

namespace {

// What any HTTP client does with it.
std::string gunzip(std::string_view packed) {
  z_stream stream{};
  REQUIRE(inflateInit2(&stream, 16 + MAX_WBITS) == Z_OK);
  std::string out(1U << 20, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data()));
  stream.avail_in = static_cast<uInt>(packed.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  CHECK(inflate(&stream, Z_FINISH) == Z_STREAM_END);
  CHECK(stream.avail_in == 0);
  out.resize(out.size() - stream.avail_out);
  inflateEnd(&stream);
  return out;
}

}  // namespace

TEST_CASE("gzip is for whoever asks for it") {
  for (const char* field :
       {"gzip", "GZIP", "x-gzip", "*", "deflate, gzip", "gzip;q=0.001",
        "br;q=1.0, gzip;q=0.8, *;q=0.1", "gzip ; q=1.000", "gzip;Q=0.5",
        "identity;q=0.5, gzip;q=0.5", "*;q=0, gzip", "identity;q=0, *;q=0.3", ", ,gzip"}) {
    CAPTURE(field);
    CHECK(prefers_gzip(field));
  }
}

TEST_CASE("gzip is not for those who refuse it, prefer something else, or make no sense") {
  for (const char* field :
       {"", "identity", "br", "deflate", "gzip;q=0", "gzip;q=0.000", "*;q=0", "gzip;q=0, *",
        "identity, gzip;q=0.5", "gzip;q=2", "gzip;q=1.001", "gzip;q=", "gzip;q=0.5000", "gzip;q=-1",
        "gzip;level=9", "gzipped", "gzip;q=0.5;", "gzip q=1"}) {
    CAPTURE(field);
    CHECK_FALSE(prefers_gzip(field));
  }
}

TEST_CASE("what is packed comes out as it was") {
  CHECK(gunzip(gzip("")) == "");
  std::string text;
  for (int i = 0; i < 5000; ++i) text += "holdfast_requests_total " + std::to_string(i * i) + "\n";
  const std::string packed = gzip(text);
  CHECK(packed.size() < text.size() / 2);
  CHECK(gunzip(packed) == text);
  std::string noise;
  for (unsigned i = 0, x = 1; i < 100'000; ++i)
    noise += static_cast<char>((x = x * 1103515245U + 12345U) >> 24);
  CHECK(gunzip(gzip(noise)) == noise);
}
