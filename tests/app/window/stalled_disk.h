// A disk that stops answering: every read, write, lock and open of an SQLite file waits while it is stalled. In place
// of SQLite's own file system in the test's process.
#pragma once

#include <sqlite3.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <new>
#include <thread>

namespace orrery::testing {

class StalledDisk {
 public:
  // From the first call on, for all connections that are opened afterwards.
  static void install() {
    static sqlite3_vfs wrapped = [] {
      sqlite3_vfs vfs = *base();
      vfs.zName = "stalled";
      vfs.szOsFile = static_cast<int>(sizeof(File)) + base()->szOsFile;
      vfs.xOpen = open;
      return vfs;
    }();
    sqlite3_vfs_register(&wrapped, 1);
  }
  static void uninstall() { sqlite3_vfs_register(base(), 1); }
  static void stall(bool on) { stalled() = on; }
  // Calls that have waited so far.
  static int64_t n_waited() { return waited(); }

 private:
  struct File {
    sqlite3_file self;
    sqlite3_file* real;
  };
  static sqlite3_vfs* base() {
    static sqlite3_vfs* const own = sqlite3_vfs_find("unix");
    return own;
  }
  static std::atomic<bool>& stalled() {
    static std::atomic<bool> flag{false};
    return flag;
  }
  static std::atomic<int64_t>& waited() {
    static std::atomic<int64_t> count{0};
    return count;
  }
  static void wait() {
    if (!stalled()) return;
    ++waited();
    while (stalled()) std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  static sqlite3_file* real(sqlite3_file* file) { return reinterpret_cast<File*>(file)->real; }

  static const sqlite3_io_methods& methods() {
    static const sqlite3_io_methods kMethods = [] {
      sqlite3_io_methods m{};
      m.iVersion = 2;
      m.xClose = [](sqlite3_file* f) { return real(f)->pMethods->xClose(real(f)); };
      m.xRead = [](sqlite3_file* f, void* to, int n, sqlite3_int64 at) {
        wait();
        return real(f)->pMethods->xRead(real(f), to, n, at);
      };
      m.xWrite = [](sqlite3_file* f, const void* from, int n, sqlite3_int64 at) {
        wait();
        return real(f)->pMethods->xWrite(real(f), from, n, at);
      };
      m.xTruncate = [](sqlite3_file* f, sqlite3_int64 size) { return real(f)->pMethods->xTruncate(real(f), size); };
      m.xSync = [](sqlite3_file* f, int flags) {
        wait();
        return real(f)->pMethods->xSync(real(f), flags);
      };
      m.xFileSize = [](sqlite3_file* f, sqlite3_int64* size) { return real(f)->pMethods->xFileSize(real(f), size); };
      m.xLock = [](sqlite3_file* f, int lock) {
        wait();
        return real(f)->pMethods->xLock(real(f), lock);
      };
      m.xUnlock = [](sqlite3_file* f, int lock) { return real(f)->pMethods->xUnlock(real(f), lock); };
      m.xCheckReservedLock = [](sqlite3_file* f, int* out) {
        return real(f)->pMethods->xCheckReservedLock(real(f), out);
      };
      m.xFileControl = [](sqlite3_file* f, int op, void* arg) {
        return real(f)->pMethods->xFileControl(real(f), op, arg);
      };
      m.xSectorSize = [](sqlite3_file* f) { return real(f)->pMethods->xSectorSize(real(f)); };
      m.xDeviceCharacteristics = [](sqlite3_file* f) { return real(f)->pMethods->xDeviceCharacteristics(real(f)); };
      m.xShmMap = [](sqlite3_file* f, int page, int size, int extend, void volatile** out) {
        return real(f)->pMethods->xShmMap(real(f), page, size, extend, out);
      };
      m.xShmLock = [](sqlite3_file* f, int offset, int n, int flags) {
        wait();
        return real(f)->pMethods->xShmLock(real(f), offset, n, flags);
      };
      m.xShmBarrier = [](sqlite3_file* f) { real(f)->pMethods->xShmBarrier(real(f)); };
      m.xShmUnmap = [](sqlite3_file* f, int remove) { return real(f)->pMethods->xShmUnmap(real(f), remove); };
      return m;
    }();
    return kMethods;
  }
  static int open(sqlite3_vfs*, const char* name, sqlite3_file* file, int flags, int* out_flags) {
    wait();
    auto* made = reinterpret_cast<File*>(file);
    made->real = reinterpret_cast<sqlite3_file*>(made + 1);
    std::memset(made->real, 0, static_cast<size_t>(base()->szOsFile));
    const int code = base()->xOpen(base(), name, made->real, flags, out_flags);
    made->self.pMethods = made->real->pMethods != nullptr ? &methods() : nullptr;
    return code;
  }
};

}  // namespace orrery::testing
