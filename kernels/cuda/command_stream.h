// CommandStream: the work of one forward pass on a device. Operations append launches and products; finish() uploads
// their small inputs in one copy, runs all, and brings back what the host reads. A pass that repeats the one before it
// command for command runs as a CUDA graph: what differs from step to step (ids, positions, page tables, key ranges)
// lies in the uploaded inputs, not in arguments. One thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <variant>
#include <vector>

#include "kernels/base/result.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/launch.h"

namespace orrery {

class CommandStream {
 public:
  explicit CommandStream(Device& device) : device_(device) {}
  ~CommandStream();
  CommandStream(const CommandStream&) = delete;
  CommandStream& operator=(const CommandStream&) = delete;

  struct Copy {
    std::byte* to = nullptr;
    const std::byte* from = nullptr;
    size_t n_bytes = 0;
    bool operator==(const Copy&) const = default;
  };

  void push(const Launch& launch) { commands_.emplace_back(launch); }
  void push(const Gemm& gemm) { commands_.emplace_back(gemm); }
  void push_copy(const Copy& within_device) { commands_.emplace_back(within_device); }

  // Where `values` will lie on the device when the commands run; they are copied at once.
  template <typename T>
  const T* upload(std::span<const T> values) {
    return reinterpret_cast<const T*>(upload_bytes(std::as_bytes(values)));
  }
  // Device memory that commands up to the next finish() may use; aligned to 256 bytes, contents undefined.
  std::byte* scratch(size_t n_bytes);
  float* scratch_floats(int64_t n) { return reinterpret_cast<float*>(scratch(static_cast<size_t>(n) * sizeof(float))); }
  // The same memory for all who ask in a pass, as far as it is large enough: for contents that the asker's own commands
  // write and read before anyone else asks.
  std::byte* shared_scratch(size_t n_bytes);

  // Runs all commands, then copies `wanted` from the device (to pinned memory). The first error of any of them.
  Result<void> finish(std::span<const Copy> wanted);

  // How many passes ran as a replayed graph, for tests and benchmarks.
  int64_t n_replays() const { return n_replays_; }

 private:
  using Command = std::variant<Launch, Gemm, Copy>;
  // Memory that fills from its beginning in every pass, chunk after chunk, so that equal passes get equal addresses.
  struct Chunk {
    std::byte* device = nullptr;
    std::byte* host = nullptr;  // pinned; inputs only
    size_t capacity = 0;
    size_t used = 0;
  };
  // All that a pass consists of.
  struct Pass {
    std::vector<Command> commands;
    std::vector<Copy> uploads;
    std::vector<Copy> wanted;
    bool operator==(const Pass&) const = default;
  };

  std::byte* upload_bytes(std::span<const std::byte> bytes);
  // The place of n_bytes in the chunks; null and `failure_` where memory is out.
  Chunk* chunk_with_room(std::vector<Chunk>& chunks, size_t n_bytes, bool pinned);
  void issue(const Pass& pass);

  Device& device_;
  std::vector<Command> commands_;
  std::vector<Chunk> inputs_;
  std::vector<Chunk> scratch_;
  std::byte* shared_scratch_ = nullptr;  // of this pass
  size_t shared_scratch_bytes_ = 0;
  Result<void> failure_;
  Pass last_;                             // the pass before this one
  std::unique_ptr<Device::Graph> graph_;  // of last_, or null
  int64_t n_replays_ = 0;
};

}  // namespace orrery
