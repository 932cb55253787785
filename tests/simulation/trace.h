// Trace tells a schedule to people: a line for everything that happened, with
// the virtual time. Off, it costs a comparison. One thread.
#pragma once

#include <iomanip>
#include <sstream>
#include <string>
#include <vector>

#include "base/virtual_scheduler.h"

namespace holdfast::simulation {

class Trace {
 public:
  Trace(const base::VirtualScheduler& scheduler, bool on)
      : scheduler_(scheduler), begun_(scheduler.now()), on_(on) {}

  bool on() const { return on_; }

  template <typename... Parts>
  void line(const Parts&... parts) {
    if (!on_) return;
    std::ostringstream out;
    const std::chrono::duration<double> passed = scheduler_.now() - begun_;
    out << std::fixed << std::setprecision(6) << std::setw(13) << passed.count() << "  ";
    (out << ... << parts);
    lines_.push_back(out.str());
  }

  const std::vector<std::string>& lines() const { return lines_; }

 private:
  const base::VirtualScheduler& scheduler_;
  const base::SteadyTime begun_;
  const bool on_;
  std::vector<std::string> lines_;
};

// For traces: "1.25s".
inline std::string text(base::Duration duration) {
  std::ostringstream out;
  out << std::chrono::duration<double>(duration).count() << "s";
  return out.str();
}

}  // namespace holdfast::simulation
