// A reload on the origin loop: what is the same goes on as it was, what is gone ends, and however
// often that happens nothing piles up.
#include "daemon/generation.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <future>
#include <map>

#include "cache/no_store.h"
#include "daemon/origin.h"
#include "daemon/route_plans.h"
#include "patience.h"
#include "rounds.h"
#include "unit/config/start.h"

using namespace holdfast;
using namespace holdfast::daemon;
using namespace std::chrono_literals;

namespace {

std::string upstream_of(const std::string& name, const std::string& more = "") {
  return "[upstream." + name + "]\nurls = [\"http://127.0.0.1:1\"]\nupstream_spare = \"off\"\n" +
         more;
}

std::string route_of(const std::string& name, const std::string& of, const std::string& more = "") {
  return "[[route]]\nname = \"" + name + "\"\nupstream = \"" + of + "\"\nmatch = \"/" + name +
         "/{x}\"\n" + more;
}

class Reloads {
 public:
  explicit Reloads(const std::string& file)
      : routing_(routing_of(file)), origin_(parts_, routing_, plans_) {
    now = origin_.generation();
    origin_.start();
  }
  ~Reloads() {
    now.reset();
    origin_.stop();
    origin_.ends_within(1min);
  }

  // As the daemon does it; who serves by the old generation lets go of it.
  void take(const std::string& file) {
    // Two that take turns are read once each.
    auto& [routing, plans] = read_[file];
    if (!routing) {
      routing = routing_of(file);
      plans = plans_;
    }
    std::promise<base::Result<GenerationPtr>> taken;
    origin_.take(make_draft(now, routing, plans),
                 [&](auto next) { taken.set_value(std::move(next)); });
    auto next = taken.get_future().get();
    REQUIRE_MESSAGE(next, (next ? "" : next.error().message));
    now = *std::move(next);
  }
  std::vector<std::string> health() const {
    std::vector<std::string> names;
    const std::string json = health_.json();
    const std::string begin = "{\"name\":\"";
    for (std::size_t at = 0; (at = json.find(begin, at)) != json.npos;) {
      at += begin.size();
      names.push_back(json.substr(at, json.find('"', at) - at));
    }
    return names;
  }
  // Until only those of this generation are left.
  bool settles() {
    const auto until = std::chrono::steady_clock::now() + kPatience;
    while (std::chrono::steady_clock::now() < until) {
      std::promise<std::size_t> groups;
      origin_.loop().post([&] { groups.set_value(origin_.all_groups()); });
      if (groups.get_future().get() == now->groups.size()) return true;
    }
    return false;
  }
  std::size_t cells() const { return metrics_.free_cells(); }
  double gauge(observe::Family family, const std::string& upstream) const {
    return metrics_.value(family, {{"upstream", upstream}});
  }

  GenerationPtr now;

 private:
  std::shared_ptr<const config::Routing> routing_of(const std::string& text) {
    config::Start start;
    start.arguments = {"--config", start.file("h.toml", text)};
    auto routing = start.settings().routing;
    plans_ = plan_routes(*routing).value();
    return routing;
  }

  base::SystemClock clock_;
  cache::MemoryCache memory_{{}};
  cache::NoStore store_;
  observe::Log log_;
  observe::Metrics metrics_;
  observe::Health health_{clock_};
  observe::Liveness liveness_;
  observe::RecentFailures failures_;
  Parts parts_{clock_, memory_, store_, log_, metrics_, health_, liveness_, failures_};
  std::vector<proxy::RoutePlan> plans_;  // of the routing that was read last
  std::shared_ptr<const config::Routing> routing_;
  std::map<std::string,
           std::pair<std::shared_ptr<const config::Routing>, std::vector<proxy::RoutePlan>>>
      read_;
  Origin origin_;
};

using Names = std::vector<std::string>;

}  // namespace

TEST_CASE("what is the same in the next generation is the very same, and the rest is new") {
  Reloads reloads(upstream_of("a") + upstream_of("b") + route_of("x", "a") + route_of("y", "b") +
                  route_of("z", "b"));
  const GenerationPtr before = reloads.now;
  CHECK(reloads.health() == Names{"upstream a", "upstream b"});

  reloads.take(upstream_of("c") + upstream_of("b") + route_of("new", "c") + route_of("z", "b") +
               route_of("y", "b", "cache_ttl = \"1h\"\n"));
  CHECK(reloads.now->groups[1] == before->groups[1]);
  CHECK(reloads.now->groups[0] != before->groups[0]);
  CHECK(reloads.now->routes[1] == before->routes[2]);
  CHECK(reloads.now->routes[2] != before->routes[1]);
  CHECK(before->routes[0]->retired());
  CHECK(before->routes[1]->retired());
  CHECK_FALSE(before->routes[2]->retired());
  CHECK(reloads.health() == Names{"upstream b", "upstream c"});
  // Somebody has the old generation still, so its upstream lives; but its gauges are gone.
  CHECK(reloads.gauge(observe::Family::UpstreamConcurrencyLimit, "a") == 0);
  CHECK(reloads.gauge(observe::Family::UpstreamConcurrencyLimit, "b") == 64);
}

TEST_CASE("an upstream whose routes are all offline is no matter of health, and may come back") {
  const std::string offline = "offline = true\n";
  Reloads reloads(upstream_of("a") + upstream_of("b") + route_of("x", "a", offline) +
                  route_of("y", "b", offline) + route_of("z", "b"));
  CHECK(reloads.health() == Names{"upstream b"});
  const GenerationPtr before = reloads.now;
  reloads.take(upstream_of("a") + upstream_of("b") + route_of("x", "a") +
               route_of("y", "b", offline) + route_of("z", "b", offline));
  CHECK(reloads.health() == Names{"upstream a"});
  // The very same upstreams, and keys: what is stored stays.
  CHECK(reloads.now->groups == before->groups);
  for (std::size_t i = 0; i < before->routes.size(); ++i) {
    CHECK(reloads.now->routes[i]->plan().key_prefix == before->routes[i]->plan().key_prefix);
    CHECK((reloads.now->routes[i] == before->routes[i]) == (i == 1));
  }
}

TEST_CASE("the name of an origin stays its own when another of that URL comes or goes") {
  Reloads reloads(upstream_of("a") + upstream_of("b") + route_of("x", "a") + route_of("y", "b"));
  CHECK(reloads.now->groups[0]->origin_names() == Names{"127.0.0.1:1"});
  CHECK(reloads.now->groups[1]->origin_names() == Names{"127.0.0.1:1-2"});
  reloads.take(upstream_of("b") + route_of("y", "b"));
  CHECK(reloads.now->groups[0]->origin_names() == Names{"127.0.0.1:1-2"});
  reloads.take(upstream_of("c") + upstream_of("b") + route_of("x", "c") + route_of("y", "b"));
  CHECK(reloads.now->groups[0]->origin_names() == Names{"127.0.0.1:1"});
}

TEST_CASE("only what means the same and has other rules is to be judged") {
  Reloads reloads(upstream_of("a") + route_of("x", "a") + route_of("y", "a"));
  const auto draft = [&](const std::string& file) {
    config::Start start;
    start.arguments = {"--config", start.file("h.toml", file)};
    auto routing = start.settings().routing;
    Names names;
    for (const auto& plan :
         make_draft(reloads.now, routing, plan_routes(*routing).value()).to_judge) {
      names.push_back(plan.name);
    }
    return names;
  };
  CHECK(draft(upstream_of("a") + route_of("x", "a") + route_of("y", "a")).empty());
  CHECK(draft(upstream_of("a") + route_of("x", "a", "validate = { min_body = \"9\" }\n") +
              route_of("y", "a")) == Names{"x"});
  CHECK(draft(upstream_of("a") + route_of("x", "a", "target = \"/t/{x}\"\n") + route_of("y", "a"))
            .empty());
  CHECK(draft(upstream_of("a") + route_of("new", "a") + route_of("y", "a")).empty());
}

TEST_CASE("a thousand reloads there and back leave no more than one") {
  const std::string one =
      upstream_of("a") + upstream_of("b") + route_of("x", "a") + route_of("y", "b");
  const std::string other = upstream_of("a", "hedge = \"off\"\n") + upstream_of("c") +
                            route_of("x", "a", "validate = { min_body = \"9\" }\n") +
                            route_of("z", "c");
  Reloads reloads(one);
  reloads.take(other);
  reloads.take(one);
  const std::size_t cells = reloads.cells();
  const GenerationPtr kept = reloads.now;
  for (int i = 0; i < holdfast::test::of_rounds(500); ++i) {
    reloads.take(other);
    reloads.take(one);
  }
  CHECK(reloads.cells() == cells);
  CHECK(reloads.health() == Names{"upstream a", "upstream b"});
  CHECK(reloads.gauge(observe::Family::UpstreamConcurrencyLimit, "a") == 64);
  CHECK(reloads.gauge(observe::Family::UpstreamConcurrencyLimit, "c") == 0);
  const std::weak_ptr<proxy::Route> of_kept = kept->routes[0];
  CHECK(kept.use_count() == 1);
  const_cast<GenerationPtr&>(kept).reset();
  CHECK(reloads.settles());
  CHECK(of_kept.expired());
}
