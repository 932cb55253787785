#include "stats.h"

#include <algorithm>
#include <chrono>

#include "text.h"

namespace holdfast::flaky {
namespace {

constexpr std::array<std::string_view, kOutcomeCount> kOutcomeNames{
    "ok",         "not_modified", "not_found",    "bad_method",
    "invalid_ip", "unauthorized", "rate_limited", "blackholed"};

std::string number_member(std::string_view name, std::uint64_t value) {
  return "\"" + std::string(name) + "\":" + std::to_string(value);
}

std::string faults_member(const std::array<std::uint64_t, kFaultCount>& counts) {
  std::string text = "\"faults\":{";
  for (const auto& info : all_faults()) {
    if (text.back() != '{') text += ',';
    text += number_member(info.name, counts[static_cast<std::size_t>(info.fault)]);
  }
  return text + "}";
}

}  // namespace

void SecondWindow::advance(base::SteadyTime now) {
  const auto slot =
      std::chrono::floor<std::chrono::milliseconds>(now.time_since_epoch()).count() / 100;
  const auto steps = std::min<std::int64_t>(slot - slot_, kSlots);
  for (std::int64_t i = 1; i <= steps; ++i) {
    auto& oldest = slots_[static_cast<std::size_t>((slot - steps + i) % kSlots)];
    sum_ -= oldest;
    oldest = 0;
  }
  slot_ = std::max(slot, slot_);
}

void SecondWindow::add(base::SteadyTime now) {
  advance(now);
  ++slots_[static_cast<std::size_t>(slot_) % kSlots];
  peak_ = std::max(peak_, ++sum_);
}

std::uint64_t SecondWindow::in_last_second(base::SteadyTime now) {
  advance(now);
  return sum_;
}

std::string ip_json(std::string_view ip, const IpCounts& counts) {
  std::string text = "{\"ip\":";
  append_json_string(text, ip);
  text += "," + number_member("requests", counts.requests);
  text += "," + number_member("in_flight", counts.in_flight);
  text += "," + number_member("max_in_flight", counts.max_in_flight);
  text += "," + number_member("ok", counts.faults[0]);
  return text + "," + faults_member(counts.faults) + "}";
}

std::string stats_members(Stats& stats, base::SteadyTime now) {
  std::string text = number_member("requests", stats.requests);
  text += "," + number_member("completed", stats.completed);
  text += "," + number_member("aborted", stats.aborted);
  text += "," + number_member("in_flight", stats.in_flight);
  text += "," + number_member("max_in_flight", stats.max_in_flight);
  text += "," + number_member("last_second", stats.window.in_last_second(now));
  text += "," + number_member("peak_second", stats.window.peak());
  text += "," + number_member("distinct_ips", stats.ips.size());
  for (std::size_t i = 0; i < kOutcomeCount; ++i) {
    text += "," + number_member(kOutcomeNames[i], stats.outcomes[i]);
  }
  return text + "," + faults_member(stats.faults);
}

}  // namespace holdfast::flaky
