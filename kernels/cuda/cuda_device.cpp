// A CUDA device through the CUDA runtime, which is linked statically, and cuBLAS, which is opened when a device was
// found: without one, or without CUDA's libraries, the program starts and says so.
#include <cublas_v2.h>
#include <cuda_runtime.h>
#include <dlfcn.h>

#include <array>
#include <mutex>
#include <utility>

#include "kernels/cuda/device.h"

namespace orrery {

namespace {

constexpr int kLeastMajor = 7, kLeastMinor = 5;  // the oldest device that the kernels are compiled for

std::string version_name(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

std::string said(cudaError_t status) { return std::string(cudaGetErrorString(status)); }

// The few functions of cuBLAS that are used.
struct Cublas {
  decltype(&cublasCreate_v2) create = nullptr;
  decltype(&cublasDestroy_v2) destroy = nullptr;
  decltype(&cublasSetStream_v2) set_stream = nullptr;
  decltype(&cublasSetWorkspace_v2) set_workspace = nullptr;
  decltype(&cublasSgemm_v2) sgemm = nullptr;

  static Result<Cublas> open() {
    static constexpr const char* kNames[] = {"libcublas.so." ORRERY_CUBLAS_MAJOR, ORRERY_CUBLAS_PATH};
    void* library = nullptr;
    for (const char* name : kNames) {
      if (library == nullptr) library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    }
    if (library == nullptr) {
      return Error{ErrorCode::kUnsupported,
                   "the CUDA backend needs cuBLAS, which was not found: libcublas.so." ORRERY_CUBLAS_MAJOR};
    }
    Cublas cublas;
    const auto find = [&](auto& function, const char* name) {
      function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(dlsym(library, name));
      return function != nullptr;
    };
    if (!find(cublas.create, "cublasCreate_v2") || !find(cublas.destroy, "cublasDestroy_v2") ||
        !find(cublas.set_stream, "cublasSetStream_v2") || !find(cublas.set_workspace, "cublasSetWorkspace_v2") ||
        !find(cublas.sgemm, "cublasSgemm_v2")) {
      return Error{ErrorCode::kUnsupported, "this cuBLAS lacks functions that the CUDA backend needs"};
    }
    return cublas;
  }
};

class CudaDevice final : public Device {
 public:
  CudaDevice(const cudaDeviceProp& properties, int runtime_version, const Cublas& cublas)
      : properties_(properties), runtime_version_(runtime_version), cublas_(cublas) {}
  ~CudaDevice() override {
    if (handle_ != nullptr) cublas_.destroy(handle_);
    if (cublas_memory_ != nullptr) cudaFree(cublas_memory_);
    if (stream_ != nullptr) {
      cudaStreamSynchronize(stream_);
      cudaStreamDestroy(stream_);
    }
    // What this one freed is there for the next one to count, and for other programs.
    cudaMemPool_t pool = nullptr;
    if (cudaDeviceGetDefaultMemPool(&pool, 0) == cudaSuccess) cudaMemPoolTrimTo(pool, 0);
  }
  CudaDevice(const CudaDevice&) = delete;
  CudaDevice& operator=(const CudaDevice&) = delete;

  Result<void> start() {
    // Kept by the process: freed pages are used again by the next sequence.
    cudaMemPool_t pool = nullptr;
    uint64_t keep_all = ~uint64_t{0};
    if (cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking) != cudaSuccess ||
        cudaDeviceGetDefaultMemPool(&pool, 0) != cudaSuccess ||
        cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &keep_all) != cudaSuccess ||
        cudaMalloc(&cublas_memory_, kCublasBytes) != cudaSuccess) {
      return Error{ErrorCode::kUnsupported, "the CUDA device cannot be used: " + said(cudaGetLastError())};
    }
    // A workspace of its own makes cuBLAS repeatable and fit for graphs.
    if (cublas_.create(&handle_) != CUBLAS_STATUS_SUCCESS ||
        cublas_.set_stream(handle_, stream_) != CUBLAS_STATUS_SUCCESS ||
        cublas_.set_workspace(handle_, cublas_memory_, kCublasBytes) != CUBLAS_STATUS_SUCCESS) {
      return Error{ErrorCode::kUnsupported, "cuBLAS cannot be used on this CUDA device"};
    }
    return {};
  }

  std::string backend_name() const override { return "cuda"; }
  std::string description() const override {
    return std::string(properties_.name) + ", " + instruction_set() + ", CUDA " + version_name(runtime_version_);
  }
  std::string instruction_set() const override {
    return "sm_" + std::to_string(properties_.major) + std::to_string(properties_.minor);
  }
  std::optional<size_t> free_bytes() const override {
    size_t there = 0, total = 0;
    if (cudaMemGetInfo(&there, &total) != cudaSuccess) return std::nullopt;
    return there;
  }

  Result<std::byte*> allocate(size_t n_bytes) override {
    void* memory = nullptr;
    const cudaError_t status = cudaMallocAsync(&memory, n_bytes > 0 ? n_bytes : 1, stream_);
    if (status == cudaSuccess) return static_cast<std::byte*>(memory);
    static_cast<void>(cudaGetLastError());  // the failed allocation is no error of the stream
    const std::optional<size_t> there = free_bytes();
    return Error{ErrorCode::kOutOfMemory,
                 std::string(properties_.name) + " is out of memory: " + std::to_string(n_bytes) +
                     " bytes were needed, and there are " + (there ? std::to_string(*there) : "fewer")};
  }
  void free(std::byte* memory) override {
    if (memory != nullptr) note(cudaFreeAsync(memory, stream_));
  }
  Result<std::byte*> allocate_pinned(size_t n_bytes) override {
    void* memory = nullptr;
    if (cudaMallocHost(&memory, n_bytes > 0 ? n_bytes : 1) == cudaSuccess) return static_cast<std::byte*>(memory);
    static_cast<void>(cudaGetLastError());
    return Error{ErrorCode::kOutOfMemory,
                 "out of memory: could not pin " + std::to_string(n_bytes) + " bytes of the host's memory"};
  }
  void free_pinned(std::byte* memory) override {
    if (memory != nullptr) note(cudaFreeHost(memory));
  }

  void zero(std::byte* memory, size_t n_bytes) override { note(cudaMemsetAsync(memory, 0, n_bytes, stream_)); }
  void copy(std::byte* to, const std::byte* from, size_t n_bytes) override {
    note(cudaMemcpyAsync(to, from, n_bytes, cudaMemcpyDeviceToDevice, stream_));
  }
  void copy_in(std::byte* to, const std::byte* from, size_t n_bytes) override {
    note(cudaMemcpyAsync(to, from, n_bytes, cudaMemcpyHostToDevice, stream_));
  }
  void copy_out(std::byte* to, const std::byte* from, size_t n_bytes) override {
    note(cudaMemcpyAsync(to, from, n_bytes, cudaMemcpyDeviceToHost, stream_));
  }
  void launch(const Launch& launch) override {
    void* parameters[] = {const_cast<std::byte*>(launch.arguments.data())};
    const cudaError_t status = cudaLaunchKernel(
        reinterpret_cast<const void*>(launch.kernel), dim3(launch.grid.x, launch.grid.y, launch.grid.z),
        dim3(launch.block.x, launch.block.y, launch.block.z), parameters, launch.dynamic_shared_bytes, stream_);
    note(status, launch.name);
  }
  // cuBLAS is column major: out^T [n_out, n_rows] = weight (transposed) times x^T.
  void multiply(const Gemm& gemm) override {
    const float one = 1.0f, zero = 0.0f;
    const cublasStatus_t status =
        cublas_.sgemm(handle_, CUBLAS_OP_T, CUBLAS_OP_N, static_cast<int>(gemm.n_out), static_cast<int>(gemm.n_rows),
                      static_cast<int>(gemm.n_in), &one, gemm.weight, static_cast<int>(gemm.n_in), gemm.x,
                      static_cast<int>(gemm.x_stride), &zero, gemm.out, static_cast<int>(gemm.out_stride));
    if (status != CUBLAS_STATUS_SUCCESS && failure_) {
      failure_ = Error{ErrorCode::kIo, "cuBLAS failed with status " + std::to_string(static_cast<int>(status))};
    }
  }

  std::unique_ptr<Mark> mark() override {
    auto mark = std::make_unique<EventMark>();
    note(cudaEventCreateWithFlags(&mark->event, cudaEventDisableTiming));
    note(cudaEventRecord(mark->event, stream_));
    return mark;
  }
  Result<void> wait() override {
    note(cudaStreamSynchronize(stream_));
    return std::exchange(failure_, Result<void>());
  }

  void begin_capture() override { note(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal)); }
  std::unique_ptr<Graph> end_capture() override {
    cudaGraph_t graph = nullptr;
    auto captured = std::make_unique<CapturedGraph>();
    const bool whole = cudaStreamEndCapture(stream_, &graph) == cudaSuccess && graph != nullptr &&
                       cudaGraphInstantiate(&captured->graph, graph, 0) == cudaSuccess;
    if (graph != nullptr) cudaGraphDestroy(graph);
    if (whole) return captured;
    static_cast<void>(cudaGetLastError());
    failure_ = {};  // nothing has run yet: the pass runs call by call instead
    return nullptr;
  }
  void replay(const Graph& graph) override {
    note(cudaGraphLaunch(static_cast<const CapturedGraph&>(graph).graph, stream_));
  }

 private:
  static constexpr size_t kCublasBytes = size_t{32} << 20;  // what cuBLAS asks for on Hopper

  struct CapturedGraph final : Graph {
    cudaGraphExec_t graph = nullptr;
    ~CapturedGraph() override {
      if (graph != nullptr) cudaGraphExecDestroy(graph);
    }
  };
  struct EventMark final : Mark {
    cudaEvent_t event = nullptr;
    ~EventMark() override {
      if (event != nullptr) cudaEventDestroy(event);
    }
    void wait() override { cudaEventSynchronize(event); }
  };

  // Keeps the first error until wait() hands it over.
  void note(cudaError_t status, const char* what = "") {
    if (status == cudaSuccess || !failure_) return;
    failure_ = Error{ErrorCode::kIo, "the CUDA device failed" + (*what == '\0' ? "" : " in " + std::string(what)) +
                                         ": " + said(status)};
  }

  cudaDeviceProp properties_;
  int runtime_version_;
  Cublas cublas_;
  cudaStream_t stream_ = nullptr;
  cublasHandle_t handle_ = nullptr;
  void* cublas_memory_ = nullptr;
  Result<void> failure_;
};

int runtime_version() {
  int version = 0;
  static_cast<void>(cudaRuntimeGetVersion(&version));
  return version;
}

// Asks the driver only: nothing is allocated on the device.
Result<cudaDeviceProp> first_device() {
  int driver = 0, count = 0;
  if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0) {
    return Error{ErrorCode::kUnsupported, "there is no NVIDIA driver on this machine"};
  }
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status == cudaErrorInsufficientDriver) {
    return Error{ErrorCode::kUnsupported, "the NVIDIA driver is too old: it supports CUDA up to " +
                                              version_name(driver) + ", but this build needs CUDA " +
                                              version_name(runtime_version()) + " (driver 580 or newer)"};
  }
  if (status != cudaSuccess || count == 0) {
    return Error{ErrorCode::kUnsupported,
                 "no CUDA device can be used" + (status == cudaSuccess ? "" : ": " + said(status))};
  }
  cudaDeviceProp properties;
  if (cudaGetDeviceProperties(&properties, 0) != cudaSuccess) {
    return Error{ErrorCode::kUnsupported, "the CUDA device cannot be asked for its properties"};
  }
  if (properties.major < kLeastMajor || (properties.major == kLeastMajor && properties.minor < kLeastMinor)) {
    return Error{ErrorCode::kUnsupported, std::string(properties.name) + " is too old: compute capability " +
                                              std::to_string(properties.major) + "." +
                                              std::to_string(properties.minor) + ", but 7.5 is needed"};
  }
  return properties;
}

}  // namespace

Result<void> find_cuda_device() {
  ORRERY_RETURN_IF_ERROR(first_device());
  ORRERY_RETURN_IF_ERROR(Cublas::open());
  return {};
}

Result<std::unique_ptr<Device>> open_cuda_device() {
  ORRERY_ASSIGN_OR_RETURN(const cudaDeviceProp properties, first_device());
  ORRERY_ASSIGN_OR_RETURN(const Cublas cublas, Cublas::open());
  auto device = std::make_unique<CudaDevice>(properties, runtime_version(), cublas);
  ORRERY_RETURN_IF_ERROR(device->start());
  return std::unique_ptr<Device>(std::move(device));
}

}  // namespace orrery
