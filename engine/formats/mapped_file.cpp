#include "engine/formats/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

namespace orrery {
namespace {

Error system_error(std::string_view what, const std::string& path, int code) {
  const ErrorCode kind = code == ENOENT || code == ENOTDIR ? ErrorCode::kNotFound : ErrorCode::kIo;
  return Error{kind, std::string(what) + " " + path + ": " + std::generic_category().message(code)};
}

// Closes a descriptor when the scope ends.
struct Descriptor {
  int fd;
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
};

}  // namespace

Result<MappedFile> MappedFile::open(const std::filesystem::path& path) {
  const std::string name = path.string();
  // O_NONBLOCK: opening a named pipe must not wait for a writer.
  const Descriptor descriptor{::open(name.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  if (descriptor.fd < 0) return system_error("cannot open", name, errno);
  struct stat status {};
  if (::fstat(descriptor.fd, &status) != 0) return system_error("cannot read", name, errno);
  if (S_ISDIR(status.st_mode)) return Error{ErrorCode::kIo, "expected a file, but this is a folder: " + name};
  if (!S_ISREG(status.st_mode)) return Error{ErrorCode::kIo, "expected a regular file: " + name};
  if (status.st_size <= 0) return Error{ErrorCode::kInvalidFile, "the file is empty: " + name};
  MappedFile file;
  file.path_ = name;
  file.size_ = static_cast<size_t>(status.st_size);
  void* data = ::mmap(nullptr, file.size_, PROT_READ, MAP_PRIVATE, descriptor.fd, 0);
  if (data == MAP_FAILED) {
    const int code = errno;
    file.size_ = 0;
    return system_error("cannot map", name, code);
  }
  file.data_ = static_cast<const std::byte*>(data);
  return file;
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)), data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  if (this != &other) {
    unmap();
    path_ = std::move(other.path_);
    data_ = std::exchange(other.data_, nullptr);
    size_ = std::exchange(other.size_, 0);
  }
  return *this;
}

MappedFile::~MappedFile() { unmap(); }

void MappedFile::unmap() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
  data_ = nullptr;
}

}  // namespace orrery
