// Tasks for small models, as text that a person can follow: fresh cases of each, with what must be answered where. Each
// is a line that begins with the task's name and a colon; tasks.cpp gives the grammars.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "app/tasks/task_random.h"
#include "kernels/base/result.h"

namespace orrery {

// A place in a case's text where the model must say what comes next.
struct TaskAnswer {
  size_t begin = 0;  // bytes of the text that is right: one token
  size_t end = 0;
  int32_t label = 0;   // by which marks are told apart: pairs, letters, hops, distance, domain
  double floor = 0.0;  // story: -ln of its probability under the grammar; no model can do better on average
};

struct TaskCase {
  std::string text;
  std::vector<TaskAnswer> answers;
  int32_t domain = -1;  // of a story; -1: none
};

// Labels that are reported as one.
struct LabelRange {
  int32_t least = 0;
  int32_t greatest = 0;
  std::string_view name;  // "9 to 16 back"
};

struct Task {
  std::string_view name;                                // "recall", as in the text and in --task
  std::string_view summary;                             // one line
  TaskCase (*make)(TaskRandom& random, int64_t index);  // the index-th case: settings take turns
  std::span<const LabelRange> labels;
  // An answer is right when it is the likeliest of these; empty: of all tokens. One token each.
  std::span<const std::string_view> choices;
  bool is_text = false;  // marked by nats beside the floor, not by right answers
};

std::span<const Task> all_tasks();
// kInvalidArgument naming those that there are.
Result<const Task*> find_task(std::string_view name);

// "sea", "kitchen", "space", "music": of stories, by TaskCase::domain.
std::span<const std::string_view> story_domains();

// Tokens that a case has at most, where every letter and every word of a story is one.
inline constexpr size_t kTaskTokens = 96;

}  // namespace orrery
