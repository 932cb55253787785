// What a fuzz target promises beyond not crashing.
#pragma once

#include <cstdio>
#include <cstdlib>

// Not assert(): a promise is checked in every kind of build.
#define REQUIRE_HOLDS(condition)                                                          \
  do {                                                                                    \
    if (!(condition)) {                                                                   \
      std::fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                                       \
    }                                                                                     \
  } while (false)
