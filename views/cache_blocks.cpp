#include "views/cache_blocks.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "probes/model_axes.h"
#include "views/bins.h"
#include "views/frame_rows.h"

namespace orrery {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr size_t kSegments = 5;

void read_gone(const FrameHistory& history, CacheBlocks& blocks) {
  const FrameRow dropped = history.row(*find_probe("cache.evicted"), blocks.step);
  blocks.gone.assign(blocks.layers.size(), -1);
  if (!dropped) return;
  blocks.entries_row = dropped;
  for (size_t row = 0; row < blocks.layers.size(); ++row) {
    const std::span<const int32_t> count = dropped.layer_i32(blocks.layers[row]);
    if (!count.empty()) blocks.gone[row] = count[0];
  }
}

void fill_age(CacheBlocks& blocks) {
  blocks.age.assign(blocks.layers.size() * static_cast<size_t>(blocks.n_blocks), kNan);
  for (size_t row = 0; row < blocks.layers.size(); ++row) {
    if (blocks.gone[row] < 0) continue;
    for (int64_t block = 0; block < blocks.n_blocks; ++block) {
      if (blocks.is_gone(row, block)) continue;
      const int64_t newest = std::min((block + 1) * CacheBlocks::kBlock - 1, blocks.step);
      blocks.age[row * static_cast<size_t>(blocks.n_blocks) + static_cast<size_t>(block)] =
          static_cast<float>(blocks.step - newest);
    }
  }
}

// The mean over a layer's heads of one step's mass, onto the blocks.
void add_mass(const FrameRow& mass, CacheBlocks& blocks) {
  const std::span<const int64_t> shape = mass.inner_shape();
  if (shape.size() != 2) return;
  const auto n_blocks = static_cast<size_t>(shape[1]);
  for (size_t row = 0; row < blocks.layers.size(); ++row) {
    const std::span<const float> values = mass.layer_f32(blocks.layers[row]);
    std::vector<double> sums(std::min(n_blocks, static_cast<size_t>(blocks.n_blocks)), 0);
    int n_heads = 0;
    for (size_t at = 0; at + n_blocks <= values.size(); at += n_blocks) {
      if (std::isnan(values[at])) continue;  // a layer with fewer heads
      ++n_heads;
      for (size_t block = 0; block < sums.size(); ++block) sums[block] += static_cast<double>(values[at + block]);
    }
    for (size_t block = 0; n_heads > 0 && block < sums.size(); ++block) {
      float& sum = blocks.received[row * static_cast<size_t>(blocks.n_blocks) + block];
      sum = (std::isnan(sum) ? 0 : sum) + static_cast<float>(sums[block] / n_heads);
    }
  }
}

void add_received(const FrameHistory& history, CacheBlocks& blocks) {
  const Probe& probe = *find_probe("attention.mass");
  blocks.received_steps = received_steps(history.info().config, blocks.step);
  blocks.received.assign(blocks.age.size(), kNan);
  for_each_row(history, probe, blocks.received_steps.begin, blocks.received_steps.end, [&](const FrameRow& row) {
    add_mass(row, blocks);
    blocks.mass_row = row;
    ++blocks.n_received;
  });
  for (size_t row = 0; row < blocks.layers.size(); ++row) {
    for (int64_t block = 0; block < blocks.n_blocks && blocks.is_gone(row, block); ++block) {
      blocks.received[row * static_cast<size_t>(blocks.n_blocks) + static_cast<size_t>(block)] = kNan;
    }
  }
}

}  // namespace

StepRange received_steps(const ModelConfig& config, int64_t step) {
  const int64_t n_heads = longest(config, attention_heads_in);
  const int64_t n_blocks = ceil_div(step + 1, CacheBlocks::kBlock);
  const int64_t n_numbers = std::max<int64_t>(std::ssize(attention_layers(config)) * n_heads * n_blocks, 1);
  const int64_t most = std::clamp<int64_t>(CacheBlocks::kMostNumbers / n_numbers, 1, CacheBlocks::kMostSteps);
  return {std::max<int64_t>(step + 1 - most, 0), step + 1};
}

CacheBlocks cache_blocks(const FrameHistory& history, int64_t step) {
  CacheBlocks blocks;
  blocks.step = step;
  blocks.layers = attention_layers(history.info().config);
  blocks.n_blocks = step < 0 ? 0 : ceil_div(step + 1, CacheBlocks::kBlock);
  read_gone(history, blocks);
  fill_age(blocks);
  add_received(history, blocks);
  return blocks;
}

std::vector<SegmentRun> segment_runs(std::span<const Token> tokens, int64_t end) {
  std::vector<SegmentRun> runs;
  for (int64_t step = 0; step < std::min(end, static_cast<int64_t>(tokens.size())); ++step) {
    const Segment segment = tokens[static_cast<size_t>(step)].segment;
    if (runs.empty() || runs.back().segment != segment) runs.push_back({segment, step, step});
    runs.back().end = step + 1;
  }
  return runs;
}

std::vector<BlockOwner> block_owners(std::span<const Token> tokens, int64_t end) {
  std::vector<BlockOwner> owners;
  std::array<int64_t, kSegments> counts{};
  const int64_t n = std::min(end, static_cast<int64_t>(tokens.size()));
  for (int64_t step = 0; step < n; ++step) {
    ++counts.at(static_cast<size_t>(tokens[static_cast<size_t>(step)].segment));
    if ((step + 1) % CacheBlocks::kBlock != 0 && step + 1 != n) continue;
    const auto most = std::ranges::max_element(counts);
    owners.push_back({static_cast<Segment>(most - counts.begin()), *most});
    counts = {};
  }
  return owners;
}

}  // namespace orrery
