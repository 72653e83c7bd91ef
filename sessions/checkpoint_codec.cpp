#include "sessions/checkpoint_codec.h"

#include <zstd.h>

#include <memory>
#include <string>

#include "kernels/base/check.h"
#include "sessions/byte_shuffle.h"

namespace orrery {

namespace {

constexpr size_t kRecordBytes = 4;
constexpr int kZstdLevel = 1;  // states of random-looking floats: a higher one gains 2 % for three times the time

}  // namespace

std::vector<std::byte> pack_checkpoint(std::span<const std::byte> bytes) {
  if (bytes.empty()) return {};
  std::vector<std::byte> plain(bytes.size());
  shuffle_bytes(bytes, kRecordBytes, plain.data());
  const std::unique_ptr<ZSTD_CCtx, size_t (*)(ZSTD_CCtx*)> context(ZSTD_createCCtx(), ZSTD_freeCCtx);
  CHECK(context != nullptr, "zstd has no memory for a context");
  ZSTD_CCtx_setParameter(context.get(), ZSTD_c_compressionLevel, kZstdLevel);
  ZSTD_CCtx_setParameter(context.get(), ZSTD_c_checksumFlag, 1);
  std::vector<std::byte> packed(ZSTD_compressBound(plain.size()));
  const size_t n = ZSTD_compress2(context.get(), packed.data(), packed.size(), plain.data(), plain.size());
  CHECK(ZSTD_isError(n) == 0, "zstd failed in a buffer that is large enough");
  packed.resize(n);
  return packed;
}

Result<std::vector<std::byte>> unpack_checkpoint(std::span<const std::byte> packed, size_t n_bytes) {
  const auto refuse = [](const std::string& why) { return Error{ErrorCode::kInvalidFile, why}; };
  if (n_bytes > kMaxCheckpointBytes) return refuse("it is larger than any that is written");
  if (packed.empty() && n_bytes == 0) return std::vector<std::byte>();
  const unsigned long long declared = ZSTD_getFrameContentSize(packed.data(), packed.size());
  if (declared == ZSTD_CONTENTSIZE_ERROR || declared == ZSTD_CONTENTSIZE_UNKNOWN) return refuse("it is damaged");
  if (declared != n_bytes) {
    return refuse("it holds " + std::to_string(declared) + " bytes where this model's cache takes " +
                  std::to_string(n_bytes));
  }
  std::vector<std::byte> plain(n_bytes);
  const size_t n = ZSTD_decompress(plain.data(), plain.size(), packed.data(), packed.size());
  if (ZSTD_isError(n) != 0 || n != n_bytes) return refuse("it is damaged");
  std::vector<std::byte> bytes(n_bytes);
  unshuffle_bytes(plain, kRecordBytes, bytes.data());
  return bytes;
}

}  // namespace orrery
