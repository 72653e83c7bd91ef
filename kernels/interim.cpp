#include "kernels/attention.h"
#include "kernels/output_stats.h"

// Operations whose fast version is not there yet.
namespace orrery {

void attention(const AttentionArgs& args, const AttentionStats& stats, ThreadPool&) {
  attention_reference(args, stats);
}
void output_stats(Matrix<const float> logits, const OutputStats& stats, ThreadPool&) {
  output_stats_reference(logits, stats);
}

}  // namespace orrery
