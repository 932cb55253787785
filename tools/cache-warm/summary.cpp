#include "summary.h"

#include <algorithm>
#include <array>
#include <cstdio>

#include "observe/log.h"

namespace holdfast::warm {
namespace {

// More than fit on a screen help nobody; --json has them.
constexpr std::size_t kFailuresShown = 10;

std::string seconds(base::Duration duration) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.2f", std::chrono::duration<double>(duration).count());
  return text.data();
}

std::string count_of(std::size_t count, const char* what) {
  return std::to_string(count) + " " + what;
}

}  // namespace

bool complete(const Plan& plan, const RequestList& list) {
  return plan.counts().stored() == plan.total() && list.is_whole() &&
         !plan.counts().mostly_unknown();
}

std::string summary_text(const Plan& plan, const RequestList& list, const Ending& ending) {
  const Counts& counts = plan.counts();
  const std::size_t pending = plan.total() - counts.settled();
  std::string text;
  const auto& failures = plan.failures();
  const std::size_t shown = std::min(failures.size(), kFailuresShown);
  for (std::size_t i = 0; i < shown; ++i) {
    text += list.name(failures[i].item) + ": " + failures[i].reason + "\n";
  }
  const std::size_t not_shown = counts.failed + counts.missing - shown;
  if (not_shown > 0) text += "and " + count_of(not_shown, "more\n");
  text += count_of(counts.stored(), "of ") + count_of(plan.total(), "stored: ") +
          count_of(counts.fetched, "fetched, ") + count_of(counts.there, "there already");
  if (counts.kept > 0) text += ", " + count_of(counts.kept, "kept though due");
  if (counts.not_found > 0) text += ", " + count_of(counts.not_found, "unknown to the upstream");
  if (counts.failed > 0) text += ", " + count_of(counts.failed, "failed");
  if (counts.missing > 0) text += ", " + count_of(counts.missing, "missing or due");
  if (pending > 0) text += ", " + count_of(pending, "not done");
  text += "; " + count_of(counts.requests, "requests, ") + count_of(counts.retries, "retries, ") +
          seconds(ending.took) + " s\n";
  if (list.problem_count() > 0)
    text += "bad lines, skipped: " + std::to_string(list.problem_count()) + "\n";
  if (!list.unread().empty())
    text += "lists that were not read: " + std::to_string(list.unread().size()) + "\n";
  if (counts.mostly_unknown()) {
    text += list.paths() > 0
                ? "most are unknown to the upstream: are the list and the daemon's routes right?\n"
                : "most are unknown to the upstream: is the path in the daemon's API_URL right?\n";
  }
  if (ending.interrupted) text += "interrupted; run it again to go on\n";
  if (ending.gave_up) text += "gave up: " + plan.last_trouble() + "\n";
  return text;
}

std::string summary_json(const Plan& plan, const RequestList& list, const Ending& ending) {
  const Counts& counts = plan.counts();
  std::string json = "{";
  const auto add = [&json](const char* name, const std::string& value) {
    if (json.size() > 1) json += ',';
    json.append("\"").append(name).append("\":").append(value);
  };
  const auto flag = [&](const char* name, bool value) { add(name, value ? "true" : "false"); };
  const auto number = [&](const char* name, std::size_t value) {
    add(name, std::to_string(value));
  };
  flag("complete", complete(plan, list));
  flag("interrupted", ending.interrupted);
  flag("gave_up", ending.gave_up);
  std::string trouble = "\"";
  observe::append_json_escaped(trouble, ending.gave_up ? plan.last_trouble() : "");
  add("gave_up_because", trouble + "\"");
  number("addresses", plan.total());
  number("paths", list.paths());
  number("stored", counts.stored());
  number("there", counts.there);
  number("fetched", counts.fetched);
  number("kept", counts.kept);
  number("not_found", counts.not_found);
  number("failed", counts.failed);
  number("missing", counts.missing);
  number("pending", plan.total() - counts.settled());
  number("duplicates", list.duplicates());
  number("bad_lines", list.problem_count());
  number("unread_lists", list.unread().size());
  number("requests", counts.requests);
  number("retries", counts.retries);
  add("seconds", seconds(ending.took));
  std::string failures = "[";
  for (const Failure& failure : plan.failures()) {
    if (failures.size() > 1) failures += ',';
    failures += list.is_address(failure.item) ? "{\"ip\":\"" : "{\"path\":\"";
    observe::append_json_escaped(failures, list.name(failure.item));
    failures += "\",\"status\":" + std::to_string(failure.status) + ",\"reason\":\"";
    observe::append_json_escaped(failures, failure.reason);
    failures += "\"}";
  }
  add("failures", failures + "]");
  return json + "}\n";
}

}  // namespace holdfast::warm
