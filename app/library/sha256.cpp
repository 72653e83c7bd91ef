#include "app/library/sha256.h"

#include <openssl/evp.h>

#include <array>
#include <fstream>
#include <vector>

#include "kernels/base/check.h"

namespace orrery {

struct Sha256::State {
  State() : context(EVP_MD_CTX_new()) { CHECK(context != nullptr, "out of memory"); }
  ~State() { EVP_MD_CTX_free(context); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  EVP_MD_CTX* context;
};

// OpenSSL's calls below fail only where SHA-256 was compiled out of it.
Sha256::Sha256() : state_(std::make_unique<State>()) {
  CHECK(EVP_DigestInit_ex(state_->context, EVP_sha256(), nullptr) == 1);
}

Sha256::~Sha256() = default;
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;

void Sha256::update(std::span<const std::byte> bytes) {
  CHECK(EVP_DigestUpdate(state_->context, bytes.data(), bytes.size()) == 1);
}

std::string Sha256::finish() {
  std::array<unsigned char, 32> digest{};
  CHECK(EVP_DigestFinal_ex(state_->context, digest.data(), nullptr) == 1);
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const unsigned char byte : digest) {
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

Result<std::string> sha256_of_file(const std::filesystem::path& path, const std::function<void(uint64_t)>& progress,
                                   const std::atomic<bool>* cancel) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return Error{ErrorCode::kNotFound, "cannot open the file: " + path.string()};
  Sha256 sum;
  std::vector<char> buffer(size_t{1} << 20);
  uint64_t done_bytes = 0;
  while (file) {
    if (cancel != nullptr && cancel->load(std::memory_order_relaxed)) {
      return Error{ErrorCode::kCancelled, "cancelled while reading: " + path.string()};
    }
    file.read(buffer.data(), static_cast<std::streamsize>(buffer.size()));
    const auto n_bytes = static_cast<size_t>(file.gcount());
    sum.update(std::as_bytes(std::span(buffer.data(), n_bytes)));
    done_bytes += n_bytes;
    if (progress) progress(done_bytes);
  }
  if (file.bad()) return Error{ErrorCode::kIo, "cannot read the file: " + path.string()};
  return sum.finish();
}

}  // namespace orrery
