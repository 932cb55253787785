// The command line of `holdfast explain`: which request is meant.
#include "config/explain_command.h"

#include <doctest/doctest.h>

#include "config/masking.h"

using namespace holdfast;

namespace {

// "METHOD host target name=value ...", or what is wrong.
std::string reading(const std::string& url_or_path, const std::vector<std::string>& fields = {},
                    const std::string& method = "GET") {
  const auto command = config::make_explain_command(url_or_path, method, fields);
  if (!command) return command.error().message;
  std::string text = command->method + " " + command->host + " " + command->target;
  for (const auto& [name, value] : command->fields) text += " " + name + "=" + value;
  return text;
}

}  // namespace

TEST_CASE("a path has no Host but the one in a field, a URL has its own") {
  CHECK(reading("/v1/x?a=b&c") == "GET  /v1/x?a=b&c");
  CHECK(reading("/v1/x", {"host:  a.example "}) == "GET a.example /v1/x");
  CHECK(reading("http://a.example:8080/v1/x?y#z") == "GET a.example:8080 /v1/x?y");
  CHECK(reading("HTTPS://a.example") == "GET a.example /");
  CHECK(reading("https://a.example?q") == "GET a.example /?q");
  CHECK(reading("https://me:word@a.example/", {"Host: b.example"}) == "GET b.example /");
  CHECK(reading("/x", {"Accept: a", "X-A:b:c"}, "HEAD") == "HEAD  /x Accept=a X-A=b:c");
}

TEST_CASE("what is no request is told, and repeats nothing that may be a secret") {
  CHECK(reading("") == "expected a path as /lookup/8.8.8.8, or a URL");
  CHECK(reading("lookup/8.8.8.8").starts_with("expected a path that begins with a slash"));
  CHECK(reading("ftp://a.example/").starts_with("expected a path that begins with a slash"));
  CHECK(reading("http:///x") == "the URL has no host");
  CHECK(reading("/x", {"Accept"}) == "--field: expected 'Name: value'");
  CHECK(reading("/x", {"a b: c"}) == "--field: expected 'Name: value'");
  CHECK(reading("/x", {"Content-Length: 5"}) ==
        "--field: Content-Length belongs to the connection");
  CHECK(reading("/x", {}, "G T") == "--method: expected a method such as GET");
}

TEST_CASE("of what goes upstream the pieces that the template's key stands in are masked") {
  const std::string target = "/v1/0123456789abcdef0123/{x}?key=abc123def456&q={x}";
  CHECK(config::masked_target(target) == "/v1/***/{x}?key=***&q={x}");
  CHECK(config::masked_target("/v1/0123456789abcdef0123/8.8.8.8?key=abc123def456&q=8.8.8.8",
                              target) == "/v1/***/8.8.8.8?key=***&q=8.8.8.8");
  CHECK(config::is_secret_field("X-Api-Key"));
  CHECK_FALSE(config::is_secret_field("Accept"));
}
