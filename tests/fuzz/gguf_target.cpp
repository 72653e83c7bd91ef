// A GGUF file, whole: everything that `info`, `tokenize` and `run` read of one.
#include "engine/formats/gguf.h"
#include "engine/model_file.h"
#include "engine/tokenizer.h"
#include "tests/fuzz/scratch_files.h"
#include "tests/fuzz/targets.h"
#include "tests/fuzz/use_model.h"

namespace orrery::testing {

void fuzz_gguf(FileBytes file) {
  static const ScratchFolder folder;
  const auto opened = ModelFile::open(folder.write("model.gguf", file));
  if (!opened) return;
  const GgufFile* gguf = (*opened)->gguf();
  if (gguf == nullptr) return;
  for (const GgufEntry& entry : gguf->metadata()) (void)entry.value.to_string();
  for (const StoredTensor& tensor : gguf->tensors()) (void)tensor.view();
  const auto tokenizer = Tokenizer::from_gguf(std::shared_ptr<const GgufFile>(*opened, gguf));
  if (tokenizer) use_tokenizer(**tokenizer, "Hello  wörld\n\t123 <|im_end|> \xff\xc0");
  use_model(*opened);
}

}  // namespace orrery::testing
