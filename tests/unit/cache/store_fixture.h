// What the store's tests share: a folder that goes away, a clock that threads may
// read, responses that can be told apart, and waiting for a condition.
#pragma once

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "base/clock.h"
#include "cache/sqlite_store.h"
#include "cache/stored_response.h"
#include "observe/log.h"
#include "patience.h"

namespace holdfast::cache {

using namespace std::chrono_literals;

class TempFolder {
 public:
  TempFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "holdfast-XXXXXX").string();
    REQUIRE(::mkdtemp(pattern.data()));
    path_ = pattern;
  }
  ~TempFolder() {
    std::error_code ignored;
    std::filesystem::permissions(path_, std::filesystem::perms::owner_all, ignored);
    std::filesystem::remove_all(path_, ignored);
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;

  std::string file(const std::string& name = "store.db") const { return (path_ / name).string(); }
  const std::filesystem::path& path() const { return path_; }
  // Names that begin with `prefix`.
  int count(const std::string& prefix) const {
    int found = 0;
    for (const auto& entry : std::filesystem::directory_iterator(path_)) {
      found += entry.path().filename().string().starts_with(prefix);
    }
    return found;
  }

 private:
  std::filesystem::path path_;
};

// The store's threads read the clock while the test moves it.
class SharedClock final : public base::Clock {
 public:
  base::SteadyTime now() const override { return std::chrono::steady_clock::now(); }
  base::WallTime wall() const override { return base::WallTime(std::chrono::milliseconds(wall_)); }
  void advance(std::chrono::milliseconds by) { wall_ += by.count(); }

 private:
  std::atomic<std::int64_t> wall_{
      base::WallTime(std::chrono::sys_days{std::chrono::year{2026} / 5 / 1})
          .time_since_epoch()
          .count()};
};

inline bool eventually(const std::function<bool()>& condition) {
  for (const auto end = std::chrono::steady_clock::now() + kPatience;
       std::chrono::steady_clock::now() < end;) {
    if (condition()) return true;
    std::this_thread::sleep_for(1ms);
  }
  return condition();
}

inline StoredPtr answer(std::string body, base::WallTime at,
                        std::chrono::seconds stale_if_error = 720h) {
  return make_stored({.fields = "Content-Type: application/json\r\n",
                      .body = std::move(body),
                      .response_time = at,
                      .freshness_lifetime = 24h,
                      .stale_while_revalidate = 168h,
                      .stale_if_error = stale_if_error});
}

inline bool same(const StoredResponse& a, const StoredResponse& b) {
  return a.status == b.status && a.fields == b.fields && a.body == b.body &&
         a.upstream_etag == b.upstream_etag &&
         a.upstream_last_modified == b.upstream_last_modified &&
         a.response_time == b.response_time && a.initial_age == b.initial_age &&
         a.freshness_lifetime == b.freshness_lifetime &&
         a.stale_while_revalidate == b.stale_while_revalidate &&
         a.stale_if_error == b.stale_if_error && a.etag == b.etag && a.head == b.head;
}

// A store in a folder of its own, with what it needs.
struct StoreFixture {
  TempFolder folder;
  SharedClock clock;
  observe::Log log;
  StoreSettings settings{
      .path = folder.file(), .retry_first = 5ms, .retry_most = 20ms, .tick = 5ms};
  std::unique_ptr<Store> store;

  base::Result<void> try_open() {
    store.reset();
    auto opened = open_store(settings, clock, log);
    if (!opened) return tl::unexpected(opened.error());
    store = std::move(*opened);
    return {};
  }
  void open() {
    const auto opened = try_open();
    REQUIRE_MESSAGE(opened.has_value(), (opened ? std::string() : opened.error().message));
  }
  StoredPtr make(std::string body) const { return answer(std::move(body), clock.wall()); }
  // Empty if there is none.
  std::string body(std::string_view key) {
    const auto found = store->find(key);
    REQUIRE_MESSAGE(found.has_value(), (found ? std::string() : found.error().message));
    return *found ? (*found)->body : std::string();
  }
  // One that mends itself cannot be read for a moment, and has less until the salvage
  // is through.
  bool eventually_has(std::string_view key, std::string_view body) {
    return eventually([&] {
      const auto found = store->find(key);
      return found && *found && (*found)->body == body;
    });
  }
};

}  // namespace holdfast::cache
