#include "config/values.h"

#include <doctest/doctest.h>

#include <limits>

using namespace holdfast::config;
using namespace std::chrono_literals;
using holdfast::base::Duration;

TEST_CASE("durations: every unit, combinations and zero") {
  CHECK(parse_duration("250ms") == Duration(250ms));
  CHECK(parse_duration("2s") == Duration(2s));
  CHECK(parse_duration("5m") == Duration(5min));
  CHECK(parse_duration("24h") == Duration(24h));
  CHECK(parse_duration("30d") == Duration(720h));
  CHECK(parse_duration("1h30m") == Duration(90min));
  CHECK(parse_duration("1s500ms") == Duration(1500ms));
  CHECK(parse_duration("0") == Duration(0s));
  CHECK(parse_duration("0s") == Duration(0s));
  CHECK(parse_duration("3650d") == Duration(24h * 3650));
}

TEST_CASE("durations: anything else is refused with what is expected") {
  for (const char* bad : {"",
                          " ",
                          "5",
                          "abc",
                          "-1",
                          "-1s",
                          "+1s",
                          "1.5s",
                          "5 m",
                          "5m ",
                          " 5m",
                          "m",
                          "5M",
                          "5min",
                          "30m1h",
                          "1s1s",
                          "1e3s",
                          "0x10s",
                          "5s5",
                          "3651d",
                          "3650d1ms",
                          "99999999999999999999s",
                          "18446744073709551615d"}) {
    CAPTURE(bad);
    const auto parsed = parse_duration(bad);
    REQUIRE(!parsed);
    CHECK(parsed.error().message.rfind("expected ", 0) == 0);
  }
  CHECK(!parse_duration(std::string_view("5s\0", 3)));
}

TEST_CASE("durations read back as written, and a day reads 24h") {
  for (const char* text :
       {"0s", "250ms", "2s", "60s", "5m", "60m", "24h", "30d", "90m", "1500ms"}) {
    const auto parsed = parse_duration(text);
    REQUIRE(parsed);
    CHECK(parse_duration(format_duration(*parsed)) == *parsed);
  }
  CHECK(format_duration(24h) == "24h");
  CHECK(format_duration(48h) == "2d");
  CHECK(format_duration(1h) == "60m");
  CHECK(format_duration(1min) == "1m");
  CHECK(format_duration(1s) == "1s");
  CHECK(format_duration(25ms) == "25ms");
  CHECK(format_duration(-25h) == "-25h");
}

TEST_CASE("signed durations take one sign") {
  CHECK(parse_signed_duration("25h") == Duration(25h));
  CHECK(parse_signed_duration("+25h") == Duration(25h));
  CHECK(parse_signed_duration("-25h") == Duration(-25h));
  CHECK(!parse_signed_duration("--25h"));
  CHECK(!parse_signed_duration("-"));
}

TEST_CASE("sizes: powers of 1024, in any case, never overflowing") {
  CHECK(parse_size("65536") == 65536u);
  CHECK(parse_size("10B") == 10u);
  CHECK(parse_size("512KiB") == 512u << 10);
  CHECK(parse_size("64MiB") == 64u << 20);
  CHECK(parse_size("64mib") == 64u << 20);
  CHECK(parse_size("2GiB") == 2ULL << 30);
  CHECK(parse_size("8388607TiB") == 8388607ULL << 40);
  for (const char* bad : {"", "MiB", "64MB", "64M", "64 MiB", "-1", "1.5GiB", "8388608TiB",
                          "18446744073709551616", "99999999999TiB"}) {
    CAPTURE(bad);
    CHECK(!parse_size(bad));
  }
  CHECK(format_size(64 << 20) == "64MiB");
  CHECK(format_size(1536) == "1536B");
  CHECK(format_size(0) == "0B");
}

TEST_CASE("counts are digits within a range") {
  CHECK(parse_count("0", 0, 65535) == 0u);
  CHECK(parse_count("65535", 0, 65535) == 65535u);
  for (const char* bad :
       {"", "65536", "70000", "abc", "-1", "+1", "1 ", "1.0", "0x10", "99999999999999999999"}) {
    CAPTURE(bad);
    CHECK(!parse_count(bad, 0, 65535));
  }
  CHECK(parse_count("0", 1, 1024).error().message == "expected a whole number from 1 to 1024");
}

TEST_CASE("switches take the usual words") {
  for (const char* yes : {"on", "true", "yes", "1", "ON", "True"}) CHECK(parse_switch(yes) == true);
  for (const char* no : {"off", "false", "no", "0", "OFF"}) CHECK(parse_switch(no) == false);
  for (const char* bad : {"", "2", "maybe", "o"}) CHECK(!parse_switch(bad));
}

TEST_CASE("base URLs come out canonical") {
  CHECK(parse_base_url("http://localhost:8000") == "http://localhost:8000");
  CHECK(parse_base_url("HTTPS://API.Example.com/") == "https://api.example.com");
  CHECK(parse_base_url("https://api.example.com/v2/Geo//") == "https://api.example.com/v2/Geo");
  CHECK(parse_base_url("http://[2001:DB8:0::1]:80/x") == "http://[2001:db8::1]:80/x");
  CHECK(parse_base_url("http://10.0.0.1/a%20b") == "http://10.0.0.1/a%20b");
}

TEST_CASE("base URLs that are not http, not absolute or carry more than a path are refused") {
  for (const char* bad : {"",
                          "ftp://x",
                          "localhost:8000",
                          "//x",
                          "http://",
                          "http:///x",
                          "http://:80",
                          "http://x:",
                          "http://x:0",
                          "http://x:65536",
                          "http://x:8a",
                          "http://user:secret@x",
                          "http://x@y/",
                          "http://x?a=1",
                          "http://x/?a=1",
                          "http://x/#f",
                          "http://x/a b",
                          "http://x/\x01",
                          "http://x y",
                          "http://-x",
                          "http://x..y",
                          "http://x.-y",
                          "http://x-",
                          "http://[::1",
                          "http://[::1]x",
                          "http://[1.2.3.4]",
                          "http://[]",
                          "http://[::1%25eth0]",
                          "http://x/%",
                          "http://x/%2",
                          "http://x/%zz",
                          "http://x/../y",
                          "http://x/.",
                          "http://x/\xC3\xBC",
                          "http://x\r\nHost: y",
                          "http://x/\"",
                          "javascript:alert(1)"}) {
    CAPTURE(bad);
    const auto parsed = parse_base_url(bad);
    REQUIRE(!parsed);
    CHECK(parsed.error().message.find("secret") == std::string::npos);
  }
  CHECK(!parse_base_url(std::string_view("http://x\0y", 10)));
}

TEST_CASE("addresses are numeric and canonical") {
  CHECK(parse_address("127.0.0.1") == "127.0.0.1");
  CHECK(parse_address("::1") == "::1");
  CHECK(parse_address("[::1]") == "::1");
  CHECK(parse_address("2001:DB8:0:0::1") == "2001:db8::1");
  for (const char* bad :
       {"", "localhost", "999.1.1.1", "01.2.3.4", "1.2.3", "::1%eth0", "[]", "*", "127.0.0.1:80"}) {
    CAPTURE(bad);
    CHECK(!parse_address(bad));
  }
  CHECK(!parse_address(std::string_view("::1\0x", 5)));
}

TEST_CASE("a token is trimmed, and is visible ASCII or nothing") {
  CHECK(parse_token(" abc.DEF-123_~+/=\r\n") == "abc.DEF-123_~+/=");
  for (const char* bad :
       {"", " \n", "a b", "a\nb", "a\r\nX-Evil: 1", "a\tb", "a\x7f", "\xC3\xBC"}) {
    const auto parsed = parse_token(bad);
    REQUIRE(!parsed);
    CHECK(parsed.error().message.find("Evil") == std::string::npos);
  }
  CHECK(!parse_token(std::string_view("a\0b", 3)));
}

TEST_CASE("hedge: off, a delay or a percentile") {
  CHECK(parse_hedge("off") == Hedge{Hedge::Kind::Off, {}, 0});
  CHECK(parse_hedge("100ms") == Hedge{Hedge::Kind::After, 100ms, 0});
  CHECK(parse_hedge("p95") == Hedge{Hedge::Kind::Percentile, {}, 95});
  CHECK(parse_hedge("p1")->percentile == 1);
  for (const char* bad : {"", "p", "p0", "p100", "p-5", "95", "0", "0s", "on", "p9.5", "-1s"}) {
    CAPTURE(bad);
    CHECK(!parse_hedge(bad));
  }
  for (const char* text : {"off", "100ms", "p95"}) CHECK(format_hedge(*parse_hedge(text)) == text);
}

TEST_CASE("lists are split at commas, and no part is empty") {
  CHECK(split_list(" a , b") == std::vector<std::string>{"a", "b"});
  for (const char* bad : {"", ",", "a,", ",a", "a,,b", " "}) CHECK(!split_list(bad));
}
