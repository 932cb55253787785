// A JSON object as it is written, member by member. A value of one thread.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "observe/timestamp.h"

namespace holdfast::daemon {

class JsonObject {
 public:
  JsonObject& text(std::string_view name, std::string_view value) {
    begin(name);
    json_ += '"';
    observe::append_json_escaped(json_, value);
    json_ += '"';
    return *this;
  }
  JsonObject& flag(std::string_view name, bool value) {
    return raw(name, value ? "true" : "false");
  }
  template <typename Number>
  JsonObject& number(std::string_view name, Number value) {
    return raw(name, std::to_string(value));
  }
  JsonObject& raw(std::string_view name, std::string_view json) {
    begin(name);
    json_ += json;
    return *this;
  }
  std::string take() { return std::move(json_) + "}"; }

 private:
  void begin(std::string_view name) {
    json_ += json_.size() > 1 ? ",\"" : "\"";
    json_.append(name).append("\":");
  }
  std::string json_ = "{";
};

}  // namespace holdfast::daemon
