#include "app/recorded_rows.h"

#include "app/rerun.h"
#include "sessions/session_reader.h"

namespace orrery {

RecordedRows::RecordedRows(const RowRequest& request, const OpenedModel& opened, size_t past_bytes)
    : session_(request.session), run_(request.run), rows_(opened.model, opened.kv, past_bytes) {}

Result<std::unique_ptr<RecordedRows>> RecordedRows::open(const RowRequest& request, const OpenedModel& opened,
                                                         size_t past_bytes) {
  ORRERY_ASSIGN_OR_RETURN(const std::unique_ptr<SessionReader> reader, SessionReader::open(request.session));
  ORRERY_ASSIGN_OR_RETURN(const RunRecord record, reader->run(request.run));
  if (record.fingerprint != opened.fingerprint) {
    return Error{ErrorCode::kMismatch, "the run was made with another model than the open one: " + record.model_name};
  }
  if (record.settings.loop != opened.model->config().loop) {
    return Error{
        ErrorCode::kMismatch,
        "the run went through the model's loop in another way than it is open with; open the run's model anew"};
  }
  if (record.end == RunEnd::kRecording) {
    return Error{ErrorCode::kBusy, "the run is still being recorded"};
  }
  OpenedModel as_recorded = opened;
  if (const std::optional<DType> kv = kv_dtype(record.settings.kv)) as_recorded.kv = *kv;
  ORRERY_ASSIGN_OR_RETURN(const std::vector<Token> tokens, reader->tokens(record.run));
  ORRERY_RETURN_IF_ERROR(check_complete(tokens));
  std::unique_ptr<RecordedRows> rows(new RecordedRows(request, as_recorded, past_bytes));
  for (const Token& token : tokens) rows->ids_.push_back(token.id);
  rows->batches_ = record.settings.batches;
  rows->other_conditions_ = orrery::other_conditions(record, as_recorded);
  if (request.step >= 0 && std::cmp_less(request.step, tokens.size())) {
    start_from_checkpoint({*reader, record, {}}, as_recorded, tokens, request.step, *rows->rows_.own_source());
  }
  return rows;
}

}  // namespace orrery
