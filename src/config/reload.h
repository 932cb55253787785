// What another reading of the settings changes while the program runs: what takes effect at once,
// what waits for a restart, and the settings that are in force then. Pure; any thread.
#pragma once

#include <string>
#include <vector>

#include "config/routing.h"
#include "config/settings.h"

namespace holdfast::config {

// Sections of one kind, by their names.
struct SectionChanges {
  std::vector<std::string> added;
  std::vector<std::string> removed;
  std::vector<std::string> changed;  // in anything that is in force for them

  bool none() const { return added.empty() && removed.empty() && changed.empty(); }
  // For people: "added a, b; changed c". Of many names the first few, and how many more.
  std::string text() const;
};

struct Changes {
  std::vector<std::string> now;            // keys of settings that take effect with a reload
  std::vector<std::string> needs_restart;  // those that stay as they were until then
  SectionChanges upstreams;
  SectionChanges routes;

  bool routing() const { return !upstreams.none() || !routes.none(); }
  bool nothing_now() const { return now.empty() && !routing(); }
  bool none() const { return nothing_now() && needs_restart.empty(); }
};

// The settings in force after a reload: as `read` now, but as `before` in what needs a restart.
// Nothing else follows from that.
Settings in_force_after(const Settings& before, Settings read);

// Of `read`, what is not in force `after`; of that, what was not `before`.
Changes changes(const Settings& before, const Settings& after, const Settings& read);
// Both have a routing.
SectionChanges upstream_changes(const Routing& before, const Routing& after);
SectionChanges route_changes(const Routing& before, const Routing& after);

}  // namespace holdfast::config
