// ORRERY_HAVE_CUDA: the kernels were compiled by nvcc.
#include "kernels/cuda/device.h"

#ifdef ORRERY_HAVE_CUDA
#include "engine/cuda_backend-inl.h"
#else
#include "engine/backend.h"
#endif

namespace orrery {

Result<std::shared_ptr<Backend>> make_cuda_backend() {
#ifdef ORRERY_HAVE_CUDA
  ORRERY_ASSIGN_OR_RETURN(std::unique_ptr<Device> device, open_cuda_device());
  return std::shared_ptr<Backend>(std::make_shared<cuda::CudaBackend>(std::move(device)));
#else
  return open_cuda_device().error();
#endif
}

Result<void> find_cuda_backend() { return find_cuda_device(); }

}  // namespace orrery
