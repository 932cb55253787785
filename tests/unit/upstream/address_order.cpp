#include "upstream/address_order.h"

#include <doctest/doctest.h>

#include <map>

namespace holdfast::upstream {
namespace {

using Strings = std::vector<std::string>;

// The examples' source addresses: what RFC 6724, 10.2 gives for each destination.
SourceOf from(std::map<std::string, std::string> sources) {
  return [sources = std::move(sources)](const std::string& address) {
    const auto found = sources.find(address);
    return found == sources.end() ? std::nullopt : std::optional(found->second);
  };
}

}  // namespace

TEST_CASE("the examples of RFC 6724, section 10.2") {
  // Prefer matching scope.
  CHECK(in_order({"2001:db8:1::1", "198.51.100.121"},
                 from({{"2001:db8:1::1", "2001:db8:1::2"}, {"198.51.100.121", "169.254.13.78"}})) ==
        Strings{"2001:db8:1::1", "198.51.100.121"});
  CHECK(in_order({"2001:db8:1::1", "198.51.100.121"},
                 from({{"2001:db8:1::1", "fe80::1"}, {"198.51.100.121", "198.51.100.117"}})) ==
        Strings{"198.51.100.121", "2001:db8:1::1"});
  // Prefer higher precedence.
  CHECK(in_order({"10.1.2.3", "2001:db8:1::1"},
                 from({{"2001:db8:1::1", "2001:db8:1::2"}, {"10.1.2.3", "10.1.2.4"}})) ==
        Strings{"2001:db8:1::1", "10.1.2.3"});
  // Prefer smaller scope.
  CHECK(in_order({"2001:db8:1::1", "fe80::1"},
                 from({{"2001:db8:1::1", "2001:db8:1::2"}, {"fe80::1", "fe80::2"}})) ==
        Strings{"fe80::1", "2001:db8:1::1"});
  // Use longest matching prefix.
  CHECK(in_order(
            {"2001:db8:3ffe::1", "2001:db8:1::1"},
            from({{"2001:db8:1::1", "2001:db8:1::2"}, {"2001:db8:3ffe::1", "2001:db8:3f44::2"}})) ==
        Strings{"2001:db8:1::1", "2001:db8:3ffe::1"});
  // Prefer matching label: 6to4 to 6to4.
  CHECK(in_order({"2001:db8:1::1", "2002:c633:6401::1"},
                 from({{"2002:c633:6401::1", "2002:c633:6401::2"},
                       {"2001:db8:1::1", "2002:c633:6401::2"}})) ==
        Strings{"2002:c633:6401::1", "2001:db8:1::1"});
}

TEST_CASE("the families take turns, and equals keep their order") {
  const auto routed = [](const std::string& address) -> std::optional<std::string> {
    return address.find(':') == std::string::npos ? "198.51.100.1" : "2001:db8:ffff::1";
  };
  CHECK(in_order({"192.0.2.3", "192.0.2.1", "2001:db8::2", "192.0.2.2", "2001:db8::1"}, routed) ==
        Strings{"2001:db8::2", "192.0.2.3", "2001:db8::1", "192.0.2.1", "192.0.2.2"});
  CHECK(in_order({"192.0.2.2", "192.0.2.1", "192.0.2.2"}, routed) ==
        Strings{"192.0.2.2", "192.0.2.1"});
  CHECK(in_order({"nonsense", "192.0.2.1", ""}, routed) == Strings{"192.0.2.1"});
  CHECK(in_order({}, routed).empty());
}

TEST_CASE("what has no route is left out, unless nothing has one") {
  CHECK(in_order({"2001:db8::1", "2001:db8::2", "192.0.2.1", "192.0.2.2"},
                 from({{"192.0.2.1", "198.51.100.1"}, {"192.0.2.2", "198.51.100.1"}})) ==
        Strings{"192.0.2.1", "192.0.2.2"});
  CHECK(in_order({"2001:db8::1", "192.0.2.1"}, from({})) == Strings{"2001:db8::1", "192.0.2.1"});
}

TEST_CASE("the system says where it would send from") {
  CHECK(system_source_of("127.0.0.5") == "127.0.0.1");
  CHECK_FALSE(system_source_of("nonsense"));
}

}  // namespace holdfast::upstream
