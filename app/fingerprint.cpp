#include "app/fingerprint.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <span>
#include <vector>

#include "app/library/sha256.h"

namespace orrery {
namespace {

constexpr uint64_t kSampleBytes = 1024;
constexpr uint64_t kWholeBytes = uint64_t{64} << 10;
constexpr size_t kHeaderBytes = size_t{64} << 20;

class Hash {
 public:
  void bytes(std::span<const std::byte> data) { sum_.update(data); }
  void number(uint64_t value) { bytes(std::as_bytes(std::span(&value, 1))); }
  // Its length first, so that neighbours cannot run together.
  void text(std::string_view value) {
    number(value.size());
    bytes(std::as_bytes(std::span(value.data(), value.size())));
  }
  std::string finish() { return sum_.finish(); }

 private:
  Sha256 sum_;
};

void add_settings(Hash& hash, const ModelFile& file) {
  if (file.folder() != nullptr) {
    hash.text(file.folder()->config().dump(-1, ' ', true, nlohmann::json::error_handler_t::replace));
    return;
  }
  const std::span<const std::byte> header = file.gguf()->header();
  hash.bytes(header.first(std::min(header.size(), kHeaderBytes)));
}

void add_tensor(Hash& hash, const StoredTensor& tensor) {
  hash.text(tensor.name);
  hash.text(tensor.type_name);
  hash.text(tensor.shape.to_string());
  hash.number(tensor.n_bytes);
  if (tensor.data == nullptr) return;
  const std::span<const std::byte> data(tensor.data, tensor.n_bytes);
  if (tensor.n_bytes <= kWholeBytes) {
    hash.bytes(data);
    return;
  }
  for (const uint64_t at : {uint64_t{0}, tensor.n_bytes / 2, tensor.n_bytes - kSampleBytes}) {
    hash.bytes(data.subspan(at, kSampleBytes));
  }
}

}  // namespace

std::string model_fingerprint(const ModelFile& file) {
  std::vector<const StoredTensor*> tensors;
  for (const StoredTensor& tensor : file.tensors().tensors()) tensors.push_back(&tensor);
  std::ranges::sort(tensors, {}, &StoredTensor::name);
  Hash hash;
  add_settings(hash, file);
  for (const StoredTensor* tensor : tensors) add_tensor(hash, *tensor);
  return "sampled-sha256:" + hash.finish();
}

}  // namespace orrery
