// What an upstream may answer: the address asked for on the first line, then the
// content. Promises: what is judged good is, to another parser too, one JSON object
// about that address with all its members; what is not has a reason.
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "proxy/geoip_body.h"
#include "proxy/ip_address.h"
#include "require.h"

using namespace holdfast;
using upstream::Outcome;

namespace {

void check_good(std::string_view ip, std::string_view body) {
  const auto json = nlohmann::json::parse(body, nullptr, false);
  REQUIRE_HOLDS(json.is_object());
  for (const char* name : {"location", "postal_code", "network_name", "domain"}) {
    REQUIRE_HOLDS(json.contains(name));
    REQUIRE_HOLDS(json[name].is_string() || json[name].is_null());
  }
  for (const char* name : {"latitude", "longitude"}) {
    REQUIRE_HOLDS(json.contains(name));
    REQUIRE_HOLDS(json[name].is_number() || json[name].is_null());
  }
  REQUIRE_HOLDS(json.contains("ip") && json["ip"].is_string());
  const auto answered = proxy::canonical_ip(json["ip"].get<std::string>());
  REQUIRE_HOLDS(answered && answered->view() == ip);
  // A batch puts it into an array as it is.
  std::string array = "[";
  array.append(body).append(",").append(body).append("]");
  REQUIRE_HOLDS(nlohmann::json::parse(array, nullptr, false).size() == 2);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::size_t kMostBytes = 16'384;
  if (size > kMostBytes) return 0;
  static proxy::GeoipBodyValidator validator(kMostBytes);
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::size_t line_end = input.find('\n');
  if (line_end == input.npos) return 0;
  const auto ip = proxy::canonical_ip(input.substr(0, line_end));
  if (!ip) return 0;
  const std::string_view body = input.substr(line_end + 1);

  const upstream::Verdict verdict = validator.validate(ip->view(), body);
  if (verdict.outcome == Outcome::Ok) {
    check_good(ip->view(), body);
    // Whoever asked for another address must not get this one.
    REQUIRE_HOLDS(validator.validate("203.0.113.255", body).outcome ==
                  (ip->view() == "203.0.113.255" ? Outcome::Ok : Outcome::WrongContent));
    // And half of it is no answer.
    const auto half = body.substr(0, body.rfind('}'));
    REQUIRE_HOLDS(validator.validate(ip->view(), half).outcome == Outcome::InvalidBody);
  } else {
    REQUIRE_HOLDS(verdict.outcome == Outcome::InvalidBody ||
                  verdict.outcome == Outcome::WrongContent);
    REQUIRE_HOLDS(!verdict.reason.empty());
  }
  return 0;
}
