#include "fates.h"

#include "simulation.h"

namespace holdfast::simulation {
namespace {

using namespace std::chrono_literals;

// The luck of a key is the same in both, attempt by attempt, but not to the millisecond when it
// is asked for. Who had so much time, and needed only so little of it, has to spare.
constexpr base::Duration kTimeToSpare = 10s;
constexpr int kShareNeeded = 4;
// After an outage we begin with more.
constexpr double kSlow = 50.0;
constexpr double kBudgetLeft = 2.0;

}  // namespace

std::string compare(const Fates& beside_bad, const Fates& beside_good, std::uint64_t& compared) {
  for (const auto& [client, good] : beside_good) {
    if (good.status != 200 || !good.fetched || good.patience < kTimeToSpare ||
        good.waited > good.patience / kShareNeeded) {
      continue;
    }
    const auto found = beside_bad.find(client);
    if (found == beside_bad.end() || !found->second.answered || found->second.explained) continue;
    ++compared;
    const Fate& bad = found->second;
    if (bad.status == 200) continue;
    return "what others asked for decided: " + client.first + " is answered after " +
           text(good.waited) + " beside good keys, and after " + text(bad.waited) +
           " beside bad ones it is not: " + std::to_string(bad.status) + " " + bad.detail;
  }
  return {};
}

void Simulation::note_fate(const Client& client, const proxy::Answer& answer) {
  // A final word of one origin does not wait for another that is down, or was until just now.
  const bool alone = wrong_origin_ && (!health_.calm_since(client.asked_at) ||
                                       health_.lost(client.asked_at - Health::kNoticed, now()) >
                                           base::Duration::zero());
  if (!client.planned || bad_targets_.contains(upstream_target(client.ip))) return;
  fates_[{client.ip, client.asked_at}] = {answer.content ? answer.content->status : answer.status,
                                          answer.detail,
                                          answer.rung == proxy::Rung::Fetched,
                                          client.patience,
                                          now() - client.asked_at,
                                          true,
                                          alone || scarce_at_ >= client.asked_at};
}

void Simulation::note_scarcity(const upstream::Status& status) {
  bool scarce = status.retry_budget < kBudgetLeft || crowded_since(now()) ||
                status.in_flight + 1 >= upstream_settings_.concurrency;
  // Who asks a moment earlier may still be answered, and who does so later has to wait for its end.
  scarce = scarce || upstream_.lacking || !health_.reachable_now() ||
           upstream_.always.size() >= status.origins.size();
  for (const auto& origin : status.origins) {
    scarce = scarce || origin.in_flight >= origin.concurrency_limit;
  }
  if (scarce) scarce_at_ = now();
  // Before it is known that refusals are about keys, they are taken for a limit, and where little
  // is asked for that takes a while: others wait longer, but not in vain (see compare()).
  for (const auto& origin : status.origins) {
    if (refuses_some_ && origin.pace < kSlow) paced_at_ = now();
  }
}

// Where schedules are compared, a client's luck must not hang on who came before it.
base::Random& Simulation::luck_of(const Client& client) {
  if (bad_targets_.empty()) return random_;
  if (!client.planned) return others_luck_;
  return luck_.try_emplace(client.ip, seed_ ^ std::hash<std::string>{}(client.ip)).first->second;
}

}  // namespace holdfast::simulation
