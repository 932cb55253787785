#include "http/problem.h"

#include <doctest/doctest.h>

using namespace holdfast::http;

TEST_CASE("a problem names type, title, status, detail and error") {
  CHECK(problem_json(404, "no such path") ==
        R"({"type":"about:blank","title":"Not Found","status":404,)"
        R"("detail":"no such path","error":"no such path"})");
}

TEST_CASE("a problem's detail may hold any byte") {
  const auto json = problem_json(400, std::string_view("a\"b\\c\n\0\xff", 8));
  CHECK(json.find('\n') == std::string::npos);
  CHECK(json.find('\0') == std::string::npos);
  CHECK(json.find('\xff') == std::string::npos);
  CHECK(json.find(R"(a\"b\\c\n)") != std::string::npos);
}

TEST_CASE("every status the contract names has a reason phrase") {
  for (const int status :
       {200, 304, 400, 404, 405, 408, 413, 414, 417, 429, 431, 500, 501, 502, 503, 504, 505}) {
    CHECK(reason_phrase(status) != "Unknown");
  }
  CHECK(reason_phrase(299) == "Unknown");
}
