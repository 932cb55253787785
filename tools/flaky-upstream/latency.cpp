#include "latency.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "text.h"

namespace holdfast::flaky {
namespace {

// The shortest text that gives the number back, "0.05" rather than "0.050000".
std::string short_number(double value) {
  std::string text = std::to_string(value);
  while (text.back() == '0') text.pop_back();
  if (text.back() == '.') text.pop_back();
  return text;
}

constexpr double kMostTimesMedian = 1e4;
constexpr base::Duration kLongestMedian = std::chrono::hours(24);
static_assert(static_cast<double>(kLongestMedian.count()) * kMostTimesMedian <
              static_cast<double>(base::Duration::max().count() / 2));

std::string milliseconds(base::Duration duration) {
  return short_number(static_cast<double>(duration.count()) / 1e6) + "ms";
}

}  // namespace

base::Result<base::Duration> parse_median(std::string_view text) {
  const auto median = parse_duration(text);
  if (median && *median > kLongestMedian) {
    return base::invalid_input("\"" + std::string(text) + "\" is too long: 24h at most");
  }
  return median;
}

base::Duration draw(const Latency& latency, Chance& chance) {
  if (chance.uniform() < latency.tail_fraction) return latency.tail;
  if (latency.median <= base::Duration::zero()) return base::Duration::zero();
  // A wide sigma must not run past what a duration can hold.
  const double factor = std::min(std::exp(latency.sigma * chance.normal()), kMostTimesMedian);
  return base::Duration(
      static_cast<base::Duration::rep>(static_cast<double>(latency.median.count()) * factor));
}

base::Result<Latency> with_tail(Latency latency, std::string_view text) {
  const auto equals = text.find('=');
  if (equals == std::string_view::npos) {
    return base::invalid_input("\"" + std::string(text) + "\" is not fraction=duration");
  }
  const auto fraction = parse_fraction(trim(text.substr(0, equals)));
  if (!fraction) return tl::unexpected(fraction.error());
  const auto tail = parse_duration(trim(text.substr(equals + 1)));
  if (!tail) return tl::unexpected(tail.error());
  latency.tail_fraction = *fraction;
  latency.tail = *tail;
  return latency;
}

base::Result<Latency> parse_latency(std::string_view text) {
  Latency latency;
  text = trim(text);
  if (text == "off") return latency;
  if (text.empty()) return base::invalid_input("an empty latency; \"off\" removes it");
  for (const auto piece : split(text, ',')) {
    if (piece.starts_with("sigma=")) {
      const auto sigma = parse_number(piece.substr(6));
      if (!sigma) return tl::unexpected(sigma.error());
      latency.sigma = *sigma;
    } else if (piece.starts_with("tail=")) {
      const auto tailed = with_tail(latency, piece.substr(5));
      if (!tailed) return tailed;
      latency = *tailed;
    } else {
      const auto median = parse_median(piece);
      if (!median) return tl::unexpected(median.error());
      latency.median = *median;
    }
  }
  return latency;
}

std::string to_text(const Latency& latency) {
  std::string text = milliseconds(latency.median) + ",sigma=" + short_number(latency.sigma);
  if (latency.tail_fraction > 0) {
    text += ",tail=" + short_number(latency.tail_fraction) + "=" + milliseconds(latency.tail);
  }
  return text;
}

}  // namespace holdfast::flaky
