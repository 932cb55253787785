// For some time this machine lacks descriptors, ports or memory: nothing can be sent. That is
// nobody's illness, and once it is over all goes on as if it had not been.
#include <limits>

#include "base/resource.h"
#include "simulation.h"

namespace holdfast::simulation {
namespace {

using namespace std::chrono_literals;
using upstream::Breaker;

}  // namespace

// Drawn by itself, so that the rest of a seed's schedule does not depend on it.
void Simulation::plan_lacks() {
  base::Random random(seed_ ^ 0x6c61636b73);
  const auto pick = [&random](auto... values) {
    const std::common_type_t<decltype(values)...> all[] = {values...};
    return all[random.below(sizeof...(values))];
  };
  if (random.below(4) != 0) return;
  const base::Duration horizon = std::max<base::Duration>(horizon_, 2s);
  for (std::uint64_t lacks = 1 + random.below(2); lacks > 0; --lacks) {
    const base::Duration from = random.up_to(horizon);
    const base::Duration length = random.up_to(pick(100ms, 1s, 5s, 15s));
    const base::Resource resource = base::kResources[random.below(base::kResources.size())];
    at(from, "a lack of " + std::string(to_string(resource)), [this, resource] { lack(resource); });
    at(from + length, "the lack is over", [this] { lack({}); });
    for (std::uint64_t i = random.below(8); i > 0; --i) {
      const std::string ip = ips_[random.below(ips_.size())];
      at(from + random.up_to(length), {}, [this, ip] { ask(ip, patience_); });
    }
  }
}

void Simulation::lack(std::optional<base::Resource> resource) {
  upstream_.lacking = resource;
  // Each fetch that waits has its backoff, which is bounded by its time, too.
  health_.lacking(resource.has_value(),
                  upstream::backoff_bound(upstream_settings_.backoff,
                                          std::numeric_limits<int>::max(), patience_));
  if (resource) {
    lack_began_ = now();
    lack_generation_ = generation_;
    closed_before_lack_.clear();
    for (const auto& origin : watch_.held_against().origins) {
      closed_before_lack_.push_back(origin.breaker == Breaker::State::Closed);
    }
  } else {
    lack_began_.reset();
  }
}

// While nothing can be sent, nothing is found out; what was sent before may still fail.
void Simulation::check_lack(const upstream::Status& status) {
  if (!lack_began_ || lack_generation_ != generation_) return;
  ++tally_.lacking;
  if (!well_ || wrong_origin_ || !upstream_.always_to.empty() || crowded_since(*lack_began_ - 4s) ||
      !health_.calm_since(*lack_began_)) {
    return;
  }
  for (std::size_t i = 0; i < status.origins.size(); ++i) {
    if (closed_before_lack_[i] && status.origins[i].breaker != Breaker::State::Closed &&
        !status.origins[i].forced) {
      watch_.fail("a lack of our own has " + status.origins[i].name + " called ill");
    }
  }
}

// Who asked for what is stored, and may be used, does not wait for what cannot be asked.
void Simulation::check_served_in_lack(const Client& client, const proxy::Answer& answer) {
  if (!lack_began_ || !client.had_stored || client.asked_at < *lack_began_) return;
  const auto purged = purged_.find(client.ip);
  if (purged != purged_.end() && purged->second >= client.asked_at) return;
  ++tally_.served_in_lack;
  if (!answer.content) watch_.fail("what is stored was not served for a lack of our own");
  const base::Duration waited = now() - client.asked_at;
  if (waited > flights_settings_.patience + 250ms + store_.stalled(client.asked_at, now())) {
    watch_.fail("what is stored was served after " + text(waited) + " for a lack of our own");
  }
}

}  // namespace holdfast::simulation
