// FrameTimes: how much CPU time of the UI thread a frame takes, GL excluded. UI thread only.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace orrery {

// CPU time of the calling thread.
int64_t thread_cpu_ns();

class FrameTimes {
 public:
  // Adds the time of a scope to the frame in progress.
  class Scope {
   public:
    explicit Scope(FrameTimes& times) : times_(times), start_ns_(thread_cpu_ns()) {}
    ~Scope() { times_.add_ns(thread_cpu_ns() - start_ns_); }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    FrameTimes& times_;
    int64_t start_ns_;
  };

  void add_ns(int64_t elapsed_ns) { current_ns_ += elapsed_ns; }
  // Something was drawn in the frame in progress.
  void note_paint() { painted_ = true; }
  // The clock ticks: the sum of a frame that was drawn enters the ring; without one it is carried over to the next.
  void end_frame();
  void clear();

  int64_t n_frames() const { return n_frames_; }
  // Of the last kKept frames, in milliseconds; 0 where there are none.
  double quantile_ms(double share) const;

 private:
  static constexpr size_t kKept = 512;
  std::array<int64_t, kKept> ring_ns_{};
  int64_t n_frames_ = 0;
  int64_t current_ns_ = 0;
  bool painted_ = false;
};

}  // namespace orrery
