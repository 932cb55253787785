// What the network between us and the upstream is like, and what happens to it.
#include <cmath>

#include "simulation.h"

namespace holdfast::simulation {
namespace {

using namespace std::chrono_literals;
using Path = upstream::test::SimulatedNetwork::Path;

const char* name_of(Path path) {
  switch (path) {
    case Path::Open:
      return "open";
    case Path::Dark:
      return "dark";
    case Path::Refuses:
      return "refusing";
    case Path::WrongCertificate:
      break;
  }
  return "somebody else's";
}

}  // namespace

void Simulation::plan_network() {
  auto& network = upstream_.network;
  network.round_trip = one_of<base::Duration>({0ms, 1ms, 30ms, 150ms});
  network.tls = one_of<base::Duration>({0ms, 5ms, 300ms});
  network.loss = one_of<double>({0, 0, 0, 0.02});
  network.idle_limit = one_of<base::Duration>({2s, 60s, 1h});
  network.keeps_connections = !chance(0.1);
  for (std::size_t origin = 0; origin < upstream_settings_.origins.size(); ++origin) {
    if (!is_named(origin)) continue;
    for (std::uint64_t i = 1 + random_.below(3); i > 0; --i) {
      names_[origin].push_back(new_address(origin));
    }
  }
  if (chance(0.3)) {
    const auto takes = one_of<base::Duration>({300ms, 1s});
    for (const std::string& ip : ips_) {
      if (chance(0.2)) upstream_.slow["/geoip/" + ip] = takes;
    }
  }
  trace_.line("round trip ", text(network.round_trip), ", TLS ", text(network.tls), ", loss ",
              network.loss, ", idle limit ", text(network.idle_limit), ", latency ",
              text(upstream_.median), ", ", upstream_.slow.size(), " slow keys",
              well_ ? ", the upstream is well" : "");
}

std::string Simulation::new_address(std::size_t origin) {
  return "192.168." + std::to_string(origin) + "." + std::to_string(++last_address_);
}

void Simulation::set_path(const std::string& address, Path path) {
  trace_.line("address ", address, " is ", name_of(path));
  if (path == Path::Open) {
    upstream_.network.paths.erase(address);
  } else {
    upstream_.network.paths[address] = path;
  }
  network_changed();
}

void Simulation::plan_network_event(base::Duration time) {
  const std::size_t origin = random_.below(upstream_settings_.origins.size());
  const base::Duration length = random_.up_to(one_of<base::Duration>({300ms, 5s, 30s}));
  switch (random_.below(10)) {
    case 0:
      return at(time, "all connections go mute", [this] {
        upstream_.network.mute_all();
        network_changed();
      });
    case 1:
      return at(time, "idle connections are closed",
                [this] { upstream_.network.forget_connections(); });
    case 2:
    case 3:
    case 4: {
      // One address of an origin, or all, or everything.
      const std::uint64_t extent = random_.below(4);
      const auto path = well_ ? one_of({Path::Dark, Path::Dark, Path::Refuses})
                              : one_of({Path::Dark, Path::Refuses, Path::WrongCertificate});
      if (path == Path::WrongCertificate) comparable_ = false;  // it ends what is asked just then
      const std::uint64_t which = random_.next();
      const auto hit = std::make_shared<std::vector<std::string>>();
      at(time, "addresses fail", [this, origin, extent, path, which, hit] {
        for (std::size_t i = 0; i < names_.size(); ++i) {
          if (i != origin && extent != 3) continue;
          std::vector<std::string> all = is_named(i) ? names_[i] : std::vector{std::string()};
          if (extent < 2) all = {all[which % all.size()]};
          hit->insert(hit->end(), all.begin(), all.end());
        }
        for (const std::string& address : *hit) set_path(address, path);
      });
      return at(time + length, "addresses are well", [this, hit] {
        for (const std::string& address : *hit) set_path(address, Path::Open);
      });
    }
    case 5:
    case 6: {
      const bool goes_dark = chance(0.5);
      const base::Duration until_told = random_.up_to(5s);
      at(time, "a name moves", [this, origin, goes_dark] {
        if (!is_named(origin)) return;
        auto& all = names_[origin];
        const std::string old = all.front();
        all.erase(all.begin());
        all.push_back(new_address(origin));
        if (goes_dark) set_path(old, Path::Dark);
      });
      return at(time + until_told, "its new addresses are known", [this, origin] { tell(origin); });
    }
    case 7: {
      const double loss = one_of<double>({0, 0.02, 0.1});
      if (loss > 0) comparable_ = false;
      return at(time, "packets are lost otherwise", [this, loss] {
        upstream_.network.loss = loss;
        network_changed();
      });
    }
    case 8: {
      const auto round_trip = one_of<base::Duration>({0ms, 5ms, 60ms, 200ms});
      return at(time, "another distance", [this, round_trip] {
        upstream_.network.round_trip = round_trip;
        network_changed();
      });
    }
    default: {
      const auto median = one_of<base::Duration>({1ms, 30ms, 300ms, 600ms, 1500ms});
      return at(time, "another latency", [this, median] {
        upstream_.median = median;
        network_changed();
      });
    }
  }
}

// Tells the fetcher what the origin's name stands for.
void Simulation::tell(std::size_t origin) {
  if (!process_ || !is_named(origin)) return;
  trace_.line(upstream_settings_.origins[origin], " is at ", names_[origin].front(), " and ",
              names_[origin].size() - 1, " more");
  told_[origin] = names_[origin];
  watch_.name_moved();
  give_addresses(origin);
  network_changed();
}

// In a process that has just begun, names are not known yet.
void Simulation::look_names_up() {
  for (auto& list : told_) list.clear();
  const base::Duration takes = one_of<base::Duration>({0ms, 0ms, 20ms, 2s});
  for (std::size_t origin = 0; origin < upstream_settings_.origins.size(); ++origin) {
    if (!is_named(origin)) continue;
    scheduler_.call_at(now() + takes, [this, origin, generation = generation_] {
      if (generation == generation_) tell(origin);
    });
  }
  network_changed();
}

// What can be expected from now on.
void Simulation::network_changed() {
  const auto& network = upstream_.network;
  bool reachable = false;
  for (std::size_t origin = 0; origin < upstream_settings_.origins.size(); ++origin) {
    if (origin == wrong_origin_) continue;  // it helps nobody
    const auto addresses = is_named(origin) ? told_[origin] : std::vector{std::string()};
    for (const std::string& address : addresses) {
      reachable = reachable || !network.paths.contains(address);
    }
  }
  health_.reachable(reachable);
  base::Duration takes = network.round_trip * 2;  // to connect, to ask
  if (network.tls > 0ms) takes += network.round_trip + network.tls;
  takes +=
      std::chrono::duration_cast<base::Duration>(upstream_.median * std::exp(4 * upstream_.sigma));
  // One packet, at the worst place.
  if (network.loss > 0) takes += 1s;
  health_.natural(takes);
  if (upstream_.network.any_mute() || !network.paths.empty()) health_.disturbed();
}

}  // namespace holdfast::simulation
