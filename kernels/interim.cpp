#include "kernels/attention.h"
#include "kernels/elementwise.h"
#include "kernels/kv_store.h"
#include "kernels/output_stats.h"
#include "kernels/rms_norm.h"
#include "kernels/rope.h"
#include "kernels/row_norm.h"

// Operations whose fast version is not there yet.
namespace orrery {

void attention(const AttentionArgs& args, const AttentionStats& stats, ThreadPool&) {
  attention_reference(args, stats);
}
void rms_norm(Matrix<const float> x, std::span<const float> weight, float epsilon, Matrix<float> out, ThreadPool&) {
  rms_norm_reference(x, weight, epsilon, out);
}
void rope(Matrix<float> x, const RopeTable& table, int32_t d_head, RopePairing pairing, ThreadPool&) {
  rope_reference(x, table, d_head, pairing);
}
void silu_multiply(Matrix<const float> gate, Matrix<const float> up, Matrix<float> out, ThreadPool&) {
  silu_multiply_reference(gate, up, out);
}
void add(Matrix<const float> a, Matrix<const float> b, Matrix<float> out, ThreadPool&) { add_reference(a, b, out); }
void scale(Matrix<const float> x, float factor, Matrix<float> out, ThreadPool&) { scale_reference(x, factor, out); }
void kv_store(Matrix<const float> x, std::span<const KvSlot> slots, DType dtype, int32_t n_kv_heads, int32_t d_head,
              ThreadPool&) {
  kv_store_reference(x, slots, dtype, n_kv_heads, d_head);
}
void group_norms(Matrix<const float> x, int64_t group_size, StatSlot out, ThreadPool&) {
  group_norms_reference(x, group_size, out);
}
void output_stats(Matrix<const float> logits, const OutputStats& stats, ThreadPool&) {
  output_stats_reference(logits, stats);
}

}  // namespace orrery
