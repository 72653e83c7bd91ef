// Which backend computes: what --backend, and the choice in the window, mean.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "engine/backend.h"
#include "engine/model.h"
#include "engine/model_file.h"
#include "kernels/base/result.h"

namespace orrery {

struct BackendKind {
  std::string_view name;   // what --backend takes and sessions note
  std::string_view title;  // for people
};
// Those that a user can ask for, the fastest to start with first.
std::span<const BackendKind> backend_kinds();

struct BackendChoice {
  std::string name;  // of a BackendKind; empty: CUDA where a device works, else the CPU
  int threads = 0;   // of the CPU; 0: all usable cores
  // What to do where a backend that was asked for cannot be used: the end of the sentence that says so.
  std::string advice = "use --backend cpu";
};

// How backends come to be; tests put others in their place.
struct BackendMakers {
  std::function<std::shared_ptr<Backend>(int n_threads)> cpu = make_cpu_backend;
  std::function<Result<void>()> find_cuda = find_cuda_backend;
  std::function<Result<std::shared_ptr<Backend>>()> cuda = make_cuda_backend;
  std::function<Result<std::shared_ptr<Backend>>()> cuda_emulated = make_cuda_emulated_backend;
};

struct OpenedBackend {
  std::shared_ptr<Backend> backend;
  std::string remark;  // one sentence that the user should read: that it is slow, that it is not the one expected
};
// Opening a CUDA device takes time: only for what computes. By default a machine without one computes on the CPU
// without a word. kInvalidArgument for names and numbers of threads that there are none of; why a backend that was
// asked for cannot be used.
Result<OpenedBackend> open_backend(const BackendChoice& choice, const BackendMakers& makers = {});

struct LoadedModel {
  std::shared_ptr<const Model> model;
  std::string remark;  // as above
};
// Loads the model on the chosen backend. By default a model that does not fit a device's memory goes to the CPU, with a
// remark that has the bytes needed and there; kOutOfMemory where the backend was asked for.
Result<LoadedModel> load_model(const std::shared_ptr<const ModelFile>& file, const BackendChoice& choice,
                               const Model::LoadOptions& options, const BackendMakers& makers = {});

}  // namespace orrery
