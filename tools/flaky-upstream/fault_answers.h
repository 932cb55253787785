// Turns "this answer, with this fault" into bytes on the wire. Pure; any thread.
#pragma once

#include <string>

#include "base/clock.h"
#include "chance.h"
#include "faults.h"
#include "http_message.h"

namespace holdfast::flaky {

struct FaultSettings {
  base::Duration retry_after = std::chrono::seconds(1);  // sent in whole seconds, rounded up
  base::Duration drip_interval = std::chrono::milliseconds(100);
  base::Duration slow_delay = std::chrono::seconds(5);  // on top of the latency
  std::size_t oversized_bytes = 4 << 20;
};

// What the fault is played on.
struct Exchange {
  Message answer;             // what a healthy upstream would have said: with content,
                              // unless the fault is None or Slow
  std::string other_content;  // a healthy body about another address
  std::string partial_content;
  std::string repeated;  // what the client sent, its token too, as a path and query
  bool keep_alive = true;
};

WirePlan plan_with_fault(Fault fault, const Exchange& exchange, const FaultSettings& settings,
                         Chance& chance);

Message too_many_requests(base::Duration retry_after);

}  // namespace holdfast::flaky
