// Writes a long session of a made-up model (long_session.h), to try the window, `export` and the benchmarks on.
//
//   make_session FILE [--tokens N] [--layers N] [--heads N] [--experts N] [--attention-every N] [--standard]
#include <cstdlib>
#include <cstring>
#include <string>

#include "sessions/session_reader.h"
#include "tests/bench/long_session.h"

namespace {

void print_sizes(const std::string& path, int64_t n_tokens) {
  auto reader = orrery::SessionReader::open(path);
  if (!reader) return;
  const auto summary = (*reader)->summary();
  if (!summary) return;
  const auto per_token = [&](int64_t n_bytes) { return static_cast<double>(n_bytes) / static_cast<double>(n_tokens); };
  for (const orrery::ProbeSummary& probe : summary->runs[0].probes) {
    int64_t coarse = 0;
    for (const orrery::LevelSummary& level : probe.levels) coarse += level.n_bytes;
    std::printf("%-20s %9.1f bytes/token, coarse levels %7.1f\n", probe.name.c_str(), per_token(probe.n_bytes),
                per_token(coarse));
  }
  std::printf("%-20s %9.1f bytes/token, %.1f MiB\n", "file", per_token(summary->n_bytes),
              static_cast<double>(summary->n_bytes) / (1 << 20));
}

}  // namespace

int main(int argc, char** argv) {
  orrery::bench::LongSession shape;
  std::string path;
  for (int i = 1; i < argc; ++i) {
    const std::string option = argv[i];
    const auto number = [&]() -> int64_t { return i + 1 < argc ? std::atoll(argv[++i]) : 0; };
    if (option == "--tokens")
      shape.n_tokens = number();
    else if (option == "--layers")
      shape.n_layers = static_cast<int32_t>(number());
    else if (option == "--heads")
      shape.n_heads = static_cast<int32_t>(number());
    else if (option == "--experts")
      shape.n_experts = static_cast<int32_t>(number());
    else if (option == "--attention-every")
      shape.attention_every = static_cast<int32_t>(number());
    else if (option == "--standard")
      shape.level = orrery::Level::kStandard;
    else
      path = option;
  }
  if (path.empty() || path.starts_with("-") || shape.n_tokens < 1 || shape.n_layers < 1 || shape.n_heads < 1) {
    std::fprintf(stderr,
                 "usage: make_session FILE [--tokens N] [--layers N] [--heads N] [--experts N] "
                 "[--attention-every N] [--standard]\n");
    return 2;
  }
  const auto done = orrery::bench::record_long_session(path, shape);
  if (!done) {
    std::fprintf(stderr, "%s\n", done.error().message.c_str());
    return 1;
  }
  print_sizes(path, shape.n_tokens);
}
