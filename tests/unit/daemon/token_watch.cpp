#include "daemon/token_watch.h"

#include <doctest/doctest.h>

#include <vector>

#include "base/virtual_scheduler.h"

namespace holdfast::daemon {
namespace {

using namespace std::chrono_literals;

struct Fixture {
  base::VirtualScheduler loop;
  base::Result<std::string> file = "old";
  std::vector<std::string> found;
  TokenWatch watch{loop, [this] { return file; },
                   [this](const base::Result<std::string>& token) {
                     found.push_back(token ? *token : "error: " + token.error().message);
                   }};
};

}  // namespace

TEST_CASE_FIXTURE(Fixture, "another token in the file is told once, within three seconds") {
  watch.start("old");
  loop.advance(1min);
  CHECK(found.empty());
  file = "new";
  loop.advance(3s);
  CHECK(found == std::vector<std::string>{"new"});
  loop.advance(1min);
  CHECK(found.size() == 1);
  file = "old";
  loop.advance(3s);
  CHECK(found == std::vector<std::string>{"new", "old"});
}

TEST_CASE_FIXTURE(Fixture, "a file caught half written is not believed") {
  watch.start("old");
  loop.advance(500ms);
  for (const char* part : {"n", "ne", "new", "new", "new"}) {
    file = part;
    loop.advance(1s);
  }
  CHECK(found == std::vector<std::string>{"new"});
}

TEST_CASE_FIXTURE(Fixture, "a file that cannot be read is told once, and the token stays in use") {
  watch.start("old");
  file = base::internal_error(base::ErrorKind::Io, "gone");
  loop.advance(1min);
  CHECK(found == std::vector<std::string>{"error: gone"});
  file = "old";
  loop.advance(1min);
  CHECK(found.size() == 1);
  file = base::internal_error(base::ErrorKind::Io, "gone");
  loop.advance(1min);
  CHECK(found.size() == 2);
  watch.stop();
  file = "new";
  loop.advance(1min);
  CHECK(found.size() == 2);
}

}  // namespace holdfast::daemon
