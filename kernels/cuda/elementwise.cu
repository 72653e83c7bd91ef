#include "kernels/cuda/elementwise.h"
#include "kernels/cuda/language.h"

namespace orrery::ORRERY_CUDA_NAMESPACE {

namespace {

constexpr uint32_t kThreads = 256;

enum class Function : int32_t {
  kActivate,
  kActivateMultiply,
  kClippedMultiply,
  kGate,
  kClip,
  kSoftCap,
  kAdd,
  kScale,
  kSoftplus
};

// out[r, i] = function(a[r, i], b[r, i / b_group]); b may be null.
struct ElementwiseArguments {
  const float* a;
  const float* b;
  float* out;
  int64_t a_stride;
  int64_t b_stride;
  int64_t out_stride;
  int64_t n_rows;
  int64_t n_cols;
  int64_t b_group;
  float parameter;
  float least;
  float greatest;
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
    case Activation::kSigmoid:
      return 1.0f / (1.0f + expf(-x));
    case Activation::kIdentity:
      return x;
  }
  return 0.0f;
}

__device__ float softplus_of(float x) { return x > 20.0f ? x : log1pf(expf(x)); }

// What is not a number stays so.
__device__ float clamped(float x, float least, float greatest) {
  return x < least ? least : x > greatest ? greatest : x;
}

__global__ void elementwise_kernel(ElementwiseArguments a) {
  const int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= a.n_rows * a.n_cols) return;
  const int64_t row = i / a.n_cols, col = i % a.n_cols;
  const float x = a.a[row * a.a_stride + col];
  const float y = a.b == nullptr ? 0.0f : a.b[row * a.b_stride + col / a.b_group];
  float result = 0.0f;
  switch (a.function) {
    case Function::kActivate:
      result = activated(a.activation, x);
      break;
    case Function::kActivateMultiply:
      result = activated(a.activation, x) * y;
      break;
    case Function::kClippedMultiply: {
      const float g = x > a.greatest ? a.greatest : x;
      const float activated_g = g / (1.0f + expf(-a.parameter * g));
      result = fmaf(clamped(y, a.least, a.greatest), activated_g, activated_g);
      break;
    }
    case Function::kGate:
      result = x * activated(a.activation, y);
      break;
    case Function::kClip:
      result = clamped(x, a.least, a.greatest);
      break;
    case Function::kSoftCap:
      result = a.parameter * tanhf(x / a.parameter);
      break;
    case Function::kAdd:
      result = fmaf(y, a.parameter, x);
      break;
    case Function::kScale:
      result = x * a.parameter;
      break;
    case Function::kSoftplus:
      result = clamped(softplus_of(x + y), a.least, a.greatest);
      break;
  }
  a.out[row * a.out_stride + col] = result;
}

// The arguments of a function of two matrices; what else it needs is to be set.
ElementwiseArguments arguments_for(Function function, Matrix<const float> a, Matrix<const float> b, Matrix<float> out) {
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
  arguments.b_group = 1;
  arguments.function = function;
  return arguments;
}

void push(const ElementwiseArguments& arguments, CommandStream& stream) {
  stream.push(make_launch("elementwise", elementwise_kernel,
                          {.x = blocks_for(arguments.n_rows * arguments.n_cols, kThreads)}, {.x = kThreads},
                          arguments));
}

}  // namespace

void activate(Activation activation, Matrix<const float> x, Matrix<float> out, CommandStream& stream) {
  ElementwiseArguments arguments = arguments_for(Function::kActivate, x, {}, out);
  arguments.activation = activation;
  push(arguments, stream);
}

void activate_multiply(Activation activation, Matrix<const float> gate, Matrix<const float> up, Matrix<float> out,
                       CommandStream& stream) {
  ElementwiseArguments arguments = arguments_for(Function::kActivateMultiply, gate, up, out);
  arguments.activation = activation;
  push(arguments, stream);
}

void clipped_multiply(ClippedGate clipped, Matrix<const float> gate, Matrix<const float> up, Matrix<float> out,
                      CommandStream& stream) {
  ElementwiseArguments arguments = arguments_for(Function::kClippedMultiply, gate, up, out);
  arguments.parameter = clipped.slope;
  arguments.least = -clipped.limit;
  arguments.greatest = clipped.limit;
  push(arguments, stream);
}

void clip(Matrix<const float> x, float limit, Matrix<float> out, CommandStream& stream) {
  ElementwiseArguments arguments = arguments_for(Function::kClip, x, {}, out);
  arguments.least = -limit;
  arguments.greatest = limit;
  push(arguments, stream);
}

void soft_cap(Matrix<const float> x, float cap, Matrix<float> out, CommandStream& stream) {
  ElementwiseArguments arguments = arguments_for(Function::kSoftCap, x, {}, out);
  arguments.parameter = cap;
  push(arguments, stream);
}

void add(Matrix<const float> a, Matrix<const float> b, float factor, Matrix<float> out, CommandStream& stream) {
  ElementwiseArguments arguments = arguments_for(Function::kAdd, a, b, out);
  arguments.parameter = factor;
  push(arguments, stream);
}

void scale(Matrix<const float> x, float factor, Matrix<float> out, CommandStream& stream) {
  ElementwiseArguments arguments = arguments_for(Function::kScale, x, {}, out);
  arguments.parameter = factor;
  push(arguments, stream);
}

void gate_groups(Activation activation, Matrix<const float> gates, Matrix<float> x, CommandStream& stream) {
  ElementwiseArguments arguments = arguments_for(Function::kGate, x, gates, x);
  arguments.activation = activation;
  arguments.b_group = x.n_cols / gates.n_cols;
  push(arguments, stream);
}

void softplus(Matrix<const float> x, const float* bias, SoftplusRange range, Matrix<float> out, CommandStream& stream) {
  // The bias stands for every row.
  ElementwiseArguments arguments = arguments_for(Function::kSoftplus, x, {bias, x.n_rows, x.n_cols, 0}, out);
  arguments.least = range.least;
  arguments.greatest = range.greatest;
  push(arguments, stream);
}

}  // namespace orrery::ORRERY_CUDA_NAMESPACE
