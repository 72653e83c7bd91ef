#include "kernels/truncated_normal.h"

#include <cmath>

#include "kernels/base/check.h"
#include "kernels/thread_pool.h"

namespace orrery {

namespace {

constexpr uint64_t kGolden = 0x9e3779b97f4a7c15;     // 2^64 over the golden ratio, odd
constexpr double kMassInside = 0.99730020393673981;  // of the normal distribution, within 3 deviations

uint64_t hashed(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

// Where the normal distribution reaches 1/2 + q, |q| < 1/2.
double normal_quantile(double q) {
  if (std::fabs(q) <= 0.425) {
    const double r = 0.180625 - q * q;
    return q * (((59.109374720 * r + 159.29113202) * r + 50.434271938) * r + 3.3871327179) /
           (((67.187563600 * r + 78.757757664) * r + 17.895169469) * r + 1.0);
  }
  const double r = std::sqrt(-std::log(0.5 - std::fabs(q))) - 1.6;
  const double value = (((0.17023821103 * r + 1.3067284816) * r + 2.7568153900) * r + 1.4234372777) /
                       ((0.12021132975 * r + 0.73700164250) * r + 1.0);
  return std::copysign(value, q);
}

}  // namespace

// Plain code: d_model numbers a token, beside a pass of millions of products.
void truncated_normal(uint64_t seed, std::span<const int64_t> positions, float deviation, Matrix<float> out,
                      ThreadPool& pool) {
  CHECK(static_cast<int64_t>(positions.size()) == out.n_rows, "a position for every row");
  pool.parallel_for(out.n_rows, 1, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const uint64_t stream = hashed(seed + kGolden * (static_cast<uint64_t>(positions[static_cast<size_t>(r)]) + 1));
      for (int64_t c = 0; c < out.n_cols; ++c) {
        const uint64_t bits = hashed(stream + kGolden * (static_cast<uint64_t>(c) + 1)) >> 41;
        const double share = static_cast<double>(2 * bits + 1) / 16777216.0 - 0.5;  // 23 bits, never at an end
        out.row(r)[c] = static_cast<float>(double{deviation} * normal_quantile(share * kMassInside));
      }
    }
  });
}

}  // namespace orrery
