// Control groups as their files show them, in a folder of their own.
#pragma once

#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

namespace holdfast::base {

struct Groups {
  std::filesystem::path mount;

  Groups() {
    std::string name = (std::filesystem::temp_directory_path() / "holdfast-groups-XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    mount = name;
  }
  ~Groups() { std::filesystem::remove_all(mount); }
  Groups(const Groups&) = delete;
  Groups& operator=(const Groups&) = delete;

  void write(const std::string& file, const std::string& text) const {
    std::filesystem::create_directories((mount / file).parent_path());
    std::ofstream(mount / file) << text;
  }
};

}  // namespace holdfast::base
