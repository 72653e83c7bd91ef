#define ORRERY_CUDA_EMULATED 1
#include "engine/cuda_backend-inl.h"

namespace orrery {

Result<std::shared_ptr<Backend>> make_cuda_emulated_backend() {
  return std::shared_ptr<Backend>(std::make_shared<cuda_emulated::CudaBackend>(make_emulated_device()));
}

}  // namespace orrery
