// The words behind `holdfast admin` as what is asked of the daemon.
#include "daemon/admin_words.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

using namespace holdfast;

namespace {

// The targets between blanks, or what is wrong.
std::string asks(const std::vector<std::string>& words) {
  const auto calls = daemon::admin_calls(words);
  if (!calls) return "error: " + calls.error().message;
  std::string text;
  for (const daemon::AdminCall& call : *calls) {
    text += (text.empty() ? "" : " ") + std::string(call.is_post ? "POST " : "GET ") + call.target;
  }
  return text;
}

bool complains(const std::vector<std::string>& words, const std::string& what) {
  const std::string text = asks(words);
  INFO(text);
  CHECK(text.starts_with("error: "));
  return text.starts_with("error: ") && text.find(what) != std::string::npos;
}

}  // namespace

TEST_CASE("a URL or a path is taken by every verb that is about one") {
  const std::string of_url = "?path=%2Fv1%2Fx%3Fy%3D1&host=shop.example%3A81";
  for (const char* verb : {"inspect", "explain", "purge", "stale"}) {
    CAPTURE(verb);
    const bool post = verb[0] == 'p' || verb[0] == 's';
    const std::string start = (post ? "POST /" : "GET /") + std::string(verb);
    CHECK(asks({verb, "http://shop.example:81/v1/x?y=1"}) == start + of_url);
    CHECK(asks({verb, "/a?b"}) == start + "?path=%2Fa%3Fb");
    CHECK(asks({verb, "path=/a?b", "host=c"}) == start + "?path=%2Fa%3Fb&host=c");
    CHECK(asks({verb, "https://h"}) == start + "?path=%2F&host=h");
  }
  CHECK(asks({"explain", "http://h/a", "method=POST", "text"}) ==
        "GET /explain?path=%2Fa&host=h&method=POST&text");
  CHECK(asks({"inspect", "8.8.8.8"}) == "GET /inspect?ip=8.8.8.8");
  CHECK(asks({"purge", "192.0.2.0/24"}) == "POST /purge?block=192.0.2.0%2F24");
  CHECK(asks({"breaker", "open", "http://h/a"}) ==
        "POST /breaker?state=open&origin=http%3A%2F%2Fh%2Fa");
}

TEST_CASE("several URLs, routes and tags are a call each") {
  CHECK(asks({"purge", "--tag", "a", "--tag=b"}) == "POST /purge?tag=a POST /purge?tag=b");
  CHECK(asks({"purge", "--route", "a", "/b"}) == "POST /purge?route=a POST /purge?path=%2Fb");
  CHECK(asks({"stale", "--variants", "/a", "/b"}) ==
        "POST /stale?path=%2Fa&variants POST /stale?path=%2Fb&variants");
  CHECK(asks({"purge", "--all"}) == "POST /purge?all");
  CHECK(complains({"purge", "--tag", "a", "b"},
                  "\"b\" stands alone beside --tag; several are given as --tag A --tag B"));
  CHECK(complains({"purge", "b", "--route=a"}, "--route A --route B"));
  CHECK(complains({"purge", "--tag"}, "--tag lacks its value"));
}

TEST_CASE("a flag that the verb does not have is named, with the one that was meant") {
  CHECK(complains({"purge", "--tags", "items"}, "unknown flag \"--tags\"; did you mean --tag?"));
  CHECK(complains({"purge", "-all"}, "unknown flag \"-all\"; did you mean --all?"));
  CHECK(complains({"stale", "--varaints=x", "/a"}, "did you mean --variants?"));
  CHECK(complains({"purge", "--host", "h"}, "\"--host\"; expected host=..., without dashes"));
  CHECK(complains({"explain", "/a", "--method", "POST"}, "expected method=..., without dashes"));
  CHECK(
      complains({"inspect", "--tag", "x"}, "unknown flag \"--tag\"; it is one of purge and stale"));
  CHECK(complains({"drain", "--now"}, "drain: unknown flag \"--now\""));
  for (const char* verb : {"status", "purge", "breaker"}) {
    CHECK(complains({verb, "--config", "f"}, "--config goes before the verb"));
    CHECK(complains({verb, "--socket=f"}, "--socket goes before the verb"));
  }
  CHECK(complains({"purge", "-" + std::string(9'000, 'x')}, "...\""));
}

TEST_CASE("what is no verb, or lacks its arguments, is said with what there is") {
  CHECK(complains({}, "a verb is missing: status, inspect"));
  CHECK(complains({"pruge", "x"}, "no such verb; did you mean purge?"));
  CHECK(complains({"--no", "status"}, "before the verb"));
  CHECK(complains({"purge"}, "expected: purge URL..."));
  CHECK(complains({"explain", "x"}, "expected: explain URL"));
  CHECK(complains({"status", "x"}, "expected: status"));
}
