# Writes COMMIT_HEADER with the commit that is being built, only where it changed: runs at every build.
execute_process(COMMAND git -C ${SOURCE_DIR} describe --always --dirty --abbrev=10 --exclude=*
                OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
if(failed OR commit STREQUAL "")
  set(commit "no commit")
endif()
set(text "#define ORRERY_COMMIT \"${commit}\"\n")
set(old "")
if(EXISTS ${COMMIT_HEADER})
  file(READ ${COMMIT_HEADER} old)
endif()
if(NOT old STREQUAL text)
  file(WRITE ${COMMIT_HEADER} "${text}")
endif()
