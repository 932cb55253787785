// Checkpointer copies the WAL into the database on a thread and a connection of
// its own, so that the syncs this takes delay neither commits nor reads. It
// never blocks the writer (SQLite's passive mode): what it leaves undone, the
// writer finishes.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>

namespace holdfast::cache {

class Checkpointer {
 public:
  Checkpointer(std::string path, std::string vfs);
  ~Checkpointer();  // after the one in progress
  Checkpointer(const Checkpointer&) = delete;
  Checkpointer& operator=(const Checkpointer&) = delete;

  // Any thread. `generation` changes whenever the file is another one.
  void request(std::uint64_t generation);
  // Returns when no checkpoint is under way or asked for. Any other thread.
  void wait();
  // Nothing under way or asked for. Any other thread.
  bool idle();

 private:
  void run();

  const std::string path_;
  const std::string vfs_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::uint64_t generation_ = 0;  // guarded by mutex_, as is the rest
  bool requested_ = false;
  bool running_ = false;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace holdfast::cache
