// WriterLock: at most one program, and one SessionStore in it, records into a session file.
//
// An abstract Unix socket named by the file's device and inode: bound by one process at a time, freed by the kernel
// when that process ends in whatever way, and nothing is left beside the file. A lock on the file itself would not do:
// closing any descriptor of a file drops the POSIX locks that SQLite holds on it in the same process.
#pragma once

#include <string>

#include "kernels/base/result.h"

namespace orrery {

class WriterLock {
 public:
  // kBusy where another holds it, kNotFound where there is no such file.
  static Result<WriterLock> take(const std::string& path);
  // Whether anyone holds it now (this process included).
  static bool is_taken(const std::string& path);

  WriterLock() = default;
  ~WriterLock() { release(); }
  WriterLock(WriterLock&& other) noexcept;
  WriterLock& operator=(WriterLock&& other) noexcept;
  void release();
  bool held() const { return socket_ >= 0; }

 private:
  int socket_ = -1;
};

}  // namespace orrery
