// LayerStack: a model's layers applied to rows of a batch, with what is measured after each of them; and what the model
// would say of a stream. Engine thread only.
#pragma once

#include <cstdint>

#include "engine/block.h"
#include "engine/model.h"
#include "engine/probe_plan.h"
#include "engine/workspace.h"

namespace orrery {

// Rows of logits that are held at once where only their statistics are wanted: enough to use the matrix kernel well.
inline constexpr int64_t kLogitRows = 32;

// The part of a slot that begins at a row; null where the slot is.
inline StatSlot from_row(StatSlot slot, int64_t row) {
  return slot ? StatSlot{slot.row(row), slot.row_stride} : StatSlot{};
}

class LayerStack {
 public:
  // All outlive this object.
  LayerStack(const Model& model, Workspace& workspace, ProbeBuffer& probes)
      : model_(model), workspace_(workspace), probes_(probes), nothing_(model.backend()) {}

  // x [n_rows, d_model] = the embeddings of the batch's tokens, and of their positions where those are learned.
  void embed(const Batch& batch, Matrix<float> x);
  // [n_rows of the whole batch, ModelParts::carried_width]: Step::carried of the layers that are visited from here on.
  void set_carried(Matrix<float> carried) { carried_ = carried; }

  enum class Measured : uint8_t { kAsPlanned, kNothing };
  // The rows of a batch from `first_row` on, x [n_rows, d_model] in place, through the visits [begin, end) of the
  // model's unrolled layers.
  void visit(const Batch& batch, int64_t first_row, int32_t begin, int32_t end, Matrix<float> x,
             Measured measured = Measured::kAsPlanned);
  // What a visit's layer remembers of rows that do not go through it: x as it is goes into its states.
  void remember(const Batch& batch, int64_t first_row, int32_t visit, Matrix<const float> x);

  // logits [n_rows, vocab] = unembedding of the final norm of x [n_rows, d_model], scaled and capped as the model does.
  // is_normed: x has passed that norm.
  void unembed(Matrix<const float> x, bool is_normed, Matrix<float> logits);

  // What blocks need to know about rows of a batch, the first of which is `first_row` of the whole; nothing is measured
  // there. `rows` outlives the step.
  Step silent_step(const Batch& rows, int64_t first_row, int32_t visit);

 private:
  Step step_of(const Batch& rows, int64_t first_row, int32_t visit, const ProbeBuffer& probes);
  void measure(Matrix<const float> x, int32_t visit);
  void fill_lens(Matrix<const float> x, int32_t visit);

  const Model& model_;
  Workspace& workspace_;
  ProbeBuffer& probes_;
  Matrix<float> carried_;
  const ProbeBuffer nothing_;
};

}  // namespace orrery
