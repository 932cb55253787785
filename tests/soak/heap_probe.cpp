// Preloaded into the daemon under test (run.sh): writes every 200 ms how many bytes
// the program holds on its heap, and a number that counts up, to the file that
// HEAP_PROBE names. RSS could not tell a leak of a few bytes from freed memory that an
// allocator keeps; this is what was asked for and not given back, to the byte with
// AddressSanitizer, which counts it; else to what glibc's own caches hold.
#include <dlfcn.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <cstddef>

namespace {

using HeldBytes = std::size_t (*)();

std::size_t held_by_glibc() {
  const struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

void* run(void* path) {
  pthread_setname_np(pthread_self(), "heap-probe");
  auto held =
      reinterpret_cast<HeldBytes>(dlsym(RTLD_DEFAULT, "__sanitizer_get_current_allocated_bytes"));
  if (held == nullptr) held = &held_by_glibc;
  const int fd = open(static_cast<const char*>(path), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  for (unsigned long count = 1;; ++count) {
    char text[64];
    // Always as long as the last one, and in one piece: a reader sees a whole line.
    const int size = snprintf(text, sizeof text, "%020lu %020zu\n", count, held());
    if (pwrite(fd, text, static_cast<std::size_t>(size), 0) != size) return nullptr;
    const timespec pause{0, 200'000'000};
    nanosleep(&pause, nullptr);
  }
}

// Before main(): so signals, which the daemon leaves to its loops, must be blocked here.
[[gnu::constructor]] void start() {
  char* const path = getenv("HEAP_PROBE");
  if (path == nullptr) return;
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_t thread;
  if (pthread_create(&thread, nullptr, &run, path) == 0) pthread_detach(thread);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

}  // namespace
