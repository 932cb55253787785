// RefusedKeys tells whom a refusal is about: the rate, or what was asked for. Some upstreams say
// 429, or 503 with Retry-After, of single keys (of a tenant, a shard, a record that is being
// rebuilt). Taken for a limit, that slows all other keys down.
//
// One by one they look alike. A limit refuses whoever comes at the wrong moment: tried again, at
// the same rate, a key has the chance of any other one. A bad key is refused each time, while
// others that are sent after it are let through. So two kinds of attempts are held against each
// other:
//
//   fresh     the first of a key that was not refused lately: a fair sample of what is let through,
//             whatever the reason of refusals
//   retries   of a key that was refused, once a fresh one sent after that refused attempt has been
//             let through: what stops everybody (a pause, the rest of a limiter's window) says
//             nothing here
//
// Of a limit both kinds are let through in the same share; of bad keys no retry is. It sticks to
// keys if so few retries as were seen would be let through less often than `chance`, with the share
// that the fresh ones had since the first of these retries was refused before. All keys count
// together: of five bad ones a second each is asked a few times only. The share of fresh ones
// holds the bad keys as well, so it does not matter how many there are, only how long it takes:
//
//   1 bad key beside 4 good ones/s    4 to 6 refusals of it
//   5 bad keys/s beside 4 good ones/s about two seconds
//   a limit that lets half through    never: half of the retries are, too
//
// It must be so now: where retries are let through again, it is over with the window. One origin;
// one thread; time is an argument.
#pragma once

#include <cstddef>
#include <deque>
#include <unordered_map>

#include "base/clock.h"

namespace holdfast::upstream {

class RefusedKeys {
 public:
  struct Settings {
    base::Duration window = std::chrono::seconds(10);
    double chance = 1e-4;
    double sure = 1e-7;      // of a thousand keys, each refused a few times, none is taken for bad
    std::size_t kept = 512;  // replies
    std::size_t most_keys = 4096;
  };

  explicit RefusedKeys(Settings settings) : settings_(settings) {}

  // An attempt for `key` ended with some other answer than a refusal.
  void let_through(base::SteadyTime sent_at, base::SteadyTime now, std::size_t key);
  // ... with one.
  void refused(base::SteadyTime sent_at, base::SteadyTime now, std::size_t key);

  // Refusals stick to keys, for all that was seen in the window.
  bool sticks() const { return sticks_; }
  // ... and to this one: it was refused again though others, sent later, were let through.
  bool is_keys_own(std::size_t key) const;
  // ... so surely that it need not be asked for again.
  bool is_surely_keys_own(std::size_t key) const { return sure_ && is_keys_own(key); }
  // It was refused more than once, nobody asked for anything else since the last time who was let
  // through, and no retry was let through in the window: so nothing is known, unless we ask.
  bool is_open_question(std::size_t key) const;
  // Of fresh attempts, that were refused: what slowing down does not spare us while it sticks.
  double share() const { return share_; }
  // Before that nothing of what it is judged by had been sent.
  base::SteadyTime since() const { return since_; }

 private:
  struct Reply {
    base::SteadyTime sent_at;
    base::SteadyTime at;
    std::size_t key = 0;
    bool refused = false;
    bool fresh = false;
    base::SteadyTime before{};  // of a retry: when its key's last refused attempt was sent
  };
  struct Row {
    int refusals = 0;
    int retries = 0;  // of them, that count
    base::SteadyTime last_sent{};
    base::SteadyTime last_at{};
  };

  bool other_let_through(base::SteadyTime after, std::size_t key) const;
  void note(Reply reply);
  void judge(base::SteadyTime now);
  bool is_old(const Row& row, base::SteadyTime now) const;
  void make_room(base::SteadyTime now);

  Settings settings_;
  std::deque<Reply> replies_;
  std::unordered_map<std::size_t, Row> rows_;
  base::SteadyTime last_answer_{};  // the latest sending that was let through
  int passed_ = 0;                  // retries
  bool sticks_ = false;
  bool sure_ = false;
  double share_ = 0;
  base::SteadyTime since_{};
};

}  // namespace holdfast::upstream
