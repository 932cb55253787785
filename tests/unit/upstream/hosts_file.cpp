#include "upstream/hosts_file.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace holdfast::upstream {
namespace {

using Strings = std::vector<std::string>;

}  // namespace

TEST_CASE("the hosts file is read as hosts(5) says") {
  const std::string file =
      "# a comment\n"
      "127.0.0.1\tlocalhost\n"
      "::1 localhost ip6-localhost\n"
      "  192.0.2.1   api.example.net  API2.example.net # the old one\n"
      "192.0.2.2 api.example.net\r\n"
      "192.0.2.1 api.example.net\n"
      "#192.0.2.3 api.example.net\n"
      "nonsense api.example.net\n"
      "192.0.2.4\n"
      "\n"
      "2001:db8::1 last.example.net";
  CHECK(addresses_in_hosts(file, "api.example.net") == Strings{"192.0.2.1", "192.0.2.2"});
  CHECK(addresses_in_hosts(file, "API.Example.Net.") == Strings{"192.0.2.1", "192.0.2.2"});
  CHECK(addresses_in_hosts(file, "api2.example.net") == Strings{"192.0.2.1"});
  CHECK(addresses_in_hosts(file, "last.example.net") == Strings{"2001:db8::1"});
  CHECK(addresses_in_hosts(file, "localhost") == Strings{"127.0.0.1", "::1"});
  CHECK(addresses_in_hosts(file, "example.net").empty());
  CHECK(addresses_in_hosts(file, "192.0.2.4").empty());
  CHECK(addresses_in_hosts(file, "the").empty());
  CHECK(addresses_in_hosts("", "api.example.net").empty());
}

TEST_CASE("localhost needs no hosts file") {
  CHECK(addresses_in_hosts("", "LocalHost") == Strings{"127.0.0.1", "::1"});
  CHECK(addresses_in_hosts("192.0.2.1 localhost", "localhost") == Strings{"192.0.2.1"});
}

TEST_CASE("families are told apart") {
  const Strings both{"::1", "127.0.0.1", "2001:db8::1"};
  CHECK(of_family(both, AddressFamily::V4) == Strings{"127.0.0.1"});
  CHECK(of_family(both, AddressFamily::V6) == Strings{"::1", "2001:db8::1"});
}

TEST_CASE("a file's stamp changes when the file comes, is replaced or goes") {
  std::string folder = (std::filesystem::temp_directory_path() / "holdfast-stamp-XXXXXX").string();
  REQUIRE(::mkdtemp(folder.data()) != nullptr);
  const std::filesystem::path path = std::filesystem::path(folder) / "file";
  FileStamp stamp(path);
  CHECK(stamp.changed());  // the first look
  CHECK_FALSE(stamp.changed());
  std::ofstream(path) << "a";
  CHECK(stamp.changed());
  CHECK_FALSE(stamp.changed());
  std::ofstream(std::filesystem::path(folder) / "new") << "b";
  std::filesystem::rename(std::filesystem::path(folder) / "new", path);
  CHECK(stamp.changed());
  std::filesystem::remove(path);
  CHECK(stamp.changed());
  CHECK_FALSE(stamp.changed());
  std::filesystem::remove_all(folder);
}

}  // namespace holdfast::upstream
