// MassPager: which steps it asks for, and that what it read is in the map and nowhere else.
#include "app/window/mass_pager.h"

#include <gtest/gtest.h>

#include <cstring>
#include <deque>

namespace orrery {
namespace {

constexpr int32_t kHeads = 3;

float mass(int64_t step, int32_t head, int64_t block) {
  return static_cast<float>((step * 13 + head * 5 + block) % 97) * 0.01f + 0.001f;
}

Frame mass_frame(int64_t begin, int64_t end) {
  Frame frame;
  frame.probe = find_probe("attention.mass");
  frame.step_begin = begin;
  frame.step_end = end;
  frame.layers = {0};
  const int64_t n_blocks = (end - 1) / 64 + 1;
  frame.shape = {end - begin, 1, kHeads, n_blocks};
  std::vector<float> values;
  for (int64_t step = begin; step < end; ++step) {
    for (int32_t head = 0; head < kHeads; ++head) {
      for (int64_t block = 0; block < n_blocks; ++block) values.push_back(mass(step, head, block));
    }
  }
  frame.payload_bytes = values.size() * sizeof(float);
  const std::shared_ptr<std::byte[]> bytes(new std::byte[frame.payload_bytes]);
  std::memcpy(bytes.get(), values.data(), frame.payload_bytes);
  frame.payload = std::shared_ptr<const std::byte>(bytes, bytes.get());
  return frame;
}

// Has steps [0, n) and answers at once.
class WholeSource final : public FrameSource {
 public:
  WholeSource(int64_t n_steps, std::vector<FrameRequest>& requests) : n_steps_(n_steps), requests_(requests) {}
  void request(const FrameRequest& request) override {
    requests_.push_back(request);
    FrameReply reply{.tag = request.tag, .request = request, .frames = {}, .complete = true};
    const int64_t end = std::min(request.step_end, n_steps_);
    if (request.step_begin < end) reply.frames.push_back(mass_frame(request.step_begin, end));
    replies_.push_back(std::move(reply));
  }
  void cancel(uint64_t) override {}
  bool poll(FrameReply& reply) override {
    if (replies_.empty()) return false;
    reply = std::move(replies_.front());
    replies_.pop_front();
    return true;
  }

 private:
  const int64_t n_steps_;
  std::vector<FrameRequest>& requests_;
  std::deque<FrameReply> replies_;
};

FrameHistory history_of(int64_t begin, int64_t end) {
  RunInfo info;
  LayerConfig layer;
  layer.mixers = {MixerKind::kAttention};
  layer.attention.n_heads = kHeads;
  info.config.layers = {layer};
  FrameHistory history;
  history.reset(info);
  history.add_frame(mass_frame(begin, end));
  return history;
}

TEST(MassPager, FillsTheMapFromTheNewestMissingStepDownAndHoldsNothingElse) {
  std::vector<FrameRequest> requests;
  FrameHistory history = history_of(900, 1000);
  const size_t held = history.used_bytes();
  int n_opened = 0;
  MassPager pager([&] {
    ++n_opened;
    return std::make_unique<WholeSource>(1000, requests);
  });
  pager.want(history, 0, 2);
  EXPECT_EQ(n_opened, 0) << "nothing is gathered yet";
  while (history.gather_mass(0, 2, 64)) {
  }
  for (int i = 0; i < 20; ++i) {
    pager.want(history, 0, 2);
    pager.want(history, 0, 2);  // one at a time
    pager.take(history);
  }
  EXPECT_EQ(n_opened, 1);
  ASSERT_EQ(requests.size(), 4u);
  EXPECT_EQ(requests[0].step_end, 900);
  EXPECT_EQ(requests[3].step_begin, 0);
  const HeadMassMap& map = *history.gathered_mass(0, 2);
  for (int64_t step = 0; step < 1000; ++step) {
    ASSERT_TRUE(map.has(step)) << step;
    ASSERT_EQ(map.row(step, 0).back(), mass(step, 2, step / 64));
  }
  EXPECT_EQ(history.used_bytes(), held + map.n_bytes());
  EXPECT_FALSE(history.row(*find_probe("attention.mass"), 500));
}

TEST(MassPager, AsksOnceForWhatWasNotRecordedAndAnewForAnotherHead) {
  std::vector<FrameRequest> requests;
  FrameHistory history = history_of(900, 1000);
  MassPager pager([&] { return std::make_unique<WholeSource>(0, requests); });
  for (const int32_t head : {0, 1}) {
    while (history.gather_mass(0, head, 1000)) {
    }
    for (int i = 0; i < 20; ++i) {
      pager.want(history, 0, head);
      pager.take(history);
    }
    EXPECT_EQ(requests.size(), head == 0 ? 4u : 8u);
  }
  MassPager without([] { return nullptr; });
  without.want(history, 0, 1);
  EXPECT_FALSE(without.take(history));
}

}  // namespace
}  // namespace orrery
