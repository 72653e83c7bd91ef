#include "engine/model.h"

#include <algorithm>

#include "engine/models/registry.h"

namespace orrery {

namespace {

uint64_t weight_bytes(const ModelFile& file) {
  uint64_t total = 0;
  for (const StoredTensor& tensor : file.tensors().tensors()) total += tensor.n_bytes;
  return total;
}

Result<void> check_room(const ModelFile& file, const Backend& backend) {
  const std::optional<size_t> there = backend.free_bytes();
  if (!there || weight_bytes(file) <= *there) return {};
  return Error{ErrorCode::kOutOfMemory, file.path() + ": the weights do not fit (" + backend.description() +
                                            "): they need " + std::to_string(weight_bytes(file)) +
                                            " bytes, and those that are free are " + std::to_string(*there)};
}

// Counts the bytes that are in place, of all in the file; tied weights are placed once and counted once.
PlaceProgress count_placed(const ModelFile& file, const std::function<bool(double)>& report) {
  if (!report) return {};
  const auto total = static_cast<double>(std::max<uint64_t>(1, weight_bytes(file)));
  return [&report, total, placed = size_t{0}](size_t n_bytes) mutable -> Result<void> {
    placed += n_bytes;
    if (report(std::min(1.0, static_cast<double>(placed) / total))) return {};
    return Error{ErrorCode::kCancelled, "loading was cancelled"};
  };
}

}  // namespace

Model::Model(std::shared_ptr<const ModelFile> file, std::shared_ptr<Backend> backend, ModelParts parts)
    : file_(std::move(file)), backend_(std::move(backend)), parts_(std::move(parts)) {}

Result<std::shared_ptr<const Model>> Model::load(std::shared_ptr<const ModelFile> file,
                                                 std::shared_ptr<Backend> backend, const LoadOptions& options) {
  ORRERY_ASSIGN_OR_RETURN(const Architecture* architecture, find_architecture(*file));
  ORRERY_ASSIGN_OR_RETURN(ModelConfig config, architecture->read_config(*file));
  if (options.progress && !options.progress(0.0)) return Error{ErrorCode::kCancelled, "loading was cancelled"};
  ORRERY_RETURN_IF_ERROR(check_room(*file, *backend));
  const Placement placement{.backend = *backend, .progress = count_placed(*file, options.progress)};
  // Before it is built: what blocks are told of their loop may follow from how often it goes round.
  ORRERY_ASSIGN_OR_RETURN(const LoopConfig loop, apply(options.loop, config, *file));
  config.loop = loop;
  ORRERY_ASSIGN_OR_RETURN(ModelParts parts, architecture->build(*file, std::move(config), placement));
  if (loop.any() && parts.loop == nullptr) parts.loop = std::make_unique<DampedLoop>(loop.n_iterations);
  parts.config = unrolled(std::move(parts.config));
  if (options.progress) options.progress(1.0);
  return std::shared_ptr<const Model>(new Model(std::move(file), std::move(backend), std::move(parts)));
}

Result<std::shared_ptr<const Model>> Model::load(const std::filesystem::path& path, std::shared_ptr<Backend> backend) {
  ORRERY_ASSIGN_OR_RETURN(std::shared_ptr<const ModelFile> file, ModelFile::open(path));
  return load(std::move(file), std::move(backend), {});
}

DType default_kv_dtype(const ModelFile& file) {
  for (const StoredTensor& tensor : file.tensors().tensors()) {
    if (tensor.shape.rank() >= 2 && tensor.dtype != DType::kF32) return DType::kF16;
  }
  return DType::kF32;
}

std::vector<LayerState> Model::states(DType kv_dtype) const {
  std::vector<LayerState> states;
  const LoopConfig& loop = parts_.config.loop;
  for (int32_t visit = 0; visit < parts_.config.n_layers(); ++visit) {
    const LayerConfig& layer = parts_.config.layers[static_cast<size_t>(visit)];
    for (const StateSpec& spec : parts_.blocks[static_cast<size_t>(layer.index)]->describe_state(kv_dtype)) {
      LayerState state{.key = {.layer = visit, .iteration = layer.iteration, .kind = spec.kind}, .spec = spec};
      if (loop.cache == LoopCache::kShared && layer.iteration > 0) {
        state.shared_with = {.layer = layer.index, .iteration = 0, .kind = spec.kind};
      }
      states.push_back(state);
    }
  }
  return states;
}

bool Model::reads_normed() const {
  const LoopConfig& loop = parts_.config.loop;
  return loop.any() && parts_.loop->is_normed() && loop.end == static_cast<int32_t>(parts_.blocks.size());
}

Result<ModelConfig> read_config(const ModelFile& file) {
  ORRERY_ASSIGN_OR_RETURN(const Architecture* architecture, find_architecture(file));
  return architecture->read_config(file);
}

}  // namespace orrery
