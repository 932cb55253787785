// A line is made in the caller's thread, complete, and crosses spdlog's queue as
// bytes; the sink does nothing but write it. spdlog escapes nothing, and its
// default policy blocks the caller when the queue is full: we use overrun_oldest.
#include "observe/log.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spdlog/async_logger.h>
#include <spdlog/details/thread_pool.h>
#include <spdlog/sinks/sink.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <mutex>

#include "observe/timestamp.h"

namespace holdfast::observe {
namespace {

constexpr auto kFlushPatience = std::chrono::seconds(2);

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

// Writes all of `line`, waiting where the descriptor is one of those that say
// "later" (standard error may be a non-blocking pipe). False if it refuses.
bool write_all(int fd, std::string_view line) {
  while (!line.empty()) {
    const ssize_t written = ::write(fd, line.data(), line.size());
    if (written > 0) {
      line.remove_prefix(static_cast<std::size_t>(written));
    } else if (written < 0 && errno == EAGAIN) {
      pollfd wait{fd, POLLOUT, 0};
      if (::poll(&wait, 1, -1) < 0 && errno != EINTR) return false;
    } else if (written == 0 || errno != EINTR) {
      return false;
    }
  }
  return true;
}

// Signals are for the loops; with SIGPIPE blocked a vanished reader is an error
// of write(2), not the end of the daemon.
void prepare_thread() {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
  pthread_setname_np(pthread_self(), "log");
}

// The writing thread's side. spdlog calls log() from one thread only.
class DescriptorSink final : public spdlog::sinks::sink {
 public:
  DescriptorSink(int fd, Log::Format format) : fd_(fd), format_(format) {}

  // The queue's own count of what it dropped. Before the first line.
  void watch(spdlog::details::thread_pool& pool) { pool_ = &pool; }

  void log(const spdlog::details::log_msg& message) override {
    report_gap();
    if (!write_all(fd_, {message.payload.data(), message.payload.size()})) ++refused_;
    {
      std::lock_guard lock(mutex_);
      ++taken_;
    }
    changed_.notify_all();
  }
  void flush() override {}  // nothing is buffered here
  void set_pattern(const std::string&) override {}
  void set_formatter(std::unique_ptr<spdlog::formatter>) override {}

  std::uint64_t refused() const { return refused_; }

  // Waits until `queued` lines were taken from the queue or lost in it.
  void wait_for(std::uint64_t queued, std::chrono::steady_clock::time_point until) {
    std::unique_lock lock(mutex_);
    changed_.wait_until(lock, until, [&] { return taken_ + pool_->overrun_counter() >= queued; });
  }

 private:
  void report_gap() {
    const std::uint64_t lost = pool_->overrun_counter();
    if (lost == reported_) return;
    std::string line;
    append_line(line, format_, Level::Warn, "log_lines_dropped", {{"lines", lost - reported_}});
    reported_ = lost;
    write_all(fd_, line);
  }

  const int fd_;
  const Log::Format format_;
  spdlog::details::thread_pool* pool_ = nullptr;
  std::uint64_t reported_ = 0;
  std::atomic<std::uint64_t> refused_{0};
  std::mutex mutex_;
  std::condition_variable changed_;
  std::uint64_t taken_ = 0;  // guarded by mutex_
};

}  // namespace

struct Log::Sink {
  explicit Sink(const Settings& settings)
      : level(settings.level),
        format(settings.format),
        output(std::make_shared<DescriptorSink>(settings.fd, settings.format)),
        pool(std::make_shared<spdlog::details::thread_pool>(settings.queue_lines, 1U,
                                                            &prepare_thread)) {
    output->watch(*pool);
    logger = std::make_shared<spdlog::async_logger>("holdfast", output, pool,
                                                    spdlog::async_overflow_policy::overrun_oldest);
    // Levels are decided before a line is made.
    logger->set_level(spdlog::level::trace);
  }

  std::atomic<Level> level;
  const Format format;
  std::atomic<std::uint64_t> queued{0};
  std::shared_ptr<DescriptorSink> output;
  std::shared_ptr<spdlog::details::thread_pool> pool;
  std::shared_ptr<spdlog::async_logger> logger;
};

Log::Log(Settings settings) : sink_(std::make_unique<Sink>(settings)) {}
Log::Log() = default;

Log::~Log() {
  if (!sink_) return;
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

void Log::event(Level level, std::string_view event, std::initializer_list<LogField> fields) {
  if (!enabled(level)) return;
  thread_local std::string line;  // keeps its memory from line to line
  line.clear();
  append_line(line, sink_->format, level, event, fields);
  sink_->logger->log(spdlog::level::info, spdlog::string_view_t(line.data(), line.size()));
  sink_->queued.fetch_add(1, std::memory_order_release);
}

std::uint64_t Log::dropped() const {
  return sink_ ? sink_->pool->overrun_counter() + sink_->output->refused() : 0;
}

void Log::flush() {
  if (!sink_) return;
  sink_->output->wait_for(sink_->queued.load(std::memory_order_acquire),
                          std::chrono::steady_clock::now() + kFlushPatience);
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
