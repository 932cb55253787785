// ByteBuffer is a growing run of bytes that is filled at the end and taken from
// the front. Unlike std::string it neither zeroes what is about to be
// overwritten nor holds memory while empty, once released. One thread.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>
#include <string_view>

namespace holdfast::http {

class ByteBuffer {
 public:
  bool empty() const { return begin_ == end_; }
  std::size_t size() const { return end_ - begin_; }
  std::size_t capacity() const { return capacity_; }
  const char* data() const { return bytes_.get() + begin_; }
  std::string_view view() const { return {data(), size()}; }

  // Makes room for `count` more bytes and returns where they go. They count as
  // content from now on; the caller writes all of them.
  char* extend(std::size_t count) {
    if (capacity_ - end_ < count) grow(count);
    char* at = bytes_.get() + end_;
    end_ += count;
    return at;
  }
  void append(std::string_view text) {
    if (!text.empty()) std::memcpy(extend(text.size()), text.data(), text.size());
  }
  // Drops `count` bytes, at most size(), from the front.
  void consume(std::size_t count) {
    begin_ += count;
    if (begin_ == end_) begin_ = end_ = 0;
  }
  // Empties it and keeps the memory, for the next use.
  void clear() { begin_ = end_ = 0; }
  // Empties it and gives the memory back.
  void release() {
    bytes_.reset();
    begin_ = end_ = capacity_ = 0;
  }

 private:
  void grow(std::size_t count) {
    const std::size_t held = size();
    const std::size_t wanted = held + count;
    // What was taken from the front has left room: a buffer that is never empty, as a stream's to
    // a slow reader, must not double for ever.
    if (wanted <= capacity_ / 2) {
      if (held > 0) std::memmove(bytes_.get(), data(), held);
      begin_ = 0;
      end_ = held;
      return;
    }
    // Doubling keeps appends linear; the first use takes what it needs, as most
    // connections that buffer at all do so once.
    const std::size_t capacity = capacity_ == 0 ? wanted : std::max(wanted, 2 * capacity_);
    auto bytes = std::make_unique_for_overwrite<char[]>(capacity);
    if (held > 0) std::memcpy(bytes.get(), data(), held);
    bytes_ = std::move(bytes);
    begin_ = 0;
    end_ = held;
    capacity_ = capacity;
  }

  std::unique_ptr<char[]> bytes_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  std::size_t capacity_ = 0;
};

}  // namespace holdfast::http
