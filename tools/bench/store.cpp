// bench-store: what the store takes, for store.sh. One step a run, on a file that
// stays; "name value" lines on standard output.
//
//   bench-store fill FILE N        puts N responses into a new file
//   bench-store read FILE N READS  opens it, reads keys that are there and keys that are not
//   bench-store evict FILE N MORE  puts MORE new ones, with a limit at which FILE is full
//
// Key i is an IPv4 address; the order of i is random to the indexes. The content
// is 150 bytes of JSON, as a GeoIP lookup answers. Every answer read is compared.
#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/random.h"
#include "cache/sqlite_store.h"
#include "observe/log.h"

namespace {

using namespace holdfast;
using Steady = std::chrono::steady_clock;
using Microseconds = std::chrono::duration<double, std::micro>;
using Milliseconds = std::chrono::duration<double, std::milli>;

constexpr std::size_t kContentBytes = 150;

std::string address(std::uint64_t i) {
  // Odd, so that no two of 2^32 are the same.
  const auto mixed = static_cast<std::uint32_t>(i * 2654435761U);
  std::string text;
  for (int shift = 24; shift >= 0; shift -= 8) {
    text += std::to_string(mixed >> shift & 0xff);
    if (shift > 0) text += '.';
  }
  return text;
}

std::string key(std::uint64_t i) {
  return "lookup/" + address(i);
}

std::string content(std::uint64_t i) {
  std::string text = R"({"ip":")" + address(i) +
                     R"(","location":"United States","postal_code":"","network_name":"AS)" +
                     std::to_string(i) + R"(","latitude":37.751,"longitude":-97.822,"domain":")";
  if (text.size() + 2 > kContentBytes) throw std::runtime_error("the content is too long");
  text.append(kContentBytes - 2 - text.size(), 'd');
  return text + "\"}";
}

double cpu_microseconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto of = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_usec);
  };
  return of(usage.ru_utime) + of(usage.ru_stime);
}

double size_of(const std::string& file) {
  struct stat info = {};
  return ::stat(file.c_str(), &info) == 0 ? static_cast<double>(info.st_size) : 0;
}

double on_disk(const std::string& file) {
  return size_of(file) + size_of(file + "-wal");
}

void print(const char* name, double value) {
  std::printf("%s %.3f\n", name, value);
}

// Sorts.
double quantile(std::vector<double>& values, double q) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return values[static_cast<std::size_t>(q * static_cast<double>(values.size() - 1))];
}

class Bench {
 public:
  Bench(const std::string& file, std::uint64_t limit_bytes)
      : file_(file), log_(observe::Log::Settings{.level = observe::Level::Warn}) {
    cache::StoreSettings settings;
    settings.path = file;
    settings.limit_bytes = limit_bytes;
    settings.on_commit = [this](base::Duration took) {
      const std::lock_guard lock(mutex_);
      commits_ms_.push_back(Milliseconds(took).count());
    };
    const auto start = Steady::now();
    auto opened = cache::open_store(settings, clock_, log_);
    if (!opened) throw std::runtime_error(opened.error().message);
    store_ = std::move(*opened);
    open_ms_ = Milliseconds(Steady::now() - start).count();
  }

  cache::Store& store() { return *store_; }
  double open_ms() const { return open_ms_; }

  // As fast as the disk takes them, with the queue full.
  void put(std::uint64_t from, std::uint64_t to) {
    for (std::uint64_t i = from; i < to; ++i) {
      const auto stored = cache::make_stored({.fields = "Content-Type: application/json\r\n",
                                              .body = content(i),
                                              .response_time = clock_.wall(),
                                              .freshness_lifetime = std::chrono::hours(24),
                                              .stale_while_revalidate = std::chrono::hours(168),
                                              .stale_if_error = std::chrono::hours(720)});
      const std::string name = key(i);
      while (!store_->put(name, stored)) {
        std::this_thread::sleep_for(std::chrono::microseconds(500));
      }
      if (i % 1024 == 0) {
        most_wal_ = std::max(most_wal_, size_of(file_ + "-wal"));
        most_on_disk_ = std::max(most_on_disk_, on_disk(file_));
      }
    }
    store_->flush();
  }

  double most_wal() const { return most_wal_; }
  double most_on_disk() const { return most_on_disk_; }
  void print_commits() {
    const std::lock_guard lock(mutex_);
    print("commit_p99_ms", quantile(commits_ms_, 0.99));
    print("commit_max_ms", quantile(commits_ms_, 1));
  }

 private:
  std::string file_;
  base::SystemClock clock_;
  observe::Log log_;
  std::mutex mutex_;
  std::vector<double> commits_ms_;  // guarded by mutex_
  double open_ms_ = 0;
  double most_wal_ = 0;
  double most_on_disk_ = 0;
  std::unique_ptr<cache::Store> store_;  // last: its threads use the others
};

void fill(const std::string& file, std::uint64_t count) {
  const double cpu = cpu_microseconds();
  const auto start = Steady::now();
  {
    // No limit that matters here.
    Bench bench(file, std::uint64_t{1} << 40);
    bench.put(0, count);
    const double seconds = std::chrono::duration<double>(Steady::now() - start).count();
    print("puts_per_s", static_cast<double>(count) / seconds);
    print("cpu_us_per_put", (cpu_microseconds() - cpu) / static_cast<double>(count));
    bench.print_commits();
    print("wal_max_mib", bench.most_wal() / (1 << 20));
    const auto status = bench.store().status();
    if (status.entries != count) throw std::runtime_error("not all responses are stored");
  }
  print("bytes_per_response", on_disk(file) / static_cast<double>(count));
}

void read(const std::string& file, std::uint64_t count, std::uint64_t reads) {
  {
    // The targets speak of a warm page cache.
    std::ifstream bytes(file, std::ios::binary);
    std::vector<char> part(1 << 20);
    while (bytes.read(part.data(), static_cast<std::streamsize>(part.size()))) {
    }
  }
  Bench bench(file, std::uint64_t{1} << 40);
  print("open_ms", bench.open_ms());
  base::Random random(1);
  for (const bool present : {true, false}) {
    std::vector<double> took;
    took.reserve(reads);
    for (std::uint64_t n = 0; n < reads; ++n) {
      const std::uint64_t i = random.below(count) + (present ? 0 : count);
      const std::string name = key(i);
      const auto start = Steady::now();
      const auto found = bench.store().find(name);
      took.push_back(Microseconds(Steady::now() - start).count());
      if (!found) throw std::runtime_error(found.error().message);
      if (present != (*found != nullptr)) throw std::runtime_error(name + ": there or not?");
      if (present && (*found)->body != content(i)) throw std::runtime_error(name + ": wrong");
    }
    print(present ? "read_p50_us" : "absent_p50_us", quantile(took, 0.5));
    print(present ? "read_p99_us" : "absent_p99_us", quantile(took, 0.99));
  }
}

void evict(const std::string& file, std::uint64_t count, std::uint64_t more) {
  // Full at nine tenths, as the WAL has its share.
  const auto limit = static_cast<std::uint64_t>(on_disk(file) / 0.9);
  Bench bench(file, limit);
  const auto start = Steady::now();
  bench.put(count, count + more);
  const double seconds = std::chrono::duration<double>(Steady::now() - start).count();
  print("evict_puts_per_s", static_cast<double>(more) / seconds);
  print("evicted", static_cast<double>(bench.store().status().evicted));
  print("evict_max_percent_of_limit",
        100 * std::max(bench.most_on_disk(), on_disk(file)) / static_cast<double>(limit));
  bench.print_commits();
}

std::uint64_t number(const char* text) {
  char* end = nullptr;
  const std::uint64_t value = std::strtoull(text, &end, 10);
  if (end == text || *end != '\0' || value == 0 || value > (1U << 31)) {
    throw std::runtime_error(std::string("not a number of responses: ") + text);
  }
  return value;
}

int run(const std::vector<std::string_view>& arguments, char** argv) {
  const std::string_view step = arguments.empty() ? "" : arguments[0];
  if (step == "fill" && arguments.size() == 3) {
    fill(argv[2], number(argv[3]));
  } else if (step == "read" && arguments.size() == 4) {
    read(argv[2], number(argv[3]), number(argv[4]));
  } else if (step == "evict" && arguments.size() == 4) {
    evict(argv[2], number(argv[3]), number(argv[4]));
  } else {
    std::fputs("usage: bench-store fill FILE N | read FILE N READS | evict FILE N MORE\n", stderr);
    return 2;
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run({argv + 1, argv + argc}, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench-store: %s\n", error.what());
    return 1;
  }
}
