#include "blame.h"

namespace holdfast::simulation {
namespace {

using upstream::Breaker;

std::string blamed_since(const upstream::OriginStatus& before,
                         const upstream::OriginStatus& after) {
  if (before.breaker == Breaker::State::Closed && after.breaker != Breaker::State::Closed) {
    return "its breaker opened";
  }
  if (after.volume != before.volume || after.error_rate != before.error_rate) {
    return "it was counted";
  }
  if (after.last_error != before.last_error || after.last_error_at != before.last_error_at) {
    return "its last error is another: " + after.last_error;
  }
  if (after.token != before.token) return "its token is another";
  if (after.certificate_refused != before.certificate_refused) return "its certificate is another";
  if (after.median != before.median || after.suspect_after != before.suspect_after) {
    return "its answers take another time";
  }
  for (std::size_t i = 0; i < after.addresses.size() && i < before.addresses.size(); ++i) {
    if (after.addresses[i].dark != before.addresses[i].dark ||
        after.addresses[i].last_error != before.addresses[i].last_error) {
      return "address " + after.addresses[i].address + " was judged";
    }
  }
  return {};
}

}  // namespace

std::string blamed_since(const upstream::Status& before, const upstream::Status& after) {
  for (std::size_t i = 0; i < after.origins.size(); ++i) {
    const std::string what = blamed_since(before.origins.at(i), after.origins[i]);
    if (!what.empty()) return after.origins[i].name + ": " + what;
  }
  return {};
}

}  // namespace holdfast::simulation
