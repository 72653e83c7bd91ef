// Cuts a batch into tiles and runs them in parallel.
#include "kernels/attention.h"

#include <algorithm>
#include <vector>

#include "kernels/attention_tile.h"
#include "kernels/base/check.h"
#include "kernels/thread_pool.h"

namespace orrery {

namespace {

constexpr int64_t kTileRows = 8;                   // rows that share a page's keys while these lie in the L1 cache
constexpr int32_t kTileHeads = 16;                 // query heads, so that one key/value head still busies all threads
constexpr int64_t kTileScores = int64_t{1} << 18;  // floats of a tile's scores: 1 MiB, half of an L2 cache

// Query heads [first_head(g), first_head(g + 1)) read key/value head g: those with h * n_kv_heads / n_heads == g.
int32_t first_head(const AttentionArgs& args, int32_t kv_head) {
  return static_cast<int32_t>((int64_t{kv_head} * args.n_heads + args.n_kv_heads - 1) / args.n_kv_heads);
}

// How many rows from `begin` on make a tile: of one sequence, and with a bounded number of scores.
int64_t tile_rows(const AttentionArgs& args, int64_t begin) {
  const AttentionRow& first = args.rows[static_cast<size_t>(begin)];
  const int64_t group = std::min((args.n_heads + args.n_kv_heads - 1) / args.n_kv_heads, kTileHeads);
  int64_t key_begin = first.key_begin, key_end = first.key_end, n = 1;
  for (; n < kTileRows && begin + n < args.q.n_rows; ++n) {
    const AttentionRow& row = args.rows[static_cast<size_t>(begin + n)];
    key_begin = std::min(key_begin, row.key_begin);
    key_end = std::max(key_end, row.key_end);
    if (row.sequence != first.sequence || (n + 1) * group * (key_end - key_begin) > kTileScores) break;
  }
  return n;
}

void check_args(const AttentionArgs& args) {
  CHECK(args.kv_dtype == DType::kF16 || args.kv_dtype == DType::kF32, "keys and values are F16 or F32");
  CHECK(args.n_kv_heads > 0 && args.n_heads >= args.n_kv_heads && args.d_head_k > 0 && args.d_head_v > 0);
  CHECK(!args.values_in_keys || args.d_head_v <= args.d_head_k, "values are wider than the keys they lie in");
  CHECK(args.score_cap >= 0.0f);
  CHECK(args.sinks.empty() || static_cast<int64_t>(args.sinks.size()) == args.n_heads, "not a sink for every head");
  CHECK(static_cast<int64_t>(args.rows.size()) == args.q.n_rows && args.out.n_rows == args.q.n_rows,
        "rows, q and out differ in length");
  CHECK(args.q.n_cols == int64_t{args.n_heads} * args.d_head_k, "q has another shape");
  CHECK(args.out.n_cols == int64_t{args.n_heads} * args.d_head_v, "out has another shape");
  for (const AttentionRow& row : args.rows) {
    CHECK(row.key_begin >= 0 && row.key_begin < row.key_end, "a row sees no key");
    const int64_t n_words = (row.key_end - 1) / kKvPageTokens - row.key_begin / kKvPageTokens + 1;
    CHECK(row.visible.empty() || static_cast<int64_t>(row.visible.size()) >= n_words, "not a bit for every key");
    const KvPages& pages = args.sequences[static_cast<size_t>(row.sequence)];
    const int64_t n_pages = static_cast<int64_t>(std::min(pages.keys.size(), pages.values.size()));
    CHECK(row.key_begin >= pages.first_page * kKvPageTokens, "a row sees keys that were dropped");
    CHECK(row.key_end <= (pages.first_page + n_pages) * kKvPageTokens, "a row sees keys past the last page");
  }
}

}  // namespace

void attention(const AttentionArgs& args, const AttentionStats& stats, ThreadPool& pool) {
  check_args(args);
  thread_local std::vector<AttentionTile> tiles_of_thread;
  std::vector<AttentionTile>& tiles = tiles_of_thread;  // the caller's, whichever thread reads it
  tiles.clear();
  for (int64_t row = 0; row < args.q.n_rows;) {
    const int64_t end = row + tile_rows(args, row);
    for (int32_t kv_head = 0; kv_head < args.n_kv_heads; ++kv_head) {
      const int32_t head_end = first_head(args, kv_head + 1);
      for (int32_t head = first_head(args, kv_head); head < head_end; head += kTileHeads) {
        tiles.push_back({row, end, kv_head, head, std::min(head + kTileHeads, head_end)});
      }
    }
    row = end;
  }
  // Last rows first: they see most keys, and short tiles at the end even out the threads.
  std::reverse(tiles.begin(), tiles.end());
  pool.parallel_for(static_cast<int64_t>(tiles.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) attention_tile(args, stats, tiles[static_cast<size_t>(i)]);
  });
}

}  // namespace orrery
