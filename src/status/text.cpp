// The words of the status page.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

#include "status/page.h"

namespace holdfast::status {
namespace {

std::string format(const char* pattern, double value) {
  std::array<char, 64> text;
  const int length = std::snprintf(text.data(), text.size(), pattern, value);
  return {text.data(), static_cast<std::size_t>(length)};
}

// "3.2", "32", "320": two digits are as much as anybody reads.
std::string short_number(double value) {
  return format(value < 9.95 ? "%.1f" : "%.0f", value);
}

void add_sentence(std::string& text, const std::string& sentence) {
  if (!text.empty()) text += ' ';
  text += sentence;
}

std::string about_clients(const Snapshot& data) {
  const auto minute = History::window(data.samples, std::chrono::minutes(1)).counts;
  const auto share = minute.share_ok();
  if (!share && minute.refused() > 0) return "All that was asked in the last minute was refused.";
  if (!share) return "Nobody asked in the last minute.";
  if (minute.failed() == 0) return "Clients get their answers.";
  return percent(1 - *share) + " of the requests of the last minute failed.";
}

// For the middle of a sentence.
std::string lower(std::string text) {
  if (!text.empty() && text[0] == 'T') text[0] = 't';
  return text;
}

// `called`: "The upstream", or that of its name. Empty if all is well with it.
std::string trouble_of(const upstream::Status& status, const std::string& called,
                       const Snapshot& data) {
  const auto& origins = status.origins;
  if (status.token == upstream::TokenState::State::Refused) {
    return called + " refuses our token.";
  }
  const auto all = [&origins](auto holds) {
    return !origins.empty() && std::all_of(origins.begin(), origins.end(), holds);
  };
  if (all([](const auto& origin) { return origin.certificate_refused; })) {
    return called + "'s certificate is not to be trusted (" + origins.front().last_error + ").";
  }
  if (all([](const auto& origin) { return !origin.redirect.empty(); })) {
    return called + " is not at " + (called == "The upstream" ? "API_URL" : "its URL") +
           ": it redirects (" + origins.front().redirect + ").";
  }
  if (all([](const auto& origin) { return !origin.answers_refused.empty(); })) {
    return called + " answers, and all of it is refused by the rules of its routes (" +
           origins.front().answers_refused + ").";
  }
  if (all([](const auto& origin) { return !origin.has_address; })) {
    const std::string& trouble = origins.front().name_trouble;
    return called + "'s name is not known" + (trouble.empty() ? "." : " (" + trouble + ").");
  }
  const auto down = std::count_if(origins.begin(), origins.end(), [](const auto& origin) {
    return origin.breaker != upstream::Breaker::State::Closed;
  });
  if (down > 0 && static_cast<std::size_t>(down) == origins.size()) {
    const auto& first = origins.front();
    if (first.forced)
      return "An operator holds the breaker open: " + lower(called) + " is not asked.";
    // Whoever answers is not down, whatever it says.
    std::string text = called + (first.last_error_status == 0 ? " is down" : " answers, but fails");
    if (!first.last_error.empty()) text += " (" + first.last_error + ")";
    return text + (data.memory.entries > 0 || data.store.entries > 0
                       ? "; what is stored still answers."
                       : ", and nothing is stored.");
  }
  if (down > 0) {
    return std::to_string(down) + " of " + std::to_string(origins.size()) + " origins" +
           (data.upstreams.size() > 1 ? " of " + lower(called) : "") +
           (down == 1 ? " fails." : " fail.");
  }
  double worst = 0;
  for (const auto& origin : origins) {
    if (origin.volume >= 10) worst = std::max(worst, origin.error_rate.value_or(0));
  }
  if (worst >= 0.1) return called + " fails " + percent(worst) + " of our attempts.";
  return {};
}

// Of several, each with which something is wrong has its sentence.
std::string about_upstreams(const Snapshot& data) {
  std::string text;
  bool asked = false;
  for (const Snapshot::Upstream& upstream : data.upstreams) {
    const std::string called =
        upstream.name.empty() ? "The upstream" : "The upstream " + upstream.name;
    const std::string trouble = trouble_of(upstream.status, called, data);
    if (!trouble.empty()) add_sentence(text, trouble);
    for (const auto& origin : upstream.status.origins) asked = asked || origin.volume > 0;
  }
  if (!text.empty()) return text;
  if (data.upstreams.size() == 1) {
    return asked ? "The upstream answers." : "The upstream was not asked lately.";
  }
  return asked ? "The upstreams answer." : "The upstreams were not asked lately.";
}

}  // namespace

std::string headline(const Snapshot& data) {
  std::string text;
  if (data.draining) add_sentence(text, "Stopping: finishing what is in flight.");
  add_sentence(text, about_clients(data));
  if (data.overloaded) add_sentence(text, "Clients are turned away for want of room.");
  add_sentence(text, about_upstreams(data));
  if (!data.store_trouble.empty()) {
    add_sentence(text, "The store is not well: " + data.store_trouble + ".");
  }
  if (!data.reload.error.empty()) {
    add_sentence(text, "The last reload failed: " + data.reload.error + ".");
  }
  if (!data.reload.needs_restart.empty()) {
    std::string keys;
    for (const std::string& key : data.reload.needs_restart) {
      keys += (keys.empty() ? "" : ", ") + key;
    }
    add_sentence(text, "Changed and not in force before a restart: " + keys + ".");
  }
  return text;
}

std::string clock_in_words(const upstream::OriginStatus& origin) {
  if (!origin.clock_ahead) return {};
  return in_words(std::chrono::abs(*origin.clock_ahead)) +
         (origin.clock_ahead->count() > 0 ? " ahead of ours" : " behind ours");
}

std::string in_words(std::chrono::duration<double> time) {
  const double seconds = std::max(0.0, time.count());
  if (seconds == 0) return "0 s";
  if (seconds < 0.001) return format("%.0f \xC2\xB5s", seconds * 1e6);
  if (seconds < 1) return short_number(seconds * 1e3) + " ms";
  if (seconds < 60) return short_number(seconds) + " s";
  const auto whole = static_cast<long long>(seconds);
  const auto two = [](long long large, const char* unit, long long small, const char* small_unit) {
    std::string text = std::to_string(large) + " " + unit;
    if (small > 0) text += " " + std::to_string(small) + " " + small_unit;
    return text;
  };
  if (whole < 3600) return two(whole / 60, "min", whole % 60, "s");
  if (whole < 86400) return two(whole / 3600, "h", whole % 3600 / 60, "min");
  return two(whole / 86400, "d", whole % 86400 / 3600, "h");
}

std::string bytes_in_words(std::uint64_t bytes) {
  constexpr std::array kUnits{"B", "KiB", "MiB", "GiB", "TiB"};
  auto value = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (value >= 1000 && unit + 1 < kUnits.size()) {
    value /= 1024;
    ++unit;
  }
  return (unit == 0 ? std::to_string(bytes) : short_number(value)) + " " + kUnits[unit];
}

// Never rounded up to 100 nor down to 0: "99.99 %" must not hide a failure.
std::string percent(double share) {
  const double value = std::clamp(share, 0.0, 1.0) * 100;
  if (value == 100) return "100 %";
  if (value == 0) return "0 %";
  if (value < 0.01) return "< 0.01 %";
  return format("%.2f %%", std::floor(value * 100 + 1e-6) / 100);
}

}  // namespace holdfast::status
