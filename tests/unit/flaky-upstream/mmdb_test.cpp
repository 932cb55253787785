// A database of one node, written here byte by byte as the MaxMind DB file format
// 2.0 has it: one half of IPv4 leads to one record, the other half to none.
#include <doctest/doctest.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <fstream>

#include "answer_source.h"
#include "harness.h"

using namespace holdfast::flaky;

namespace {

// Values of the data section. Sizes from 29 on spill into a second byte.
std::string text(std::string_view value) {
  std::string out(1, static_cast<char>(0x40 | std::min<std::size_t>(value.size(), 29)));
  if (value.size() >= 29) out += static_cast<char>(value.size() - 29);
  return out + std::string(value);
}
std::string unsigned_value(char control, std::uint64_t value, int bytes) {
  std::string out(1, control);
  for (int i = bytes - 1; i >= 0; --i) out += static_cast<char>(value >> (8 * i) & 0xff);
  return out;
}
std::string uint16(std::uint64_t value) {
  return unsigned_value('\xa2', value, 2);
}
std::string uint32(std::uint64_t value) {
  return unsigned_value('\xc4', value, 4);
}
std::string uint64(std::uint64_t value) {
  return std::string("\x08\x02", 2) + unsigned_value(0, value, 8).substr(1);
}
std::string real(double value) {
  return unsigned_value('\x68', std::bit_cast<std::uint64_t>(value), 8);
}
std::string map(std::initializer_list<std::pair<const char*, std::string>> members) {
  std::string out(1, static_cast<char>(0xe0 | members.size()));
  for (const auto& [name, value] : members) out += text(name) + value;
  return out;
}

class Database {
 public:
  // `lower` says which half of IPv4 leads to the record.
  explicit Database(const std::string& record, bool lower = true) {
    const int fd = ::mkstemp(path_.data());
    REQUIRE(fd >= 0);
    ::close(fd);
    std::ofstream file(path_, std::ios::binary);
    // 17 is data at offset 0 (node count + 16), 1 is the node count: nothing.
    const std::string data("\0\0\x11", 3), nothing("\0\0\x01", 3);
    file << (lower ? data + nothing : nothing + data) << std::string(16, '\0') << record
         << "\xab\xcd\xefMaxMind.com"
         << map({{"binary_format_major_version", uint16(2)},
                 {"binary_format_minor_version", uint16(0)},
                 {"build_epoch", uint64(1'700'000'000)},
                 {"database_type", text("Test-City")},
                 {"description", map({{"en", text("test")}})},
                 {"ip_version", uint16(4)},
                 {"languages", std::string("\x01\x04", 2) + text("en")},
                 {"node_count", uint32(1)},
                 {"record_size", uint16(24)}});
  }
  const std::string& path() const { return path_; }
  ~Database() { ::unlink(path_.c_str()); }

  std::unique_ptr<AnswerSource> open() const {
    auto opened = open_mmdb({path_});
    if (!opened) FAIL(opened.error().message);
    return std::move(*opened);
  }

 private:
  std::string path_ = "/tmp/flaky-upstream-test-XXXXXX";
};

std::string named(const char* name) {
  return map({{"names", map({{"en", text(name)}})}});
}

}  // namespace

TEST_CASE("a record in MaxMind's layout becomes an answer") {
  const Database database(
      map({{"city", named("Z\"rich")},
           {"country", named("Switzerland")},
           {"postal", map({{"code", text("8001")}})},
           {"location", map({{"latitude", real(47.3769)}, {"longitude", real(-8.5)}})},
           {"autonomous_system_number", uint32(64500)},
           {"autonomous_system_organization", text("TEST")}}));
  Instance instance({}, database.open());
  const auto reply = ask(instance.port(), "/geoip/1.2.3.4");
  CHECK(reply.status == 200);
  CHECK(reply.content ==
        R"({"ip":"1.2.3.4","location":"Z\"rich, Switzerland","postal_code":"8001",)"
        R"("network_name":"AS64500 TEST","domain":"","latitude":47.3769,"longitude":-8.5})");
}

TEST_CASE("a record in the flat layout becomes an answer, and what is missing is null") {
  const Database database(map({{"city", text("Wien")},
                               {"state1", text("Vienna")},
                               {"country_code", text("AT")},
                               {"latitude", real(48.2)}}));
  const auto answers = database.open();
  CHECK(answers->content(*parse_address("9.9.9.9")) ==
        R"({"ip":"9.9.9.9","location":"Wien, Vienna, AT","postal_code":"","network_name":"",)"
        R"("domain":"","latitude":48.2,"longitude":null})");
}

TEST_CASE("an address the database does not know is a 404") {
  const Database database(map({{"country_code", text("AT")}}));
  Instance instance({}, database.open());
  CHECK(ask(instance.port(), "/geoip/200.1.1.1").status == 404);
  CHECK(ask(instance.port(), "/geoip/2001:db8::1").status == 404);
  CHECK(instance.count("not_found") == 2);
}

TEST_CASE("of several databases the first that knows the address answers") {
  const Database lower(map({{"country_code", text("AT")}}));
  const Database upper(map({{"country_code", text("NZ")}}), false);
  const auto answers = open_mmdb({lower.path(), upper.path()});
  REQUIRE(answers.has_value());
  CHECK((*answers)->content(*parse_address("1.2.3.4"))->find("AT") != std::string::npos);
  CHECK((*answers)->content(*parse_address("200.1.1.1"))->find("NZ") != std::string::npos);
  CHECK_FALSE((*answers)->content(*parse_address("2001:db8::1")).has_value());
  CHECK_FALSE(open_mmdb({lower.path(), "/nonexistent"}).has_value());
}

TEST_CASE("a file that is no database is refused with its name") {
  const auto none = open_mmdb({"/nonexistent/x.mmdb"});
  REQUIRE_FALSE(none.has_value());
  CHECK(none.error().message.find("/nonexistent/x.mmdb") != std::string::npos);
  CHECK_FALSE(open_mmdb({"/dev/null"}).has_value());
}
