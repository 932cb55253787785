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
#include <optional>
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

  // Both are called on the job's thread. `wake`: when there is something to take and when
  // a job has ended. `last_queued`: which write was queued last; see Item::after.
  Restorer(std::function<void()> wake, std::function<std::uint64_t()> last_queued);
  ~Restorer();  // ends the job at its next push
  Restorer(const Restorer&) = delete;
  Restorer& operator=(const Restorer&) = delete;

  enum class Kind { Salvage, WriteBack };

  // Any thread. A write-back takes all that memory has when it begins, so while one
  // waits for its turn a further one is not needed and not kept.
  void start(Kind kind, Job job);

  // Whether a write-back has something to bring yet, or may have. Any thread.
  bool writing_back();

  // To be called before the erasure is queued for the writer. Any thread.
  void note_erase(std::string_view key);
  void note_erase_all();
  // To be called when it is written. A salvage that began since is of a file that was
  // set aside with the erasure still waiting.
  void note_written_erase(std::string_view key);
  void note_written_erase_all();

  struct Item {
    std::string key;
    StoredPtr stored;
    std::uint64_t job = 0;  // that brought it
    // To be written behind what was queued until then: an erasure among that is older
    // than what memory had, and would take it off the disk again.
    std::uint64_t after = 0;
  };
  // What to write now, where the queue is written up to `written`, erased keys left out.
  // It is offered again until done() says that it is written. The writing thread.
  std::vector<Item> next(std::size_t most, std::uint64_t written);
  // The first `count` of what next() gave last.
  void done(std::size_t count);

 private:
  struct Queued {
    Kind kind;
    Job job;
    std::uint64_t era;
  };
  struct Running {
    Kind kind;
    std::uint64_t era;
  };
  void run();
  // With mutex_ held:
  std::uint64_t era_of(Kind kind) const {
    return kind == Kind::Salvage ? salvage_era_ : write_back_era_;
  }
  bool has_write_back() const;
  void keep_away(std::string_view key, std::uint64_t write_backs);
  void void_all();
  void made_room();
  bool push(const Running& job, std::uint64_t number, std::string_view key, StoredPtr stored);

  const std::function<void()> wake_;
  const std::function<std::uint64_t()> last_queued_;
  std::mutex mutex_;
  std::condition_variable changed_;
  // All guarded by mutex_.
  std::deque<Queued> jobs_;
  std::optional<Running> running_;
  Job write_back_;  // the last one, to be begun anew
  bool stopping_ = false;
  // These grow when everything is erased: older jobs are void.
  std::uint64_t write_back_era_ = 0;
  std::uint64_t salvage_era_ = 0;
  std::deque<Item> items_;
  std::uint64_t offered_era_ = 0;  // when next() was last called
  std::uint64_t write_backs_ = 0;  // begun so far; the number of the last one
  // Keys, and which write-backs had begun when they were erased: a later one brings what
  // was stored since.
  std::unordered_map<std::string, std::uint64_t> erased_;
  std::thread thread_;  // started with the first job
};

}  // namespace holdfast::cache
