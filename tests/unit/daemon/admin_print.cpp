// What the admin socket says, as people read it.
#include "daemon/admin_print.h"

#include <doctest/doctest.h>

#include <string>

using holdfast::daemon::readable;

TEST_CASE("names and values stand in two columns, what is inside of something further in") {
  CHECK(readable(R"({"key":"lookup/8.8.8.8","in_memory":true,"age":12,"etag":"","left":null,)"
                 R"("tags":["a","b"],"more":[],"upstream":{"state":"ok"}})"
                 "\n") ==
        "key                     lookup/8.8.8.8\n"
        "in_memory               true\n"
        "age                     12\n"
        "etag                    -\n"
        "left                    -\n"
        "tags                    a, b\n"
        "more                    none\n"
        "upstream\n"
        "  state                 ok\n");
}

TEST_CASE("each of several things begins with a dash") {
  CHECK(readable(R"({"origins":[{"name":"a","addresses":[{"text":"::1"}]},{"name":"b"}],"n":1})") ==
        "origins\n"
        "  - name                a\n"
        "    addresses\n"
        "      - text            ::1\n"
        "  - name                b\n"
        "n                       1\n");
}

TEST_CASE("one member is found by its name, and not inside of another") {
  using holdfast::daemon::text_member;
  CHECK(text_member(R"({"status":400,"detail":"block: no"})", "detail") == "block: no");
  CHECK_FALSE(text_member(R"({"more":{"detail":"x"},"a":"detail                  y"})", "detail"));
  CHECK_FALSE(text_member("no JSON", "detail"));
}

TEST_CASE("no control character of anybody's reaches a terminal, and escapes are undone") {
  CHECK(readable(R"({"a":"x\u001b[2J\n\"\\\/é"})") == "a                       x?[2J?\"\\/é\n");
}

TEST_CASE("what is no JSON object, or only the beginning of one, is left as it is") {
  for (const char* text : {"", "now         fresh: as it is\n", "[1]", "{\"a\":", "{\"a\":1", "{]",
                           "{\"a\":1}x", "{\"a\":\"x"}) {
    CHECK(readable(text) == text);
  }
  CHECK(readable("{}") == "");
  const std::string deep = "{\"a\":" + std::string(100000, '[');
  CHECK(readable(deep) == deep);
}
