// Device: memory, one in-order stream, and graphs of a CUDA device, or of its emulation on the host. One thread at a
// time. Calls are queued; an error of any of them surfaces at the next wait().
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>

#include "kernels/base/result.h"
#include "kernels/cuda/launch.h"

namespace orrery {

class Device {
 public:
  // A captured sequence of calls. Pointers are captured, what they point to is not: a replay reads it anew.
  class Graph {
   public:
    virtual ~Graph() = default;
  };
  // A point in the stream.
  class Mark {
   public:
    virtual ~Mark() = default;
    virtual void wait() = 0;  // until the stream has passed it
  };

  virtual ~Device() = default;

  virtual std::string backend_name() const = 0;          // "cuda", "cuda-emulated"
  virtual std::string description() const = 0;           // "NVIDIA H200, sm_90, driver 13.0"
  virtual std::string instruction_set() const = 0;       // "sm_90", "emulated"
  virtual std::optional<size_t> free_bytes() const = 0;  // none where it cannot be told

  // Uninitialised. kOutOfMemory says how many bytes were needed and how many are there.
  virtual Result<std::byte*> allocate(size_t n_bytes) = 0;
  virtual void free(std::byte* memory) = 0;
  // Host memory that copies to and from the device run beside the host's work.
  virtual Result<std::byte*> allocate_pinned(size_t n_bytes) = 0;
  virtual void free_pinned(std::byte* memory) = 0;

  virtual void zero(std::byte* memory, size_t n_bytes) = 0;
  virtual void copy(std::byte* to, const std::byte* from, size_t n_bytes) = 0;      // within the device
  virtual void copy_in(std::byte* to, const std::byte* from, size_t n_bytes) = 0;   // host memory must stay until then
  virtual void copy_out(std::byte* to, const std::byte* from, size_t n_bytes) = 0;  // complete after wait()
  virtual void launch(const Launch& launch) = 0;
  virtual void multiply(const Gemm& gemm) = 0;

  virtual std::unique_ptr<Mark> mark() = 0;
  // Waits for all that was queued; the first error since the last wait.
  virtual Result<void> wait() = 0;

  // Calls between the two are captured instead of run. Null where the device refuses them (allocations among them).
  virtual void begin_capture() = 0;
  virtual std::unique_ptr<Graph> end_capture() = 0;
  virtual void replay(const Graph& graph) = 0;
};

// The first CUDA device. kUnsupported says in one line why there is none: not built in, no driver, one that is too old,
// no device that these kernels run on.
Result<std::unique_ptr<Device>> open_cuda_device();
// Whether open_cuda_device() is going to find one, without taking any of its memory.
Result<void> find_cuda_device();
// Runs kernels as fibers of the calling thread: right, and checked for missing barriers and unwritten shared memory,
// but thousands of times slower than a device.
std::unique_ptr<Device> make_emulated_device();

}  // namespace orrery
