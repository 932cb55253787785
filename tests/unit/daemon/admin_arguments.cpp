#include "daemon/admin_arguments.h"

#include <doctest/doctest.h>

#include <array>
#include <string>
#include <vector>

using namespace holdfast;
using daemon::AdminArguments;

namespace {

constexpr std::array<std::string_view, 3> kKnown{"ip", "block", "all"};

// "name=value ..." as they were understood, or what is wrong.
std::string reading(std::string_view query) {
  const auto read = AdminArguments::read(query, kKnown);
  return read ? read->text() : "error: " + read.error().message;
}

// "yes", "no", or what is wrong.
std::string all(std::string_view query) {
  const auto read = AdminArguments::read(query, kKnown);
  REQUIRE(read);
  const auto wanted = read->flag("all");
  if (!wanted) return wanted.error().message;
  return *wanted ? "yes" : "no";
}

}  // namespace

TEST_CASE("a query is decoded once, names and values, and a plus sign stays one") {
  CHECK(reading("") == "");
  CHECK(reading("ip=8.8.8.8") == "ip=8.8.8.8");
  CHECK(reading("%69p=2001%3Adb8%3a%3A1") == "ip=2001:db8::1");
  CHECK(reading("block=192.0.2.0%2F24&&ip=1&") == "block=192.0.2.0/24 ip=1");
  CHECK(reading("ip=8.8.8%252e8") == "ip=8.8.8%2e8");
  CHECK(reading("ip=a+b%2Bc%20d") == "ip=a+b+c d");
  CHECK(reading("ip=a%26all%3d1") == "ip=a&all=1");
  CHECK(reading("ip=a=b=") == "ip=a=b=");
  CHECK(reading("all") == "all");
  CHECK(reading("all=") == "all=");
}

TEST_CASE("an origin named by its URL, key and all, is not told as it is") {
  constexpr std::array<std::string_view, 2> kOfBreaker{"state", "origin"};
  const auto text = [&](std::string_view query) {
    return AdminArguments::read(query, kOfBreaker).value().text();
  };
  CHECK(text("state=open&origin=127.0.0.1:8000/v1/0123456789abcdef") ==
        "state=open origin=127.0.0.1:8000/v1/***");
  CHECK(text("origin=a.example%2Fv1%2Fsk_live_123") == "origin=a.example/v1/***");
  CHECK(daemon::masked_origin("a.example:80/v1/***") == "a.example:80/v1/***");
  CHECK(daemon::masked_origin("http://a.example/KEY123") == "http://a.example/***");
}

TEST_CASE("the one name that may be repeated keeps its order, and no other is repeated") {
  const auto read = AdminArguments::read("all=A%3A%20b&ip=1&all=C:d", kKnown, "all");
  REQUIRE(read);
  CHECK(read->all_of("all") == std::vector<std::string>{"A: b", "C:d"});
  CHECK(read->all_of("block").empty());
  CHECK_FALSE(AdminArguments::read("ip=1&ip=2", kKnown, "all"));
}

TEST_CASE("what is unknown, given twice or broken is an error that names it") {
  CHECK(reading("ips=1") == "error: unknown parameter \"ips\"; there are: ip, block, all");
  CHECK(reading("IP=1").find("unknown parameter \"IP\"") != std::string::npos);
  CHECK(reading("=1").find("unknown parameter \"\"") != std::string::npos);
  CHECK(reading("ip=1&url=").find("unknown parameter \"url\"") != std::string::npos);
  CHECK(reading("ip=1&ip=1") == "error: ip is given more than once");
  CHECK(reading("all&%61ll=true") == "error: all is given more than once");
  for (const char* broken : {"ip=%", "ip=%4", "ip=%zz", "ip=8.8.8.8%00", "ip=a%0d%0ab", "ip=%7f"}) {
    CAPTURE(broken);
    CHECK(reading(broken).starts_with("error: ip: "));
  }
  CHECK(reading(std::string(10'000, 'x')).size() < 200);
}

TEST_CASE("all is asked for by saying so, and by nothing else") {
  for (const char* yes : {"all", "all=true", "all=1", "%61ll=%31"}) {
    CAPTURE(yes);
    CHECK(all(yes) == "yes");
  }
  CHECK(all("") == "no");
  CHECK(all("ip=all") == "no");
  for (const char* bad : {"false", "0", "no", "off", "", "TRUE", "yes", "2", "false%26all"}) {
    CAPTURE(bad);
    CHECK(all("all=" + std::string(bad)).find("expected all, all=true or all=1") !=
          std::string::npos);
  }
}

TEST_CASE("a block is its addresses, 4096 at most, and nothing that only looks like one") {
  CHECK(daemon::addresses_of_block("192.0.2.254/31").value() ==
        std::vector<std::string>{"192.0.2.254", "192.0.2.255"});
  CHECK(daemon::addresses_of_block("10.0.0.0/20").value().size() == 4096);
  CHECK(daemon::addresses_of_block("2001:db8::/127").value().size() == 2);
  for (const char* bad :
       {"", "/", "8.8.8.8", "8.8.8.8/", "8.8.8.8/33", "8.8.8.8/31x", "8.8.8.8/+31", "8.8.8.8/ 31",
        "10.0.0.0/19", "10.0.0.1/31", "::/64", "/24", "a/24"}) {
    CAPTURE(bad);
    CHECK(!daemon::addresses_of_block(bad));
  }
  const auto hints = [](const std::string& text) {
    const auto block = daemon::addresses_of_block(text);
    REQUIRE_FALSE(block);
    return block.error().message.ends_with("; a path begins with a slash, a URL with http://");
  };
  for (const char* half : {"i/1", "shop.example/v1/items", "a/24"}) CHECK(hints(half));
  for (const char* typo : {"8.8.8/24", "2001:db8:::/64", "8.8.8.8"}) CHECK_FALSE(hints(typo));
}
