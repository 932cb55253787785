// Log writes one structured event a line, as JSON or as text for people. Any
// thread; never blocks: lines go through a bounded queue to a thread of their
// own, and what that cannot take is dropped, oldest first, and counted.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>

namespace holdfast::observe {

enum class Level { Debug, Info, Warn, Error };

struct LogField {
  std::string_view key;
  std::variant<std::string_view, std::int64_t, std::uint64_t, double, bool> value;

  LogField(std::string_view k, std::string_view v) : key(k), value(v) {}
  LogField(std::string_view k, const std::string& v) : key(k), value(std::string_view(v)) {}
  LogField(std::string_view k, const char* v) : key(k), value(std::string_view(v)) {}
  LogField(std::string_view k, bool v) : key(k), value(v) {}
  LogField(std::string_view k, double v) : key(k), value(v) {}
  template <typename Integer>
  requires std::is_integral_v<Integer> LogField(std::string_view k, Integer v) : key(k) {
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
    std::size_t queue_lines = 8192;
  };

  // Writes to standard error.
  explicit Log(Settings settings);
  // Drops everything: for tests of other parts.
  Log();
  ~Log();  // writes out what is queued
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;

  // Ask before building costly fields: a disabled event costs one comparison.
  bool enabled(Level level) const;
  void set_level(Level level);

  // "ts", "level" and "event" come first. Any byte is safe in any value.
  void event(Level level, std::string_view event, std::initializer_list<LogField> fields = {});

  std::uint64_t dropped() const;
  void flush();

 private:
  struct Sink;
  std::unique_ptr<Sink> sink_;
};

// Appends `text` as the inside of a JSON string; invalid UTF-8 becomes U+FFFD.
void append_json_escaped(std::string& out, std::string_view text);

}  // namespace holdfast::observe
