// Stands for cuda_device.cpp in a build without CUDA.
#include "kernels/cuda/device.h"

namespace orrery {

namespace {

Error no_cuda() {
  return {ErrorCode::kUnsupported,
          "this build has no CUDA backend (it was configured without nvcc, or with ORRERY_CUDA=OFF)"};
}

}  // namespace

Result<std::unique_ptr<Device>> open_cuda_device() { return no_cuda(); }

Result<void> find_cuda_device() { return no_cuda(); }

}  // namespace orrery
