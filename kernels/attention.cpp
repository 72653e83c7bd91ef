// Cuts a batch into tiles and runs them in parallel; where there are few, their steps in parts.
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
// Where tiles are cut into parts: less tiles than this for a thread, and this many scores, some 20 us of work.
constexpr int64_t kFewTiles = 4;
constexpr int64_t kLeastCutScores = 8192;
constexpr int64_t kScorePartPages = 8;  // of a key/value head: 64 KiB of keys of 64 halves

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

std::vector<AttentionTile> cut_into_tiles(const AttentionArgs& args) {
  std::vector<AttentionTile> tiles;
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
  return tiles;
}

void compute_tile(const AttentionArgs& args, const AttentionStats& stats, const AttentionTile& tile) {
  thread_local AttentionTileWork work;
  begin_attention_tile(args, tile, work);
  attention_scores(args, work.page_begin, work.page_end, work);
  attention_weights(args, stats, 0, tile.n_queries(), work);
  attention_values(args, 0, args.d_head_v, work);
}

// Whether threads would wait for each other's tiles, each long enough to be worth meeting three times.
bool worth_cutting(const AttentionArgs& args, std::span<const AttentionTile> tiles, int n_threads) {
  if (n_threads == 1 || static_cast<int64_t>(tiles.size()) >= kFewTiles * n_threads) return false;
  int64_t n_scores = 0;
  for (const AttentionTile& tile : tiles) {
    const AttentionRow& last = args.rows[static_cast<size_t>(tile.row_end - 1)];
    n_scores += tile.n_queries() * (last.key_end - last.key_begin);
  }
  return n_scores >= kLeastCutScores;
}

int64_t n_parts_of(int64_t n, int64_t size) { return (n + size - 1) / size; }

// Calls fn(tile, part) for n_parts(tile) parts of every tile, in parallel.
template <typename Count, typename Fn>
void for_each_part(std::vector<AttentionTileWork>& works, size_t n_tiles, ThreadPool& pool, const Count& n_parts,
                   const Fn& fn) {
  std::vector<int64_t> ends;  // of the tiles' parts
  for (size_t i = 0; i < n_tiles; ++i) ends.push_back((ends.empty() ? 0 : ends.back()) + n_parts(works[i]));
  pool.parallel_for(ends.back(), 1, [&](int64_t begin, int64_t end) {
    for (int64_t part = begin; part < end; ++part) {
      const auto tile = static_cast<size_t>(std::ranges::upper_bound(ends, part) - ends.begin());
      fn(works[tile], part - (tile == 0 ? 0 : ends[tile - 1]));
    }
  });
}

// All tiles step by step, each step in parts: of a single token's rows over many keys, where there are less tiles, one
// for each key/value head, than would keep the threads busy.
void compute_in_parts(const AttentionArgs& args, const AttentionStats& stats, std::span<const AttentionTile> tiles,
                      ThreadPool& pool) {
  thread_local std::vector<AttentionTileWork> works_of_thread;
  std::vector<AttentionTileWork>& works = works_of_thread;  // the caller's, whichever thread reads it
  if (works.size() < tiles.size()) works.resize(tiles.size());
  for (size_t i = 0; i < tiles.size(); ++i) begin_attention_tile(args, tiles[i], works[i]);
  const auto for_each = [&](const auto& n_parts, const auto& fn) {
    for_each_part(works, tiles.size(), pool, n_parts, fn);
  };
  for_each([](const AttentionTileWork& work) { return n_parts_of(work.page_end - work.page_begin, kScorePartPages); },
           [&](AttentionTileWork& work, int64_t part) {
             const int64_t begin = work.page_begin + part * kScorePartPages;
             attention_scores(args, begin, std::min(work.page_end, begin + kScorePartPages), work);
           });
  for_each([](const AttentionTileWork& work) { return work.tile.n_queries(); },
           [&](AttentionTileWork& work, int64_t query) { attention_weights(args, stats, query, query + 1, work); });
  for_each([&](const AttentionTileWork&) { return n_parts_of(args.d_head_v, kAttentionValuePart); },
           [&](AttentionTileWork& work, int64_t part) {
             const int64_t begin = part * kAttentionValuePart;
             attention_values(args, begin, std::min<int64_t>(args.d_head_v, begin + kAttentionValuePart), work);
           });
}

}  // namespace

void attention(const AttentionArgs& args, const AttentionStats& stats, ThreadPool& pool) {
  check_args(args);
  const std::vector<AttentionTile> tiles = cut_into_tiles(args);
  if (worth_cutting(args, tiles, pool.n_threads())) return compute_in_parts(args, stats, tiles, pool);
  pool.parallel_for(static_cast<int64_t>(tiles.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) compute_tile(args, stats, tiles[static_cast<size_t>(i)]);
  });
}

}  // namespace orrery
