// What recording costs: synthetic Frames of a 30-layer, 9-head model at about 500 tokens, recorded at 150 steps a
// second. Prints the CPU time of the recorder's thread per step, and the bytes per token of each probe.
#include <sys/resource.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <string>
#include <thread>

#include "sessions/recorder.h"
#include "sessions/session_reader.h"
#include "tests/sessions/make_session.h"

namespace {

double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

void measure(orrery::Level level) {
  using namespace orrery;
  constexpr int64_t kSteps = 300;
  constexpr int64_t kFirst = 500;
  const orrery::testing::TempFolder folder;
  const std::string path = folder.file("bench.orrery");
  const ModelConfig config = orrery::testing::llama_like(30, 9);
  std::vector<SharedBatch> batches;
  for (int64_t step = kFirst; step < kFirst + kSteps; ++step) {
    batches.push_back(orrery::testing::make_batch(config, level, 1, step, step + 1, step * 6'666'667));
  }
  const auto ring = orrery::testing::make_ring();
  auto recorder = Recorder::start(path, ring);
  if (!recorder || !(*recorder)->begin_run(orrery::testing::make_record(config, level))) return;
  const double before = cpu_seconds();
  auto next = std::chrono::steady_clock::now();
  for (const SharedBatch& batch : batches) {
    ring->push_within(batch, std::chrono::seconds(2));
    std::this_thread::sleep_until(next += std::chrono::microseconds(6667));
  }
  const double recorded = cpu_seconds();
  if (!(*recorder)->end_run(RunEnd::kComplete) || !(*recorder)->close()) return;
  const double closed = cpu_seconds();
  std::printf("level %s: %.0f us/step while recording, %.1f ms to close, %.0f bytes/token raw\n",
              std::string(level_name(level)).c_str(), (recorded - before) / kSteps * 1e6, (closed - recorded) * 1e3,
              static_cast<double>(batches.back()->n_bytes));
  auto reader = SessionReader::open(path);
  if (!reader) return;
  const auto summary = (*reader)->summary();
  if (!summary) return;
  for (const ProbeSummary& probe : summary->runs[0].probes) {
    std::printf("  %-20s %8.1f bytes/token in %lld chunks\n", probe.name.c_str(),
                static_cast<double>(probe.n_bytes) / kSteps, static_cast<long long>(probe.n_chunks));
  }
  std::printf("  file %.1f bytes/token\n", static_cast<double>(summary->n_bytes) / kSteps);
}

}  // namespace

int main() {
  for (const orrery::Level level : {orrery::Level::kLight, orrery::Level::kStandard, orrery::Level::kFull}) {
    measure(level);
  }
}
