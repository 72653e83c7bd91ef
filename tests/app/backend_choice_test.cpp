#include "app/backend_choice.h"

#include <gmock/gmock.h>

#include "app/open_model.h"
#include "app/rerun.h"
#include "tests/app/test_device.h"
#include "tests/app/tiny_model.h"

namespace orrery {
namespace {

using testing::asset;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using testing::kTestDevice;
using ::testing::Not;
using testing::with_device;
using testing::without_device;

constexpr size_t kPlenty = size_t{1} << 40;
const Error kNoDriver{ErrorCode::kUnsupported, "there is no NVIDIA driver on this machine"};

std::string backend_of(const BackendChoice& choice, const BackendMakers& makers) {
  const Result<OpenedBackend> opened = open_backend(choice, makers);
  return opened ? opened->backend->name() : opened.error().message;
}

ModelChoice tiny(const std::string& backend) {
  return {.model = asset("models/tiny-text.q8_0.gguf"), .backend = {.name = backend, .threads = 1}, .kv = {}};
}

TEST(BackendChoice, TheDefaultIsCudaWhereADeviceWorks) {
  EXPECT_EQ(backend_of({}, with_device(kPlenty)), "cuda");
  EXPECT_EQ(backend_of({.name = "cuda"}, with_device(kPlenty)), "cuda");
  EXPECT_EQ(backend_of({.name = "cpu"}, with_device(kPlenty)), "cpu");
  EXPECT_EQ(backend_of({.name = "cuda-emulated"}, with_device(kPlenty)), "cuda-emulated");
}

TEST(BackendChoice, TheDefaultIsTheCpuWithoutAWordWhereThereIsNoDevice) {
  const Result<OpenedBackend> opened = open_backend({.name = {}, .threads = 3}, without_device(kNoDriver));
  ASSERT_TRUE(opened) << opened.error().message;
  EXPECT_EQ(opened->backend->name(), "cpu");
  EXPECT_EQ(opened->backend->n_threads(), 3);
  EXPECT_EQ(opened->remark, "");
}

TEST(BackendChoice, ADeviceThatFailsIsSpokenOf) {
  const Result<OpenedBackend> opened =
      open_backend({}, without_device({ErrorCode::kIo, "the device fell off the bus"}));
  ASSERT_TRUE(opened) << opened.error().message;
  EXPECT_EQ(opened->backend->name(), "cpu");
  EXPECT_EQ(opened->remark, "CUDA cannot be used, as the device fell off the bus; the CPU computes instead");
}

TEST(BackendChoice, WhatWasAskedForIsAnErrorThatSaysWhatToDo) {
  const Result<OpenedBackend> opened = open_backend({.name = "cuda"}, without_device(kNoDriver));
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, ErrorCode::kUnsupported);
  EXPECT_EQ(opened.error().message,
            "CUDA cannot be used, as there is no NVIDIA driver on this machine; use --backend cpu");
  EXPECT_THAT(backend_of({.name = "cuda", .threads = 0, .advice = "choose another"}, without_device(kNoDriver)),
              EndsWith("; choose another"));
}

TEST(BackendChoice, RefusesOtherNamesAndNamesThoseThereAre) {
  for (const char* name : {"abacus", "CUDA", "cuda ", "gpu"}) {
    const Result<OpenedBackend> opened = open_backend({.name = name}, with_device(kPlenty));
    ASSERT_FALSE(opened) << name;
    EXPECT_EQ(opened.error().code, ErrorCode::kInvalidArgument);
    EXPECT_EQ(opened.error().message, std::string("the backend is one of cpu, cuda, cuda-emulated, not: ") + name);
  }
  EXPECT_THAT(backend_of({.name = {}, .threads = -1}, {}), HasSubstr("--threads"));
}

TEST(BackendChoice, TheEmulationSaysThatItIsSlow) {
  const Result<OpenedBackend> opened = open_backend({.name = "cuda-emulated"});
  ASSERT_TRUE(opened) << opened.error().message;
  EXPECT_THAT(opened->remark, HasSubstr("slower"));
  EXPECT_THAT(opened->remark, Not(HasSubstr("\n")));
}

TEST(BackendChoice, ThisMachineHasEitherADeviceOrAReason) {
  const Result<void> found = find_cuda_backend();
  const Result<std::shared_ptr<Backend>> made = make_cuda_backend();
  if (made) {
    EXPECT_TRUE(found) << found.error().message;
    EXPECT_EQ((*made)->name(), "cuda");
    return;
  }
  EXPECT_EQ(made.error().code, ErrorCode::kUnsupported);
  EXPECT_THAT(made.error().message, Not(HasSubstr("\n")));
  if (!found) {
    EXPECT_EQ(found.error().message, made.error().message);
  }
}

TEST(BackendChoice, AModelThatFitsIsOnTheDevice) {
  const Result<OpenedModel> opened = open_model(tiny(""), {}, with_device(kPlenty));
  ASSERT_TRUE(opened) << opened.error().message;
  EXPECT_EQ(opened->model->backend()->description(), kTestDevice);
  EXPECT_EQ(opened->remark, "");
}

TEST(BackendChoice, ByDefaultAModelThatDoesNotFitGoesToTheCpuWithARemark) {
  int64_t n_starts = 0;
  const Result<OpenedModel> opened = open_model(
      tiny(""),
      [&](double share) {
        n_starts += share == 0.0;
        return true;
      },
      with_device(1000));
  ASSERT_TRUE(opened) << opened.error().message;
  EXPECT_EQ(opened->model->backend()->name(), "cpu");
  EXPECT_EQ(opened->model->backend()->n_threads(), 1);
  EXPECT_GE(n_starts, 1);
  uint64_t needed = 0;
  for (const StoredTensor& tensor : opened->file->tensors().tensors()) needed += tensor.n_bytes;
  EXPECT_THAT(opened->remark, HasSubstr(std::to_string(needed) + " bytes"));
  EXPECT_THAT(opened->remark, HasSubstr("1000"));
  EXPECT_THAT(opened->remark, EndsWith("; the CPU computes instead"));
  EXPECT_THAT(opened->remark, Not(HasSubstr("\n")));
}

TEST(BackendChoice, AskedForAModelThatDoesNotFitIsAnError) {
  const Result<OpenedModel> opened = open_model(tiny("cuda"), {}, with_device(1000));
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, ErrorCode::kOutOfMemory);
  EXPECT_THAT(opened.error().message, HasSubstr("1000"));
  EXPECT_THAT(opened.error().message, EndsWith("; use --backend cpu"));
}

TEST(BackendChoice, WhatIsWrongWithAModelIsNoReasonForTheCpu) {
  const Result<OpenedModel> cancelled = open_model(
      tiny(""), [](double) { return false; }, with_device(kPlenty));
  ASSERT_FALSE(cancelled);
  EXPECT_EQ(cancelled.error().code, ErrorCode::kCancelled);
}

TEST(BackendChoice, NothingIsOpenedForAFileThatIsNoModel) {
  BackendMakers makers = with_device(kPlenty);
  makers.cuda = []() -> Result<std::shared_ptr<Backend>> {
    ADD_FAILURE() << "the device was opened";
    return kNoDriver;
  };
  const Result<OpenedModel> opened =
      open_model({.model = asset("models/tiny-text.q8_0.ggu"), .backend = {}, .kv = {}}, {}, makers);
  EXPECT_FALSE(opened);
}

// --- what a recording says of it ---

TEST(BackendChoice, ARecordingNotesTheDeviceAndVerifyHoldsItAgainstTheOneThatThereIs) {
  const testing::TemporaryFolder folder;
  const std::string path = folder.file("s.orrery");
  const OpenedModel on_device = std::move(open_model(tiny("cuda"), {}, with_device(kPlenty))).value();
  {
    Generator generator(on_device.model, on_device.kv);
    RunControl control;
    const Result<SessionRun> run = record_run(path, on_device, generator, {.kind = "prompt", .text = "…"},
                                              testing::tiny_request(on_device, generator, 4), false, {}, control);
    ASSERT_TRUE(run) << run.error().message;
  }
  const std::unique_ptr<SessionReader> reader = SessionReader::open(path).value();
  RunRecord record = reader->run(0).value();
  EXPECT_EQ(record.backend, "cuda");
  EXPECT_EQ(record.settings.instruction_set, "sm_00");
  EXPECT_EQ(record.settings.device, kTestDevice);
  RunControl control;
  const Result<VerifyReport> same = verify_run(*reader, record, on_device, {}, control);
  ASSERT_TRUE(same) << same.error().message;
  EXPECT_TRUE(same->bits_expected());
  EXPECT_TRUE(same->bit_identical());

  record.settings.device = "Other device, sm_00, CUDA 13.0";
  const Result<VerifyReport> other = verify_run(*reader, record, on_device, {}, control);
  ASSERT_TRUE(other) << other.error().message;
  ASSERT_EQ(other->other_conditions.size(), 1u);
  EXPECT_THAT(other->other_conditions[0], HasSubstr("another device (Other device"));
  EXPECT_TRUE(other->passed());
}

TEST(BackendChoice, RecordedOnTheCpuItIsWithinTolerancesOnTheEmulation) {
  const testing::TemporaryFolder folder;
  const std::string path = folder.file("s.orrery");
  const OpenedModel cpu = testing::open_tiny();
  const OpenedModel emulated = testing::open_tiny("tiny-text.q8_0.gguf", 1, "cuda-emulated");
  {
    Generator generator(cpu.model, cpu.kv);
    RunControl control;
    TapSchedule full;
    full.level = Level::kFull;
    const Result<SessionRun> run = record_run(path, cpu, generator, {.kind = "prompt", .text = "…"},
                                              testing::tiny_request(cpu, generator, 3, full), false, {}, control);
    ASSERT_TRUE(run) << run.error().message;
  }
  const std::unique_ptr<SessionReader> reader = SessionReader::open(path).value();
  RunControl control;
  const Result<VerifyReport> report = verify_run(*reader, reader->run(0).value(), emulated, {}, control);
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->other_conditions.size(), 2u) << "backend and instruction set";
  EXPECT_FALSE(report->bits_expected());
  EXPECT_TRUE(report->passed());
  EXPECT_EQ(report->frames.totals().size(), offered_probes(emulated.model->config()).size());
}

}  // namespace
}  // namespace orrery
