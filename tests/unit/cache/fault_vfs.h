// FaultVfs is SQLite's default VFS with faults: the n-th call of a kind fails,
// once or from then on, as full, failing or detached disks make it. One at a
// time; the store's threads may all go through it.
#pragma once

#include <functional>

namespace holdfast::cache {

class FaultVfs {
 public:
  enum class Call { Open, Read, Write, Truncate, Sync, SharedMemory };
  struct Fault {
    Call call = Call::Write;
    int nth = 0;   // 1: the next one; 0: none
    int code = 0;  // what SQLite is told
    bool lasting = false;
    bool partial = false;  // a write leaves its first half behind
  };

  // `quick`: syncs do nothing, for tests that open thousands of files.
  explicit FaultVfs(bool quick = false);
  ~FaultVfs();
  FaultVfs(const FaultVfs&) = delete;
  FaultVfs& operator=(const FaultVfs&) = delete;

  static const char* name() { return "holdfast-faults"; }
  void plan(const Fault& fault);
  void heal() { plan({}); }
  // Somebody else acts before the next call of that kind, once.
  void before(Call call, std::function<void()> act);
  // How many calls have failed since plan().
  int failed() const;
};

}  // namespace holdfast::cache
