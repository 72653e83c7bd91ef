#include "sessions/writer_lock.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <utility>

namespace orrery {
namespace {

struct Address {
  sockaddr_un socket{};
  socklen_t size = 0;
};

bool address_of(const std::string& path, Address& address) {
  struct stat status {};
  if (stat(path.c_str(), &status) != 0) return false;
  address.socket.sun_family = AF_UNIX;
  // A name that begins with a zero byte is abstract: it lives in no folder.
  const int n =
      std::snprintf(address.socket.sun_path + 1, sizeof(address.socket.sun_path) - 1, "orrery-session-%llx-%llx",
                    static_cast<unsigned long long>(status.st_dev), static_cast<unsigned long long>(status.st_ino));
  address.size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + static_cast<size_t>(n));
  return true;
}

int open_socket() { return ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0); }

}  // namespace

Result<WriterLock> WriterLock::take(const std::string& path) {
  Address address;
  if (!address_of(path, address)) return Error{ErrorCode::kNotFound, "there is no file " + path};
  WriterLock lock;
  lock.socket_ = open_socket();
  if (lock.socket_ < 0) {
    return Error{ErrorCode::kIo, path + " cannot be locked for recording: " + std::strerror(errno)};
  }
  if (bind(lock.socket_, reinterpret_cast<const sockaddr*>(&address.socket), address.size) != 0) {
    if (errno == EADDRINUSE) return Error{ErrorCode::kBusy, "another program is recording into " + path};
    return Error{ErrorCode::kIo, path + " cannot be locked for recording: " + std::strerror(errno)};
  }
  return lock;
}

bool WriterLock::is_taken(const std::string& path) {
  Address address;
  if (!address_of(path, address)) return false;
  // Connecting succeeds only where the name is bound, and takes nothing from a program that wants to bind it.
  const int socket = open_socket();
  if (socket < 0) return false;
  const bool taken = connect(socket, reinterpret_cast<const sockaddr*>(&address.socket), address.size) == 0;
  ::close(socket);
  return taken;
}

WriterLock::WriterLock(WriterLock&& other) noexcept : socket_(std::exchange(other.socket_, -1)) {}

WriterLock& WriterLock::operator=(WriterLock&& other) noexcept {
  if (this != &other) {
    release();
    socket_ = std::exchange(other.socket_, -1);
  }
  return *this;
}

void WriterLock::release() {
  if (socket_ >= 0) ::close(std::exchange(socket_, -1));
}

}  // namespace orrery
