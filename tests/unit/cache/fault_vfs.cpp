#include "fault_vfs.h"

#include <doctest/doctest.h>
#include <sqlite3.h>

#include <mutex>
#include <utility>

namespace holdfast::cache {
namespace {

struct Disk {
  std::mutex mutex;
  FaultVfs::Fault fault;
  int seen = 0;
  int failed = 0;
  bool quick = false;
  FaultVfs::Call awaited = FaultVfs::Call::Open;
  std::function<void()> act;
};
Disk the_disk;
sqlite3_vfs* real_vfs = nullptr;

// The code to fail with, or SQLITE_OK; and whether in the middle.
int fails(FaultVfs::Call call, bool* partial = nullptr) {
  std::unique_lock lock(the_disk.mutex);
  if (the_disk.act && the_disk.awaited == call) {
    const auto act = std::exchange(the_disk.act, nullptr);
    lock.unlock();
    act();
    lock.lock();
  }
  if (the_disk.fault.nth == 0 || the_disk.fault.call != call) return SQLITE_OK;
  ++the_disk.seen;
  const bool hit = the_disk.fault.lasting ? the_disk.seen >= the_disk.fault.nth
                                          : the_disk.seen == the_disk.fault.nth;
  if (!hit) return SQLITE_OK;
  ++the_disk.failed;
  if (partial != nullptr) *partial = the_disk.fault.partial;
  return the_disk.fault.code;
}

struct File {
  sqlite3_file base;
  sqlite3_file* real;
};
sqlite3_file* real_of(sqlite3_file* file) {
  return reinterpret_cast<File*>(file)->real;
}

const sqlite3_io_methods kMethods{
    .iVersion = 2,  // without mmap
    .xClose = [](sqlite3_file* f) { return real_of(f)->pMethods->xClose(real_of(f)); },
    .xRead =
        [](sqlite3_file* f, void* to, int size, sqlite3_int64 at) {
          if (const int code = fails(FaultVfs::Call::Read)) return code;
          return real_of(f)->pMethods->xRead(real_of(f), to, size, at);
        },
    .xWrite =
        [](sqlite3_file* f, const void* from, int size, sqlite3_int64 at) {
          bool partial = false;
          if (const int code = fails(FaultVfs::Call::Write, &partial)) {
            if (partial) {
              real_of(f)->pMethods->xWrite(real_of(f), from, size / 2, at);
            }
            return code;
          }
          return real_of(f)->pMethods->xWrite(real_of(f), from, size, at);
        },
    .xTruncate =
        [](sqlite3_file* f, sqlite3_int64 size) {
          if (const int code = fails(FaultVfs::Call::Truncate)) return code;
          return real_of(f)->pMethods->xTruncate(real_of(f), size);
        },
    .xSync =
        [](sqlite3_file* f, int flags) {
          if (const int code = fails(FaultVfs::Call::Sync)) return code;
          return the_disk.quick ? SQLITE_OK : real_of(f)->pMethods->xSync(real_of(f), flags);
        },
    .xFileSize =
        [](sqlite3_file* f, sqlite3_int64* size) {
          return real_of(f)->pMethods->xFileSize(real_of(f), size);
        },
    .xLock = [](sqlite3_file* f, int l) { return real_of(f)->pMethods->xLock(real_of(f), l); },
    .xUnlock = [](sqlite3_file* f, int l) { return real_of(f)->pMethods->xUnlock(real_of(f), l); },
    .xCheckReservedLock =
        [](sqlite3_file* f, int* out) {
          return real_of(f)->pMethods->xCheckReservedLock(real_of(f), out);
        },
    .xFileControl =
        [](sqlite3_file* f, int op, void* arg) {
          return real_of(f)->pMethods->xFileControl(real_of(f), op, arg);
        },
    .xSectorSize = [](sqlite3_file* f) { return real_of(f)->pMethods->xSectorSize(real_of(f)); },
    .xDeviceCharacteristics =
        [](sqlite3_file* f) { return real_of(f)->pMethods->xDeviceCharacteristics(real_of(f)); },
    .xShmMap =
        [](sqlite3_file* f, int page, int size, int extend, void volatile** out) {
          if (const int code = fails(FaultVfs::Call::SharedMemory)) return code;
          return real_of(f)->pMethods->xShmMap(real_of(f), page, size, extend, out);
        },
    .xShmLock =
        [](sqlite3_file* f, int offset, int n, int flags) {
          // Giving a lock back cannot fail.
          if ((flags & SQLITE_SHM_LOCK) != 0) {
            if (const int code = fails(FaultVfs::Call::SharedMemory)) return code;
          }
          return real_of(f)->pMethods->xShmLock(real_of(f), offset, n, flags);
        },
    .xShmBarrier = [](sqlite3_file* f) { real_of(f)->pMethods->xShmBarrier(real_of(f)); },
    .xShmUnmap = [](sqlite3_file* f,
                    int remove) { return real_of(f)->pMethods->xShmUnmap(real_of(f), remove); },
    .xFetch = nullptr,
    .xUnfetch = nullptr,
};

int open_file(sqlite3_vfs*, const char* name, sqlite3_file* file, int flags, int* out_flags) {
  file->pMethods = nullptr;
  if (const int code = fails(FaultVfs::Call::Open)) return code;
  auto* ours = reinterpret_cast<File*>(file);
  ours->real = reinterpret_cast<sqlite3_file*>(ours + 1);
  const int code = real_vfs->xOpen(real_vfs, name, ours->real, flags, out_flags);
  if (ours->real->pMethods) file->pMethods = &kMethods;
  return code;
}

sqlite3_vfs shim;

}  // namespace

FaultVfs::FaultVfs(bool quick) {
  real_vfs = sqlite3_vfs_find(nullptr);
  REQUIRE(real_vfs);
  shim = *real_vfs;  // all else is the real one's own
  shim.pNext = nullptr;
  shim.zName = name();
  shim.szOsFile = static_cast<int>(sizeof(File)) + real_vfs->szOsFile;
  shim.xOpen = open_file;
  the_disk.quick = quick;
  heal();
  REQUIRE(sqlite3_vfs_register(&shim, 0) == SQLITE_OK);
}

FaultVfs::~FaultVfs() {
  sqlite3_vfs_unregister(&shim);
}

void FaultVfs::plan(const Fault& fault) {
  const std::lock_guard lock(the_disk.mutex);
  the_disk.fault = fault;
  the_disk.seen = 0;
  the_disk.failed = 0;
}

void FaultVfs::before(Call call, std::function<void()> act) {
  const std::lock_guard lock(the_disk.mutex);
  the_disk.awaited = call;
  the_disk.act = std::move(act);
}

int FaultVfs::failed() const {
  const std::lock_guard lock(the_disk.mutex);
  return the_disk.failed;
}

}  // namespace holdfast::cache
