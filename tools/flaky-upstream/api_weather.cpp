// GET /v1/forecast?latitude=52.52&longitude=13.41[&units=metric|imperial]: a forecast that names
// the place and the units. Places are numbers: 52.5 and 52.50 are one.
#include <charconv>
#include <cmath>
#include <cstdio>

#include "api.h"

namespace holdfast::flaky {
namespace {

struct Coordinates {
  double latitude = 0;
  double longitude = 0;
};

std::optional<double> degrees(const std::optional<std::string>& text, double most) {
  if (!text) return std::nullopt;
  double value = 0;
  const char* const end = text->data() + text->size();
  const auto [last, error] = std::from_chars(text->data(), end, value);
  if (error != std::errc() || last != end || !(std::abs(value) <= most)) return std::nullopt;
  return value == 0 ? 0 : value;  // without the sign of -0
}

std::string shown(double value) {
  char text[32];
  const auto end = std::to_chars(text, text + sizeof text, value).ptr;
  return {text, end};
}

std::string query_of(const Coordinates& place, const std::string& units) {
  return "latitude=" + shown(place.latitude) + "&longitude=" + shown(place.longitude) +
         "&units=" + units;
}

std::string forecast(const Coordinates& place, const std::string& units, std::uint64_t edition) {
  // The weather is the same in all units.
  const std::uint64_t luck = number_of(query_of(place, "metric"), edition);
  const double celsius = static_cast<double>(luck % 600) / 10 - 20;
  const double metres = static_cast<double>(luck / 600 % 300) / 10;
  const bool metric = units == "metric";
  char temperature[32], wind[32];
  std::snprintf(temperature, sizeof temperature, "%.1f", metric ? celsius : celsius * 1.8 + 32);
  std::snprintf(wind, sizeof wind, "%.1f", metric ? metres : metres * 2.23694);
  constexpr const char* kSummaries[] = {"clear", "cloudy", "rain", "snow", "fog", "Föhn"};
  std::string body;
  append_raw_member(body, "latitude", shown(place.latitude));
  append_raw_member(body, "longitude", shown(place.longitude));
  append_member(body, "units", units);
  append_raw_member(body, "temperature", temperature);
  append_raw_member(body, "wind_speed", wind);
  append_member(body, "summary", kSummaries[luck / 180000 % std::size(kSummaries)]);
  return body;
}

class Weather final : public Api {
 public:
  std::optional<ApiAnswer> answer(const Request& request, std::uint64_t edition) const override {
    if (request.path() != "/v1/forecast") return std::nullopt;
    ApiAnswer answer;
    const auto latitude = degrees(request.parameter("latitude"), 90);
    const auto longitude = degrees(request.parameter("longitude"), 180);
    const std::string units = request.parameter("units").value_or("metric");
    if (!latitude || !longitude || (units != "metric" && units != "imperial")) {
      answer.message = json_error(400, "latitude, longitude, and units=metric or imperial");
      return answer;
    }
    const Coordinates place{*latitude, *longitude};
    answer.key = "/v1/forecast?" + query_of(place, units);
    answer.message.content = forecast(place, units, edition);
    const Coordinates beside{place.latitude > 0 ? place.latitude - 0.25 : place.latitude + 0.25,
                             place.longitude};
    answer.other = [=] { return forecast(beside, units, edition); };
    append_member(answer.partial, "units", units);
    return answer;
  }
};

}  // namespace

std::unique_ptr<Api> make_weather_api() {
  return std::make_unique<Weather>();
}

}  // namespace holdfast::flaky
