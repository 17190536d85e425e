# SPDX-FileCopyrightText: 2026 The Folio Authors
# SPDX-License-Identifier: Apache-2.0
#
# A check that cannot fail is no check: the checkers' own tests run them on planted defects with this.

# expect_output(<regex> <command>...): the command fails and says `regex`; with "" as regex: it succeeds.
# White space in the output counts as one space, because CMake wraps its messages.
function(expect_output regex)
  list(POP_FRONT ARGV)
  execute_process(COMMAND ${ARGV} OUTPUT_VARIABLE output ERROR_VARIABLE output RESULT_VARIABLE result)
  string(REGEX REPLACE "[ \n]+" " " flat "${output}")
  if(regex STREQUAL "")
    if(NOT result EQUAL 0)
      message(FATAL_ERROR "refused what is right: ${output}")
    endif()
  elseif(result EQUAL 0)
    message(FATAL_ERROR "did not find the defect \"${regex}\": ${output}")
  elseif(NOT flat MATCHES "${regex}")
    message(FATAL_ERROR "failed, but does not say \"${regex}\": ${output}")
  endif()
endfunction()
