#include "observe/line_buffer.h"

#include <doctest/doctest.h>

using holdfast::observe::LineBuffer;

TEST_CASE("only the first line of a batch needs somebody woken") {
  LineBuffer buffer(1000);
  CHECK(buffer.append("a\n"));
  CHECK_FALSE(buffer.append("b\n"));
  std::string out = "what was written before";
  const auto batch = buffer.take(out);
  CHECK(out == "a\nb\n");
  CHECK(batch.lines == 2);
  CHECK(batch.lost == 0);
  CHECK(buffer.append("c\n"));
  CHECK(buffer.appended() == 3);
}

TEST_CASE("a full buffer loses its older half, whole lines, and counts them once") {
  LineBuffer buffer(40);
  for (char c = '0'; c <= '9'; ++c) buffer.append(std::string(3, c) + '\n');  // 40 bytes
  CHECK(buffer.lost() == 0);
  CHECK_FALSE(buffer.append("new\n"));
  CHECK(buffer.lost() == 6);
  std::string out;
  auto batch = buffer.take(out);
  CHECK(out == "666\n777\n888\n999\nnew\n");
  CHECK(batch.lines == 5);
  CHECK(batch.lost == 6);
  buffer.append("next\n");
  batch = buffer.take(out);
  CHECK(batch.lost == 0);
  CHECK(buffer.lost() == 6);
}

TEST_CASE("a line larger than the buffer is kept, alone") {
  LineBuffer buffer(8);
  buffer.append("short\n");
  CHECK_FALSE(buffer.append("longer than that\n"));
  std::string out;
  const auto batch = buffer.take(out);
  CHECK(out == "longer than that\n");
  CHECK(batch.lines == 1);
  CHECK(batch.lost == 1);
}

TEST_CASE("what a burst took is given back once it is written") {
  LineBuffer buffer(4 << 20);
  std::string out;
  for (int i = 0; i < 20'000; ++i) buffer.append(std::string(100, 'x') + '\n');
  buffer.take(out);
  CHECK(out.capacity() >= 2'000'000);
  // The two strings take turns.
  for (int i = 0; i < 2; ++i) {
    buffer.append("a line\n");
    buffer.take(out);
    CHECK(out == "a line\n");
    CHECK(out.capacity() < 1000);
  }
}
