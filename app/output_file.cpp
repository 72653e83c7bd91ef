#include "app/output_file.h"

#include <cerrno>
#include <cstring>

namespace orrery {

Error OutputFile::failure() const {
  return {ErrorCode::kIo, "--out cannot be written (" + std::string(std::strerror(errno)) + "): " + path_};
}

Result<OutputFile> OutputFile::create(const std::string& path) {
  std::FILE* file = std::fopen(path.c_str(), "wb");
  if (file == nullptr) {
    return Error{ErrorCode::kIo, "--out cannot be written (" + std::string(std::strerror(errno)) + "): " + path};
  }
  return OutputFile(path, file);
}

OutputFile::~OutputFile() {
  if (file_ == nullptr) return;
  file_.reset();
  std::remove(path_.c_str());
}

Result<void> OutputFile::write(std::string_view bytes) {
  if (std::fwrite(bytes.data(), 1, bytes.size(), file_.get()) != bytes.size()) return failure();
  return {};
}

Result<void> OutputFile::close() {
  if (std::fclose(file_.release()) == 0) return {};
  const Error error = failure();
  std::remove(path_.c_str());
  return error;
}

}  // namespace orrery
