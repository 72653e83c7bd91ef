// The bytes of `chunk.data`: a span of steps of one probe, packed without loss. schema.h describes the layout.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/base/result.h"
#include "probes/frame.h"

struct ZSTD_CCtx_s;
struct ZSTD_DCtx_s;

namespace orrery {

// A chunk of several steps never holds more raw bytes than this; one step alone may hold up to kMaxStepBytes.
inline constexpr size_t kMaxChunkBytes = size_t{16} << 20;
inline constexpr size_t kMaxStepBytes = size_t{1} << 29;
// Steps of a run that the program handles at most: bounds what a damaged file can make it allocate.
inline constexpr int64_t kMaxSteps = int64_t{1} << 22;

// The form of one step's values: what all steps of a chunk have in common.
struct ChunkForm {
  const Probe* probe = nullptr;
  int32_t level = 0;            // rows are steps, or cells of several (probes/levels.h)
  std::vector<int32_t> layers;  // ascending; empty where the probe has no layer axis
  std::vector<int32_t> heads;   // as Frame::heads
  std::vector<int64_t> inner;   // sizes after [t, layer]; 0 for kKey and kKeyBlock, which the step gives
  bool operator==(const ChunkForm& other) const = default;

  // The form of a frame; kInvalidArgument where its shape does not fit its probe and its steps.
  static Result<ChunkForm> of(const Frame& frame);
  int64_t row_steps() const { return steps_per_cell(level); }
  int64_t last_step(int64_t step) const { return step + row_steps() - 1; }  // of the row that begins with `step`
  DType dtype() const { return level == 0 ? probe->dtype : DType::kF32; }
  // Sizes after t of a Frame whose last step is `step`.
  std::vector<int64_t> step_shape(int64_t step) const;
  int64_t values_at(int64_t step) const;  // stored for the row that begins with that step
  size_t value_bytes() const;
  size_t bytes_at(int64_t step) const { return static_cast<size_t>(values_at(step)) * value_bytes(); }
  // Bytes of steps [begin, end), whole rows, exactly; kInvalidFile where that is beyond the bounds above.
  Result<size_t> bytes_of(int64_t step_begin, int64_t step_end) const;
};

// Appends the stored bytes of one row of a frame (its key axis cut to what the row may see).
void append_step(const Frame& frame, const ChunkForm& form, int64_t step, std::vector<std::byte>& raw);

// Encodes raw rows into `data`. Buffers are kept between calls. One thread at a time.
class ChunkEncoder {
 public:
  ChunkEncoder();
  struct Encoded {
    std::string_view codec;           // "fixed20+shuffle4+zstd": schema.h
    std::span<const std::byte> data;  // valid until the next call
  };
  // The rows from step_begin on.
  Encoded encode(const ChunkForm& form, int64_t step_begin, std::span<const std::byte> raw);

 private:
  struct FreeContext {
    void operator()(ZSTD_CCtx_s* context) const;
  };
  std::unique_ptr<ZSTD_CCtx_s, FreeContext> context_;
  std::vector<std::byte> words_;
  std::vector<std::byte> plain_;
  std::vector<std::byte> compressed_;
};

// A chunk as it was before encoding.
struct UnpackedChunk {
  ChunkForm form;
  int64_t step_begin = 0;
  int64_t step_end = 0;
  std::unique_ptr<std::byte[]> values;
  size_t n_bytes = 0;
  std::span<const std::byte> raw() const { return {values.get(), n_bytes}; }
};

// Steps [begin, end), whole rows, of a chunk as a Frame, rectangular again; may share the chunk's memory.
Frame cut_chunk(const std::shared_ptr<const UnpackedChunk>& chunk, int64_t run, int64_t begin, int64_t end);

// Decodes chunks. Its buffer is kept between calls. One thread at a time.
class ChunkDecoder {
 public:
  ChunkDecoder();
  // Checks everything against the probe's axes, the model and the step range before memory is taken. kInvalidFile.
  Result<UnpackedChunk> decode(const Probe& probe, const ModelConfig& config, int32_t level, int64_t step_begin,
                               int64_t step_end, std::string_view codec, std::span<const std::byte> data);

 private:
  struct FreeContext {
    void operator()(ZSTD_DCtx_s* context) const;
  };
  // Of a frame that unpacks to so many bytes; empty where it does not.
  std::span<const std::byte> unpack(std::span<const std::byte> data, size_t n_bytes);

  std::unique_ptr<ZSTD_DCtx_s, FreeContext> context_;
  std::unique_ptr<std::byte[]> plain_;  // not cleared: unpacking writes all of it
  size_t capacity_ = 0;
};

}  // namespace orrery
