// The tasks' texts obey their grammar, and marks count what a model says.
#include "app/tasks/tasks.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <set>
#include <string>

#include "app/tasks/task_marks.h"
#include "tests/app/tiny_model.h"

namespace orrery::testing {
namespace {

const Task& task(std::string_view name) {
  const Result<const Task*> found = find_task(name);
  EXPECT_TRUE(found) << name;
  return **found;
}

std::string answer_of(const TaskCase& given, const TaskAnswer& answer) {
  return given.text.substr(answer.begin, answer.end - answer.begin);
}

TEST(Tasks, TheSameSeedMakesTheSameCasesAndAnotherOthers) {
  for (const Task& one : all_tasks()) {
    TaskRandom a(7), b(7), c(8);
    const std::string first = one.make(a, 0).text;
    EXPECT_EQ(first, one.make(b, 0).text) << one.name;
    EXPECT_NE(first, one.make(c, 0).text) << one.name;
    EXPECT_EQ(first.rfind(std::string(one.name) + ":", 0), 0u) << first;
  }
}

TEST(Tasks, RecallAsksForTheValueBehindAKey) {
  TaskRandom random(1);
  for (int64_t index = 0; index < 60; ++index) {
    const TaskCase given = task("recall").make(random, index);
    const size_t end = given.text.find(';');
    std::map<char, char> pairs;
    for (size_t i = std::string("recall:").size(); i < end; i += 2) pairs[given.text[i]] = given.text[i + 1];
    ASSERT_FALSE(given.answers.empty());
    for (const TaskAnswer& answer : given.answers) {
      EXPECT_EQ(static_cast<size_t>(answer.label), pairs.size());
      EXPECT_EQ(answer_of(given, answer)[0], pairs.at(given.text[answer.begin - 1])) << given.text;
    }
  }
}

TEST(Tasks, HopsLeadAsFarAlongTheRingAsIsAsked) {
  TaskRandom random(2);
  std::set<int32_t> seen;
  for (int64_t index = 0; index < 40; ++index) {
    const TaskCase given = task("hops").make(random, index);
    std::map<char, char> step;  // all rings of a case have letters of their own
    for (size_t i = given.text.find(':') + 1; i + 1 < given.text.size();) {
      if (std::isdigit(given.text[i]) != 0) {
        i += 4;
      } else if (given.text[i] == ';') {
        ++i;
      } else {
        step[given.text[i]] = static_cast<char>(std::toupper(given.text[i + 1]));
        i += 2;
      }
    }
    for (const TaskAnswer& answer : given.answers) {
      char at = given.text[answer.begin - 2];
      ASSERT_EQ(given.text[answer.begin - 3], '0' + answer.label);
      for (int32_t k = 0; k < answer.label; ++k) at = step.at(at);
      EXPECT_EQ(answer_of(given, answer)[0], std::tolower(at)) << given.text;
      seen.insert(answer.label);
    }
  }
  EXPECT_EQ(seen, (std::set<int32_t>{1, 2, 3, 4, 5}));
}

TEST(Tasks, BracketsCloseWhatWasOpenedLast) {
  TaskRandom random(3);
  for (int64_t index = 0; index < 20; ++index) {
    const TaskCase given = task("brackets").make(random, index);
    std::vector<size_t> open;
    size_t answer = 0;
    for (size_t i = given.text.find(':') + 1; i < given.text.size(); ++i) {
      if (std::string("([{").find(given.text[i]) != std::string::npos) {
        open.push_back(i);
        continue;
      }
      ASSERT_FALSE(open.empty());
      EXPECT_EQ(given.text[i], given.text[open.back()] == '(' ? ')' : given.text[open.back()] == '[' ? ']' : '}');
      ASSERT_LT(answer, given.answers.size());
      EXPECT_EQ(given.answers[answer].begin, i);
      EXPECT_EQ(static_cast<size_t>(given.answers[answer++].label), i - open.back());
      open.pop_back();
    }
    EXPECT_EQ(answer, given.answers.size());
  }
}

TEST(Tasks, CopyRepeatsItsLetters) {
  TaskRandom random(4);
  const TaskCase given = task("copy").make(random, 0);
  const size_t bar = given.text.find('|');
  EXPECT_EQ(given.text.substr(5, bar - 5), given.text.substr(bar + 1));
  EXPECT_EQ(given.answers.size(), given.text.size() - bar - 1);
}

TEST(Tasks, TheFloorOfAStoryIsItsGrammarsEntropy) {
  // Of every word the tale notes its probability: frequencies must agree. "." after an adverb is certain, for one.
  TaskRandom random(5);
  double floor = 0.0;
  int64_t n = 0, n_then = 0, n_sentences = 0;
  for (int64_t index = 0; index < 2000; ++index) {
    const TaskCase given = task("story").make(random, index);
    EXPECT_EQ(given.domain, index % 4);
    EXPECT_EQ(given.answers.size() + 1, kTaskTokens);
    for (size_t i = 0; i < given.answers.size(); ++i) {
      floor += given.answers[i].floor;
      ++n;
      if (i > 0 && answer_of(given, given.answers[i - 1]) == ".") {
        ++n_sentences;
        n_then += answer_of(given, given.answers[i]) == " then" ? 1 : 0;
      }
    }
  }
  EXPECT_NEAR(static_cast<double>(n_then) / static_cast<double>(n_sentences), 0.25, 0.02);
  EXPECT_NEAR(floor / static_cast<double>(n), 1.419, 0.01);
}

TEST(Tasks, AnUnknownNameIsRefusedWithTheOthers) {
  const Result<const Task*> found = find_task("dance");
  ASSERT_FALSE(found);
  EXPECT_NE(found.error().message.find("recall"), std::string::npos);
  EXPECT_NE(found.error().message.find("dance"), std::string::npos);
}

TEST(TaskMarks, InformationIsZeroForEqualSharesAndLogOfClassesForDisjointOnes) {
  EXPECT_NEAR(information({{5, 5}, {9, 9}}), 0.0, 1e-12);
  EXPECT_NEAR(information({{5, 0, 0}, {0, 9, 0}, {0, 0, 2}}), std::log(3.0), 1e-12);
  EXPECT_NEAR(information({{5, 0}, {0, 0}}), 0.0, 1e-12);  // a class that nothing was seen of does not count
}

TEST(TaskMarks, AVocabularyThatJoinsAnswersIsRefused) {
  const OpenedModel opened = open_tiny();
  const Result<MarksReport> report =
      mark(opened, nullptr, {.tasks = {&task("story")}, .n_cases = 1}, [](int64_t, int64_t) { return true; });
  ASSERT_FALSE(report);
  EXPECT_NE(report.error().message.find("story"), std::string::npos) << report.error().message;
}

}  // namespace
}  // namespace orrery::testing
