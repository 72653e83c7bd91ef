#include "sessions/chunk_packer.h"

#include <algorithm>

namespace orrery {
namespace {

constexpr int64_t kFlushesPerCells = 16;
constexpr size_t kTargetBytes = size_t{96} << 10;  // compressed

}  // namespace

Result<void> ChunkPacker::add(const Frame& frame) {
  ORRERY_RETURN_IF_ERROR(add_rows(frame));
  if (!has_levels(*frame.probe)) return {};
  Result<void> done;
  levels_[frame.probe].add(frame, [&](const Frame& cell) {
    if (done) done = add_rows(cell);
  });
  return done;
}

Result<void> ChunkPacker::add_rows(const Frame& frame) {
  ORRERY_ASSIGN_OR_RETURN(ChunkForm form, ChunkForm::of(frame));
  Tail& tail = tails_[{frame.probe, frame.level}];
  if (frame.step_begin < tail.step_end) {
    return Error{ErrorCode::kInvalidArgument,
                 "a frame of " + std::string(frame.probe->name) +
                     " repeats a step that was recorded: " + std::to_string(frame.step_begin)};
  }
  if (frame.step_begin != tail.step_end || !(form == tail.form)) {
    ORRERY_RETURN_IF_ERROR(seal_tail(tail, frame.level));
    tail.step_begin = tail.step_end = tail.flushed_end = frame.step_begin;
    tail.form = std::move(form);
  }
  for (int64_t step = frame.step_begin; step < frame.step_end; step += tail.form.row_steps()) {
    const size_t n_bytes = tail.form.bytes_at(step);
    if (n_bytes > kMaxStepBytes) {
      return Error{ErrorCode::kUnsupported, "one step of " + std::string(frame.probe->name) +
                                                " is more than a session can hold: " + std::to_string(n_bytes) +
                                                " bytes"};
    }
    if (!tail.raw.empty() && tail.raw.size() + n_bytes > kMaxChunkBytes) {
      ORRERY_RETURN_IF_ERROR(seal_tail(tail, frame.level));
    }
    append_step(frame, tail.form, step, tail.raw);
    tail.step_end = step + tail.form.row_steps();
    if (tail.raw.size() >= tail.seal_bytes) ORRERY_RETURN_IF_ERROR(seal_tail(tail, frame.level));
  }
  return {};
}

Result<void> ChunkPacker::flush() {
  const bool with_cells = ++n_flushes_ % kFlushesPerCells == 0;
  for (auto& [key, tail] : tails_) {
    if (tail.flushed_end == tail.step_end || (key.second != 0 && !with_cells)) continue;
    const auto rest = std::span<const std::byte>(tail.raw).subspan(tail.flushed_bytes);
    ORRERY_ASSIGN_OR_RETURN(const size_t n, write(key.second, tail.form, tail.flushed_end, tail.step_end, rest));
    (void)n;
    tail.flushed_end = tail.step_end;
    tail.flushed_bytes = tail.raw.size();
  }
  return {};
}

Result<void> ChunkPacker::seal() {
  for (auto& [key, tail] : tails_) ORRERY_RETURN_IF_ERROR(seal_tail(tail, key.second));
  return {};
}

Result<void> ChunkPacker::seal_tail(Tail& tail, int32_t level) {
  if (tail.step_end == tail.step_begin) return {};
  if (tail.flushed_end > tail.step_begin) {
    const std::string_view name = tail.form.probe->name;
    ORRERY_RETURN_IF_ERROR(store_.delete_chunks(run_, name, level, tail.step_begin, tail.flushed_end));
  }
  ORRERY_ASSIGN_OR_RETURN(const size_t n_bytes, write(level, tail.form, tail.step_begin, tail.step_end, tail.raw));
  const double ratio = static_cast<double>(tail.raw.size()) / static_cast<double>(std::max<size_t>(n_bytes, 1));
  const auto wanted = static_cast<size_t>(ratio * static_cast<double>(kTargetBytes));
  tail.seal_bytes = std::clamp(wanted, kSealBytes, kMaxSealBytes);
  tail.step_begin = tail.flushed_end = tail.step_end;
  tail.flushed_bytes = 0;
  tail.raw.clear();
  // One huge step should not keep its memory.
  if (tail.raw.capacity() > 4 * kMaxSealBytes) tail.raw.shrink_to_fit();
  return {};
}

Result<size_t> ChunkPacker::write(int32_t level, const ChunkForm& form, int64_t begin, int64_t end,
                                  std::span<const std::byte> raw) {
  const ChunkEncoder::Encoded encoded = encoder_.encode(form, begin, raw);
  ORRERY_RETURN_IF_ERROR(store_.put_chunk({.run = run_,
                                           .probe = form.probe->name,
                                           .level = level,
                                           .step_begin = begin,
                                           .step_end = end,
                                           .codec = encoded.codec,
                                           .data = encoded.data}));
  return encoded.data.size();
}

}  // namespace orrery
