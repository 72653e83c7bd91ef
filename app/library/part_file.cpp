#include "app/library/part_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <system_error>
#include <utility>

namespace orrery {
namespace {

namespace fs = std::filesystem;

constexpr std::streamsize kMostOfAnOrigin = 65536;

std::string text_of(const nlohmann::json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

std::optional<PartOrigin> read_origin(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text(static_cast<size_t>(kMostOfAnOrigin), '\0');
  file.read(text.data(), kMostOfAnOrigin);
  text.resize(static_cast<size_t>(file.gcount()));
  const nlohmann::json object = nlohmann::json::parse(text, nullptr, false);
  if (!object.is_object()) return std::nullopt;
  PartOrigin origin{text_of(object, "url"), text_of(object, "etag"), text_of(object, "last_modified"), {}};
  const auto size = object.find("size");
  if (size != object.end() && size->is_number_unsigned()) origin.n_bytes = size->get<uint64_t>();
  return origin;
}

}  // namespace

std::string PartOrigin::validator() const {
  if (!etag.empty() && !etag.starts_with("W/")) return etag;
  return last_modified;
}

fs::path PartFile::path_of(const fs::path& target) { return fs::path(target) += ".part"; }

fs::path PartFile::origin_path() const { return fs::path(path_) += ".json"; }

PartFile::PartFile(fs::path target, int descriptor)
    : target_(std::move(target)), path_(path_of(target_)), descriptor_(descriptor) {}

PartFile::PartFile(PartFile&& other) noexcept
    : target_(std::move(other.target_)),
      path_(std::move(other.path_)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      n_bytes_(other.n_bytes_),
      origin_(std::move(other.origin_)) {}

PartFile::~PartFile() {
  if (descriptor_ >= 0) close(descriptor_);
}

Error PartFile::failure(const char* what) const {
  return {ErrorCode::kIo, std::string(what) + " (" + std::generic_category().message(errno) + "): " + path_.string()};
}

Result<PartFile> PartFile::open(const fs::path& target) {
  const fs::path path = path_of(target);
  PartFile part(target, ::open(path.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644));
  struct stat status {};
  if (part.descriptor_ < 0 || fstat(part.descriptor_, &status) != 0) return part.failure("cannot write");
  part.n_bytes_ = static_cast<uint64_t>(status.st_size);
  if (lseek(part.descriptor_, 0, SEEK_END) < 0) return part.failure("cannot write");
  part.origin_ = read_origin(part.origin_path());
  return part;
}

Result<void> PartFile::append(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n_written = write(descriptor_, bytes.data(), bytes.size());
    if (n_written < 0 && errno == EINTR) continue;
    if (n_written < 0) return failure("cannot write");
    bytes.remove_prefix(static_cast<size_t>(n_written));
    n_bytes_ += static_cast<uint64_t>(n_written);
  }
  return {};
}

Result<void> PartFile::begin(const PartOrigin& origin) {
  if (ftruncate(descriptor_, 0) != 0 || lseek(descriptor_, 0, SEEK_SET) != 0) return failure("cannot write");
  n_bytes_ = 0;
  nlohmann::json object{
      {"url", origin.address}, {"etag", origin.etag}, {"last_modified", origin.last_modified}, {"size", nullptr}};
  if (origin.n_bytes) object["size"] = *origin.n_bytes;
  std::ofstream file(origin_path(), std::ios::binary | std::ios::trunc);
  file << object.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) << "\n";
  if (!file.flush()) return Error{ErrorCode::kIo, "cannot write: " + origin_path().string()};
  origin_ = origin;
  return {};
}

Result<void> PartFile::become_target() {
  if (fsync(descriptor_) != 0) return failure("cannot write");
  std::error_code error;
  fs::rename(path_, target_, error);
  if (error)
    return Error{ErrorCode::kIo, "cannot put the file in its place (" + error.message() + "): " + target_.string()};
  fs::remove(origin_path(), error);
  return {};
}

void PartFile::discard() {
  std::error_code ignored;
  fs::remove(path_, ignored);
  fs::remove(origin_path(), ignored);
}

}  // namespace orrery
