#include "app/backend_choice.h"

#include <utility>

namespace orrery {
namespace {

constexpr int kMaxThreads = 1024;

constexpr BackendKind kKinds[] = {
    {.name = "cpu", .title = "CPU"},
    {.name = "cuda", .title = "CUDA"},
    {.name = "cuda-emulated", .title = "CUDA emulated (slow, for tests)"},
};

constexpr const char* kSlow =
    "the CUDA kernels are emulated on the CPU, thousands of times slower than a device: for tests and tiny models";

std::string names() {
  std::string text;
  for (const BackendKind& kind : kKinds) text += (text.empty() ? "" : ", ") + std::string(kind.name);
  return text;
}

Error asked_for(const Error& why, const BackendChoice& choice) {
  return {why.code, why.message + "; " + choice.advice};
}

}  // namespace

std::span<const BackendKind> backend_kinds() { return kKinds; }

Result<OpenedBackend> open_backend(const BackendChoice& choice, const BackendMakers& makers) {
  if (choice.threads < 0 || choice.threads > kMaxThreads) {
    return Error{ErrorCode::kInvalidArgument, "--threads takes a number from 1 to " + std::to_string(kMaxThreads) +
                                                  "; leave it out to use all cores"};
  }
  if (choice.name == "cpu") return OpenedBackend{.backend = makers.cpu(choice.threads), .remark = {}};
  if (choice.name == "cuda-emulated") {
    ORRERY_ASSIGN_OR_RETURN(std::shared_ptr<Backend> emulated, makers.cuda_emulated());
    return OpenedBackend{.backend = std::move(emulated), .remark = kSlow};
  }
  if (!choice.name.empty() && choice.name != "cuda") {
    return Error{ErrorCode::kInvalidArgument, "the backend is one of " + names() + ", not: " + choice.name};
  }
  Result<std::shared_ptr<Backend>> cuda = makers.cuda();
  if (cuda) return OpenedBackend{.backend = std::move(*cuda), .remark = {}};
  const Error why{cuda.error().code, "CUDA cannot be used, as " + cuda.error().message};
  if (!choice.name.empty()) return asked_for(why, choice);
  // A machine without a device is nothing to speak of; one that fails is.
  const bool expected = why.code == ErrorCode::kUnsupported;
  return OpenedBackend{.backend = makers.cpu(choice.threads),
                       .remark = expected ? "" : why.message + "; the CPU computes instead"};
}

Result<LoadedModel> load_model(const std::shared_ptr<const ModelFile>& file, const BackendChoice& choice,
                               const Model::LoadOptions& options, const BackendMakers& makers) {
  ORRERY_ASSIGN_OR_RETURN(OpenedBackend opened, open_backend(choice, makers));
  const bool on_cpu = opened.backend->name() == "cpu";
  Result<std::shared_ptr<const Model>> model = Model::load(file, std::move(opened.backend), options);
  if (model) return LoadedModel{.model = std::move(*model), .remark = std::move(opened.remark)};
  const Error why = model.error();
  if (on_cpu || why.code != ErrorCode::kOutOfMemory) return why;
  if (!choice.name.empty()) return asked_for(why, choice);
  ORRERY_ASSIGN_OR_RETURN(std::shared_ptr<const Model> instead, Model::load(file, makers.cpu(choice.threads), options));
  return LoadedModel{.model = std::move(instead), .remark = why.message + "; the CPU computes instead"};
}

}  // namespace orrery
