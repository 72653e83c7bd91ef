#include "sessions/session_reader.h"

#include <sys/stat.h>

#include <algorithm>

#include "sessions/loop_json.h"
#include "sessions/model_json.h"
#include "sessions/repair.h"
#include "sessions/schema.h"
#include "sessions/writer_lock.h"

namespace orrery {
namespace {

// Enough for one step of every probe of a large model: playing and scrubbing unpack each chunk once.
constexpr size_t kCacheBytes = size_t{48} << 20;
constexpr size_t kMaxTokenBytes = 4096;
constexpr size_t kMaxTextBytes = size_t{1} << 20;

constexpr std::string_view kRunColumns =
    "SELECT run.id, run.parent, run.created_ns, run.prompt, run.settings, run.edits, run.backend, run.build, "
    "run.outcome, model.name, model.fingerprint, model.config, model.layers FROM run "
    "LEFT JOIN model ON model.id = run.model ";

// The chunk that covers a step, or else the next one. Chunks do not overlap, so it is the last that begins at or before
// the step, if it reaches beyond it, or the first that begins after it.
constexpr std::string_view kNextChunk =
    "SELECT step_begin, step_end, codec, data FROM chunk WHERE run = ?1 AND probe = ?2 AND level = ?3 "
    "AND step_begin >= coalesce((SELECT max(step_begin) FROM chunk WHERE run = ?1 AND probe = ?2 AND level = ?3 AND "
    "step_begin <= ?4), 0) AND step_begin < ?5 AND step_end > ?4 ORDER BY step_begin LIMIT 1";

std::optional<Segment> parse_segment(std::string_view name) {
  for (const Segment segment :
       {Segment::kSystem, Segment::kUser, Segment::kAssistant, Segment::kForced, Segment::kGenerated}) {
    if (name == segment_name(segment)) return segment;
  }
  return std::nullopt;
}

std::string text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// Adds [begin, end) to ascending ranges, joining what touches.
void extend(std::vector<std::pair<int64_t, int64_t>>& ranges, int64_t begin, int64_t end) {
  if (!ranges.empty() && begin <= ranges.back().second)
    ranges.back().second = std::max(ranges.back().second, end);
  else
    ranges.emplace_back(begin, end);
}

}  // namespace

Result<std::unique_ptr<SessionReader>> SessionReader::open(const std::string& path) {
  ORRERY_ASSIGN_OR_RETURN(const FileKind kind, look_at_session_path(path));
  if (kind != FileKind::kMissing) tidy_session(path);
  std::unique_ptr<SessionReader> reader(new SessionReader);
  reader->path_ = path;
  ORRERY_ASSIGN_OR_RETURN(reader->db_, open_session(path, Database::Mode::kRead));
  return reader;
}

SessionReader::~SessionReader() {
  db_.close();
  // The writer may have closed while this connection kept it from folding in its log.
  tidy_session(path_);
}

Error SessionReader::damaged(const std::string& what) const {
  return {ErrorCode::kInvalidFile, path_ + " is a damaged session: " + what};
}

Result<RunRecord> SessionReader::read_run_row(Statement& row) {
  RunRecord record;
  record.run = row.i64(0);
  record.parent = row.i64(1);
  record.created_ns = row.i64(2);
  const std::string which = "run " + std::to_string(record.run);
  if (record.run <= 0) return damaged("it has a run of number " + std::to_string(record.run));
  if (row.is_null(9)) return damaged(which + " has no model");
  auto prompt = prompt_from_json(row.text(3));
  if (!prompt) return damaged(which + ": " + prompt.error().message);
  record.prompt = std::move(*prompt);
  auto settings = settings_from_json(row.text(4));
  if (!settings) return damaged(which + ": " + settings.error().message);
  record.settings = std::move(*settings);
  record.edits = row.text(5);
  record.backend = row.text(6);
  record.build = row.text(7);
  if (row.is_null(8)) {
    record.end = WriterLock::is_taken(path_) ? RunEnd::kRecording : RunEnd::kInterrupted;
  } else {
    record.end = parse_run_end(row.text(8)).value_or(RunEnd::kInterrupted);
  }
  record.model_name = row.text(9);
  record.fingerprint = row.text(10);
  auto model = model_from_json(row.text(11), row.text(12));
  if (!model) return damaged(which + ": " + model.error().message);
  record.config = std::move(model->config);
  record.layer_labels = std::move(model->layer_labels);
  if (const auto fits = check_loop(record.settings.loop, record.config.n_layers()); !fits) {
    return damaged(which + ": " + fits.error().message);
  }
  record.config.loop = record.settings.loop;
  record.config = unrolled(std::move(record.config));
  if (record.config.loop.any()) {
    record.layer_labels.clear();
    for (int32_t visit = 0; visit < record.config.n_layers(); ++visit) {
      record.layer_labels.push_back(layer_label(record.config, visit));
    }
  }
  return record;
}

Result<std::vector<RunRecord>> SessionReader::runs() {
  auto statement = db_.prepare(std::string(kRunColumns) + "ORDER BY run.id");
  if (!statement) return session_error(path_, statement.error());
  std::vector<RunRecord> records;
  while (true) {
    const auto row = statement->step();
    if (!row) return session_error(path_, row.error());
    if (!*row) return records;
    ORRERY_ASSIGN_OR_RETURN(RunRecord record, read_run_row(*statement));
    records.push_back(std::move(record));
  }
}

Result<RunRecord> SessionReader::run(int64_t run) {
  auto statement = db_.prepare(std::string(kRunColumns) + "WHERE run.id = ?1 OR ?1 = 0 ORDER BY run.id DESC LIMIT 1");
  if (!statement) return session_error(path_, statement.error());
  const auto row = statement->bind(1, run).step();
  if (!row) return session_error(path_, row.error());
  if (!*row) {
    if (run == 0) return Error{ErrorCode::kNotFound, path_ + " has no run yet"};
    return Error{ErrorCode::kNotFound, path_ + " has no run " + std::to_string(run)};
  }
  return read_run_row(*statement);
}

Result<const ModelConfig*> SessionReader::config_of(int64_t run) {
  auto found = configs_.find(run);
  if (found == configs_.end()) {
    ORRERY_ASSIGN_OR_RETURN(RunRecord record, this->run(run));
    found = configs_.emplace(run, std::move(record.config)).first;
  }
  return &found->second;
}

Result<std::vector<Token>> SessionReader::tokens(int64_t run, int64_t step_begin, int64_t step_end) {
  auto statement = db_.prepare(
      "SELECT step, id, bytes, time_ns, segment FROM token WHERE run = ?1 AND step >= ?2 AND step < ?3 ORDER BY step");
  if (!statement) return session_error(path_, statement.error());
  // From the start, impossible steps are met too and told of.
  statement->bind(1, run).bind(2, step_begin > 0 ? step_begin : std::numeric_limits<int64_t>::min()).bind(3, step_end);
  std::vector<Token> tokens;
  while (true) {
    const auto row = statement->step();
    if (!row) return session_error(path_, row.error());
    if (!*row) return tokens;
    Token token;
    token.step = statement->i64(0);
    const int64_t id = statement->i64(1);
    const std::span<const std::byte> bytes = statement->blob(2);
    const auto segment = parse_segment(statement->text(4));
    if (token.step < 0 || token.step >= kMaxSteps || id < 0 || id > std::numeric_limits<int32_t>::max() ||
        bytes.size() > kMaxTokenBytes || !segment) {
      return damaged("run " + std::to_string(run) + " has a token that cannot be, at step " +
                     std::to_string(token.step));
    }
    token.id = static_cast<int32_t>(id);
    token.bytes = text_of(bytes);
    token.time_ns = std::max<int64_t>(statement->i64(3), 0);
    token.segment = *segment;
    tokens.push_back(std::move(token));
  }
}

Result<std::vector<RunEvent>> SessionReader::events(int64_t run, int64_t step_begin, int64_t step_end) {
  auto statement = db_.prepare(
      "SELECT step, kind, layer, detail FROM event WHERE run = ?1 AND step >= ?2 AND step < ?3 ORDER BY step, rowid");
  if (!statement) return session_error(path_, statement.error());
  statement->bind(1, run).bind(2, std::max<int64_t>(step_begin, 0)).bind(3, std::min(step_end, kMaxSteps));
  std::vector<RunEvent> events;
  while (true) {
    const auto row = statement->step();
    if (!row) return session_error(path_, row.error());
    if (!*row) return events;
    RunEvent event;
    event.step = statement->i64(0);
    event.kind = statement->text(1);
    const int64_t layer = statement->is_null(2) ? -1 : statement->i64(2);
    event.detail = statement->text(3);
    if (layer < -1 || layer > (1 << 20) || event.kind.size() + event.detail.size() > kMaxTextBytes) {
      return damaged("run " + std::to_string(run) + " has an event that cannot be, at step " +
                     std::to_string(event.step));
    }
    event.layer = static_cast<int32_t>(layer);
    events.push_back(std::move(event));
  }
}

Result<std::vector<Gap>> SessionReader::gaps(int64_t run) {
  auto statement = db_.prepare("SELECT step_begin, step_end, reason FROM gap WHERE run = ?1 ORDER BY step_begin");
  if (!statement) return session_error(path_, statement.error());
  statement->bind(1, run);
  std::vector<Gap> gaps;
  while (true) {
    const auto row = statement->step();
    if (!row) return session_error(path_, row.error());
    if (!*row) return gaps;
    Gap gap{statement->i64(0), statement->i64(1), std::string(statement->text(2))};
    if (gap.step_begin < 0 || gap.step_end < gap.step_begin || gap.step_end > kMaxSteps) {
      return damaged("run " + std::to_string(run) + " has a gap that cannot be, at step " +
                     std::to_string(gap.step_begin));
    }
    gaps.push_back(std::move(gap));
  }
}

Result<std::vector<Note>> SessionReader::notes(int64_t run) {
  auto statement =
      db_.prepare("SELECT id, run, step, view_state, text, created_ns FROM note WHERE run = ?1 ORDER BY step, id");
  if (!statement) return session_error(path_, statement.error());
  statement->bind(1, run);
  std::vector<Note> notes;
  while (true) {
    const auto row = statement->step();
    if (!row) return session_error(path_, row.error());
    if (!*row) return notes;
    notes.push_back({.id = statement->i64(0),
                     .run = statement->i64(1),
                     .step = std::clamp<int64_t>(statement->i64(2), 0, kMaxSteps),
                     .view_state = std::string(statement->text(3)),
                     .text = std::string(statement->text(4)),
                     .created_ns = std::max<int64_t>(statement->i64(5), 0)});
  }
}

// The chunk of the current row of kNextChunk, from the cache where it was unpacked before. Chunks with the same steps
// hold the same values, so a chunk that was merged meanwhile is not mistaken for another.
Result<std::shared_ptr<const UnpackedChunk>> SessionReader::unpack(const Probe& probe, int64_t run, int32_t level,
                                                                   Statement& row) {
  const int64_t begin = row.i64(0);
  const int64_t end = row.i64(1);
  const auto same = [&](const CachedChunk& c) {
    return c.run == run && c.probe == &probe && c.level == level && c.step_begin == begin && c.step_end == end;
  };
  if (const auto hit = std::ranges::find_if(cache_, same); hit != cache_.end()) {
    cache_.splice(cache_.begin(), cache_, hit);
    return hit->chunk;
  }
  ORRERY_ASSIGN_OR_RETURN(const ModelConfig* config, config_of(run));
  auto decoded = decoder_.decode(probe, *config, level, begin, end, row.text(2), row.blob(3));
  if (!decoded) {
    return damaged("run " + std::to_string(run) + ", " + std::string(probe.name) + " at step " + std::to_string(begin) +
                   ": " + decoded.error().message);
  }
  std::shared_ptr<const UnpackedChunk> chunk = std::make_shared<UnpackedChunk>(std::move(*decoded));
  if (chunk->n_bytes <= kCacheBytes / 4) {
    cache_.push_front({run, &probe, level, begin, end, chunk});
    cache_bytes_ += chunk->n_bytes;
    while (cache_bytes_ > kCacheBytes) {
      cache_bytes_ -= cache_.back().chunk->n_bytes;
      cache_.pop_back();
    }
  }
  return chunk;
}

// The cells of [step_begin, step_end) made of its steps. False where `take` has enough.
Result<bool> SessionReader::make_cells(const Probe& probe, int64_t run, int64_t step_begin, int64_t step_end,
                                       int32_t level, const std::function<bool(const Frame&)>& take) {
  LevelBuilder builder;
  builder.begin_whole();
  bool wanted = true;
  ORRERY_RETURN_IF_ERROR(for_each_frame(probe, run, step_begin, step_end, 0, [&](const Frame& frame) {
    builder.add(frame, [&](const Frame& cell) {
      if (wanted && cell.level == level) wanted = take(cell);
    });
    return wanted;
  }));
  return wanted;
}

Result<void> SessionReader::for_each_frame(const Probe& probe, int64_t run, int64_t step_begin, int64_t step_end,
                                           int32_t level, const std::function<bool(const Frame&)>& take,
                                           LackingCells lacking) {
  if (!has_level(probe, level)) return {};
  auto statement = db_.prepare(kNextChunk);
  if (!statement) return session_error(path_, statement.error());
  const int64_t cell = steps_per_cell(level);
  int64_t at = (std::max<int64_t>(step_begin, 0) + cell - 1) / cell * cell;
  const int64_t last = std::min(step_end, kMaxSteps) / cell * cell;
  while (at < last) {
    statement->bind(1, run).bind(2, probe.name).bind(3, int64_t{level}).bind(4, at).bind(5, last);
    const auto row = statement->step();
    if (!row) return session_error(path_, row.error());
    int64_t begin = last;
    std::shared_ptr<const UnpackedChunk> chunk;
    if (*row) {
      ORRERY_ASSIGN_OR_RETURN(chunk, unpack(probe, run, level, *statement));
      begin = std::max(at, chunk->step_begin);
    }
    // No read transaction stays open while the caller works: it would keep a recorder from folding in its log.
    statement->reset();
    if (level != 0 && begin > at && lacking == LackingCells::kMade) {
      ORRERY_ASSIGN_OR_RETURN(const bool wanted, make_cells(probe, run, at, begin, level, take));
      if (!wanted) return {};
    }
    if (!chunk) return {};
    const int64_t end = std::min(last, chunk->step_end);
    if (!take(cut_chunk(chunk, run, begin, end))) return {};
    at = end;
  }
  return {};
}

Result<std::vector<Frame>> SessionReader::frames(const Probe& probe, int64_t run, int64_t step_begin, int64_t step_end,
                                                 int32_t level) {
  std::vector<Frame> frames;
  ORRERY_RETURN_IF_ERROR(for_each_frame(probe, run, step_begin, step_end, level, [&](const Frame& frame) {
    frames.push_back(frame);
    return true;
  }));
  return frames;
}

Result<std::vector<std::pair<int64_t, int64_t>>> SessionReader::recorded_steps(const Probe& probe, int64_t run,
                                                                               int32_t level) {
  auto statement = db_.prepare(
      "SELECT step_begin, step_end FROM chunk WHERE run = ?1 AND probe = ?2 AND level = ?3 ORDER BY step_begin");
  if (!statement) return session_error(path_, statement.error());
  statement->bind(1, run).bind(2, probe.name).bind(3, int64_t{level});
  std::vector<std::pair<int64_t, int64_t>> ranges;
  while (true) {
    const auto row = statement->step();
    if (!row) return session_error(path_, row.error());
    if (!*row) return ranges;
    const int64_t begin = statement->i64(0);
    const int64_t end = statement->i64(1);
    if (begin < 0 || end <= begin || end > kMaxSteps) return damaged("a chunk covers impossible steps");
    extend(ranges, begin, end);
  }
}

Result<void> SessionReader::summarise_chunks(RunSummary& run) {
  auto statement = db_.prepare(
      "SELECT probe, level, step_begin, step_end, length(data) FROM chunk WHERE run = ?1 "
      "ORDER BY probe, level, step_begin");
  if (!statement) return session_error(path_, statement.error());
  statement->bind(1, run.record.run);
  while (true) {
    const auto row = statement->step();
    if (!row) return session_error(path_, row.error());
    if (!*row) return {};
    const std::string_view name = statement->text(0);
    const int64_t level = statement->i64(1);
    const int64_t begin = statement->i64(2);
    const int64_t end = statement->i64(3);
    if (begin < 0 || end <= begin || end > kMaxSteps || !is_level(level) || name.size() > 256) {
      return damaged("run " + std::to_string(run.record.run) + " has a chunk that cannot be, at step " +
                     std::to_string(begin));
    }
    if (run.probes.empty() || run.probes.back().name != name)
      run.probes.push_back({.name = std::string(name), .step_ranges = {}, .levels = {}});
    ProbeSummary& probe = run.probes.back();
    const auto count = [&](auto& summary) {
      summary.n_chunks += 1;
      summary.n_bytes += statement->i64(4);
      extend(summary.step_ranges, begin, end);
    };
    if (level == 0) {
      count(probe);
    } else {
      if (probe.levels.empty() || probe.levels.back().level != level) {
        probe.levels.push_back({.level = static_cast<int32_t>(level), .step_ranges = {}});
      }
      count(probe.levels.back());
    }
  }
}

Result<SessionSummary> SessionReader::summary() {
  SessionSummary summary;
  summary.path = path_;
  for (const char* suffix : {"", "-wal"}) {
    struct stat status {};
    if (stat((path_ + suffix).c_str(), &status) == 0) summary.n_bytes += status.st_size;
  }
  const auto schema = db_.query_i64("PRAGMA user_version");
  if (!schema) return session_error(path_, schema.error());
  summary.schema = static_cast<int32_t>(*schema);
  const auto n_notes = db_.query_i64("SELECT count(*) FROM note");
  if (!n_notes) return session_error(path_, n_notes.error());
  summary.n_notes = *n_notes;
  ORRERY_ASSIGN_OR_RETURN(std::vector<RunRecord> records, runs());
  for (RunRecord& record : records) {
    RunSummary run;
    run.record = std::move(record);
    auto counts = db_.prepare(
        "SELECT count(*), count(CASE WHEN segment <> 'generated' THEN 1 END), max(time_ns) FROM token WHERE run = ?1");
    if (!counts) return session_error(path_, counts.error());
    const auto row = counts->bind(1, run.record.run).step();
    if (!row) return session_error(path_, row.error());
    run.n_tokens = counts->i64(0);
    run.n_prompt_tokens = counts->i64(1);
    run.duration_ns = std::max<int64_t>(counts->i64(2), 0);
    ORRERY_RETURN_IF_ERROR(summarise_chunks(run));
    ORRERY_ASSIGN_OR_RETURN(run.gaps, gaps(run.record.run));
    // Without them the run is as whole as any.
    if (auto entries = checkpoints(run.record.run)) {
      run.checkpoints = std::move(*entries);
    } else {
      run.bad_checkpoints = entries.error().message;
    }
    summary.runs.push_back(std::move(run));
  }
  return summary;
}

}  // namespace orrery
