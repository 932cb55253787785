// Reads the includes of src/ and fails on one that points upward, and on a
// third-party header outside the folder that wraps it.
#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace {

namespace fs = std::filesystem;
using Names = std::set<std::string>;

// What each folder may include besides itself; "" is main.cpp.
const std::map<std::string, Names>& allowed() {
  static const std::map<std::string, Names> table{
      {"base", {}},
      {"observe", {"base"}},
      {"config", {"base"}},
      {"http", {"base", "observe"}},
      {"cache", {"base", "observe"}},
      {"upstream", {"base", "observe"}},
      {"fleet", {"base", "observe"}},
      {"rfc9111", {"base", "http", "upstream"}},
      {"proxy", {"base", "observe", "http", "cache", "upstream", "rfc9111"}},
      {"status", {"base", "observe", "cache", "upstream", "proxy"}},
      {"daemon", {"base", "observe", "config", "http", "cache", "upstream", "proxy", "status"}},
      {"trial", {"base"}},
      {"", {"base", "observe", "config", "cache", "daemon", "trial"}},
  };
  return table;
}

// Libraries by the start of their headers' names, and who wraps them.
const std::map<std::string, Names>& wrapped() {
  static const std::map<std::string, Names> table{
      {"event2/", {"base"}},
      {"curl/", {"daemon", "upstream"}},
      {"sqlite3.h", {"cache"}},
      {"llhttp.h", {"http"}},
      {"spdlog/", {"observe"}},
      {"prometheus/", {"observe"}},
      {"CLI/", {"config"}},
      {"maxminddb.h", {"proxy"}},
      {"systemd/", {"daemon"}},
      {"simdjson.h", {"proxy", "cache"}},
      {"xxhash.h", {"cache", "fleet"}},
      {"zlib.h", {"http", "upstream"}},
      {"nlohmann/", {"proxy"}},
      {"ares.h", {"upstream"}},
      {"openssl/", {"upstream", "fleet"}},
      {"toml++/", {"config"}},
      {"hiredis/", {"fleet"}},
      {"zstd.h", {"fleet"}},
  };
  return table;
}

struct Include {
  fs::path file;
  std::string folder;  // of the file
  std::string name;    // between the quotes or brackets
};

std::vector<Include> includes() {
  const char* const source = std::getenv("SOURCE");
  REQUIRE(source != nullptr);
  std::vector<Include> found;
  for (const auto& entry : fs::recursive_directory_iterator(source)) {
    const fs::path& path = entry.path();
    if (path.extension() != ".h" && path.extension() != ".cpp") continue;
    const fs::path relative = fs::relative(path, source);
    const std::string folder = relative.has_parent_path() ? relative.begin()->string() : "";
    std::ifstream file(path);
    for (std::string line; std::getline(file, line);) {
      if (!line.starts_with("#include ")) continue;
      const std::size_t end = line.find_first_of("\">", 10);
      found.push_back({relative, folder, line.substr(10, end - 10)});
    }
  }
  return found;
}

}  // namespace

TEST_CASE("no include points upward") {
  std::size_t checked = 0;
  for (const Include& include : includes()) {
    const std::size_t slash = include.name.find('/');
    const std::string target = include.name.substr(0, slash);
    if (slash == std::string::npos || !allowed().contains(target) || target == include.folder) {
      continue;
    }
    ++checked;
    CAPTURE(include.file);
    CAPTURE(include.name);
    REQUIRE(allowed().contains(include.folder));
    CHECK(allowed().at(include.folder).contains(target));
  }
  CHECK(checked > 50);
}

TEST_CASE("a library is included by the folder that wraps it and by no other") {
  std::size_t checked = 0;
  for (const Include& include : includes()) {
    for (const auto& [start, folders] : wrapped()) {
      if (!include.name.starts_with(start)) continue;
      ++checked;
      CAPTURE(include.file);
      CAPTURE(include.name);
      CHECK(folders.contains(include.folder));
    }
  }
  CHECK(checked > 10);
}

TEST_CASE("only main and the daemon see the settings, and only proxy knows GeoIP") {
  for (const Include& include : includes()) {
    CAPTURE(include.file);
    if (include.name.starts_with("config/")) {
      CHECK((include.folder == "config" || include.folder == "daemon" || include.folder.empty()));
    }
    if (include.name.find("geoip") != std::string::npos) {
      CHECK((include.folder == "proxy" || include.folder == "daemon"));
    }
  }
}
