// RecordedRows: exact rows of a run that stands in a session, computed from its tokens and the model that made it. The
// tokens are fed once, from the recording's last checkpoint before the first row that is asked for, or from the
// beginning; every further row then comes as from the cache of a run in progress. Engine thread only.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "app/open_model.h"
#include "app/row_recall.h"
#include "kernels/base/result.h"

namespace orrery {

class RecordedRows {
 public:
  // For the rows of request.run in request.session, request.step before others. kMismatch where `opened` is another
  // model, or runs another loop, than the run; kBusy while it is being recorded; errors of the session.
  static Result<std::unique_ptr<RecordedRows>> open(const RowRequest& request, const OpenedModel& opened,
                                                    size_t past_bytes);

  bool is_of(const RowRequest& request) const { return request.session == session_ && request.run == run_; }
  // As RowRecall::begin, whose other functions are called of rows().
  Result<void> begin(const RowRequest& request) { return rows_.begin(request, ids_, batches_); }
  RowRecall& rows() { return rows_; }
  // In what the conditions differ from those of the recording, so that bits may; else empty.
  const std::vector<std::string>& other_conditions() const { return other_conditions_; }

 private:
  RecordedRows(const RowRequest& request, const OpenedModel& opened, size_t past_bytes);

  std::string session_;
  int64_t run_ = 0;
  std::vector<int32_t> ids_;
  std::vector<std::pair<int64_t, int64_t>> batches_;
  std::vector<std::string> other_conditions_;
  RowRecall rows_;
};

}  // namespace orrery
