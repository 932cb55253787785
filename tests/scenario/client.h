// What a scenario asks with: HTTP requests through libcurl, many at a time, and
// what came back.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace holdfast::scenario {

struct Response {
  int status = 0;  // 0: no whole answer came
  std::string error;
  std::string head;  // field lines
  std::string body;
  std::chrono::duration<double> duration{};
  std::chrono::steady_clock::time_point answered_at;

  // The value of the first field of that name, or "".
  std::string field(std::string_view name) const;
};

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

// What a cache behind the daemon takes for the time that an answer stays fresh, in seconds:
// its max-age less its Age (RFC 9111, 4.2). Throws if it states either of them badly.
long seconds_left(const Response& response);
// The ttl that the answer's Cache-Status tells (RFC 9211, 2.6). Throws if it tells none.
long stated_ttl(const Response& response);

struct Query {
  std::string url;
  std::string method = "GET";
  std::vector<std::string> fields = {};
  std::string body = {};
  std::string unix_socket = {};  // instead of the url's host
};

// Asks and waits for the answer, a minute at most.
Response ask(const Query& query);
inline Response get(const std::string& url) {
  return ask(Query{url});
}

// Asks all, `concurrency` at a time, over kept-alive connections. The answers
// are in the order of the queries.
std::vector<Response> ask_all(const std::vector<Query>& queries, std::size_t concurrency);

// Asks all, so many a second, whatever has become of those before: clients do not
// wait for each other. `before(i)` runs before query i is sent.
std::vector<Response> ask_at_rate(const std::vector<Query>& queries, double per_second,
                                  const std::function<void(std::size_t)>& before = {});

}  // namespace holdfast::scenario
