// Log writes one structured event a line, as JSON or as text for people. Any
// thread; never blocks on the output: lines wait in a bounded buffer for a thread of
// their own, which writes what there is at most once a millisecond. What the buffer
// cannot take is dropped, oldest first, and what the output refuses; both are counted,
// and the gap is said in the log itself, by an event "log_lines_dropped".
#pragma once

#include <chrono>
#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>

namespace holdfast::observe {

enum class Level { Debug, Info, Warn, Error };

// Views: a field lives as long as the call it is an argument of.
struct LogField {
  std::string_view key;
  std::variant<std::string_view, std::int64_t, std::uint64_t, double, bool> value;

  LogField(std::string_view k, std::string_view v) : key(k), value(v) {}
  LogField(std::string_view k, const std::string& v) : key(k), value(std::string_view(v)) {}
  LogField(std::string_view k, const char* v) : key(k), value(std::string_view(v)) {}
  LogField(std::string_view k, bool v) : key(k), value(v) {}
  LogField(std::string_view k, double v) : key(k), value(v) {}
  template <std::integral Integer>
  LogField(std::string_view k, Integer v) : key(k) {
    if constexpr (std::is_signed_v<Integer>) {
      value = static_cast<std::int64_t>(v);
    } else {
      value = static_cast<std::uint64_t>(v);
    }
  }
};

class Log {
 public:
  enum class Format { Json, Text };
  struct Settings {
    Level level = Level::Info;
    Format format = Format::Json;
    std::size_t queue_bytes = 4U << 20;
    int fd = 2;  // not owned; standard error
    // How long flush(), and the end of the log, wait for a reader that stands still.
    std::chrono::milliseconds patience{2000};
  };

  // Starts the writing thread, so block signals first.
  explicit Log(Settings settings);
  // Drops everything: for tests of other parts.
  Log();
  // Writes out what is queued, as far as the descriptor takes it within `patience`. No
  // other thread may be logging any more. A write(2) that does not return even so keeps
  // its thread, and what that needs, for as long as the process lives.
  ~Log();
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;

  // Ask before building costly fields: a disabled event costs one comparison.
  bool enabled(Level level) const;
  void set_level(Level level);
  // Of lines from now on.
  void set_format(Format format);

  // "ts", "level" and "event" come first, then the fields in their order. Any
  // byte is safe in any key or value; a double that is no number becomes null.
  void event(Level level, std::string_view event, std::initializer_list<LogField> fields = {});

  // Lines lost so far: to a full queue or to a descriptor that refused them.
  std::uint64_t dropped() const;
  // Blocks until the lines queued before the call are written or dropped, for `patience`
  // at most: a reader of our log that hangs must not hang us.
  void flush();

 private:
  struct Sink;
  std::unique_ptr<Sink> sink_;
};

std::string_view to_string(Level level);

// Appends `text` as the inside of a JSON string; invalid UTF-8 becomes U+FFFD.
// Control characters, DEL and C1 among them, are escaped, so that a line is safe
// on a terminal too.
void append_json_escaped(std::string& out, std::string_view text);

}  // namespace holdfast::observe
