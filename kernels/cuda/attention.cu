// Plans attention: tiles, splits, page tables and chunks of rows; and merges the splits.
//
// A step's commands must not differ from those of the step before it: what grows with the text lies in uploads, and
// sizes that must follow it are rounded up to kRoundKeys keys.
#include <algorithm>
#include <vector>

#include "kernels/cuda/attention.h"
#include "kernels/cuda/attention_pass.h"

namespace orrery::ORRERY_CUDA_NAMESPACE {

namespace {

constexpr uint32_t kMostMergeThreads = 128;
constexpr int64_t kRoundPages = 32;
constexpr int64_t kRoundKeys = kRoundPages * kKvPageTokens;
constexpr int64_t kMostSplits = 64;
constexpr int64_t kShortSplits = 16;      // where all keys fit the least table of pages
constexpr int64_t kMostStepQueries = 16;  // of a run of rows that the step's kernel takes
constexpr int64_t kEnoughBlocks = 1024;   // to fill any device, two or more times

struct MergeArguments {
  const SoftmaxSum* sums;  // [n_rows, n_heads, n_splits]
  const float* values;     // [n_rows, n_heads, n_splits, d_head_v]
  SoftmaxSum* merged;      // [n_rows, n_heads]
  const float* sinks;      // [n_heads] or null
  float* out;
  int64_t out_stride;
  int32_t n_heads;
  int32_t d_head_v;
  int32_t n_splits;
  int32_t is_sigmoid;
};
static_assert(kMostSplits <= kMostMergeThreads);

// Blocks over rows and heads.
__global__ void attention_merge_kernel(MergeArguments a) {
  ORRERY_SHARED(float, shared, kWarp);
  ORRERY_SHARED(float, factors, kMostSplits);
  const int64_t query = blockIdx.x, row = query / a.n_heads, head = query % a.n_heads;
  const auto thread = static_cast<int32_t>(threadIdx.x);
  const SoftmaxSum part = thread < a.n_splits ? a.sums[query * a.n_splits + thread] : SoftmaxSum{-infinity(), 0.0f};
  const float sink = a.sinks == nullptr ? -infinity() : a.sinks[head];
  // Of a sigmoid's logarithms, which exp(most) undoes again: not so small that it overflows.
  const float most = fmaxf(block_max(part.greatest, shared), a.is_sigmoid != 0 ? -80.0f : sink);
  const float factor = part.sum == 0.0f ? 0.0f : rescale(part.greatest, most);  // a split without keys has no values
  if (thread < a.n_splits) factors[thread] = factor;
  const float of_sink = a.sinks == nullptr ? 0.0f : rescale(sink, most);
  float sum = block_sum(part.sum * factor, shared) + of_sink;
  if (a.is_sigmoid != 0) sum = expf(-most);
  __syncthreads();
  const float* const values = a.values + query * a.n_splits * a.d_head_v;
  for (int32_t d = thread; d < a.d_head_v; d += static_cast<int32_t>(blockDim.x)) {
    float value = 0.0f;
    for (int32_t split = 0; split < a.n_splits; ++split) {
      const float of_split = factors[split];
      if (of_split != 0.0f) value = fmaf(of_split, values[int64_t{split} * a.d_head_v + d], value);
    }
    a.out[row * a.out_stride + head * a.d_head_v + d] = value / sum;
  }
  if (thread == 0) a.merged[query] = {most, sum};
}

// Tables of all sequences' pages, one after another, and where each sequence's page 0 would stand.
struct PageTable {
  std::vector<PagePair> pages;
  std::vector<int32_t> page_zero;  // per sequence
  const PagePair* on_device = nullptr;
};

int64_t round_up(int64_t n, int64_t multiple) { return (n + multiple - 1) / multiple * multiple; }

PageTable table_of(std::span<const KvPages> sequences) {
  PageTable table;
  for (const KvPages& sequence : sequences) {
    table.page_zero.push_back(static_cast<int32_t>(static_cast<int64_t>(table.pages.size()) - sequence.first_page));
    for (size_t i = 0; i < sequence.keys.size(); ++i) table.pages.push_back({sequence.keys[i], sequence.values[i]});
  }
  table.pages.resize(static_cast<size_t>(round_up(static_cast<int64_t>(table.pages.size()), kRoundPages)));
  return table;
}

// Keys from the first of a row's first page on, as many as the longest row needs.
int64_t width_of(std::span<const AttentionRow> rows) {
  int64_t most = 0;
  for (const AttentionRow& row : rows) {
    most = std::max(most, row.key_end - row.key_begin / kKvPageTokens * kKvPageTokens);
  }
  return round_up(most, kRoundKeys);
}

// Runs of rows of one sequence, cut into tiles of n_queries queries.
std::vector<QueryTile> tiles_of(std::span<const AttentionRow> rows, const PageTable& table, int32_t group,
                                int32_t n_queries) {
  std::vector<QueryTile> tiles;
  for (size_t first = 0, end = 0; first < rows.size(); first = end) {
    while (end < rows.size() && rows[end].sequence == rows[first].sequence) ++end;
    const auto n = static_cast<int32_t>(end - first) * group;
    for (int32_t at = 0; at < n; at += n_queries) {
      QueryTile tile;
      tile.first_row = static_cast<int32_t>(first);
      tile.query_begin = at;
      tile.query_end = std::min(n, at + n_queries);
      tile.pages_at = table.page_zero[static_cast<size_t>(rows[first].sequence)];
      const auto first_row = first + static_cast<size_t>(at / group);
      const auto last_row = first + static_cast<size_t>((tile.query_end - 1) / group);
      tile.key_begin = tile.all_begin = static_cast<int32_t>(rows[first_row].key_begin);
      tile.key_end = tile.all_end = static_cast<int32_t>(rows[first_row].key_end);
      for (size_t r = first_row + 1; r <= last_row; ++r) {
        const auto key_begin = static_cast<int32_t>(rows[r].key_begin), key_end = static_cast<int32_t>(rows[r].key_end);
        tile.key_begin = std::min(tile.key_begin, key_begin);
        tile.key_end = std::max(tile.key_end, key_end);
        tile.all_begin = std::max(tile.all_begin, key_begin);
        tile.all_end = std::min(tile.all_end, key_end);
      }
      tiles.push_back(tile);
    }
  }
  return tiles;
}

// Rows of the longest run of one sequence.
int64_t longest_run(std::span<const AttentionRow> rows) {
  int64_t longest = 1, n = 1;
  for (size_t r = 1; r < rows.size(); ++r) {
    n = rows[r].sequence == rows[r - 1].sequence ? n + 1 : 1;
    longest = std::max(longest, n);
  }
  return longest;
}

bool wants(const AttentionStats& stats) {
  return stats.entropy || stats.first || stats.previous || stats.distance || stats.top || stats.rest || stats.mass ||
         stats.rows;
}

AttentionStats from_row(AttentionStats stats, int64_t row) {
  for (StatSlot* slot : {&stats.entropy, &stats.first, &stats.previous, &stats.distance, &stats.top, &stats.rest,
                         &stats.mass, &stats.rows}) {
    if (*slot) slot->data = slot->row(row);
  }
  return stats;
}

// What the commands of some rows write for each other, one after another in memory that other operations use too.
struct Scratch {
  Scratch(int64_t n_queries, int64_t n_splits, int64_t d_head_v, int64_t width, CommandStream& stream) {
    const auto bytes = [](int64_t n, size_t each) {
      return round_up(n * static_cast<int64_t>(each), 256);  // as aligned as other memory
    };
    const int64_t sums_bytes = bytes(n_queries * n_splits, sizeof(SoftmaxSum));
    const int64_t values_bytes = bytes(n_queries * n_splits * d_head_v, sizeof(float));
    const int64_t scores_bytes = bytes(n_queries * width, sizeof(float));
    const int64_t merged_bytes = bytes(n_queries, sizeof(SoftmaxSum));
    std::byte* const memory =
        stream.shared_scratch(static_cast<size_t>(sums_bytes + values_bytes + scores_bytes + merged_bytes));
    if (memory == nullptr) return;  // the pass fails before it runs
    sums = reinterpret_cast<SoftmaxSum*>(memory);
    values = reinterpret_cast<float*>(memory + sums_bytes);
    scores = reinterpret_cast<float*>(memory + sums_bytes + values_bytes);
    merged = reinterpret_cast<SoftmaxSum*>(memory + sums_bytes + values_bytes + scores_bytes);
  }
  SoftmaxSum* sums = nullptr;
  float* values = nullptr;
  float* scores = nullptr;
  SoftmaxSum* merged = nullptr;
};

// Masks and biases, where there are any.
void upload_row_scores(const AttentionArgs& args, AttentionPass& pass, CommandStream& stream) {
  pass.normaliser = args.normaliser;
  const bool is_masked = std::ranges::any_of(args.rows, [](const AttentionRow& row) { return !row.visible.empty(); });
  if (!is_masked && args.normaliser == AttentionNormaliser::kSoftmax) return;
  std::vector<RowScores> rows;
  std::vector<uint64_t> words;
  for (const AttentionRow& row : args.rows) {
    rows.push_back({row.score_bias, row.visible.empty() ? -1 : static_cast<int32_t>(words.size())});
    words.insert(words.end(), row.visible.begin(), row.visible.end());
  }
  words.resize(static_cast<size_t>(round_up(static_cast<int64_t>(words.size()) + 1, kRoundPages)));
  pass.row_scores = stream.upload(std::span<const RowScores>(rows));
  pass.mask_words = stream.upload(std::span<const uint64_t>(words));
}

// Rows whose scratch is not too much at once. width: 0 where no statistics are wanted.
void push_rows(const AttentionArgs& args, const AttentionStats& stats, const PageTable& table, int64_t width,
               CommandStream& stream) {
  const int64_t n_rows = args.q.n_rows, n_queries = n_rows * args.n_heads;
  std::vector<RowKeys> rows;
  for (const AttentionRow& row : args.rows) {
    rows.push_back({static_cast<int32_t>(row.key_begin), static_cast<int32_t>(row.key_end)});
  }
  AttentionPass pass;
  pass.q = args.q.data;
  pass.rows = stream.upload(std::span<const RowKeys>(rows));
  pass.pages = table.on_device;
  pass.q_stride = args.q.row_stride;
  pass.score_width = width;
  pass.n_heads = args.n_heads;
  pass.n_kv_heads = args.n_kv_heads;
  pass.d_head_k = args.d_head_k;
  pass.d_head_v = args.d_head_v;
  pass.value_stride = args.value_stride();
  pass.group = (args.n_heads + args.n_kv_heads - 1) / args.n_kv_heads;
  pass.scale = args.scale;
  pass.score_cap = args.score_cap;
  upload_row_scores(args, pass, stream);
  const int64_t run_queries = longest_run(args.rows) * pass.group;
  const bool is_step = run_queries <= kMostStepQueries;
  const int32_t tile_queries = is_step ? step_queries(pass, run_queries) : kTileQueries;
  const std::vector<QueryTile> tiles = tiles_of(args.rows, table, pass.group, tile_queries);
  const auto n_tiles = static_cast<int64_t>(tiles.size());
  pass.tiles = stream.upload(std::span<const QueryTile>(tiles));
  const int64_t row_pages = width_of(args.rows) / kKvPageTokens;
  pass.n_splits = static_cast<int32_t>(std::clamp<int64_t>(kEnoughBlocks / (n_tiles * args.n_kv_heads), 1,
                                                           row_pages > kRoundPages ? kMostSplits : kShortSplits));
  const Scratch scratch(n_queries, pass.n_splits, args.d_head_v, width, stream);
  pass.sums = scratch.sums;
  pass.values = scratch.values;
  pass.scores = width > 0 ? scratch.scores : nullptr;
  if (is_step) {
    push_attention_step(pass, args.kv_dtype, n_tiles, tile_queries, stream);
  } else {
    push_attention_tile(pass, args.kv_dtype, n_tiles, stream);
  }
  const MergeArguments merge{pass.sums,      pass.values,
                             scratch.merged, args.sinks.data(),
                             args.out.data,  args.out.row_stride,
                             args.n_heads,   args.d_head_v,
                             pass.n_splits,  args.normaliser == AttentionNormaliser::kSigmoid};
  stream.push(make_launch("attention_merge", attention_merge_kernel, {.x = static_cast<uint32_t>(n_queries)},
                          {.x = threads_for(std::max(pass.n_splits, args.d_head_v), kMostMergeThreads)}, merge));
  if (width > 0) {
    push_attention_stats({pass.scores, scratch.merged, pass.rows, width, n_rows, args.n_heads}, stats, stream);
  }
}

}  // namespace

void attention(const AttentionArgs& args, const AttentionStats& stats, CommandStream& stream,
               int64_t most_scratch_floats) {
  PageTable table = table_of(args.sequences);
  table.on_device = stream.upload(std::span<const PagePair>(table.pages));
  const int64_t width = wants(stats) ? width_of(args.rows) : 0;
  const int64_t row_floats = args.n_heads * std::max<int64_t>(width, args.d_head_v);
  const int64_t n_at_once = std::max<int64_t>(1, most_scratch_floats / row_floats);
  for (int64_t row = 0; row < args.q.n_rows; row += n_at_once) {
    AttentionArgs part = args;
    const int64_t n = std::min(n_at_once, args.q.n_rows - row);
    part.q = args.q.rows(row, n);
    part.out = args.out.rows(row, n);
    part.rows = args.rows.subspan(static_cast<size_t>(row), static_cast<size_t>(n));
    push_rows(part, from_row(stats, row), table, width, stream);
  }
}

}  // namespace orrery::ORRERY_CUDA_NAMESPACE
