// A line is made in the caller's thread, complete, and waits in a LineBuffer. What
// crosses spdlog's queue is only word that the buffer is no longer empty: a lock,
// an allocation and often a system call for every line would double what a hit
// costs when each is logged. The sink writes all that waits at once.
#include "observe/log.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spdlog/async_logger.h>
#include <spdlog/details/thread_pool.h>
#include <spdlog/sinks/sink.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <climits>
#include <cmath>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "base/unique_fd.h"
#include "observe/line_buffer.h"
#include "observe/timestamp.h"

namespace holdfast::observe {
namespace {

using Steady = std::chrono::steady_clock;

constexpr auto kWriteInterval = std::chrono::milliseconds(1);
// How much longer than its patience the end waits for a write that should not block.
constexpr auto kCloseGrace = std::chrono::milliseconds(500);
// At most one is on its way, besides the one being handled.
constexpr std::size_t kWakeUps = 8;

void append_number(std::string& out, auto value) {
  char text[32];
  const auto end = std::to_chars(text, text + sizeof text, value).ptr;
  out.append(text, static_cast<std::size_t>(end - text));
}

void append_quoted(std::string& out, std::string_view text) {
  out += '"';
  append_json_escaped(out, text);
  out += '"';
}

// Text needs no quotes where a reader could not mistake where it ends.
bool needs_quotes(std::string_view text) {
  for (const char c : text) {
    if (c <= ' ' || c > '~' || c == '"' || c == '\\' || c == '=') return true;
  }
  return text.empty();
}

void append_text(std::string& out, std::string_view text) {
  if (needs_quotes(text)) {
    append_quoted(out, text);
  } else {
    out += text;
  }
}

struct AppendValue {
  std::string& out;
  Log::Format format;

  void operator()(std::string_view value) const {
    format == Log::Format::Json ? append_quoted(out, value) : append_text(out, value);
  }
  void operator()(bool value) const { out += value ? "true" : "false"; }
  void operator()(double value) const {
    // JSON has no infinity and no NaN.
    if (std::isfinite(value)) {
      append_number(out, value);
    } else {
      out += "null";
    }
  }
  void operator()(std::int64_t value) const { append_number(out, value); }
  void operator()(std::uint64_t value) const { append_number(out, value); }
};

void append_line(std::string& out, Log::Format format, Level level, std::string_view event,
                 std::initializer_list<LogField> fields) {
  const auto now =
      std::chrono::time_point_cast<std::chrono::milliseconds>(std::chrono::system_clock::now());
  if (format == Log::Format::Json) {
    out += R"({"ts":")";
    append_timestamp(out, now);
    out += R"(","level":")";
    out += to_string(level);
    out += R"(","event":)";
    append_quoted(out, event);
    for (const LogField& field : fields) {
      out += ',';
      append_quoted(out, field.key);
      out += ':';
      std::visit(AppendValue{out, format}, field.value);
    }
    out += "}\n";
    return;
  }
  append_timestamp(out, now);
  out += ' ';
  out += to_string(level);
  out.append(6 - to_string(level).size(), ' ');
  append_text(out, event);
  for (const LogField& field : fields) {
    out += ' ';
    append_text(out, field.key);
    out += '=';
    std::visit(AppendValue{out, format}, field.value);
  }
  out += '\n';
}

// Signals are for the loops; with SIGPIPE blocked a vanished reader is an error
// of write(2), not the end of the daemon.
void prepare_thread() {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
  pthread_setname_np(pthread_self(), "log");
}

// How a descriptor is written to without blocking in the write.
enum class Kind {
  File,    // takes all at once, and no wait helps if it does not
  Socket,  // may be told not to block: systemd's journal is one
  Stream,  // a pipe, a terminal
};

Kind kind_of(int fd) {
  struct stat info = {};
  if (::fstat(fd, &info) != 0 || S_ISREG(info.st_mode)) return Kind::File;
  return S_ISSOCK(info.st_mode) ? Kind::Socket : Kind::Stream;
}

// The writing thread's side. spdlog calls log() from one thread only.
class DescriptorSink final : public spdlog::sinks::sink {
 public:
  explicit DescriptorSink(const Log::Settings& settings)
      : fd_(settings.fd),
        kind_(kind_of(settings.fd)),
        format_(settings.format),
        waiting_(settings.queue_bytes),
        closing_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

  LineBuffer& waiting() { return waiting_; }
  Log::Format format() const { return format_.load(std::memory_order_relaxed); }
  void set_format(Log::Format format) { format_.store(format, std::memory_order_relaxed); }

  void log(const spdlog::details::log_msg&) override {
    // Under load lines come together here; without, none waits.
    std::this_thread::sleep_until(next_write_);
    const LineBuffer::Batch batch = waiting_.take(batch_);
    untold_ += batch.lost;
    if (untold_ > 0 && report_gap(untold_)) untold_ = 0;
    const std::uint64_t refused = write(batch_);
    refused_ += refused;
    untold_ += refused;
    next_write_ = Steady::now() + kWriteInterval;
    {
      const std::lock_guard lock(mutex_);
      taken_ += batch.lines;
    }
    changed_.notify_all();
  }
  void flush() override {}  // log() leaves nothing behind
  void set_pattern(const std::string&) override {}
  void set_formatter(std::unique_ptr<spdlog::formatter>) override {}

  std::uint64_t dropped() const { return waiting_.lost() + refused_; }

  // Waits until the lines that were there when it was called are written or lost. False
  // if they are not by then.
  bool wait(Steady::time_point until) {
    const std::uint64_t appended = waiting_.appended();
    std::unique_lock lock(mutex_);
    return changed_.wait_until(lock, until, [&] { return taken_ + waiting_.lost() >= appended; });
  }

  // From then on nothing waits for the reader: what it has not taken is lost.
  void close(Steady::time_point until) {
    close_at_.store(until.time_since_epoch().count());
    (void)!::eventfd_write(closing_.get(), 1);
  }

 private:
  bool report_gap(std::uint64_t lines) {
    std::string line;
    append_line(line, format(), Level::Warn, "log_lines_dropped", {{"lines", lines}});
    return write(line) == 0;
  }

  // Returns how many of the lines were refused, one that was cut off among them.
  std::uint64_t write(std::string_view lines) {
    std::string_view refused = lines;
    // What a full disk has cut off must not spoil the line behind it.
    if (!cut_off_ || write_all("\n").empty()) {
      refused = write_all(lines);
      const std::size_t written = lines.size() - refused.size();
      cut_off_ = written > 0 && lines[written - 1] != '\n';
    }
    return static_cast<std::uint64_t>(std::count(refused.begin(), refused.end(), '\n'));
  }

  // Writes all of `lines`, waiting for a reader that is behind, but not past the close.
  // Returns what was refused. Never blocks in write(2) itself, where that can be helped:
  // nothing would wake it. A pipe says that there is room when a page of it is free, and
  // what fits into that does not block, unless somebody else writes to the same pipe.
  std::string_view write_all(std::string_view lines) {
    while (!lines.empty() && wait_for_room()) {
      const std::string_view part = kind_ == Kind::Stream ? first_part(lines) : lines;
      const ssize_t written = kind_ == Kind::Socket
                                  ? ::send(fd_, part.data(), part.size(), MSG_DONTWAIT)
                                  : ::write(fd_, part.data(), part.size());
      if (written > 0) {
        lines.remove_prefix(static_cast<std::size_t>(written));
      } else if (written == 0 || (errno != EAGAIN && errno != EINTR)) {
        break;
      }
    }
    return lines;
  }

  // Whole lines, where one fits: others may write to the same pipe.
  static std::string_view first_part(std::string_view lines) {
    if (lines.size() <= PIPE_BUF) return lines;
    const std::size_t end = lines.rfind('\n', PIPE_BUF - 1);
    return lines.substr(0, end == lines.npos ? PIPE_BUF : end + 1);
  }

  // False: it is closing, and there was none in time.
  bool wait_for_room() {
    if (kind_ == Kind::File) return true;
    for (;;) {
      const Steady::time_point until{Steady::duration(close_at_.load())};
      const bool closes = until != Steady::time_point::max();
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - Steady::now());
      if (closes && left.count() <= 0) return false;
      pollfd wait[] = {{fd_, POLLOUT, 0}, {closing_.get(), POLLIN, 0}};
      const int timeout = closes ? static_cast<int>(left.count()) : -1;
      const int ready = ::poll(wait, closes ? 1 : 2, timeout);
      if (ready > 0 && wait[0].revents != 0) return true;
      if (ready < 0 && errno != EINTR) return false;
    }
  }

  const int fd_;
  const Kind kind_;
  std::atomic<Log::Format> format_;
  LineBuffer waiting_;
  base::UniqueFd closing_;  // wakes the wait for room
  std::atomic<Steady::rep> close_at_{Steady::time_point::max().time_since_epoch().count()};
  std::string batch_;
  Steady::time_point next_write_{};
  std::atomic<std::uint64_t> refused_{0};
  std::uint64_t untold_ = 0;  // lines that were lost since a gap was last told
  bool cut_off_ = false;      // what was last written does not end its line
  std::mutex mutex_;
  std::condition_variable changed_;
  std::uint64_t taken_ = 0;  // guarded by mutex_
};

}  // namespace

struct Log::Sink {
  explicit Sink(const Settings& settings)
      : level(settings.level),
        patience(settings.patience),
        output(std::make_shared<DescriptorSink>(settings)),
        pool(std::make_shared<spdlog::details::thread_pool>(kWakeUps, 1U, &prepare_thread)) {
    logger = std::make_shared<spdlog::async_logger>("holdfast", output, pool,
                                                    spdlog::async_overflow_policy::overrun_oldest);
    // Levels are decided before a line is made.
    logger->set_level(spdlog::level::trace);
  }

  std::atomic<Level> level;
  const std::chrono::milliseconds patience;
  std::shared_ptr<DescriptorSink> output;
  std::shared_ptr<spdlog::details::thread_pool> pool;
  std::shared_ptr<spdlog::async_logger> logger;
};

Log::Log(Settings settings) : sink_(std::make_unique<Sink>(settings)) {}
Log::Log() = default;

Log::~Log() {
  if (!sink_) return;
  const auto until = Steady::now() + sink_->patience;
  sink_->output->close(until);
  if (!sink_->output->wait(until + kCloseGrace)) {
    // It hangs in a write. What it holds on to must outlive it.
    static auto* const abandoned = new std::vector<std::shared_ptr<spdlog::details::thread_pool>>;
    abandoned->push_back(std::move(sink_->pool));
    return;
  }
  // The pool's destructor waits for the queue to drain, and the lines in it hold
  // the logger: end the pool first.
  sink_->pool.reset();
}

bool Log::enabled(Level level) const {
  return sink_ && level >= sink_->level.load(std::memory_order_relaxed);
}

void Log::set_level(Level level) {
  if (sink_) sink_->level.store(level, std::memory_order_relaxed);
}

void Log::set_format(Format format) {
  if (sink_) sink_->output->set_format(format);
}

void Log::event(Level level, std::string_view event, std::initializer_list<LogField> fields) {
  if (!enabled(level)) return;
  thread_local std::string line;  // keeps its memory from line to line
  line.clear();
  append_line(line, sink_->output->format(), level, event, fields);
  if (sink_->output->waiting().append(line)) {
    sink_->logger->log(spdlog::level::info, spdlog::string_view_t());
  }
}

std::uint64_t Log::dropped() const {
  return sink_ ? sink_->output->dropped() : 0;
}

void Log::flush() {
  if (sink_) sink_->output->wait(Steady::now() + sink_->patience);
}

std::string_view to_string(Level level) {
  switch (level) {
    case Level::Debug:
      return "debug";
    case Level::Info:
      return "info";
    case Level::Warn:
      return "warn";
    case Level::Error:
      return "error";
  }
  return "error";
}

}  // namespace holdfast::observe
