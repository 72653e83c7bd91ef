#include "kernels/attention.h"

// Operations whose fast version is not there yet.
namespace orrery {

void attention(const AttentionArgs& args, const AttentionStats& stats, ThreadPool&) {
  attention_reference(args, stats);
}

}  // namespace orrery
