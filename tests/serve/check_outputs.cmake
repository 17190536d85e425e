# SPDX-FileCopyrightText: 2026 The Folio Authors
# SPDX-License-Identifier: Apache-2.0
#
# For the tests of serve and evaluate: what becomes of their output when it cannot be written, or nobody opened it.

# check_outputs(<name> <program> <option that names a file> <argument>...)
function(check_outputs name program option)
  find_program(SH sh)
  if(NOT SH OR NOT EXISTS /dev/full)
    message(STATUS "${name}: no sh, or no /dev/full to write to")
    return()
  endif()
  set(folder ${SCRATCH}/outputs)
  file(MAKE_DIRECTORY ${folder})
  set(arguments ${ARGN})

  # run(<expected status> <pattern of standard error> <what sh does before> <redirections> <argument>...)
  function(run status pattern before redirections)
    execute_process(COMMAND ${SH} -c "${before} exec \"$@\" ${redirections}" sh ${program} ${ARGN}
      OUTPUT_QUIET ERROR_VARIABLE errors RESULT_VARIABLE result TIMEOUT 120)
    if(NOT result EQUAL status OR NOT errors MATCHES "${pattern}")
      message(FATAL_ERROR "${before} ${name} ${ARGN} ${redirections}: expected ${status} and \"${pattern}\", got ${result}: ${errors}")
    endif()
  endfunction()

  # expect_text(<file> <text> <words>): the file has this text, none at all where it is "".
  function(expect_text file text words)
    set(got "")
    if(EXISTS ${file})
      file(READ ${file} got)
    endif()
    if(NOT got STREQUAL text)
      message(FATAL_ERROR "${name} ${words}: ${file} has \"${got}\", expected \"${text}\"")
    endif()
  endfunction()

  # Standard output on a full disk, or closed: an error, and the file is whole.
  set(unwritable "${name}: Standard output cannot be written: not all is there.\n$")
  foreach(redirections ">/dev/full" ">&-" "<&- >&-")
    run(1 "${unwritable}" "" "${redirections}" --help)
  endforeach()
  set(plain ${folder}/plain)
  run(0 "" "" "" ${arguments} ${option} ${plain})
  file(READ ${plain} text)
  if(text STREQUAL "")
    message(FATAL_ERROR "${name} ${arguments} ${option}: the file is empty")
  endif()
  foreach(redirections ">/dev/full" ">&-")
    run(1 "${unwritable}" "" "${redirections}" ${arguments} ${option} ${folder}/file)
    expect_text(${folder}/file "${text}" "${redirections}")
    file(REMOVE ${folder}/file)
  endforeach()
  foreach(redirections "2>&-" "<&- 2>&-")
    run(0 "^$" "" "${redirections}" ${arguments} ${option} ${folder}/file)
    expect_text(${folder}/file "${text}" "${redirections}")
  endforeach()
endfunction()
