// Coarse levels: the means and the greatest values of a probe's numbers over cells of 8, 32, 128, ... steps, so that a
// map of a long run reads about as many rows as it has columns. A recorder writes them beside the steps, a FrameHistory
// makes the same of the live Frames that it takes in.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <limits>
#include <span>
#include <utility>
#include <vector>

namespace orrery {

struct Frame;
struct Probe;

enum class Statistic : uint8_t { kMean, kMax };
inline constexpr std::array kStatistics{Statistic::kMean, Statistic::kMax};

// Depth 0 is every step; a cell of depth d is 2 * 4^d steps long and begins at a multiple of that. Each has a value of
// every statistic over its measured steps, NaN where none was.
inline constexpr int kMaxDepth = 7;
inline constexpr int32_t kLevelsPerStatistic = 16;

// Frame::level, FrameRequest::level and chunk.level: 0, every step; 1 to 7, means; 17 to 23, greatest values.
constexpr int32_t level_of(Statistic statistic, int depth) {
  return depth == 0 ? 0 : static_cast<int32_t>(statistic) * kLevelsPerStatistic + depth;
}
constexpr int depth_of(int32_t level) { return level % kLevelsPerStatistic; }
constexpr Statistic statistic_of(int32_t level) { return static_cast<Statistic>(level / kLevelsPerStatistic); }
constexpr bool is_level(int64_t level) {
  return level >= 0 && level < 2 * kLevelsPerStatistic && level % kLevelsPerStatistic <= kMaxDepth &&
         (level == 0 || level % kLevelsPerStatistic > 0);
}
constexpr int64_t steps_per_cell(int32_t level) {
  return depth_of(level) == 0 ? 1 : int64_t{2} << (2 * depth_of(level));
}
// The coarsest depth whose cells fit into columns of `steps_per_col` steps (a power of two) a whole number of times.
int depth_for(int64_t steps_per_col);

// Whether a probe has coarse levels: numbers per step, layer, head, iteration or tap have; lists of tops and of chosen
// experts and rows over keys have not. Sums over blocks of keys have the greatest values alone, over cells of at least
// 32 steps: they are the bulk of a recording, and a map of them draws the greatest (all levels: 4 % of the steps'
// bytes; the means, and cells of 8, would make it a third).
bool has_levels(const Probe& probe);
bool has_level(const Probe& probe, int32_t level);             // of any probe level 0
int finest_depth(const Probe& probe);                          // of its coarse levels
std::span<const Statistic> statistics_of(const Probe& probe);  // of its coarse levels
// Blocks of 64 keys up to a step's own.
int64_t key_blocks_at(int64_t step);
// Entries along the last axis that a step has: blocks of keys; of other probes 1. A cell has those of its last step.
int64_t n_blocks_at(const Probe& probe, int64_t step);

// What a reading does about cells that a file lacks: of an older schema, or not written when its program was killed.
enum class LackingCells : uint8_t { kMade, kLeftOut };  // made of the steps, which are many times as many bytes

// A stretch of cells of one depth.
struct LevelSpan {
  int depth = 0;
  int64_t begin = 0;  // steps, half-open
  int64_t end = 0;
  bool operator==(const LevelSpan& other) const = default;
};
// [begin, end) as the fewest whole cells of at most this depth and at least `finest`, and steps, ascending: what a
// reading of a stretch that does not end with a cell is made of.
std::vector<LevelSpan> cover(int64_t begin, int64_t end, int depth, int finest = 1);

// The lines of a row of values: how many entries lie from one to the next, and how many of them are there.
struct Lines {
  size_t stride = 1;
  size_t width = 1;
};

// Sums up values in double, cell by cell; what is missing (NaN, a negative count) does not count.
class CellSums {
 public:
  bool empty() const { return begin_ < 0; }
  int64_t begin() const { return begin_; }
  void clear() { begin_ = -1; }
  // Begins a cell of n_lines lines of `width` values each. Without means only the greatest are kept.
  void open(int64_t begin, size_t n_lines, size_t width, bool has_means);
  // Lines as many as the cell's, none wider.
  template <typename T>
  void add(std::span<const T> values, Lines lines);
  void add(const CellSums& finer);
  // Means (of a cell without: not looked at) and greatest values that each stand for n_steps measured steps.
  void add(std::span<const float> means, std::span<const float> maxima, Lines lines, int64_t n_steps);
  void write(Statistic statistic, std::span<float> to) const;
  size_t width() const { return width_; }

 private:
  template <typename Fn>
  void each_run(Lines lines, Fn&& fn) const;

  int64_t begin_ = -1;  // -1: no cell is open
  size_t n_lines_ = 0;
  size_t width_ = 0;
  std::vector<float> maxima_;  // -inf: none yet
  std::vector<double> sums_;   // empty without means
  std::vector<float> counts_;  // the same; of at most 2^15 steps: exact
};

// Makes the cells of one probe of one run out of its steps as they come. One thread at a time.
class LevelBuilder {
 public:
  // A Frame of one cell.
  using Take = std::function<void(const Frame&)>;

  // A frame of level 0, later than all before it (steps may lack: cells are of those that there are). Hands over every
  // cell that ends with it or before it; a cell is made only where the builder was there when it began.
  void add(const Frame& frame, const Take& take);
  // Starts over: the next frame is the first.
  void restart() { n_lines_ = 0; }
  // There is nothing before the first frame that belongs to the cell that it lies in.
  void begin_whole() { whole_ = true; }
  int64_t next_step() const { return next_step_; }

  // Puts back what was there at step `at`, when a builder had seen everything before it: for the stretches that
  // resume_spans(at) lists, and no others, their means and greatest values, or their steps. In this order. A mean of
  // fewer values than its cell has steps then counts as one of all of them.
  static std::vector<LevelSpan> resume_spans(const Probe& probe, int64_t at) {
    return cover(0, at, kMaxDepth, finest_depth(probe));
  }
  void resume(const Frame& means, const Frame& maxima);  // of level 0, and of a probe without means: both the same

 private:
  static int64_t n_lines(const Frame& frame);
  void start(const Frame& frame, int64_t first);
  CellSums& open_cell(int depth, const Probe& probe, int64_t step);
  void step(const Frame& frame, int64_t step, const Take* take);
  void close(int depth, const Frame& like, const Take* take);

  std::array<CellSums, kMaxDepth + 1> open_;  // by depth; those below the probe's finest are not used
  std::vector<int32_t> layers_;
  int64_t n_lines_ = 0;  // 0: no frame yet
  int64_t first_step_ = 0;
  int64_t next_step_ = 0;
  bool whole_ = false;
};

}  // namespace orrery
