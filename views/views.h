// One function per view, for registry.cpp and for the window's tiling. Outside views/, use registry.h.
#pragma once

#include "views/view.h"

namespace orrery {

const View& attention_view();
const View& cache_view();
const View& convolution_view();
const View& fast_view();
const View& lens_view();
const View& loop_view();
const View& mixing_view();
const View& output_view();
const View& routing_view();
const View& state_view();
const View& text_view();
const View& window_view();

}  // namespace orrery
