#include "proxy/json_object.h"

#include <simdjson.h>

namespace holdfast::proxy {
struct JsonObjectCheck::Parser {
  explicit Parser(std::size_t max_bytes) : dom(max_bytes) {}
  simdjson::dom::parser dom;
};

JsonObjectCheck::JsonObjectCheck(std::size_t max_body_bytes)
    : parser_(std::make_unique<Parser>(max_body_bytes)) {}

JsonObjectCheck::~JsonObjectCheck() = default;

std::string JsonObjectCheck::objection(std::string_view body) {
  simdjson::dom::element document;
  if (const auto error = parser_->dom.parse(body.data(), body.size(), true).get(document)) {
    return std::string("not JSON: ") + simdjson::error_message(error);
  }
  return document.is_object() ? "" : "not a JSON object";
}

}  // namespace holdfast::proxy
