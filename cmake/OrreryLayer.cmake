# orrery_precompile(TARGET header...): parses these and the standard library's larger headers once, in the builds under a
# sanitizer: there they are a third of the time to compile. The others show that every file includes what it uses.
function(orrery_precompile target)
  if(ORRERY_SANITIZE)
    target_precompile_headers(${target} PRIVATE ${ARGN} <algorithm> <filesystem> <functional> <map> <memory> <string> <vector>)
  endif()
endfunction()

# orrery_layer(NAME [EXCLUDE regex...] [LIBRARIES target...]): the static library orrery_NAME of a layer's folder.
function(orrery_layer name)
  cmake_parse_arguments(LAYER "" "" "EXCLUDE;LIBRARIES" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cpp)
  foreach(pattern ${LAYER_EXCLUDE})
    list(FILTER sources EXCLUDE REGEX "${CMAKE_CURRENT_SOURCE_DIR}/${pattern}")
  endforeach()
  if(NOT sources)
    add_library(orrery_${name} INTERFACE)
    target_link_libraries(orrery_${name} INTERFACE orrery_options ${LAYER_LIBRARIES})
    return()
  endif()
  add_library(orrery_${name} STATIC ${sources})
  target_link_libraries(orrery_${name} PUBLIC orrery_options ${LAYER_LIBRARIES})
  if(NOT name STREQUAL "kernels")  # Highway includes each of those once per instruction set
    orrery_precompile(orrery_${name} <nlohmann/json.hpp>)
  endif()
endfunction()
