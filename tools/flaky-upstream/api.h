// Api is one of the HTTP APIs that flaky-upstream plays instead of the lookup (--api): ordinary
// ones, with faults as for the lookup. What it says is a pure function of the request, and names
// what was asked for, so that whoever asks can tell that the answer is nobody else's. Any thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "http_message.h"

namespace holdfast::flaky {

// What a request asks for, and what a healthy API says of it.
struct ApiAnswer {
  // What was asked for, in one spelling: counters, scripts and chance go by it. Empty where the
  // request is a bad one (400): that is answered without faults.
  std::string key;
  Message message;      // a JSON object with a member at least
  std::string partial;  // an object that lacks most of the content
  // The content for something else, as a mixed-up service would send it.
  std::function<std::string()> other;
  bool has_etag = false;
};

class Api {
 public:
  virtual ~Api() = default;

  virtual bool takes_post() const { return false; }

  // None: there is no such path. `edition` is another release of the data.
  virtual std::optional<ApiAnswer> answer(const Request& request, std::uint64_t edition) const = 0;
};

// Errors name those there are.
base::Result<std::unique_ptr<Api>> make_api(std::string_view name);
const std::vector<std::string>& api_names();

// A file each.
std::unique_ptr<Api> make_weather_api();
std::unique_ptr<Api> make_registry_api();
std::unique_ptr<Api> make_search_api();

// For them: a JSON member after those there are, and a number that belongs to the text alone.
void append_member(std::string& object, std::string_view name, std::string_view text);
void append_raw_member(std::string& object, std::string_view name, std::string_view json);
std::uint64_t number_of(std::string_view text, std::uint64_t edition);

}  // namespace holdfast::flaky
