#include "base/timeout_list.h"

#include <doctest/doctest.h>

#include <memory>

using namespace holdfast::base;
using namespace std::chrono_literals;

namespace {
const SteadyTime kFirst{1h};
}

TEST_CASE("what was added first is due first, each after its whole timeout") {
  TimeoutList list(10s);
  TimeoutHook one, two;
  CHECK(list.front() == nullptr);
  list.add(one, kFirst);
  list.add(two, kFirst + 1s);
  CHECK(list.front() == &one);
  CHECK(list.after(one) == &two);
  CHECK(list.after(two) == nullptr);
  CHECK(list.due(kFirst + 10s - 1ns) == nullptr);
  CHECK(list.due(kFirst + 10s) == &one);
  CHECK(list.since(two) == kFirst + 1s);
  one.unlink();
  CHECK(!one.linked());
  CHECK(list.due(kFirst + 10s) == nullptr);
  CHECK(list.due(kFirst + 11s) == &two);
}

TEST_CASE("adding again starts the timeout anew, on whichever list") {
  TimeoutList list(10s), other(1s);
  TimeoutHook one, two;
  list.add(one, kFirst);
  list.add(two, kFirst);
  list.add(one, kFirst + 5s);
  CHECK(list.front() == &two);
  list.add(two, kFirst + 6s);
  list.add(two, kFirst + 7s);
  CHECK(list.front() == &one);
  CHECK(two.deadline() == kFirst + 17s);
  other.add(one, kFirst + 8s);
  CHECK(list.front() == &two);
  CHECK(other.due(kFirst + 9s) == &one);
}

TEST_CASE("hooks and lists may go in any order") {
  TimeoutHook outlives;
  {
    TimeoutList list(10s);
    auto goes = std::make_unique<TimeoutHook>();
    list.add(*goes, kFirst);
    list.add(outlives, kFirst);
    goes.reset();
    CHECK(list.front() == &outlives);
  }
  CHECK(!outlives.linked());
}

TEST_CASE("another timeout holds for those that wait already, in the same order") {
  TimeoutList list(10s);
  TimeoutHook one, two, three;
  list.add(one, kFirst);
  list.add(two, kFirst + 1s);
  list.set_timeout(3s);
  list.add(three, kFirst + 2s);
  CHECK(list.due(kFirst + 3s - 1ns) == nullptr);
  CHECK(list.due(kFirst + 3s) == &one);
  CHECK(list.since(two) == kFirst + 1s);
  CHECK(two.deadline() == kFirst + 4s);
  CHECK(list.after(two) == &three);
  list.set_timeout(1min);
  CHECK(list.due(kFirst + 59s) == nullptr);
  CHECK(list.since(three) == kFirst + 2s);
}
