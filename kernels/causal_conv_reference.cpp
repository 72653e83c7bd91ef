#include <cmath>
#include <vector>

#include "kernels/causal_conv.h"

namespace orrery {

void causal_conv_reference(const CausalConvArgs& args, StatSlot tap_means) {
  const auto n_channels = static_cast<size_t>(args.x.n_cols);
  const auto n_taps = static_cast<size_t>(args.n_taps);
  for (const StateRows& rows : args.sequences) {
    // All inputs, the remembered ones first.
    std::vector<float> inputs(rows.state, rows.state + (n_taps - 1) * n_channels);
    for (int64_t r = rows.begin; r < rows.end; ++r)
      inputs.insert(inputs.end(), args.x.row(r), args.x.row(r) + n_channels);
    for (int64_t r = rows.begin; r < rows.end; ++r) {
      const float* const window = inputs.data() + static_cast<size_t>(r - rows.begin) * n_channels;
      std::vector<double> magnitudes(n_taps, 0.0);
      for (size_t c = 0; c < n_channels; ++c) {
        double sum = args.bias.empty() ? 0.0 : double{args.bias[c]};
        for (size_t i = 0; i < n_taps; ++i) {
          const double term = double{args.taps[i * n_channels + c]} * double{window[i * n_channels + c]};
          sum += term;
          magnitudes[i] += std::abs(term);
        }
        args.out.row(r)[c] = static_cast<float>(sum);
      }
      if (!tap_means) continue;
      for (size_t i = 0; i < n_taps; ++i) {
        tap_means.row(r)[i] = static_cast<float>(magnitudes[i] / static_cast<double>(n_channels));
      }
    }
    const size_t n_kept = (n_taps - 1) * n_channels;
    std::copy(inputs.end() - static_cast<std::ptrdiff_t>(n_kept), inputs.end(), rows.state);
  }
}

}  // namespace orrery
