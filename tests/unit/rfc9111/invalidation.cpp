#include "rfc9111/invalidation.h"

#include <doctest/doctest.h>

using namespace holdfast;
using namespace holdfast::rfc9111;

namespace {

using Targets = std::vector<std::string>;

Targets located(const char* value, const char* host = "h.example",
                const char* target = "/a/b/c?q") {
  return also_invalidated(host, target, {{"Location", value}});
}

}  // namespace

TEST_CASE("references are resolved against the target") {
  struct Row {
    const char* value;
    const char* target;
  };
  for (const Row& row : {
           Row{"d", "/a/b/d"},
           {"./d", "/a/b/d"},
           {"../d?x=1#y", "/a/d?x=1"},
           {"../../../d", "/d"},
           {"..", "/a/"},
           {".", "/a/b/"},
           {"/d/./e/../f", "/d/f"},
           {"/", "/"},
           {"?x", "/a/b/c?x"},
           {"?", "/a/b/c?"},
           {"/x:y", "/x:y"},
           {"/a//b", "/a//b"},
           {"/%2e%2e/x", "/%2e%2e/x"},
           {" /x ", "/x"},
           {"http://h.example/x?y#z", "/x?y"},
           {"HTTPS://H.Example", "/"},
           {"http://h.example?y", "/?y"},
           {"http://h.example:80/x", "/x"},
           {"https://h.example:443/x/../y", "/y"},
           {"http://h.example:/x", "/x"},
           {"//h.example/x", "/x"},
       }) {
    CAPTURE(row.value);
    CHECK(located(row.value) == Targets{row.target});
  }
}

TEST_CASE("what is of another origin, or the target itself, is not also invalidated") {
  for (const char* value :
       {"", "#x", "c?q", "/a/b/c?q", "http://h.example/a/b/c?q", "http://other.example/x",
        "//other.example/x", "http://h.example:8080/x", "http://h.example:443/x",
        "https://h.example:80/x", "http://u@h.example/x", "ftp://h.example/x", "http:/x", "http:x",
        "mailto:a@b", "http:///x", "/a\r\nb", "/a\x01"}) {
    CAPTURE(value);
    CHECK(located(value).empty());
  }
  CHECK(located("http://h.example/x", "h.example:80") == Targets{"/x"});
  CHECK(located("http://h.example:8080/x", "h.example:8080") == Targets{"/x"});
  CHECK(located("http:///x", "").empty());
  CHECK(located("x", "h.example", "*").empty());
  CHECK(located("/x", "h.example", "*") == Targets{"/x"});
}

TEST_CASE("Location and Content-Location count, each target once") {
  CHECK(also_invalidated("h", "/t",
                         {{"location", "/x"},
                          {"Content-Location", "/y"},
                          {"Content-Location", "http://h/x"},
                          {"X-Location", "/z"}}) == Targets{"/x", "/y"});
}

TEST_CASE("Content-Location may be the target itself") {
  const auto is_target = [](const char* value) {
    return locates_target("h", "/t?q", {{"Content-Location", value}});
  };
  CHECK(is_target(""));
  CHECK(is_target("/t?q"));
  CHECK(is_target("t?q"));
  CHECK(is_target("http://h/t?q#x"));
  CHECK(!is_target("/t"));
  CHECK(!is_target("http://other/t?q"));
  CHECK(!locates_target("h", "/t?q", {{"Location", "/t?q"}}));
}
