#include "sessions/session_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "sessions/model_json.h"
#include "sessions/repair.h"
#include "sessions/schema.h"
#include "sessions/writer_lock.h"
#include "tests/sessions/make_session.h"

namespace orrery {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::TempFolder;

TEST(SessionStore, GivesBackTheRunRecord) {
  const TempFolder folder;
  const std::string path = folder.file("a.orrery");
  RunRecord record = testing::make_record(testing::llama_like(3, 2));
  record.parent = 1;
  record.config.layers[1].attention.window = 512;
  record.config.layers[1].attention.rope.magnitude = 1.25f;
  record.config.layers[1].attention.rope.beyond = {.length = 64, .base = 1e4, .factor = 2.5, .frequencies = {0.5f, 1}};
  record.config.layers[2].attention.scale = 0.1f;
  record.config.layers[2].attention.score_cap = 50.0f;
  record.config.layers[2].attention.qk_norm = true;
  record.config.layers[2].activation = Activation::kGeluTanh;
  record.config.embedding_scale = 25.5f;
  record.config.logit_cap = 30.0f;
  record.config.layers[2].mixers.push_back(MixerKind::kMatrixState);
  record.config.layers[2].feed_forward = FeedForwardKind::kMoe;
  record.config.layers[1].attention.has_sinks = true;
  record.config.layers[1].attention.normaliser = AttentionNormaliser::kSigmoid;
  record.config.layers[1].attention.gate = AttentionGate::kHead;
  record.config.layers[1].attention.whole_qk_norm = true;
  record.config.layers[1].attention.clip = 8.5f;
  record.config.layers[1].attention.d_latent = 12;
  record.config.layers[1].attention.d_shared_rope = 6;
  record.config.layers[1].attention.d_query_latent = 9;
  record.config.logit_scale = 0.125f;
  record.config.layers[2].conv = {.n_taps = 4, .n_channels = 77, .is_gated = true};
  record.config.layers[2].state = {.recurrence = Recurrence::kGatedDelta,
                                   .sizes = {.n_heads = 6, .n_groups = 3, .d_key = 5, .d_value = 7},
                                   .n_stat_heads = 2};
  record.config.layers[0].mixers = {MixerKind::kFastWeights};
  record.config.layers[0].fast = {
      .model = FastModel::kMlp, .n_heads = 3, .d_head = 10, .d_hidden = 40, .batch_size = 16, .n_qk_taps = 4};
  MoeConfig& moe = record.config.layers[2].moe;
  moe = {.router = {.n_experts = 9, .n_chosen = 4, .score = RouterScore::kSigmoid},
         .d_expert = 31,
         .clipped = {.limit = 7.0f, .slope = 1.5f},
         .d_shared = 33};
  moe.router.renormalise = true;
  moe.router.renormalise_epsilon = 1e-20f;
  moe.router.scale = 2.5f;
  moe.router.n_groups = 3;
  moe.router.n_kept_groups = 2;
  moe.router.group_by_sum_of_two = false;
  record.prompt = {.kind = "chat", .text = "caf\xc3\xa9 \"\\ \n"};
  record.settings.model_path = "/models/a b.gguf";
  record.settings.temperature = 0.1;
  record.settings.seed = 0xffffffffffffffffull;
  record.settings.n_new_tokens = 77;
  record.settings.one_step = true;
  record.settings.batches = {{0, 64}, {64, 70}};
  record.settings.schedule.level = Level::kLight;
  record.settings.schedule.spans = {{.begin = 3, .end = 9, .level = Level::kFull}};
  record.settings.schedule.pinned_steps = 512;
  record.edits = R"([{"ablate": 3}])";
  {
    auto store = SessionStore::create_or_open(path);
    ASSERT_TRUE(store) << store.error().message;
    ASSERT_EQ(*(*store)->begin_run(testing::make_record(testing::llama_like(1, 1))), 1);
    record.fingerprint = "another";
    ASSERT_EQ(*(*store)->begin_run(record), 2);
    ASSERT_TRUE((*store)->end_run(2, RunEnd::kComplete));
  }
  auto reader = SessionReader::open(path);
  ASSERT_TRUE(reader);
  const auto back = (*reader)->run(2);
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(back->run, 2);
  EXPECT_EQ(back->parent, 1);
  EXPECT_GT(back->created_ns, 0);
  EXPECT_EQ(back->end, RunEnd::kComplete);
  EXPECT_EQ((*reader)->run(1)->end, RunEnd::kInterrupted);
  EXPECT_EQ(back->prompt.kind, "chat");
  EXPECT_EQ(back->prompt.text, record.prompt.text);
  EXPECT_EQ(settings_to_json(back->settings), settings_to_json(record.settings));
  EXPECT_EQ(back->settings.seed, record.settings.seed);
  EXPECT_EQ(back->settings.batches, record.settings.batches);
  EXPECT_EQ(back->edits, record.edits);
  EXPECT_EQ(back->layer_labels, record.layer_labels);
  EXPECT_EQ(config_to_json(back->config), config_to_json(record.config));
  EXPECT_EQ(layers_to_json(back->config, back->layer_labels), layers_to_json(record.config, record.layer_labels));
  EXPECT_EQ(back->config.layers[1].attention.window, 512);
  EXPECT_EQ(back->config.layers[1].attention.rope, record.config.layers[1].attention.rope);
  EXPECT_EQ(back->config.layers[2].attention.rope.inverse_frequencies,
            record.config.layers[2].attention.rope.inverse_frequencies);
  EXPECT_EQ(back->config.layers[2].attention.scale, 0.1f);
  EXPECT_EQ(back->config.layers[2].attention.score_cap, 50.0f);
  EXPECT_TRUE(back->config.layers[2].attention.qk_norm);
  EXPECT_EQ(back->config.layers[2].activation, Activation::kGeluTanh);
  EXPECT_EQ(back->config.embedding_scale, 25.5f);
  EXPECT_EQ(back->config.logit_cap, 30.0f);
  EXPECT_TRUE(back->config.layers[2].has(MixerKind::kMatrixState));
  const AttentionConfig& attention = back->config.layers[1].attention;
  EXPECT_TRUE(attention.has_sinks && attention.whole_qk_norm);
  EXPECT_EQ(attention.gate, AttentionGate::kHead);
  EXPECT_EQ(attention.normaliser, AttentionNormaliser::kSigmoid);
  EXPECT_EQ(attention.clip, 8.5f);
  EXPECT_EQ(attention.d_latent, 12);
  EXPECT_EQ(attention.d_shared_rope, 6);
  EXPECT_EQ(attention.d_query_latent, 9);
  EXPECT_EQ(back->config.logit_scale, 0.125f);
  const ConvConfig& conv = back->config.layers[2].conv;
  EXPECT_EQ(std::tuple(conv.n_taps, conv.n_channels, conv.is_gated), std::tuple(4, 77, true));
  const MatrixStateConfig& state = back->config.layers[2].state;
  EXPECT_EQ(state.recurrence, Recurrence::kGatedDelta);
  EXPECT_EQ(std::tuple(state.sizes.n_heads, state.sizes.n_groups, state.sizes.d_key, state.sizes.d_value),
            std::tuple(6, 3, 5, 7));
  EXPECT_EQ(state.n_stat_heads, 2);
  EXPECT_EQ(back->config.layers[0].mixers, std::vector{MixerKind::kFastWeights});
  const FastWeightsConfig& fast = back->config.layers[0].fast;
  EXPECT_EQ(fast.model, FastModel::kMlp);
  EXPECT_EQ(std::tuple(fast.n_heads, fast.d_head, fast.d_hidden, fast.batch_size, fast.n_qk_taps),
            std::tuple(3, 10, 40, 16, 4));
  EXPECT_EQ(back->config.layers[2].moe.router, moe.router);
  EXPECT_EQ(back->config.layers[2].moe.d_expert, 31);
  EXPECT_EQ(back->config.layers[2].moe.d_shared, 33);
  EXPECT_EQ(back->config.layers[2].moe.clipped.limit, 7.0f);
  EXPECT_EQ(back->config.layers[2].moe.clipped.slope, 1.5f);
  EXPECT_EQ(back->config.norm_epsilon, record.config.norm_epsilon);
  const RunInfo info = run_info(*back);
  EXPECT_EQ(info.level, "light");
  EXPECT_EQ(info.fingerprint, "another");
  ASSERT_TRUE(info.sampling);
  EXPECT_EQ(info.sampling->top_k, record.settings.top_k);
  EXPECT_EQ(info.sampling->top_p, record.settings.top_p);
  EXPECT_EQ(info.sampling->temperature, record.settings.temperature);
  EXPECT_EQ(info.sampling->seed, record.settings.seed);
}

TEST(SessionStore, TextThatIsNotUtf8IsKeptAsJson) {
  const auto back = prompt_from_json(prompt_to_json({.kind = "prompt",
                                                     .text = "a\xff\xfe"
                                                             "b"}));
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(back->text,
            "a\xef\xbf\xbd\xef\xbf\xbd"
            "b");
}

TEST(SessionStore, RefusesEditsThatAreNotAList) {
  const TempFolder folder;
  auto store = SessionStore::create_or_open(folder.file("a.orrery"));
  ASSERT_TRUE(store);
  RunRecord record = testing::make_record(testing::llama_like(1, 1));
  record.edits = "{]";
  const auto run = (*store)->begin_run(record);
  ASSERT_FALSE(run);
  EXPECT_EQ(run.error().code, ErrorCode::kInvalidArgument);
}

TEST(SessionStore, NotesAreAddedAndTakenBackWhileRecording) {
  const TempFolder folder;
  const std::string path = folder.file("a.orrery");
  auto store = SessionStore::create_or_open(path);
  ASSERT_TRUE(store);
  ASSERT_TRUE((*store)->begin_run(testing::make_record(testing::llama_like(1, 1))));
  const auto first = add_note(path, {.run = 1, .step = 4, .view_state = "{\"layer\": 2}", .text = "look <b>here</b>"});
  ASSERT_TRUE(first) << first.error().message;
  const auto second = add_note(path, {.run = 1, .step = 2, .view_state = "", .text = "and here"});
  ASSERT_TRUE(second);
  EXPECT_FALSE(add_note(path, {.run = 9, .step = 2, .view_state = "", .text = "no such run"}));
  auto reader = SessionReader::open(path);
  ASSERT_TRUE(reader);
  auto notes = (*reader)->notes(1);
  ASSERT_TRUE(notes);
  ASSERT_EQ(notes->size(), 2u);
  EXPECT_EQ((*notes)[1].text, "look <b>here</b>");
  EXPECT_EQ((*notes)[1].view_state, "{\"layer\": 2}");
  EXPECT_GT((*notes)[1].created_ns, 0);
  ASSERT_TRUE(update_note(path, *second, "and there", "{}"));
  EXPECT_EQ((*reader)->notes(1)->at(0).text, "and there");
  EXPECT_EQ((*reader)->notes(1)->at(0).view_state, "{}");
  EXPECT_EQ((*reader)->notes(1)->at(0).created_ns, (*notes)[0].created_ns) << "an edit keeps the time";
  EXPECT_EQ(update_note(path, 99, "none", "").error().code, ErrorCode::kNotFound);
  ASSERT_TRUE(delete_note(path, *first));
  EXPECT_EQ((*reader)->notes(1)->size(), 1u);
  EXPECT_EQ(delete_note(path, *first).error().code, ErrorCode::kNotFound);
  Note again = (*notes)[1];
  EXPECT_EQ(*add_note(path, again), *first);  // redo
  EXPECT_EQ((*reader)->notes(1)->at(1).created_ns, again.created_ns);
  ASSERT_TRUE((*store)->close());
  reader->reset();
  EXPECT_FALSE(has_log(path));
  EXPECT_TRUE(add_note(path, {.run = 1, .step = 7, .view_state = "", .text = "to a closed file"}));
  EXPECT_FALSE(has_log(path));
}

TEST(SessionStore, SummarisesRunsProbesAndGaps) {
  const TempFolder folder;
  const std::string path = folder.file("a.orrery");
  testing::record_run(path, testing::llama_like(2, 2), Level::kStandard, 10, 30, 1'000'000);
  {
    auto store = SessionStore::create_or_open(path);
    ASSERT_TRUE(store);
    ASSERT_TRUE((*store)->begin());
    ASSERT_TRUE((*store)->put_gap(1, {30, 33, "the disk stalled"}));
    ASSERT_TRUE((*store)->commit());
  }
  auto reader = SessionReader::open(path);
  ASSERT_TRUE(reader);
  const auto summary = (*reader)->summary();
  ASSERT_TRUE(summary) << summary.error().message;
  EXPECT_EQ(summary->schema, 2);
  EXPECT_EQ(summary->n_bytes, static_cast<int64_t>(std::filesystem::file_size(path)));
  ASSERT_EQ(summary->runs.size(), 1u);
  const RunSummary& run = summary->runs[0];
  EXPECT_EQ(run.n_tokens, 30);
  EXPECT_EQ(run.n_prompt_tokens, 4);
  EXPECT_EQ(run.duration_ns, 20'000'000);
  EXPECT_EQ(run.probes.size(), testing::probes_of(Level::kStandard, testing::llama_like(2, 2)).size());
  for (const ProbeSummary& probe : run.probes) {
    EXPECT_THAT(probe.step_ranges, ElementsAre(std::pair<int64_t, int64_t>(0, 30)));
    EXPECT_GT(probe.n_bytes, 0);
  }
  ASSERT_EQ(run.gaps.size(), 1u);
  EXPECT_EQ(run.gaps[0].reason, "the disk stalled");
}

TEST(SessionStore, MigratesForwardStepByStepOrNotAtAll) {
  const TempFolder folder;
  const std::string path = folder.file("a.orrery");
  testing::record_run(path, testing::llama_like(1, 1), Level::kLight, 1, 3);
  auto db = Database::open(path, Database::Mode::kWrite);
  ASSERT_TRUE(db);
  const Migration broken[] = {{2, "never run"}, {3, "CREATE TABLE extra(x)"}, {4, "CREATE TABLE extra(x)"}};
  EXPECT_FALSE(migrate(*db, broken));
  EXPECT_EQ(*db->query_i64("PRAGMA user_version"), kSchemaVersion);
  EXPECT_EQ(*db->query_i64("SELECT count(*) FROM sqlite_schema WHERE name = 'extra'"), 0);
  const Migration good[] = {{2, "never run"}, {3, "CREATE TABLE extra(x)"}, {4, "ALTER TABLE extra ADD COLUMN y"}};
  ASSERT_TRUE(migrate(*db, good));
  EXPECT_EQ(*db->query_i64("PRAGMA user_version"), 4);
  EXPECT_EQ(*db->query_i64("SELECT count(*) FROM token"), 3);
}

TEST(SessionStore, TheLockIsFreedByDeath) {
  const TempFolder folder;
  const std::string path = folder.file("a.orrery");
  std::ofstream(path).put('x');
  EXPECT_FALSE(WriterLock::is_taken(path));
  int pipe_ends[2];
  ASSERT_EQ(pipe(pipe_ends), 0);
  const pid_t child = fork();
  if (child == 0) {
    const auto lock = WriterLock::take(path);
    const char ready = lock ? 'y' : 'n';
    (void)!write(pipe_ends[1], &ready, 1);
    pause();
    _exit(0);
  }
  char ready = 0;
  ASSERT_EQ(read(pipe_ends[0], &ready, 1), 1);
  EXPECT_EQ(ready, 'y');
  EXPECT_TRUE(WriterLock::is_taken(path));
  const auto refused = WriterLock::take(path);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kBusy);
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  EXPECT_FALSE(WriterLock::is_taken(path));
  EXPECT_TRUE(WriterLock::take(path));
  close(pipe_ends[0]);
  close(pipe_ends[1]);
}

// A file size limit is the nearest thing to a full disk that needs no disk of its own.
TEST(SessionStore, AFullDiskStopsRecordingAndKeepsWhatIsThere) {
  const TempFolder folder;
  const std::string path = folder.file("a.orrery");
  const ModelConfig config = testing::llama_like(4, 4);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{600'000, 600'000};
    setrlimit(RLIMIT_FSIZE, &limit);
    const auto ring = testing::make_ring();
    RecorderOptions options;
    options.commit_interval = std::chrono::milliseconds(5);
    auto recorder = Recorder::start(path, ring, options);
    if (!recorder) _exit(2);
    const auto run = (*recorder)->begin_run(testing::make_record(config));
    if (!run) _exit(3);
    for (int64_t step = 0; step < 1000 && !(*recorder)->status().failure; ++step) {
      ring->push_within(testing::make_batch(config, Level::kStandard, *run, step, step + 1), std::chrono::seconds(5));
      while (step < 3 && (*recorder)->status().n_steps <= step) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      }
    }
    const auto failure = (*recorder)->status().failure;
    if (!failure) _exit(4);
    if (failure->message.find("recording stopped at the limit on file sizes") == std::string::npos) {
      std::fprintf(stderr, "%s\n", failure->message.c_str());
      _exit(5);
    }
    (void)(*recorder)->close();
    _exit(0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  ASSERT_EQ(WEXITSTATUS(status), 0);
  auto reader = SessionReader::open(path);
  ASSERT_TRUE(reader) << reader.error().message;
  const auto tokens = (*reader)->tokens(1);
  ASSERT_TRUE(tokens);
  EXPECT_GE(tokens->size(), 3u);
  EXPECT_EQ(testing::count_whole_steps(**reader, *find_probe("attention.top"), config, 1),
            static_cast<int64_t>(tokens->size()));
}

TEST(SessionStore, ReadsAClosedSessionInAFolderThatCannotBeWritten) {
  if (geteuid() == 0) GTEST_SKIP() << "the superuser may write everywhere";
  const TempFolder folder;
  const std::string path = folder.file("a.orrery");
  testing::record_run(path, testing::llama_like(1, 1), Level::kLight, 1, 3);
  std::filesystem::permissions(path, std::filesystem::perms::owner_read);
  std::filesystem::permissions(folder.path(), std::filesystem::perms::owner_read | std::filesystem::perms::owner_exec);
  auto reader = SessionReader::open(path);
  EXPECT_TRUE(reader) << reader.error().message;
  std::filesystem::permissions(folder.path(), std::filesystem::perms::owner_all);
}

}  // namespace
}  // namespace orrery
