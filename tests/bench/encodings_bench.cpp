// Bytes per token of each probe of a recorded session under several encodings: what sessions/fixed_point.h's table is
// made of. Rows are taken in chunks of about 512 KiB, as the packer takes them.
//
//   encodings_bench FILE [FIRST_STEP [END_STEP]]
#include <zstd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "sessions/byte_shuffle.h"
#include "sessions/chunk_codec.h"
#include "sessions/session_reader.h"

namespace orrery {
namespace {

constexpr size_t kChunkBytes = size_t{512} << 10;

size_t zstd_size(std::span<const std::byte> bytes, int level) {
  std::vector<std::byte> to(ZSTD_compressBound(bytes.size()));
  return ZSTD_compress(to.data(), to.size(), bytes.data(), bytes.size(), level);
}

size_t shuffled_size(std::span<const std::byte> bytes, size_t record, int level) {
  std::vector<std::byte> to(bytes.size());
  shuffle_bytes(bytes, record, to.data());
  return zstd_size(to, level);
}

// As probes/frame.cpp rounds: ids are whole numbers and stay.
std::vector<std::byte> rounded(std::span<const std::byte> raw, int bits) {
  std::vector<std::byte> copy(raw.begin(), raw.end());
  round_to_multiples({reinterpret_cast<float*>(copy.data()), copy.size() / sizeof(float)}, bits);
  return copy;
}

struct Sizes {
  size_t raw = 0, zstd = 0, shuffled = 0, shuffled3 = 0, rounded16 = 0, rounded20 = 0, words = 0;
  int64_t n_steps = 0;
};

void add_chunk(Sizes& sizes, const ChunkForm& form, int64_t step_begin, std::span<const std::byte> raw,
               ChunkEncoder& encoder) {
  const bool pairs = form.probe->has_axis(Axis::kTop);
  const size_t record = form.value_bytes() * (pairs ? 2 : 1);
  sizes.raw += raw.size();
  sizes.zstd += zstd_size(raw, 1);
  sizes.shuffled += shuffled_size(raw, record, 1);
  sizes.shuffled3 += shuffled_size(raw, record, 3);
  const int bits = form.probe->fraction_bits;
  if (bits > 0) {
    sizes.rounded16 += shuffled_size(rounded(raw, 16), record, 1);
    sizes.rounded20 += shuffled_size(rounded(raw, bits), record, 1);
    sizes.words += encoder.encode(form, step_begin, rounded(raw, bits)).data.size();
  } else {
    sizes.words += encoder.encode(form, step_begin, raw).data.size();
  }
}

int run(const std::string& path, int64_t first, int64_t end) {
  auto reader = SessionReader::open(path);
  if (!reader) return std::printf("%s\n", reader.error().message.c_str()), 1;
  const auto record = (*reader)->run(0);
  if (!record) return 1;
  std::printf("%-20s %10s %9s %9s %9s %9s %9s %9s\n", "bytes per token", "raw", "zstd", "shuffle", "level 3", "2^-16",
              "2^-20", "as stored");
  for (const Probe* probe : offered_probes(record->config)) {
    Sizes sizes;
    ChunkEncoder encoder;
    std::vector<std::byte> raw;
    ChunkForm form;
    int64_t begin = 0;
    const auto flush = [&] {
      if (!raw.empty()) add_chunk(sizes, form, begin, raw, encoder);
      raw.clear();
    };
    (void)(*reader)->for_each_frame(*probe, record->run, first, end, 0, [&](const Frame& frame) {
      const auto of = ChunkForm::of(frame);
      if (!of) return false;
      for (int64_t step = frame.step_begin; step < frame.step_end; ++step) {
        if (raw.empty()) {
          form = *of;
          begin = step;
        }
        append_step(frame, form, step, raw);
        ++sizes.n_steps;
        if (raw.size() >= kChunkBytes) flush();
      }
      return true;
    });
    flush();
    if (sizes.n_steps == 0) continue;
    const auto per_token = [&](size_t n) { return static_cast<double>(n) / static_cast<double>(sizes.n_steps); };
    std::printf("%-20s %10.1f %9.1f %9.1f %9.1f %9.1f %9.1f %9.1f\n", std::string(probe->name).c_str(),
                per_token(sizes.raw), per_token(sizes.zstd), per_token(sizes.shuffled), per_token(sizes.shuffled3),
                per_token(sizes.rounded16), per_token(sizes.rounded20), per_token(sizes.words));
  }
  return 0;
}

}  // namespace
}  // namespace orrery

int main(int argc, char** argv) {
  if (argc < 2) return std::fprintf(stderr, "usage: encodings_bench FILE [FIRST_STEP [END_STEP]]\n"), 2;
  return orrery::run(argv[1], argc > 2 ? std::atoll(argv[2]) : 0, argc > 3 ? std::atoll(argv[3]) : orrery::kAllSteps);
}
