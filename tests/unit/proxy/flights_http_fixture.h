// What the tests of flights of mode rfc9111 stand on: flights_fixture.h, asked as a worker asks.
#pragma once

#include "base/http_date.h"
#include "flights_fixture.h"
#include "http/field_syntax.h"
#include "http_route.h"

namespace holdfast::proxy::test {

using Lines = std::vector<http::FieldLine>;

struct HttpFixture : Fixture {
  HttpFixture() { route = std::make_unique<Route>(http_plan(storing)); }

  AskedPtr asked(const std::string& path, const Lines& fields) {
    http::Request request;
    request.method_name = "GET";
    request.path = path;
    request.fields = fields;
    auto asked = std::make_shared<Asked>(request, "all" + path);
    for (const http::FieldLine& line : fields) {
      if (http::equals_ignoring_case(line.name, "cache-control")) {
        asked->wanted = rfc9111::request_directives(line.value, {});
      }
      if (http::equals_ignoring_case(line.name, "authorization")) asked->authorization = true;
      asked->upstream.fields.push_back({std::string(line.name), std::string(line.value)});
    }
    asked->upstream.target = path;
    return asked;
  }

  std::size_t get(const std::string& path, const Lines& fields = {}) {
    const std::size_t number = answers.size();
    answers.emplace_back();
    flights->join_http(*route, asked(path, fields), loop.now() + 10s,
                       [this, number](Answer answer) {
                         CHECK_FALSE(answers[number].has_value());
                         answers[number] = std::move(answer);
                       });
    return number;
  }

  FetchResult says(const std::string& body, upstream::Fields fields, int status = 200) {
    FetchResult result;
    result.end = FetchEnd::Answered;
    result.outcome = status == 304 ? Outcome::NotModified : Outcome::Ok;
    result.reply.status = status;
    result.reply.body = body;
    result.reply.fields = std::move(fields);
    result.reply.fields.push_back({"Date", base::format_http_date(loop.clock().wall())});
    result.attempts_sent = 1;
    return result;
  }

  // Of an answer that has come.
  std::string body(std::size_t number) {
    REQUIRE(answers[number].has_value());
    REQUIRE(answers[number]->content);
    return answers[number]->content->body;
  }
};

// A lifetime of a minute, and more.
inline upstream::Fields fresh(upstream::Fields more = {}) {
  more.push_back({"Cache-Control", "max-age=60"});
  return more;
}

}  // namespace holdfast::proxy::test
