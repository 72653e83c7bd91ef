// What a long session costs to look at: opening it, scrubbing over what is there at once, a view of much data, and what
// happens to requests that scrubbing leaves behind. Prints medians; `make_session` writes sessions to try it on.
//
//   sessions_bench FILE [--cold] [VIEW...]     --cold: the file is dropped from the disk cache before it is opened
//
// `export`'s peak memory: /usr/bin/time -v orrery export FILE --probe P --out F (Maximum resident set size).
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <string>
#include <thread>
#include <vector>

#include "app/mass_pager.h"
#include "sessions/async_frame_source.h"
#include "sessions/session_reader.h"
#include "views/registry.h"
#include "views/step_cells.h"

namespace orrery {
namespace {

using Clock = std::chrono::steady_clock;

double ms_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

// Of this thread alone, so that a busy machine does not count.
double cpu_ms() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) * 1e-6;
}

double percentile(std::vector<double> values, double share) {
  std::ranges::sort(values);
  return values[std::min(values.size() - 1, static_cast<size_t>(share * static_cast<double>(values.size())))];
}

void print(const char* what, const std::vector<double>& ms) {
  std::printf("%-44s median %8.2f ms, 95 %% %8.2f ms, most %8.2f ms (%zu times)\n", what, percentile(ms, 0.5),
              percentile(ms, 0.95), percentile(ms, 1), ms.size());
}

void drop_from_cache(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return;
  fdatasync(fd);
  posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
  ::close(fd);
}

// As the window opens a session: tokens, events, one-number-a-step probes, the newest step of the rest.
Result<FrameHistory> open_skeleton(const std::string& path, RunRecord& record) {
  ORRERY_ASSIGN_OR_RETURN(const auto reader, SessionReader::open(path));
  ORRERY_ASSIGN_OR_RETURN(record, reader->run(0));
  FrameHistory history(size_t{512} << 20);
  history.reset(run_info(record));
  ORRERY_ASSIGN_OR_RETURN(const std::vector<Token> tokens, reader->tokens(record.run));
  for (const Token& token : tokens) history.add_token(token);
  ORRERY_ASSIGN_OR_RETURN(const std::vector<RunEvent> events, reader->events(record.run));
  for (const RunEvent& event : events) history.add_event(event);
  for (const Probe* probe : offered_probes(record.config)) {
    if (probe->axes.size() > 1) continue;
    ORRERY_ASSIGN_OR_RETURN(const auto frames, reader->frames(*probe, record.run, 0, kAllSteps));
    for (const Frame& frame : frames) history.add_frame(frame);
  }
  for (const Probe* probe : offered_probes(record.config)) {
    if (probe->axes.size() == 1 || probe->level != Level::kLight || history.n_processed() == 0) continue;
    ORRERY_ASSIGN_OR_RETURN(const auto frames,
                            reader->frames(*probe, record.run, history.n_processed() - 1, kAllSteps));
    for (const Frame& frame : frames) history.add_frame(frame);
  }
  return history;
}

// What a view wants and the history lacks, asked for at once. Returns how many requests.
int ask(AsyncFrameSource& source, const FrameHistory& history, const View& view, const ViewState& state) {
  uint64_t tag = 0;
  int n = 0;
  for (const Wanted& wanted : view.wanted(history, state)) {
    const int64_t cell = steps_per_cell(wanted.level);
    const int64_t end = std::min(wanted.end, history.n_processed() / cell * cell);
    ++tag;
    if (!is_offered(*wanted.probe, history.info().config) || wanted.probe->level >= Level::kFull) continue;
    for (const auto& [from, to] : history.missing(*wanted.probe, wanted.begin, end, wanted.level)) {
      source.request({tag++, history.info().run, wanted.probe, wanted.level, from, to});
      ++n;
    }
  }
  return n;
}

// Until `n` requests are answered, or nothing comes for half a second.
int take(AsyncFrameSource& source, FrameHistory& history, int n) {
  int n_answered = 0;
  auto last = Clock::now();
  while (n_answered < n && ms_since(last) < 500) {
    FrameReply reply;
    if (!source.poll(reply)) {
      std::this_thread::sleep_for(std::chrono::microseconds(100));
      continue;
    }
    last = Clock::now();
    for (const Frame& frame : reply.frames) history.add_frame(frame);
    n_answered += reply.complete ? 1 : 0;
  }
  return n_answered;
}

// The map of one head, as the window reads it: the first that covers all that is looked at, or as fine as it is shown.
void take_map(MassPager& pager, FrameHistory& history, const WantedMass& wanted, bool first) {
  history.gather_mass(wanted.layer, wanted.head, kAllSteps);
  for (pager.want(history, wanted); !pager.idle(); pager.want(history, wanted)) {
    while (!pager.idle()) {
      if (!pager.take(history)) std::this_thread::sleep_for(std::chrono::microseconds(100));
    }
    if (first) return;
  }
}

Scene draw(const FrameHistory& history, const View& view, const ViewState& state) {
  const FixedWidthMetrics metrics(theme_of(ThemeKind::kDark));
  return view.scene({history, state, {1280, 800}, metrics});
}

void measure_opening(const std::string& path, bool cold) {
  std::vector<double> opened;
  for (int i = 0; i < 5; ++i) {
    if (cold) drop_from_cache(path);
    RunRecord record;
    const auto start = Clock::now();
    const auto history = open_skeleton(path, record);
    if (!history) std::printf("%s\n", history.error().message.c_str());
    opened.push_back(ms_since(start));
  }
  print(cold ? "open, not in the disk cache" : "open", opened);
}

// The text and the timeline at one step after the other, with the colours of `coloured`, once what they show was read.
void measure_scrubbing(const std::string& path, FrameHistory history, const ViewState& coloured, const char* what) {
  auto source = AsyncFrameSource::open(path);
  if (!source) return;
  const std::vector<const View*> scrubbed = {&timeline_view(), *find_view("text")};
  const auto start = Clock::now();
  for (const View* view : scrubbed) take(**source, history, ask(**source, history, *view, coloured));
  std::printf("%s: %.1f ms to read\n", what, ms_since(start));
  for (const View* view : scrubbed) {
    std::vector<double> times;
    for (int64_t i = 0; i < 60; ++i) {
      ViewState state = coloured;
      state.follow = false;
      state.selected.step = i * 7919 % history.n_processed();
      const double began = cpu_ms();
      (void)draw(history, *view, state);
      times.push_back(cpu_ms() - began);
    }
    print((std::string(view->name()) + ", scrubbed (CPU)").c_str(), times);
  }
}

// A view that nothing is held of yet, from the request to the picture, over all steps and over stretches.
void measure_view(const std::string& path, const FrameHistory& skeleton, const View& view) {
  for (const int64_t n : {skeleton.n_processed(), int64_t{4096}, int64_t{512}}) {
    std::vector<double> times;
    std::vector<double> fine_times;
    std::vector<double> scenes;
    for (int64_t i = 0; i < 7; ++i) {
      auto source = AsyncFrameSource::open(path);
      if (!source) return;
      FrameHistory history = skeleton;
      ViewState state;
      state.follow = false;
      const int64_t begin = n >= history.n_processed() ? 0 : i * 7919 % (history.n_processed() - n);
      if (n < history.n_processed()) state.steps = {begin, begin + n};
      state.selected.step = begin + n / 2;
      const auto start = Clock::now();
      const int n_asked = ask(**source, history, view, state);
      const auto mass = view.wanted_mass(history, state);
      MassPager pager([&]() -> std::unique_ptr<FrameSource> {
        auto opened = AsyncFrameSource::open(path);
        return opened ? std::move(*opened) : nullptr;
      });
      if (mass) take_map(pager, history, *mass, true);
      take(**source, history, n_asked);
      (void)draw(history, view, state);
      times.push_back(ms_since(start));
      if (mass) {
        take_map(pager, history, *mass, false);
        fine_times.push_back(ms_since(start));
      }
      const double again = cpu_ms();
      (void)draw(history, view, state);
      scenes.push_back(cpu_ms() - again);
    }
    const std::string what = std::string(view.name()) + " over " + std::to_string(n) + " steps";
    print((what + ", from the file").c_str(), times);
    if (!fine_times.empty()) print((what + ", as fine as it is shown").c_str(), fine_times);
    print((what + ", the scene alone (CPU)").c_str(), scenes);
  }
}

// Forty moves in a row, each asking anew; the last one's answer is what counts.
void measure_stale(const std::string& path, const FrameHistory& skeleton, const View& view) {
  auto source = AsyncFrameSource::open(path);
  if (!source) return;
  FrameHistory history = skeleton;
  int n_asked = 0;
  int n_last = 0;
  for (int64_t i = 0; i < 40; ++i) {
    ViewState state;
    state.follow = false;
    const int64_t begin = i * 7919 % std::max<int64_t>(history.n_processed() - 4096, 1);
    state.steps = {begin, begin + 4096};
    state.selected.step = begin;
    n_last = ask(**source, history, view, state);
    n_asked += n_last;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  const auto moved = Clock::now();
  const int n_answered = take(**source, history, n_asked);
  std::printf("%-44s %d of %d requests answered (the last move made %d), %.1f ms after it\n", "forty moves in a row",
              n_answered, n_asked, n_last, ms_since(moved) - (n_answered < n_asked ? 500 : 0));
}

int run(const std::string& path, bool cold, const std::vector<std::string>& views) {
  measure_opening(path, cold);
  RunRecord record;
  const auto skeleton = open_skeleton(path, record);
  if (!skeleton) return 1;
  std::printf("%lld steps, %lld tokens, skeleton of %.1f MiB\n", static_cast<long long>(skeleton->n_processed()),
              static_cast<long long>(skeleton->n_steps()), static_cast<double>(skeleton->used_bytes()) / (1 << 20));
  measure_scrubbing(path, *skeleton, {}, "as opened");
  if (is_offered(*find_probe("moe.experts"), skeleton->info().config)) {
    ViewState state;
    state.token_scalar = "moe.expert";
    state.selected.expert = 3;
    measure_scrubbing(path, *skeleton, state, "coloured by an expert");
  }
  for (const std::string& name : views) {
    const auto view = find_view(name);
    if (!view || (*view)->unavailable(skeleton->info())) continue;
    measure_view(path, *skeleton, **view);
    measure_stale(path, *skeleton, **view);
  }
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  std::printf("%-44s %.1f MiB\n", "peak memory", static_cast<double>(usage.ru_maxrss) / 1024);
  return 0;
}

}  // namespace
}  // namespace orrery

int main(int argc, char** argv) {
  std::string path;
  bool cold = false;
  std::vector<std::string> views;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--cold") == 0) {
      cold = true;
    } else if (path.empty()) {
      path = argv[i];
    } else {
      views.emplace_back(argv[i]);
    }
  }
  if (path.empty()) {
    std::fprintf(stderr, "usage: sessions_bench FILE [--cold] [VIEW...]\n");
    return 2;
  }
  if (views.empty()) views = {"state"};
  return orrery::run(path, cold, views);
}
