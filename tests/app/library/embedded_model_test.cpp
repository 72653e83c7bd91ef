// The model that comes with the program is written out whole, once, and does what its card says.
#include "app/library/embedded_model.h"

#include <gmock/gmock.h>

#include <filesystem>
#include <map>
#include <string>

#include "app/library/installed_models.h"
#include "app/tasks/task_marks.h"
#include "tests/app/library/library_fixture.h"
#include "tests/app/tiny_model.h"

namespace orrery {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

using EmbeddedModel = LibraryTest;

TEST_F(EmbeddedModel, IsTheFolderOfTheAssets) {
  const fs::path assets = testing::asset("models/orrery-hybrid");
  for (const EmbeddedFile& file : embedded_files()) EXPECT_EQ(file.bytes, read_text(assets / file.name)) << file.name;
}

TEST_F(EmbeddedModel, IsWrittenOutOnce) {
  const auto first = unpack_embedded_model(folder() / "models");
  ASSERT_TRUE(first) << first.error().message;
  for (const EmbeddedFile& file : embedded_files()) EXPECT_EQ(read_text(*first / file.name), file.bytes);
  const auto written = fs::last_write_time(*first / "model.safetensors");
  ASSERT_TRUE(unpack_embedded_model(folder() / "models"));
  EXPECT_EQ(fs::last_write_time(*first / "model.safetensors"), written);
  EXPECT_EQ(std::distance(fs::directory_iterator(folder() / "models"), fs::directory_iterator()), 1);
}

TEST_F(EmbeddedModel, IsPutRightWhereItWasChanged) {
  const fs::path at = unpack_embedded_model(folder() / "models").value();
  write_text(at / "config.json", "{}");
  fs::remove(at / "tokenizer.json");
  ASSERT_TRUE(unpack_embedded_model(folder() / "models"));
  for (const EmbeddedFile& file : embedded_files()) EXPECT_EQ(read_text(at / file.name), file.bytes) << file.name;
}

TEST_F(EmbeddedModel, SaysWhereItCannotBeWritten) {
  write_text(folder() / "models", "a file");
  const auto refused = unpack_embedded_model(folder() / "models");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kIo);
  EXPECT_THAT(refused.error().message, HasSubstr((folder() / "models").string()));
}

TEST_F(EmbeddedModel, IsInstalledFromTheFirst) {
  set_variable("ORRERY_MODELS_DIR", (folder() / "models").c_str());
  const auto models = installed_models();
  ASSERT_TRUE(models) << models.error().message;
  ASSERT_EQ(models->size(), 1U);
  EXPECT_EQ(models->front().name, kEmbeddedModel);
  EXPECT_EQ(models->front().licence, "Apache-2.0");
  EXPECT_EQ(resolve_model(kEmbeddedModel).value(), models->front().path);
}

Tally with_label(const TaskMarks& marks, std::string_view name) {
  for (size_t i = 0; i < marks.by_label.size(); ++i) {
    if (marks.task->labels[i].name == name) return marks.by_label[i];
  }
  ADD_FAILURE() << "no label " << name;
  return {};
}

// The marks of its card, on fewer cases: 64 of each task.
class EmbeddedModelMarks : public ::testing::Test {
 protected:
  static MarksReport marks_of(std::string_view task, const std::string& model = "orrery-hybrid") {
    const OpenedModel opened = testing::open_tiny(model);
    const Task* const one = find_task(task).value();
    Result<MarksReport> report =
        mark(opened, nullptr, {.tasks = {one}, .n_cases = 64, .seed = 2026}, [](int64_t, int64_t) { return true; });
    EXPECT_TRUE(report) << (report ? "" : report.error().message);
    return std::move(*report);
  }
};

TEST_F(EmbeddedModelMarks, RecallsAndCopies) {
  for (const std::string_view task : {"recall", "copy"}) {
    const MarksReport report = marks_of(task);
    EXPECT_GT(report.tasks.front().all.n_answers, 800) << task;
    EXPECT_GE(report.tasks.front().all.accuracy(), 0.99) << task;
  }
}

// No attention of it reaches so far back: what it recalls, its inner weights have learned while it read.
TEST_F(EmbeddedModelMarks, ASiblingRecallsByFastWeights) {
  const MarksReport report = marks_of("recall", "orrery-hybrid-fast-weights");
  EXPECT_GE(with_label(report.tasks.front(), "16 pairs").accuracy(), 0.98);
  EXPECT_GE(with_label(report.tasks.front(), "32 pairs").accuracy(), 0.95);
}

TEST_F(EmbeddedModelMarks, ThinksAsDeepAsTheHopsAreMany) {
  const MarksReport report = marks_of("hops");
  const std::map<std::string, double> depths{
      {"1 hop", 1.0}, {"2 hops", 1.0}, {"3 hops", 2.0}, {"4 hops", 3.0}, {"5 hops", 4.0}};
  for (const auto& [label, depth] : depths) {
    const Tally tally = with_label(report.tasks.front(), label);
    EXPECT_GT(tally.n_answers, 100) << label;
    EXPECT_GE(tally.accuracy(), 0.98) << label;
    EXPECT_NEAR(tally.mean_depth(), depth, 0.1) << label;
  }
  EXPECT_EQ(report.n_iterations, 4);
}

TEST_F(EmbeddedModelMarks, MatchesBracketsAndKnowsTheSentences) {
  const MarksReport brackets = marks_of("brackets");
  EXPECT_GE(with_label(brackets.tasks.front(), "1 to 8 back").accuracy(), 0.99);
  EXPECT_GE(brackets.tasks.front().all.accuracy(), 0.99);
  EXPECT_LT(brackets.tasks.front().all.mean_depth(), 1.1) << "what is near is known at once";
  const MarksReport story = marks_of("story");
  EXPECT_NEAR(story.tasks.front().all.mean_nats(), story.tasks.front().all.mean_floor(), 0.03);
}

}  // namespace
}  // namespace orrery
