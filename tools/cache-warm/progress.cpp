#include "progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>

namespace holdfast::warm {
namespace {

constexpr base::Duration kRateWindow = std::chrono::seconds(10);
constexpr base::Duration kRedraw = std::chrono::milliseconds(100);
constexpr base::Duration kPlainInterval = std::chrono::seconds(5);
constexpr std::size_t kBarWidth = 24;

std::string format(const char* pattern, double value) {
  std::array<char, 48> text{};
  std::snprintf(text.data(), text.size(), pattern, value);
  return text.data();
}

std::string eta(const Snapshot& snapshot) {
  const std::size_t left = snapshot.total - snapshot.counts.settled();
  if (left == 0) return "";
  // Days of waiting are no prediction.
  const double seconds =
      snapshot.per_second > 0 ? std::ceil(static_cast<double>(left) / snapshot.per_second) : 1e9;
  if (seconds >= 100 * 3600) return "ETA -";
  const auto whole = static_cast<unsigned>(seconds);
  if (whole < 100) return "ETA " + std::to_string(whole) + "s";
  if (whole < 100 * 60) return "ETA " + std::to_string((whole + 59) / 60) + "m";
  return "ETA " + std::to_string((whole + 3599) / 3600) + "h";
}

std::string outcomes(const Counts& counts) {
  std::string text =
      "fetched " + std::to_string(counts.fetched) + ", there " + std::to_string(counts.there);
  const auto more = [&text](const char* name, std::size_t count) {
    if (count > 0) text += std::string(", ") + name + " " + std::to_string(count);
  };
  more("kept", counts.kept);
  more("not found", counts.not_found);
  more("failed", counts.failed);
  more("missing", counts.missing);
  more("retries", counts.retries);
  return text;
}

std::string numbers(const Snapshot& snapshot) {
  const std::size_t settled = snapshot.counts.settled();
  const std::size_t total = std::max<std::size_t>(snapshot.total, 1);
  // Rounded down, so that 100 % means all.
  std::string text = std::to_string(settled) + "/" + std::to_string(snapshot.total) + "  " +
                     std::to_string(settled * 100 / total) + " %  ";
  text += format(snapshot.per_second < 10 ? "%.1f/s" : "%.0f/s", snapshot.per_second);
  if (const std::string left = eta(snapshot); !left.empty()) text += "  " + left;
  text += "  " + outcomes(snapshot.counts);
  if (!snapshot.pause_reason.empty()) text += "  (waiting: " + snapshot.pause_reason + ")";
  return text;
}

std::size_t terminal_width(std::FILE* out) {
  winsize size{};
  if (ioctl(fileno(out), TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  return 80;
}

}  // namespace

std::string bar_line(const Snapshot& snapshot, std::size_t width) {
  const std::size_t total = std::max<std::size_t>(snapshot.total, 1);
  const std::size_t filled = kBarWidth * snapshot.counts.settled() / total;
  std::string bar(filled, '=');
  if (filled < kBarWidth) bar += '>';
  bar.resize(kBarWidth, ' ');
  std::string line = "[" + bar + "] " + numbers(snapshot);
  if (line.size() > width) line.resize(width);
  return line;
}

std::string plain_line(const Snapshot& snapshot) {
  return "cache-warm: " + numbers(snapshot);
}

void RateMeter::note(std::size_t settled, base::SteadyTime now) {
  samples_.push_back({now, settled});
  // One older than the window stays, so that the window is always spanned.
  while (samples_.size() > 2 && now - samples_[1].at >= kRateWindow) samples_.pop_front();
}

double RateMeter::per_second() const {
  if (samples_.size() < 2) return 0;
  const std::chrono::duration<double> span = samples_.back().at - samples_.front().at;
  if (span.count() <= 0) return 0;
  return static_cast<double>(samples_.back().settled - samples_.front().settled) / span.count();
}

Progress::Style Progress::style_for(std::FILE* out, bool quiet) {
  if (quiet) return Style::None;
  return isatty(fileno(out)) ? Style::Bar : Style::Plain;
}

void Progress::update(const Plan& plan, base::SteadyTime now) {
  if (style_ == Style::None) return;
  const base::Duration interval = style_ == Style::Bar ? kRedraw : kPlainInterval;
  if (!next_) {
    rate_.note(plan.counts().settled(), now);
    next_ = now + interval;
    return;
  }
  if (now < *next_) return;
  next_ = now + interval;
  rate_.note(plan.counts().settled(), now);
  draw(snapshot(plan, now));
}

void Progress::finish(const Plan& plan, base::SteadyTime now) {
  if (style_ != Style::Bar) return;  // the summary says the rest
  rate_.note(plan.counts().settled(), now);
  draw(snapshot(plan, now));
  std::fputc('\n', out_);
}

Snapshot Progress::snapshot(const Plan& plan, base::SteadyTime now) const {
  return {plan.counts(), plan.total(), rate_.per_second(), plan.pause_reason(now)};
}

void Progress::draw(const Snapshot& snapshot) {
  if (style_ == Style::Bar) {
    // One column is left free: a full line would wrap.
    std::fprintf(out_, "\r%s\x1b[K", bar_line(snapshot, terminal_width(out_) - 1).c_str());
  } else {
    std::fprintf(out_, "%s\n", plain_line(snapshot).c_str());
  }
  std::fflush(out_);
}

}  // namespace holdfast::warm
