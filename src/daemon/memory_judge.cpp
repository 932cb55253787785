#include "daemon/memory_judge.h"

#include <algorithm>
#include <string_view>

namespace holdfast::daemon {
namespace {

// So much content takes a few milliseconds to read through.
constexpr std::size_t kBytesPerTurn = 1U << 20;
constexpr std::size_t kEntriesPerTurn = 500;

}  // namespace

struct MemoryJudge::Work {
  explicit Work(const std::vector<proxy::RoutePlan>& plans) : judge(plans) {}

  proxy::StoredJudge judge;
  std::vector<std::pair<std::string, cache::StoredPtr>> entries;
  Result result;
  Done done;
};

void MemoryJudge::judge(const std::vector<proxy::RoutePlan>& plans, Done done) {
  if (plans.empty()) return done({});
  // What is still being loaded was held against the old ones.
  memory_.end_loading();
  auto work = std::make_shared<Work>(plans);
  work->done = std::move(done);
  memory_.for_each([&](std::string_view key, const cache::StoredPtr& stored) {
    const bool theirs = std::any_of(plans.begin(), plans.end(), [&](const auto& plan) {
      return key.starts_with(plan.key_prefix);
    });
    if (theirs) work->entries.emplace_back(key, stored);
  });
  go_on(work);
}

void MemoryJudge::go_on(const std::shared_ptr<Work>& work) {
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < kEntriesPerTurn && bytes < kBytesPerTurn && !work->entries.empty();
       ++i) {
    const auto& [key, stored] = work->entries.back();
    bytes += stored->body.size();
    ++work->result.judged;
    if (!work->judge.takes(key, *stored)) {
      memory_.erase(key);
      ++work->result.dropped;
    }
    work->entries.pop_back();
  }
  if (work->entries.empty()) return work->done(work->result);
  loop_.post([this, work] { go_on(work); });
}

}  // namespace holdfast::daemon
