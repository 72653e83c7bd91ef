// The emulated device: host memory, and every call done at once.
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "kernels/cuda/device.h"
#include "kernels/cuda/emulation.h"

namespace orrery {

namespace {

constexpr size_t kAlignment = 256;                 // as cudaMalloc's
constexpr size_t kMemoryBytes = size_t{16} << 30;  // a device has an end too

class EmulatedDevice final : public Device {
 public:
  std::string backend_name() const override { return "cuda-emulated"; }
  std::string description() const override { return "CUDA kernels emulated on the CPU"; }
  std::string instruction_set() const override { return "emulated"; }
  std::optional<size_t> free_bytes() const override { return kMemoryBytes - used_bytes_; }

  Result<std::byte*> allocate(size_t n_bytes) override {
    if (n_bytes > kMemoryBytes - used_bytes_) {
      return Error{ErrorCode::kOutOfMemory, "the emulated CUDA device is out of memory: " + std::to_string(n_bytes) +
                                                " bytes were needed, and there are " +
                                                std::to_string(kMemoryBytes - used_bytes_)};
    }
    ORRERY_ASSIGN_OR_RETURN(std::byte * memory, allocate_pinned(n_bytes));
    sizes_[memory] = n_bytes;
    used_bytes_ += n_bytes;
    return memory;
  }
  void free(std::byte* memory) override {
    if (memory == nullptr) return;
    const auto found = sizes_.find(memory);
    CHECK(found != sizes_.end(), "memory that the emulated device did not give");
    used_bytes_ -= found->second;
    sizes_.erase(found);
    std::free(memory);
  }
  Result<std::byte*> allocate_pinned(size_t n_bytes) override {
    const size_t rounded = (n_bytes + kAlignment) / kAlignment * kAlignment;
    auto* memory = rounded < n_bytes ? nullptr : static_cast<std::byte*>(std::aligned_alloc(kAlignment, rounded));
    if (memory == nullptr) {
      return Error{ErrorCode::kOutOfMemory, "out of memory: could not allocate " + std::to_string(n_bytes) + " bytes"};
    }
    // NaN as floats: what a kernel reads without having written it shows.
    std::memset(memory, 0xff, rounded);
    return memory;
  }
  void free_pinned(std::byte* memory) override { std::free(memory); }

  void zero(std::byte* memory, size_t n_bytes) override {
    submit([=] { std::memset(memory, 0, n_bytes); });
  }
  void copy(std::byte* to, const std::byte* from, size_t n_bytes) override {
    submit([=] { std::memcpy(to, from, n_bytes); });
  }
  void copy_in(std::byte* to, const std::byte* from, size_t n_bytes) override { copy(to, from, n_bytes); }
  void copy_out(std::byte* to, const std::byte* from, size_t n_bytes) override { copy(to, from, n_bytes); }
  void launch(const Launch& launch) override {
    submit([this, launch] {
      if (!failure_) return;  // as on a device, nothing runs after an error
      failure_ = cuda_emulated::run(launch);
    });
  }
  void multiply(const Gemm& gemm) override {
    submit([gemm] { multiply_plainly(gemm); });
  }

  std::unique_ptr<Mark> mark() override { return std::make_unique<PassedMark>(); }
  Result<void> wait() override { return std::exchange(failure_, Result<void>()); }

  void begin_capture() override { captured_ = std::make_unique<RecordedCalls>(); }
  std::unique_ptr<Graph> end_capture() override { return std::move(captured_); }
  void replay(const Graph& graph) override {
    for (const auto& call : static_cast<const RecordedCalls&>(graph).calls) call();
  }

 private:
  struct RecordedCalls final : Graph {
    std::vector<std::function<void()>> calls;
  };
  struct PassedMark final : Mark {
    void wait() override {}
  };

  template <typename Call>
  void submit(Call&& call) {
    if (captured_ != nullptr) {
      captured_->calls.emplace_back(std::forward<Call>(call));
    } else {
      call();
    }
  }

  // What cuBLAS is held against: float64 sums.
  static void multiply_plainly(const Gemm& gemm) {
    for (int64_t r = 0; r < gemm.n_rows; ++r) {
      for (int64_t o = 0; o < gemm.n_out; ++o) {
        double sum = 0.0;
        for (int64_t i = 0; i < gemm.n_in; ++i) {
          sum += double{gemm.x[r * gemm.x_stride + i]} * double{gemm.weight[o * gemm.n_in + i]};
        }
        gemm.out[r * gemm.out_stride + o] = static_cast<float>(sum);
      }
    }
  }

  std::unordered_map<const std::byte*, size_t> sizes_;
  size_t used_bytes_ = 0;
  Result<void> failure_;
  std::unique_ptr<RecordedCalls> captured_;
};

}  // namespace

std::unique_ptr<Device> make_emulated_device() { return std::make_unique<EmulatedDevice>(); }

}  // namespace orrery
