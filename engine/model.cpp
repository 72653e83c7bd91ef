#include "engine/model.h"

#include "engine/models/registry.h"

namespace orrery {

namespace {

// Reads one byte of every page of the mapped weights, so that the first token does not wait for the disk, and says how
// far it is.
Result<void> touch_weights(const ModelFile& file, const Model::LoadOptions& options) {
  if (!options.progress) return {};
  constexpr uint64_t kPageBytes = 4096;
  constexpr uint64_t kReportBytes = uint64_t{8} << 20;
  uint64_t total = 0, done = 0, reported = 0;
  for (const StoredTensor& tensor : file.tensors().tensors()) total += tensor.n_bytes;
  [[maybe_unused]] volatile std::byte sink{};
  for (const StoredTensor& tensor : file.tensors().tensors()) {
    for (uint64_t at = 0; at < tensor.n_bytes; at += kPageBytes, done += kPageBytes) {
      sink = tensor.data[at];
      if (done - reported < kReportBytes) continue;
      reported = done;
      const double share = static_cast<double>(done) / static_cast<double>(total);
      if (!options.progress(share < 1.0 ? share : 1.0)) return Error{ErrorCode::kCancelled, "loading was cancelled"};
    }
  }
  options.progress(1.0);
  return {};
}

}  // namespace

Model::Model(std::shared_ptr<const ModelFile> file, std::shared_ptr<Backend> backend, ModelParts parts)
    : file_(std::move(file)), backend_(std::move(backend)), parts_(std::move(parts)) {}

Result<std::shared_ptr<const Model>> Model::load(std::shared_ptr<const ModelFile> file,
                                                 std::shared_ptr<Backend> backend, const LoadOptions& options) {
  ORRERY_ASSIGN_OR_RETURN(const Architecture* architecture, find_architecture(*file));
  ORRERY_ASSIGN_OR_RETURN(ModelConfig config, architecture->read_config(*file));
  if (options.progress && !options.progress(0.0)) return Error{ErrorCode::kCancelled, "loading was cancelled"};
  ORRERY_ASSIGN_OR_RETURN(ModelParts parts, architecture->build(*file, std::move(config), *backend));
  ORRERY_RETURN_IF_ERROR(touch_weights(*file, options));
  return std::shared_ptr<const Model>(new Model(std::move(file), std::move(backend), std::move(parts)));
}

Result<std::shared_ptr<const Model>> Model::load(const std::filesystem::path& path, std::shared_ptr<Backend> backend) {
  ORRERY_ASSIGN_OR_RETURN(std::shared_ptr<const ModelFile> file, ModelFile::open(path));
  return load(std::move(file), std::move(backend), {});
}

DType Model::default_kv_dtype() const {
  for (const StoredTensor& tensor : file_->tensors().tensors()) {
    if (tensor.shape.rank() >= 2 && tensor.dtype != DType::kF32) return DType::kF16;
  }
  return DType::kF32;
}

std::vector<LayerState> Model::states(DType kv_dtype) const {
  std::vector<LayerState> states;
  for (size_t layer = 0; layer < parts_.blocks.size(); ++layer) {
    for (const StateSpec& spec : parts_.blocks[layer]->describe_state(kv_dtype)) {
      states.push_back(
          {.key = {.layer = static_cast<int32_t>(layer), .iteration = 0, .kind = spec.kind}, .spec = spec});
    }
  }
  return states;
}

Result<ModelConfig> read_config(const ModelFile& file) {
  ORRERY_ASSIGN_OR_RETURN(const Architecture* architecture, find_architecture(file));
  return architecture->read_config(file);
}

}  // namespace orrery
