#include "app/library/sha256.h"

#include <openssl/evp.h>

#include <array>
#include <fstream>
#include <memory>
#include <vector>

namespace orrery {

Result<std::string> sha256_of_file(const std::filesystem::path& path, const std::function<void(uint64_t)>& progress,
                                   const std::atomic<bool>* cancel) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return Error{ErrorCode::kNotFound, "cannot open the file: " + path.string()};
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), &EVP_MD_CTX_free);
  if (context == nullptr || EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr) != 1) {
    return Error{ErrorCode::kOutOfMemory, "OpenSSL could not start a SHA-256 of: " + path.string()};
  }
  std::vector<char> buffer(size_t{1} << 20);
  uint64_t done_bytes = 0;
  while (file) {
    if (cancel != nullptr && cancel->load(std::memory_order_relaxed)) {
      return Error{ErrorCode::kCancelled, "cancelled while reading: " + path.string()};
    }
    file.read(buffer.data(), static_cast<std::streamsize>(buffer.size()));
    const auto n_bytes = static_cast<size_t>(file.gcount());
    if (EVP_DigestUpdate(context.get(), buffer.data(), n_bytes) != 1) {
      return Error{ErrorCode::kIo, "OpenSSL could not go on with the SHA-256 of: " + path.string()};
    }
    done_bytes += n_bytes;
    if (progress) progress(done_bytes);
  }
  if (file.bad()) return Error{ErrorCode::kIo, "cannot read the file: " + path.string()};
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int n_digest = 0;
  if (EVP_DigestFinal_ex(context.get(), digest.data(), &n_digest) != 1) {
    return Error{ErrorCode::kIo, "OpenSSL could not end the SHA-256 of: " + path.string()};
  }
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (unsigned int i = 0; i < n_digest; ++i) {
    text += kDigits[digest[i] >> 4];
    text += kDigits[digest[i] & 15];
  }
  return text;
}

}  // namespace orrery
