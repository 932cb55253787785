// TokenWatch notices that the file with the token has another one in it, so that a
// rotated token needs neither restart nor signal. It looks rather than being told:
// inotify does not see what a network file system or a bind mount changes. The
// loop's own thread only; a look reads a few bytes.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "base/result.h"
#include "base/scheduler.h"

namespace holdfast::daemon {

class TokenWatch {
 public:
  static constexpr base::Duration kInterval = std::chrono::seconds(1);

  using Read = std::function<base::Result<std::string>()>;
  // A new token, or why there is none to be had; the latter once until it changes.
  using Found = std::function<void(const base::Result<std::string>&)>;

  TokenWatch(base::Scheduler& loop, Read read, Found found)
      : loop_(loop), read_(std::move(read)), found_(std::move(found)) {}

  // Looks from now on; `token` is the one in use.
  void start(std::string token) {
    token_ = std::move(token);
    last_.reset();
    timer_.set_after(loop_, kInterval, [this] { look(); });
  }
  void stop() { timer_.cancel(); }

 private:
  void look() {
    timer_.set_after(loop_, kInterval, [this] { look(); });
    const base::Result<std::string> now = read_();
    const std::string seen = now ? *now : now.error().message;
    const bool settled = last_ && last_->valid == now.has_value() && last_->text == seen;
    const bool told = settled && last_->told;
    last_ = Seen{now.has_value(), seen, told};
    // Seen twice: a file that is just being written is not taken by half.
    if (!settled || told || (now && *now == token_)) return;
    last_->told = true;
    if (now) token_ = *now;
    found_(now);
  }

  struct Seen {
    bool valid = false;
    std::string text;
    bool told = false;
  };
  base::Scheduler& loop_;
  Read read_;
  Found found_;
  std::string token_;
  std::optional<Seen> last_;
  base::Timer timer_;
};

}  // namespace holdfast::daemon
