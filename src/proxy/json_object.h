// JsonObjectCheck tells an API's own word from a balancer's page: is a content one whole JSON
// object? Its Content-Type does not matter, as it does not for a 200 either. One thread; keeps the
// parser's memory between calls.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace holdfast::proxy {

class JsonObjectCheck {
 public:
  explicit JsonObjectCheck(std::size_t max_body_bytes);
  ~JsonObjectCheck();
  JsonObjectCheck(const JsonObjectCheck&) = delete;
  JsonObjectCheck& operator=(const JsonObjectCheck&) = delete;

  // Why it is none, for people; empty if it is one.
  std::string objection(std::string_view body);

 private:
  struct Parser;
  std::unique_ptr<Parser> parser_;
};

}  // namespace holdfast::proxy
