#include "app/library/unzip.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>
#include <zip.h>

#include <memory>
#include <system_error>
#include <vector>

namespace orrery {
namespace {

// A file being written; closed in every case.
class OutputFile {
 public:
  OutputFile(const std::filesystem::path& path, UnzipMode mode)
      : path_(path),
        descriptor_(open(path.c_str(),
                         O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC | (mode == UnzipMode::kNew ? O_EXCL : O_APPEND),
                         0644)) {
    if (descriptor_ < 0) error_ = errno;
  }
  ~OutputFile() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  Result<void> state() const { return error_ == 0 ? Result<void>() : Result<void>(failure(error_)); }

  Result<void> write(const char* data, size_t n_bytes) {
    while (n_bytes > 0) {
      const ssize_t written = ::write(descriptor_, data, n_bytes);
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) return failure(errno);
      data += written;
      n_bytes -= static_cast<size_t>(written);
    }
    return {};
  }

  // Everything on the disk, so that a rename after it never names half a file.
  Result<void> finish() {
    if (fsync(descriptor_) != 0) return failure(errno);
    const int closed = ::close(descriptor_);
    descriptor_ = -1;
    return closed == 0 ? Result<void>() : Result<void>(failure(errno));
  }

 private:
  Error failure(int number) const {
    return Error{ErrorCode::kIo, "cannot write (" + std::generic_category().message(number) + "): " + path_.string()};
  }

  std::filesystem::path path_;
  int descriptor_ = -1;
  int error_ = 0;
};

Error broken(const std::filesystem::path& archive, const std::string& why) {
  return Error{ErrorCode::kInvalidFile, why + ": " + archive.string()};
}

}  // namespace

Result<void> unzip_member(const std::filesystem::path& archive, const std::string& member, uint64_t n_bytes,
                          const std::filesystem::path& target, const std::function<void(uint64_t)>& progress,
                          const std::atomic<bool>* cancel, UnzipMode mode) {
  int zip_error = 0;
  const std::unique_ptr<zip_t, decltype(&zip_discard)> zip(zip_open(archive.c_str(), ZIP_RDONLY, &zip_error),
                                                           &zip_discard);
  if (zip == nullptr) return broken(archive, "not a readable zip archive");
  const zip_int64_t index = zip_name_locate(zip.get(), member.c_str(), 0);
  if (index < 0) return broken(archive, "there is no " + member + " in the archive");
  zip_stat_t status;
  zip_stat_init(&status);
  constexpr zip_uint64_t kNeeded = ZIP_STAT_SIZE | ZIP_STAT_COMP_METHOD | ZIP_STAT_ENCRYPTION_METHOD;
  if (zip_stat_index(zip.get(), static_cast<zip_uint64_t>(index), 0, &status) != 0 ||
      (status.valid & kNeeded) != kNeeded) {
    return broken(archive, "the archive does not describe its " + member);
  }
  if (status.size != n_bytes) {
    return broken(archive, member + " should have " + std::to_string(n_bytes) + " bytes and has " +
                               std::to_string(status.size) + " in the archive");
  }
  if (status.encryption_method != ZIP_EM_NONE) return broken(archive, member + " is encrypted in the archive");
  const std::unique_ptr<zip_file_t, decltype(&zip_fclose)> input(
      zip_fopen_index(zip.get(), static_cast<zip_uint64_t>(index), 0), &zip_fclose);
  if (input == nullptr) return broken(archive, "cannot unpack " + member + " of the archive");

  OutputFile output(target, mode);
  ORRERY_RETURN_IF_ERROR(output.state());
  std::vector<char> buffer(size_t{1} << 20);
  uint64_t done_bytes = 0;
  while (true) {
    if (cancel != nullptr && cancel->load(std::memory_order_relaxed)) {
      return Error{ErrorCode::kCancelled, "cancelled while unpacking: " + archive.string()};
    }
    const zip_int64_t n_read = zip_fread(input.get(), buffer.data(), buffer.size());
    if (n_read < 0) return broken(archive, member + " is damaged in the archive");
    if (n_read == 0) break;
    // The size that the archive states binds nobody: count what comes.
    if (static_cast<uint64_t>(n_read) > n_bytes - done_bytes) return broken(archive, member + " is longer than stated");
    ORRERY_RETURN_IF_ERROR(output.write(buffer.data(), static_cast<size_t>(n_read)));
    done_bytes += static_cast<uint64_t>(n_read);
    if (progress) progress(done_bytes);
  }
  if (done_bytes != n_bytes) return broken(archive, member + " is shorter than stated");
  return output.finish();
}

}  // namespace orrery
