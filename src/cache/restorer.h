// Restorer runs jobs that bring responses back into the store in the background:
// from a damaged file, or from memory after the disk was away. Jobs run one
// after another on a thread of its own and hand what they find to the writer,
// a little at a time. What is erased meanwhile does not come back.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <vector>

#include "cache/stored_response.h"

namespace holdfast::cache {

class Restorer {
 public:
  // Blocks while the writer has enough to do. False: no more is wanted.
  using Push = std::function<bool(std::string_view key, StoredPtr stored)>;
  using Job = std::function<void(const Push& push)>;

  // `wake` is called, on the job's thread, when there is something to take.
  explicit Restorer(std::function<void()> wake);
  ~Restorer();  // ends the job at its next push
  Restorer(const Restorer&) = delete;
  Restorer& operator=(const Restorer&) = delete;

  enum class Kind { Salvage, WriteBack };

  // Any thread. A write-back takes all that memory has when it begins, so while one
  // waits for its turn a further one is not needed and not kept.
  void start(Kind kind, Job job);

  // To be called before the erasure is queued for the writer. Any thread.
  void note_erase(std::string_view key);
  void note_erase_all();

  struct Item {
    std::string key;
    StoredPtr stored;
    std::uint64_t job = 0;  // that brought it
  };
  // What to write now, erased keys left out. It is offered again until done() says
  // that it is written. The writing thread.
  std::vector<Item> next(std::size_t most);
  // The first `count` of what next() gave last.
  void done(std::size_t count);

 private:
  struct Queued {
    Kind kind;
    Job job;
    std::uint64_t era;
  };
  void run();
  void made_room();  // mutex held
  bool push(std::uint64_t era, std::uint64_t job, std::string_view key, StoredPtr stored);

  const std::function<void()> wake_;
  std::mutex mutex_;
  std::condition_variable changed_;
  // All guarded by mutex_.
  std::deque<Queued> jobs_;
  bool running_ = false;
  bool stopping_ = false;
  std::uint64_t era_ = 0;  // grows when everything is erased: older jobs are void
  std::deque<Item> items_;
  std::uint64_t offered_era_ = 0;  // when next() was last called
  std::uint64_t write_backs_ = 0;  // begun so far; the number of the last one
  // Keys, and which write-backs had begun when they were erased: a later one brings what
  // was stored since.
  std::unordered_map<std::string, std::uint64_t> erased_;
  std::thread thread_;  // started with the first job
};

}  // namespace holdfast::cache
