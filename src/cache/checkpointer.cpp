#include "cache/checkpointer.h"

#include <pthread.h>

#include <optional>
#include <utility>

#include "cache/sqlite.h"

namespace holdfast::cache {

Checkpointer::Checkpointer(std::string path, std::string vfs)
    : path_(std::move(path)), vfs_(std::move(vfs)), thread_([this] { run(); }) {}

Checkpointer::~Checkpointer() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  thread_.join();
}

void Checkpointer::request(std::uint64_t generation) {
  const std::lock_guard lock(mutex_);
  generation_ = generation;
  requested_ = true;
  changed_.notify_all();
}

void Checkpointer::wait() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return !requested_ && !running_; });
}

bool Checkpointer::idle() {
  const std::lock_guard lock(mutex_);
  return !requested_ && !running_;
}

void Checkpointer::run() {
  pthread_setname_np(pthread_self(), "checkpointer");
  std::optional<sqlite::Connection> connection;
  std::uint64_t opened = 0;
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return requested_ || stopping_; });
    if (stopping_) return;
    requested_ = false;
    running_ = true;
    const std::uint64_t wanted = generation_;
    lock.unlock();
    if (opened != wanted) connection.reset();
    if (!connection) {
      const auto names = sqlite::names_stay();
      auto made = sqlite::Connection::open(path_, sqlite::Connection::Mode::ReadWrite, vfs_);
      if (made) {
        made->execute("PRAGMA mmap_size=0");
        made->execute("PRAGMA synchronous=NORMAL");
        static_cast<void>(made->integer("PRAGMA schema_version"));  // the first reading
        connection = std::move(*made);
        opened = wanted;
      }
    }
    if (connection) {
      int frames = 0;
      int done = 0;
      const int code =
          connection->checkpoint(sqlite::Connection::Checkpoint::Passive, frames, done);
      const auto trouble = sqlite::trouble_of(code);
      // A disk that refuses is the writer's to notice and to report: it
      // checkpoints too, when the WAL has grown.
      if (trouble != sqlite::Trouble::None && trouble != sqlite::Trouble::Busy) connection.reset();
    }
    lock.lock();
    running_ = false;
    changed_.notify_all();
  }
}

}  // namespace holdfast::cache
