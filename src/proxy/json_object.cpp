#include "proxy/json_object.h"

#include <simdjson.h>

#include <algorithm>
#include <string_view>

namespace holdfast::proxy {
namespace {

// RFC 6838 and RFC 6839: "application/json", "application/problem+json".
bool is_json_type(std::string_view type) {
  std::string essence(type.substr(0, type.find(';')));
  while (!essence.empty() && (essence.back() == ' ' || essence.back() == '\t')) essence.pop_back();
  std::transform(essence.begin(), essence.end(), essence.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return essence.ends_with("/json") || essence.ends_with("+json");
}

}  // namespace

struct JsonObjectCheck::Parser {
  explicit Parser(std::size_t max_bytes) : dom(max_bytes) {}
  simdjson::dom::parser dom;
};

JsonObjectCheck::JsonObjectCheck(std::size_t max_body_bytes)
    : parser_(std::make_unique<Parser>(max_body_bytes)) {}

JsonObjectCheck::~JsonObjectCheck() = default;

std::string JsonObjectCheck::objection(const upstream::Reply& reply) {
  const std::string* type = upstream::find_field(reply.fields, "Content-Type");
  if (type == nullptr) return "no Content-Type";
  if (!is_json_type(*type)) return "its Content-Type is not JSON";
  simdjson::dom::element document;
  if (const auto error =
          parser_->dom.parse(reply.body.data(), reply.body.size(), true).get(document)) {
    return std::string("not JSON: ") + simdjson::error_message(error);
  }
  return document.is_object() ? "" : "not a JSON object";
}

}  // namespace holdfast::proxy
