// HealthPage is /healthz as it stood when it was asked for.
#pragma once

#include <simdjson.h>

#include <stdexcept>
#include <string>
#include <string_view>

#include "stage.h"

namespace holdfast::scenario {

class HealthPage {
 public:
  explicit HealthPage(const Daemon& daemon) : response(get(daemon.url("/healthz"))) {
    document_ = parser_.parse(response.body);
  }

  // A member as JSON: of the whole, or of one dependency.
  std::string text(const char* member) { return simdjson::to_string(document_[member]); }
  std::string text(std::string_view name, const char* member) {
    for (const simdjson::dom::element element : document_["dependencies"].get_array()) {
      if (std::string_view(element["name"]) == name) return simdjson::to_string(element[member]);
    }
    throw std::runtime_error("no dependency " + std::string(name));
  }

  Response response;

 private:
  simdjson::dom::parser parser_;
  simdjson::dom::element document_;
};

}  // namespace holdfast::scenario
