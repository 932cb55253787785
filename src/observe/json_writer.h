// JsonWriter appends JSON to a string and minds the commas. It trusts its caller
// to open and close in order. One thread.
#pragma once

#include <charconv>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "observe/log.h"
#include "observe/timestamp.h"

namespace holdfast::observe {

class JsonWriter {
 public:
  explicit JsonWriter(std::string& out) : out_(out) {}

  JsonWriter& open(char bracket) {  // '{' or '['
    separate();
    out_ += bracket;
    first_ = true;
    return *this;
  }
  JsonWriter& close(char bracket) {
    out_ += bracket;
    first_ = false;
    return *this;
  }
  JsonWriter& key(std::string_view name) {
    separate();
    quote(name);
    out_ += ':';
    first_ = true;  // the value follows without a comma
    return *this;
  }

  JsonWriter& value(std::string_view text) {
    separate();
    quote(text);
    return *this;
  }
  JsonWriter& value(const char* text) { return value(std::string_view(text)); }
  JsonWriter& value(const std::string& text) { return value(std::string_view(text)); }
  JsonWriter& value(bool truth) { return raw(truth ? "true" : "false"); }
  template <std::integral Integer>
  JsonWriter& value(Integer number) {
    return digits(number);
  }
  // NaN and infinity, which JSON lacks, become null.
  template <std::floating_point Real>
  JsonWriter& value(Real number) {
    return std::isfinite(number) ? digits(number) : null();
  }
  // RFC 3339.
  JsonWriter& value(base::WallTime when) {
    separate();
    out_ += '"';
    append_timestamp(out_, when);
    out_ += '"';
    return *this;
  }
  template <typename T>
  JsonWriter& value(const std::optional<T>& maybe) {
    return maybe ? value(*maybe) : null();
  }
  JsonWriter& null() { return raw("null"); }
  // What is JSON already.
  JsonWriter& raw(std::string_view json) {
    separate();
    out_ += json;
    return *this;
  }

  template <typename T>
  JsonWriter& member(std::string_view name, const T& content) {
    return key(name).value(content);
  }

 private:
  void separate() {
    if (!first_) out_ += ',';
    first_ = false;
  }
  template <typename Number>
  JsonWriter& digits(Number number) {
    char text[32];
    const auto end = std::to_chars(text, text + sizeof text, number).ptr;
    return raw({text, static_cast<std::size_t>(end - text)});
  }
  void quote(std::string_view text) {
    out_ += '"';
    append_json_escaped(out_, text);
    out_ += '"';
  }

  std::string& out_;
  bool first_ = true;
};

}  // namespace holdfast::observe
