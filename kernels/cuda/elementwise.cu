#include "kernels/cuda/elementwise.h"
#include "kernels/cuda/language.h"

namespace orrery::ORRERY_CUDA_NAMESPACE {

namespace {

constexpr uint32_t kThreads = 256;

enum class Function : int32_t { kActivate, kActivateMultiply, kSoftCap, kAdd };

// out[r, i] = function(a[r, i], b[r, i]).
struct ElementwiseArguments {
  const float* a;
  const float* b;
  float* out;
  int64_t a_stride;
  int64_t b_stride;
  int64_t out_stride;
  int64_t n_rows;
  int64_t n_cols;
  float parameter;
  Activation activation;
  Function function;
};

__device__ float activated(Activation activation, float x) {
  constexpr float kSqrtTwoOverPi = 0.7978845608028654f;
  constexpr float kSqrtHalf = 0.7071067811865476f;
  switch (activation) {
    case Activation::kSilu:
      return x / (1.0f + expf(-x));
    case Activation::kGeluTanh:
      return 0.5f * x * (1.0f + tanhf(kSqrtTwoOverPi * (x + 0.044715f * x * x * x)));
    case Activation::kGelu:
      return 0.5f * x * (1.0f + erff(x * kSqrtHalf));
    case Activation::kReluSquared:
      return x > 0.0f ? x * x : 0.0f;
  }
  return 0.0f;
}

__global__ void elementwise_kernel(ElementwiseArguments a) {
  const int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= a.n_rows * a.n_cols) return;
  const int64_t row = i / a.n_cols, col = i % a.n_cols;
  const float x = a.a[row * a.a_stride + col];
  const float y = a.b == nullptr ? 0.0f : a.b[row * a.b_stride + col];
  float result = 0.0f;
  switch (a.function) {
    case Function::kActivate:
      result = activated(a.activation, x);
      break;
    case Function::kActivateMultiply:
      result = activated(a.activation, x) * y;
      break;
    case Function::kSoftCap:
      result = a.parameter * tanhf(x / a.parameter);
      break;
    case Function::kAdd:
      result = x + y;
      break;
  }
  a.out[row * a.out_stride + col] = result;
}

void push(Function function, Activation activation, float parameter, Matrix<const float> a, Matrix<const float> b,
          Matrix<float> out, CommandStream& stream) {
  ElementwiseArguments arguments;
  memset(&arguments, 0, sizeof(arguments));  // padding too
  arguments.a = a.data;
  arguments.b = b.data;
  arguments.out = out.data;
  arguments.a_stride = a.row_stride;
  arguments.b_stride = b.row_stride;
  arguments.out_stride = out.row_stride;
  arguments.n_rows = a.n_rows;
  arguments.n_cols = a.n_cols;
  arguments.parameter = parameter;
  arguments.activation = activation;
  arguments.function = function;
  stream.push(make_launch("elementwise", elementwise_kernel, {.x = blocks_for(a.n_rows * a.n_cols, kThreads)},
                          {.x = kThreads}, arguments));
}

}  // namespace

void activate(Activation activation, Matrix<const float> x, Matrix<float> out, CommandStream& stream) {
  push(Function::kActivate, activation, 0.0f, x, {}, out, stream);
}

void activate_multiply(Activation activation, Matrix<const float> gate, Matrix<const float> up, Matrix<float> out,
                       CommandStream& stream) {
  push(Function::kActivateMultiply, activation, 0.0f, gate, up, out, stream);
}

void soft_cap(Matrix<const float> x, float cap, Matrix<float> out, CommandStream& stream) {
  push(Function::kSoftCap, Activation::kSilu, cap, x, {}, out, stream);
}

void add(Matrix<const float> a, Matrix<const float> b, Matrix<float> out, CommandStream& stream) {
  push(Function::kAdd, Activation::kSilu, 0.0f, a, b, out, stream);
}

}  // namespace orrery::ORRERY_CUDA_NAMESPACE
