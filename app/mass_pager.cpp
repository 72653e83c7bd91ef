#include "app/mass_pager.h"

#include <algorithm>

#include "views/bins.h"

namespace orrery {
namespace {

constexpr int64_t kValuesAtOnce = int64_t{2} << 20;     // of all heads: 8 MB
constexpr int64_t kOverviewValues = int64_t{16} << 20;  // read and unpacked in some 20 ms
constexpr int kShownRows = 512;                         // a picture has no more, or shows them as coarse as they come

const Probe& mass_probe() {
  static const Probe* const kProbe = find_probe("attention.mass");
  return *kProbe;
}

int64_t cell_steps(int depth) { return steps_per_cell(level_of(Statistic::kMax, depth)); }

// Cells as fine as a picture of so many steps shows; 0: it shows steps.
int shown_depth(int64_t n_steps) {
  const int depth = depth_for(bin_size(n_steps, kShownRows));
  return depth < finest_depth(mass_probe()) ? 0 : depth;
}

}  // namespace

// About: blocks grow with the steps.
int64_t MassPager::n_values(int depth, StepRange steps) const {
  const int64_t n_blocks = n_blocks_at(mass_probe(), (steps.begin + steps.end) / 2);
  return ceil_div(steps.size(), cell_steps(depth)) * n_blocks * n_heads_;
}

bool MassPager::was_asked(int depth, int64_t cell) const {
  const std::vector<bool>& asked = asked_[static_cast<size_t>(depth)];
  return cell < std::ssize(asked) && asked[static_cast<size_t>(cell)];
}

void MassPager::mark_asked(const Part& part, bool asked) {
  std::vector<bool>& cells = asked_[static_cast<size_t>(part.depth)];
  const auto begin = static_cast<size_t>(part.steps.begin / cell_steps(part.depth));
  const auto end = static_cast<size_t>(part.steps.end / cell_steps(part.depth));
  if (cells.size() < end) cells.resize(end, false);
  std::fill(cells.begin() + static_cast<std::ptrdiff_t>(begin), cells.begin() + static_cast<std::ptrdiff_t>(end),
            asked);
}

// The newest cells of `steps`, at most so many values, that the map lacks and that were not asked for; steps in a
// complete row of known_level are not looked for. A cell that the run has not come to the end of is not there yet.
std::optional<MassPager::Part> MassPager::newest_lacking(const HeadMassMap& map, int depth, StepRange steps,
                                                         int64_t most_values, int known_level) const {
  const int64_t size = cell_steps(depth);
  const int level = map_level_of(level_of(Statistic::kMax, depth));
  const auto is_lacking = [&](int64_t cell) {
    if (map.is_complete(cell, level, n_processed_) || was_asked(depth, cell)) return false;
    return known_level <= level || !map.is_complete(cell * size >> known_level, known_level, n_processed_);
  };
  const int64_t first = steps.begin / size;
  int64_t end = std::min(ceil_div(steps.end, size), n_processed_ / size);
  while (end > first && !is_lacking(end - 1)) --end;
  if (end <= first) return std::nullopt;
  int64_t begin = end - 1;
  while (begin > first && is_lacking(begin - 1) && n_values(depth, {(begin - 1) * size, end * size}) <= most_values) {
    --begin;
  }
  return Part{depth, {begin * size, end * size}};
}

std::optional<MassPager::Part> MassPager::next(const HeadMassMap& map, StepRange steps) const {
  const int shown = shown_depth(steps.size());
  int overview = std::max(shown, finest_depth(mass_probe()));
  while (overview < kMaxDepth && n_values(overview, steps) > kOverviewValues) ++overview;
  const bool is_quick = n_values(shown, steps) <= kOverviewValues;
  if (!is_quick) {
    if (const auto part = newest_lacking(map, overview, steps, kOverviewValues)) return part;
  }
  if (const auto part = newest_lacking(map, shown, steps, is_quick ? kOverviewValues : kValuesAtOnce)) return part;
  if (shown == 0) return std::nullopt;
  return newest_lacking(map, 0, steps, kValuesAtOnce, map_level_of(level_of(Statistic::kMax, shown)));
}

void MassPager::want(const FrameHistory& history, const WantedMass& wanted) {
  const HeadMassMap* const map = history.gathered_mass(wanted.layer, wanted.head);
  if (map == nullptr) return;
  n_processed_ = history.n_processed();
  const StepRange steps{wanted.steps.begin, std::min(wanted.steps.end, n_processed_)};
  if (wanted.layer != layer_ || wanted.head != head_) {
    layer_ = wanted.layer;
    head_ = wanted.head;
    n_heads_ = 0;
    for (const LayerConfig& layer : history.info().config.layers) n_heads_ += layer.attention.n_heads;
    for (std::vector<bool>& asked : asked_) asked.clear();
    in_flight_.reset();
  }
  if (in_flight_) {
    if (in_flight_->steps.begin < steps.end && in_flight_->steps.end > steps.begin) return;
    mark_asked(*in_flight_, false);  // nobody looks at it any more
    in_flight_.reset();
  }
  if (steps.size() <= 0) return;
  const std::optional<Part> part = next(*map, steps);
  if (!part) return;
  if (!is_open_) {
    source_ = open_();
    is_open_ = true;
  }
  if (source_ == nullptr) return;
  source_->request({.tag = 1,
                    .run = history.info().run,
                    .probe = &mass_probe(),
                    .level = level_of(Statistic::kMax, part->depth),
                    .step_begin = part->steps.begin,
                    .step_end = part->steps.end,
                    .lacking = LackingCells::kLeftOut});
  mark_asked(*part, true);
  in_flight_ = part;
}

bool MassPager::take(FrameHistory& history) {
  if (source_ == nullptr) return false;
  bool any = false;
  FrameReply reply;
  while (source_->poll(reply)) {
    for (const Frame& frame : reply.frames) history.gather(frame);
    any = any || !reply.frames.empty();
    if (reply.complete) in_flight_.reset();
  }
  return any;
}

}  // namespace orrery
