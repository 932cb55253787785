#include "daemon/store_command.h"

#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "cache/store_admin.h"
#include "daemon/route_plans.h"
#include "proxy/storing.h"

namespace holdfast::daemon {
namespace {

using base::ErrorKind;

constexpr int kGood = 0;
constexpr int kDamaged = 1;
constexpr int kUnusable = 2;

int unusable(const base::Error& error) {
  std::fprintf(stderr, "holdfast: %s\n", error.message.c_str());
  return kUnusable;
}

unsigned long long printable(std::uint64_t number) {
  return number;
}

int stats(const std::string& file) {
  const auto done = cache::store_stats(file, base::SystemClock(), stdout);
  return done ? kGood : unusable(done.error());
}

int check(const std::string& file) {
  const auto sound = cache::store_check(file, stdout);
  if (sound) return *sound ? kGood : kDamaged;
  // Not even opened, but damage is what was looked for.
  static_cast<void>(unusable(sound.error()));
  return sound.error().kind == ErrorKind::Corrupt ? kDamaged : kUnusable;
}

int write_lines(const std::string& file) {
  const auto exported = cache::store_export(file, stdout);
  if (!exported) return unusable(exported.error());
  std::fprintf(stderr, "exported: %llu\ndamaged: %llu\n", printable(exported->written),
               printable(exported->damaged));
  return exported->damaged == 0 ? kGood : kDamaged;
}

int read_lines(const std::string& file, const config::Routing& routing) {
  auto plans = plan_routes(routing);
  if (!plans) return unusable(plans.error());
  std::vector<std::unique_ptr<proxy::Route>> routes;
  for (proxy::RoutePlan& plan : *plans) {
    routes.push_back(std::make_unique<proxy::Route>(std::move(plan)));
  }
  const auto objection = [&](std::string_view key, const cache::StoredResponse& stored) {
    for (const auto& route : routes) {
      if (route->is_key(key)) return proxy::objection_to(*route, key, stored);
    }
    return std::string("the key is none of ours");
  };
  const auto imported = cache::store_import(file, base::SystemClock(), stdin, stderr, objection);
  if (!imported) return unusable(imported.error());
  std::fprintf(stderr, "imported: %llu\nalready as recent: %llu\nrefused: %llu\n",
               printable(imported->written), printable(imported->older),
               printable(imported->refused));
  return imported->refused == 0 ? kGood : kDamaged;
}

int compact(const std::string& file) {
  const auto done = cache::store_compact(file, stdout);
  return done ? kGood : unusable(done.error());
}

}  // namespace

int run_store_command(const config::StoreCommand& command) {
  using Action = config::StoreCommand::Action;
  switch (command.action) {
    case Action::Stats:
      return stats(command.file);
    case Action::Check:
      return check(command.file);
    case Action::Export:
      return write_lines(command.file);
    case Action::Import:
      return read_lines(command.file, *command.routing);
    case Action::Compact:
      return compact(command.file);
  }
  return kUnusable;
}

}  // namespace holdfast::daemon
