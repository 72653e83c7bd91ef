#include "kernels/cuda/embedding.h"
#include "kernels/cuda/weight_formats.h"

namespace orrery::ORRERY_CUDA_NAMESPACE {

namespace {

constexpr uint32_t kThreads = 128;

struct RowsArguments {
  const uint8_t* table;
  const int32_t* ids;  // null: rows follow each other
  float* out;
  int64_t row_bytes;
  int64_t out_stride;
  uint32_t n_rows;
  uint32_t n_parts;  // of a row
  float scale;
  uint32_t unused = 0;
};

template <int kRun>
__device__ void store_run(const float (&values)[kRun], float* out) {
  if constexpr (kRun == 4) {
    if (reinterpret_cast<uintptr_t>(out) % sizeof(Float4) == 0) {
      *reinterpret_cast<Float4*>(out) = {{values[0], values[1], values[2], values[3]}};
      return;
    }
  }
  for (int i = 0; i < kRun; ++i) out[i] = values[i];
}

// A thread per part of a block.
template <class Format>
__global__ void rows_kernel(RowsArguments a) {
  const uint32_t thread = blockIdx.x * kThreads + threadIdx.x;
  const uint32_t row = thread / a.n_parts;
  if (row >= a.n_rows) return;
  const uint32_t of_row = thread - row * a.n_parts;
  const int64_t block = of_row / Format::kParts;
  const int part = static_cast<int>(of_row % Format::kParts);
  const int64_t table_row = a.ids == nullptr ? static_cast<int64_t>(row) : a.ids[row];
  const auto decoded = Format::load(a.table + table_row * a.row_bytes + block * Format::kBytes, part);
  float* const out = a.out + row * a.out_stride + block * Format::kBlock + Format::first_element(part);
  for (int g = 0; g < Format::kGroups; ++g) {
    for (int run = 0; run < Format::kRuns; ++run) {
      float values[Format::kRun];
      Format::unscaled(decoded, g, run, values);
      for (int i = 0; i < Format::kRun; ++i) {
        if constexpr (Format::kScaled) values[i] = decoded.scale[g] * values[i];
        if constexpr (Format::kLeast) values[i] = values[i] + decoded.least[g];
        values[i] = values[i] * a.scale;
      }
      store_run(values, out + Format::offset(g, run));
    }
  }
}

// Rows of `table` that `ids` names, or its first ones.
void push_rows(const TensorView& table, const int32_t* ids, float scale, Matrix<float> out, CommandStream& stream) {
  if (out.n_rows == 0 || out.n_cols == 0) return;
  with_format(table, [&]<class Format>(Format) {
    const RowsArguments arguments{
        .table = reinterpret_cast<const uint8_t*>(table.data),
        .ids = ids,
        .out = out.data,
        .row_bytes = static_cast<int64_t>(row_bytes(table.dtype, static_cast<size_t>(out.n_cols))),
        .out_stride = out.row_stride,
        .n_rows = static_cast<uint32_t>(out.n_rows),
        .n_parts = static_cast<uint32_t>(out.n_cols / Format::kBlock * Format::kParts),
        .scale = scale};
    stream.push(make_launch("embed", rows_kernel<Format>, {.x = blocks_for(out.n_rows * arguments.n_parts, kThreads)},
                            {.x = kThreads}, arguments));
  });
}

}  // namespace

void embed(const TensorView& table, std::span<const int32_t> ids, float scale, Matrix<float> out,
           CommandStream& stream) {
  push_rows(table, stream.upload(ids), scale, out, stream);
}

void dequantize_rows(const TensorView& weight, int64_t first_row, Matrix<float> out, CommandStream& stream) {
  const TensorView rows{.dtype = weight.dtype, .shape = {out.n_rows, weight.n_cols()}, .data = weight.row(first_row)};
  push_rows(rows, nullptr, 1.0f, out, stream);
}

}  // namespace orrery::ORRERY_CUDA_NAMESPACE
