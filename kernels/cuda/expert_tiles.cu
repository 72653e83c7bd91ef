#include <algorithm>
#include <vector>

#include "kernels/cuda/expert_tiles.h"
#include "kernels/cuda/weight_formats.h"

namespace orrery::ORRERY_CUDA_NAMESPACE {

namespace {

constexpr int32_t kTileChoices = 64;
constexpr int32_t kTileOutputs = 64;
constexpr int32_t kStep = 64;  // elements of rows that a tile takes at once
constexpr int32_t kTileThreads = 128;
constexpr int32_t kMostGroupThreads = 1024;

// Choices [begin, end) of the sorted ones, all of one expert.
struct ExpertTile {
  int32_t expert = 0;
  int32_t begin = 0;
  int32_t end = 0;
  uint32_t unused = 0;
};

struct GroupArguments {
  const int32_t* experts;  // [n_choices] or null
  int32_t* choices;        // [n_choices] by expert, ascending
  ExpertTile* tiles;       // [most_tiles()] some of them empty
  int32_t n_choices;
  int32_t n_chosen;

  __device__ int32_t expert_of(int32_t choice) const {
    return experts == nullptr ? choice % n_chosen : experts[choice];
  }
};

// Expert e with choices [b, b + c) has the tiles from b / 64 + e on, of which there are at least as many as it needs:
// so no expert waits to hear how many tiles the others have.
int64_t most_tiles(int64_t n_choices, int64_t n_experts) { return n_choices / kTileChoices + n_experts; }

// A block per expert: counts what comes before it, then puts its choices in their places. Each warp has a run of them.
__global__ void group_choices_kernel(GroupArguments a) {
  ORRERY_SHARED(int32_t, before, kMostGroupThreads / 32);
  ORRERY_SHARED(int32_t, own, kMostGroupThreads / 32);
  const auto expert = static_cast<int32_t>(blockIdx.x);
  const auto lane = static_cast<int32_t>(threadIdx.x % kWarp), warp = static_cast<int32_t>(threadIdx.x / kWarp);
  const auto n_warps = static_cast<int32_t>(blockDim.x / kWarp), n_threads = static_cast<int32_t>(blockDim.x);
  const int32_t n_turns = (a.n_choices + n_threads - 1) / n_threads, first = warp * n_turns * 32;
  int32_t n_before = 0, n_own = 0;
  for (int32_t turn = 0; turn < n_turns; ++turn) {
    const int32_t choice = first + turn * 32 + lane;
    const int32_t chosen = choice < a.n_choices ? a.expert_of(choice) : expert + 1;
    n_before += __popc(__ballot_sync(kWholeWarp, chosen < expert ? 1 : 0));
    n_own += __popc(__ballot_sync(kWholeWarp, chosen == expert ? 1 : 0));
  }
  if (lane == 0) {
    before[warp] = n_before;
    own[warp] = n_own;
  }
  __syncthreads();
  int32_t begin = 0, n = 0, at = 0;
  for (int32_t w = 0; w < n_warps; ++w) {
    begin += before[w];
    if (w < warp) at += own[w];
    n += own[w];
  }
  at += begin;
  for (int32_t turn = 0; turn < n_turns; ++turn) {
    const int32_t choice = first + turn * 32 + lane;
    const bool is_own = choice < a.n_choices && a.expert_of(choice) == expert;
    const uint32_t ballot = __ballot_sync(kWholeWarp, is_own ? 1 : 0);
    if (is_own) a.choices[at + __popc(ballot & ((1u << lane) - 1))] = choice;
    at += __popc(ballot);
  }
  const int32_t first_tile = begin / kTileChoices + expert, end_tile = (begin + n) / kTileChoices + expert + 1;
  for (int32_t tile = first_tile + static_cast<int32_t>(threadIdx.x); tile < end_tile; tile += n_threads) {
    ExpertTile made;
    made.expert = expert;
    made.begin = begin + (tile - first_tile) * kTileChoices;
    made.end = made.begin + kTileChoices < begin + n ? made.begin + kTileChoices : begin + n;
    a.tiles[tile] = made;
  }
}

struct TileArguments {
  const float* x;
  const int32_t* choices;
  const ExpertTile* tiles;
  ExpertPlaces weights;
  ExpertPlaces biases;
  float* out;
  int64_t x_stride;
  int64_t out_stride;
  int64_t row_bytes;  // of each weight
  int32_t n_out;
  int32_t n_parts;       // of a row of a weight
  int32_t choices_of_x;  // choices that share a row of x
  int32_t x_is_aligned;  // whether four values can be read at once
};

// What a format's parts are to a tile: all elements of a part are taken in one step.
template <class Format>
struct PartsOfStep {
  static constexpr int kElements = Format::kGroups * Format::kRuns * Format::kRun;  // of a part
  static constexpr int kParts = kStep / kElements;
  static_assert(kElements * kParts == kStep);
};

// A part of a weight's row to the column `at` of the tile, scaled.
template <class Format, typename Floats>
__device__ void put_weights(const uint8_t* row, int32_t part, Floats& tile, int32_t at) {
  const auto decoded = Format::load(row + int64_t{part / Format::kParts} * Format::kBytes, part % Format::kParts);
  ORRERY_UNROLL for (int g = 0; g < Format::kGroups; ++g) {
    ORRERY_UNROLL for (int run = 0; run < Format::kRuns; ++run) {
      float values[Format::kRun];
      Format::unscaled(decoded, g, run, values);
      ORRERY_UNROLL for (int i = 0; i < Format::kRun; ++i) {
        if constexpr (Format::kScaled) values[i] = decoded.scale[g] * values[i];
        if constexpr (Format::kLeast) values[i] = values[i] + decoded.least[g];
        tile[at + ((g * Format::kRuns + run) * Format::kRun + i) * (kTileOutputs + 1)] = values[i];
      }
    }
  }
}

// The elements of a row of x that meet those of a part, in the same order.
template <class Format, typename Floats>
__device__ void put_inputs(const float* row, int32_t part, bool is_aligned, Floats& tile, int32_t at) {
  const float* const from = row + int64_t{part / Format::kParts} * Format::kBlock +
                            Format::first_element(part % static_cast<int32_t>(Format::kParts));
  ORRERY_UNROLL for (int g = 0; g < Format::kGroups; ++g) {
    ORRERY_UNROLL for (int run = 0; run < Format::kRuns; ++run) {
      float values[Format::kRun];
      const float* const of_run = from + Format::offset(g, run);
      if (Format::kRun == 4 && is_aligned) {
        const Float4 four = *reinterpret_cast<const Float4*>(of_run);
        ORRERY_UNROLL for (int i = 0; i < Format::kRun; ++i) values[i] = four.value[i];
      } else {
        ORRERY_UNROLL for (int i = 0; i < Format::kRun; ++i) values[i] = of_run[i];
      }
      ORRERY_UNROLL for (int i = 0; i < Format::kRun; ++i) {
        tile[at + ((g * Format::kRuns + run) * Format::kRun + i) * (kTileChoices + 1)] = values[i];
      }
    }
  }
}

template <class Format, typename Floats>
__device__ void put_zeros(Floats& tile, int32_t at, int32_t stride) {
  for (int32_t i = 0; i < PartsOfStep<Format>::kElements; ++i) tile[at + i * stride] = 0.0f;
}

// A block per tile of choices (x) and of outputs (y): a thread has 8 choices and every 16th output.
template <class Format>
__global__ void __launch_bounds__(kTileThreads) expert_tile_kernel(TileArguments a) {
  using Parts = PartsOfStep<Format>;
  constexpr int kOwnChoices = 8, kOwnOutputs = 4, kSide = kTileOutputs / kOwnOutputs;
  static_assert(kTileThreads / kSide * kOwnChoices == kTileChoices);
  ORRERY_SHARED(float, weights, kStep*(kTileOutputs + 1));  // [kStep, outputs], a float apart for the banks' sake
  ORRERY_SHARED(float, inputs, kStep*(kTileChoices + 1));
  const ExpertTile tile = a.tiles[blockIdx.x];
  if (tile.begin >= tile.end) return;
  const int32_t n_choices = tile.end - tile.begin;
  const int32_t first_output = static_cast<int32_t>(blockIdx.y) * kTileOutputs;
  const auto thread = static_cast<int32_t>(threadIdx.x);
  const int32_t side = thread % kSide, first_choice = thread / kSide * kOwnChoices;
  const uint8_t* const weight = a.weights.of<uint8_t>(tile.expert);
  float sums[kOwnChoices][kOwnOutputs] = {};
  for (int32_t first_part = 0; first_part < a.n_parts; first_part += Parts::kParts) {
    __syncthreads();
    for (int32_t i = thread; i < kTileOutputs * Parts::kParts; i += kTileThreads) {
      const int32_t of_step = i % Parts::kParts, part = first_part + of_step, output = i / Parts::kParts;
      const int32_t at = of_step * Parts::kElements * (kTileOutputs + 1) + output;
      if (part < a.n_parts && first_output + output < a.n_out) {
        put_weights<Format>(weight + (first_output + output) * a.row_bytes, part, weights, at);
      } else {
        put_zeros<Format>(weights, at, kTileOutputs + 1);
      }
    }
    for (int32_t i = thread; i < kTileChoices * Parts::kParts; i += kTileThreads) {
      const int32_t of_step = i % Parts::kParts, part = first_part + of_step, choice = i / Parts::kParts;
      const int32_t at = of_step * Parts::kElements * (kTileChoices + 1) + choice;
      if (part < a.n_parts && choice < n_choices) {
        const int32_t row = a.choices[tile.begin + choice] / a.choices_of_x;
        put_inputs<Format>(a.x + row * a.x_stride, part, a.x_is_aligned != 0, inputs, at);
      } else {
        put_zeros<Format>(inputs, at, kTileChoices + 1);
      }
    }
    __syncthreads();
    if (first_choice >= n_choices) continue;
    for (int32_t k = 0; k < kStep; ++k) {
      float w[kOwnOutputs];
      ORRERY_UNROLL for (int j = 0; j < kOwnOutputs; ++j) w[j] = weights[k * (kTileOutputs + 1) + side + j * kSide];
      ORRERY_UNROLL for (int i = 0; i < kOwnChoices; ++i) {
        const float x = inputs[k * (kTileChoices + 1) + first_choice + i];
        ORRERY_UNROLL for (int j = 0; j < kOwnOutputs; ++j) sums[i][j] = fmaf(w[j], x, sums[i][j]);
      }
    }
  }
  const float* const bias = a.biases.first == nullptr ? nullptr : a.biases.of<float>(tile.expert);
  ORRERY_UNROLL for (int i = 0; i < kOwnChoices; ++i) {
    if (first_choice + i >= n_choices) continue;
    float* const out = a.out + a.choices[tile.begin + first_choice + i] * a.out_stride;
    ORRERY_UNROLL for (int j = 0; j < kOwnOutputs; ++j) {
      const int32_t output = first_output + side + j * kSide;
      if (output >= a.n_out) continue;
      out[output] = bias == nullptr ? sums[i][j] : sums[i][j] + bias[output];
    }
  }
}

}  // namespace

const TensorView& least_wide(const ExpertProduct& product) {
  const auto found = std::ranges::find_if_not(product.weights, is_wide);
  return found == product.weights.end() ? product.weights.front() : *found;
}

ExpertPlaces places_of(std::span<const TensorView> tensors, CommandStream& stream) {
  if (tensors.empty()) return {};
  const auto address_of = [&](size_t e) { return static_cast<int64_t>(reinterpret_cast<uintptr_t>(tensors[e].data)); };
  const int64_t step = tensors.size() == 1 ? 0 : address_of(1) - address_of(0);
  bool is_even = step >= 0;
  for (size_t e = 0; is_even && e < tensors.size(); ++e) {
    is_even = address_of(e) == address_of(0) + static_cast<int64_t>(e) * step;
  }
  if (is_even) return {.first = tensors.front().data, .step = step};
  std::vector<const std::byte*> addresses;
  for (const TensorView& tensor : tensors) addresses.push_back(tensor.data);
  return {.first = stream.upload(std::span<const std::byte* const>(addresses)), .step = -1};
}

void multiply_by_tiles(Matrix<const float> x, const Routes& routes, std::span<const ExpertProduct> products,
                       CommandStream& stream) {
  const int64_t n_choices = routes.n_rows * routes.n_chosen;
  const auto n_experts = static_cast<int64_t>(products.front().weights.size());
  const int64_t n_tiles = most_tiles(n_choices, n_experts);
  auto* const tiles = reinterpret_cast<ExpertTile*>(stream.shared_scratch(
      static_cast<size_t>(n_tiles) * sizeof(ExpertTile) + static_cast<size_t>(n_choices) * sizeof(int32_t)));
  if (tiles == nullptr) return;  // the pass fails before it runs
  auto* const choices = reinterpret_cast<int32_t*>(tiles + n_tiles);
  const GroupArguments group{.experts = routes.experts,
                             .choices = choices,
                             .tiles = tiles,
                             .n_choices = static_cast<int32_t>(n_choices),
                             .n_chosen = routes.n_chosen};
  const uint32_t n_threads = std::min<uint32_t>(kMostGroupThreads, blocks_for(n_choices, kWarp) * kWarp);
  stream.push(make_launch("group_choices", group_choices_kernel, {.x = static_cast<uint32_t>(n_experts)},
                          {.x = n_threads}, group));
  for (const ExpertProduct& product : products) {
    with_format(least_wide(product), [&]<class Format>(Format) {
      const TileArguments arguments{
          .x = x.data,
          .choices = choices,
          .tiles = tiles,
          .weights = places_of(product.weights, stream),
          .biases = places_of(product.biases, stream),
          .out = product.out.data,
          .x_stride = x.row_stride,
          .out_stride = product.out.row_stride,
          .row_bytes = static_cast<int64_t>(row_bytes(product.weights.front().dtype, static_cast<size_t>(x.n_cols))),
          .n_out = static_cast<int32_t>(product.out.n_cols),
          .n_parts = static_cast<int32_t>(x.n_cols / Format::kBlock * Format::kParts),
          .choices_of_x = x.n_rows == routes.n_rows ? routes.n_chosen : 1,
          .x_is_aligned = reinterpret_cast<uintptr_t>(x.data) % sizeof(Float4) == 0 && x.row_stride % 4 == 0 ? 1 : 0};
      const Extent grid{.x = static_cast<uint32_t>(n_tiles), .y = blocks_for(product.out.n_cols, kTileOutputs)};
      stream.push(make_launch("expert_tile", expert_tile_kernel<Format>, grid, {.x = kTileThreads}, arguments));
    });
  }
}

}  // namespace orrery::ORRERY_CUDA_NAMESPACE
