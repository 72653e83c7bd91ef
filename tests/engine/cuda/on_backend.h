// The same operation on the CPU and on a CUDA backend, emulated or on a device: tests write it once as a function of a
// Backend that returns numbers, and hold both results together.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "engine/backend.h"

namespace orrery::testing {

// Memory of one backend for the length of a test: inputs are placed, outputs brought back.
class OnBackend {
 public:
  explicit OnBackend(Backend& backend) : backend_(backend) {}

  template <typename T>
  const T* input(std::span<const T> values) {
    // Backends copy bytes: a row of I32 stands for any of them.
    padded_.emplace_back((values.size_bytes() + 3) / 4 * 4);
    if (!values.empty()) std::memcpy(padded_.back().data(), values.data(), values.size_bytes());
    const TensorView view{.dtype = DType::kI32,
                          .shape = {static_cast<int64_t>(padded_.back().size() / 4)},
                          .data = padded_.back().data()};
    placed_.push_back(backend_.place(view, {}).value());
    return reinterpret_cast<const T*>(placed_.back().view.data);
  }
  Matrix<const float> matrix(std::span<const float> values, int64_t n_rows, int64_t n_cols) {
    return {input(values), n_rows, n_cols};
  }
  // The same, for operations in place; results() does not read it.
  Matrix<float> writable(std::span<const float> values, int64_t n_rows, int64_t n_cols) {
    return {const_cast<float*>(input(values)), n_rows, n_cols};
  }
  // A matrix that results() brings.
  Matrix<float> output(int64_t n_rows, int64_t n_cols) {
    outputs_.push_back(backend_.allocate_readback(static_cast<size_t>(n_rows * n_cols) * sizeof(float)).value());
    return {reinterpret_cast<float*>(outputs_.back()->written()), n_rows, n_cols};
  }
  StatSlot slot(int64_t n_rows, int64_t width) { return {output(n_rows, width).data, width}; }
  // Pages and other memory that starts at zero.
  std::byte* zeroed(size_t n_bytes) {
    memory_.push_back(backend_.allocate(n_bytes).value());
    return memory_.back()->data();
  }

  // Runs what was queued; the outputs one after another.
  std::vector<float> results() {
    std::vector<Fetch> wanted;
    for (const auto& output : outputs_) wanted.push_back({output.get(), output->n_bytes()});
    const Result<void> finished = backend_.finish(wanted);
    EXPECT_TRUE(finished) << (finished ? "" : finished.error().message);
    std::vector<float> values;
    for (const auto& output : outputs_) {
      const auto* read = reinterpret_cast<const float*>(output->read());
      values.insert(values.end(), read, read + output->n_bytes() / sizeof(float));
    }
    return values;
  }

 private:
  Backend& backend_;
  std::vector<std::vector<std::byte>> padded_;
  std::vector<PlacedWeight> placed_;
  std::vector<std::unique_ptr<Readback>> outputs_;
  std::vector<std::unique_ptr<Allocation>> memory_;
};

// Cases run on "cuda-emulated", and on "cuda" where a device is found; without one those are skipped. A device that is
// there and cannot be opened fails them.
class CudaOperation : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    cpu_ = make_cpu_backend(1);
    const bool on_device = GetParam() == "cuda";
    const Result<void> found = on_device ? find_cuda_backend() : Result<void>();
    if (!found) GTEST_SKIP() << found.error().message;
    Result<std::shared_ptr<Backend>> opened = on_device ? make_cuda_backend() : make_cuda_emulated_backend();
    ASSERT_TRUE(opened) << (opened ? "" : opened.error().message);
    backend_ = *opened;
  }

  using Operation = std::function<std::vector<float>(Backend&)>;
  // sum (a - b)^2 / sum b^2 over the results, b being the CPU's; missing numbers (NaN) must be missing in both.
  void expect_alike(const Operation& operation, double most) {
    const std::vector<float> expected = operation(*cpu_), got = operation(*backend_);
    ASSERT_EQ(got.size(), expected.size());
    double difference = 0.0, size = 0.0;
    for (size_t i = 0; i < got.size(); ++i) {
      ASSERT_EQ(std::isnan(got[i]), std::isnan(expected[i])) << "at " << i << ": " << got[i] << ", " << expected[i];
      if (std::isnan(expected[i])) continue;
      difference += (double{got[i]} - expected[i]) * (double{got[i]} - expected[i]);
      size += double{expected[i]} * expected[i];
    }
    EXPECT_LE(difference, most * size) << "normalised error " << difference / size;
  }

  std::vector<float> random(int64_t n, float scale = 1.0f) {
    std::normal_distribution<float> normal(0.0f, scale);
    std::vector<float> values(static_cast<size_t>(n));
    for (float& value : values) value = normal(random_);
    return values;
  }

  std::shared_ptr<Backend> cpu_;
  std::shared_ptr<Backend> backend_;
  std::mt19937 random_{20261122};
};

}  // namespace orrery::testing

// Once in each test file.
#define ORRERY_CUDA_OPERATION_TESTS(Suite)                                                                       \
  INSTANTIATE_TEST_SUITE_P(Backends, Suite, ::testing::Values("cuda-emulated", "cuda"), [](const auto& tested) { \
    return tested.param == "cuda" ? std::string("Device") : std::string("Emulated");                             \
  })
