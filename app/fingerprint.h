// The fingerprint of a model: what tells sessions whether a file on disk is the model that was recorded.
//
// Reading gigabytes to compare a model would take longer than loading it, so the fingerprint is the SHA-256 of what
// almost surely differs between models: of a GGUF file everything before the tensors' data (settings, vocabulary,
// tensor table; at most 64 MiB), of a folder its config.json; then, in order of name, every tensor's name, type and
// shape with its first, middle and last 1024 bytes. Of tensors up to 64 KiB all bytes count. Path and file name do not.
#pragma once

#include <string>

#include "engine/model_file.h"

namespace orrery {

// "sampled-sha256:" and 64 hexadecimal digits. Reads about 3 KiB per tensor. Any thread.
std::string model_fingerprint(const ModelFile& file);

}  // namespace orrery
