// Products whose weights each row's experts choose.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/base/tensor.h"
#include "kernels/matmul.h"
#include "kernels/moe.h"

namespace orrery {

class ThreadPool;

// For choice j of row r, with e = experts[r, j]: out[r * n_chosen + j] = weights[e] x' + biases[e], where x' is row r
// of x, or row r * n_chosen + j where x has a row per choice. With routes that name no experts e = j: a product for
// every head.
struct ExpertProduct {
  std::span<const TensorView> weights;  // per expert [n_out, n_in], all of one dtype that matmul supports
  std::span<const TensorView> biases;   // per expert [n_out] f32; none at all, or all of them
  Matrix<float> out;                    // [n_rows * n_chosen, n_out]
};

// Buffers that are reused from call to call. One per thread that calls.
struct ExpertMatmulScratch {
  MatmulScratch matmul;
  std::vector<MatmulTarget> targets;
  std::vector<int32_t> begin;    // [n_experts + 1] where an expert's choices begin in `choices`
  std::vector<int64_t> choices;  // r * n_chosen + j, by expert, ascending
  std::vector<float> inputs, outputs;
};

// The products share x. Accuracy and determinism as of matmul: a row's result does not depend on the other rows. An
// expert's weights are read once for all its rows; those that nobody chose are not touched.
void expert_matmul(Matrix<const float> x, const Routes& routes, std::span<const ExpertProduct> products,
                   ExpertMatmulScratch& scratch, ThreadPool& pool);

}  // namespace orrery
