// JsonObjectCheck tells an API's own word from a balancer's page: is a content one whole JSON
// object, called JSON by its Content-Type? One thread; keeps the parser's memory between calls.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "upstream/message.h"

namespace holdfast::proxy {

class JsonObjectCheck {
 public:
  explicit JsonObjectCheck(std::size_t max_body_bytes);
  ~JsonObjectCheck();
  JsonObjectCheck(const JsonObjectCheck&) = delete;
  JsonObjectCheck& operator=(const JsonObjectCheck&) = delete;

  // Why it is none, for people; empty if it is one.
  std::string objection(const upstream::Reply& reply);

 private:
  struct Parser;
  std::unique_ptr<Parser> parser_;
};

}  // namespace holdfast::proxy
