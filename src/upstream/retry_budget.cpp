#include "upstream/retry_budget.h"

namespace holdfast::upstream {
namespace {

constexpr std::size_t kBudgetSlices = 20;

}  // namespace

RetryBudget::RetryBudget(Settings settings)
    : settings_(settings),
      fetches_(base::Duration(settings.window) / static_cast<int>(kBudgetSlices), kBudgetSlices),
      retries_(base::Duration(settings.window) / static_cast<int>(kBudgetSlices), kBudgetSlices) {}

bool RetryBudget::withdraw(base::SteadyTime now) {
  if (balance(now) < 1.0) return false;
  retries_.add(now);
  return true;
}

double RetryBudget::balance(base::SteadyTime now) {
  const double reserve =
      settings_.reserve_per_second * static_cast<double>(settings_.window.count());
  return reserve + settings_.per_fetch * static_cast<double>(fetches_.sum(now)) -
         static_cast<double>(retries_.sum(now));
}

}  // namespace holdfast::upstream
