# SPDX-FileCopyrightText: 2026 The Folio Authors
# SPDX-License-Identifier: Apache-2.0
#
# The view costs nothing: decode attention through it compiles to the registers and loads of the same kernel in raw
# pointers, to as many instructions within 3 %, and spills nothing. And load<N> is one vector load, and the kernels that
# move rows, and attention's, touch memory in no pieces of less than 4 bytes and spill nothing.
#
#   cmake -DNVCC=nvcc -DREADELF=readelf -DINCLUDE_DIR=include -DARCHITECTURES=80,90,100 -DSCRATCH=<folder>
#         [-DSOURCE=kernels.cu] [-DFLAGS=<more for nvcc>] -P tests/no_cost/check.cmake
#
# Registers and spills are from ptxas's report. Global loads, by their bytes, are from the PTX. Instructions are counted
# in the cubin: 16 bytes each since Volta, without the NOPs after the last. One call of nvcc for each architecture.
cmake_minimum_required(VERSION 3.25)

if(NOT SOURCE)
  set(SOURCE ${CMAKE_CURRENT_LIST_DIR}/kernels.cu)
endif()
string(REPLACE "," ";" ARCHITECTURES "${ARCHITECTURES}")
separate_arguments(FLAGS UNIX_COMMAND "${FLAGS}")
set(limit_percent 3)

# Parts of mangled names: the format's name, what its kernel in raw pointers has, what its kernel through the view has.
set(pairs "f16 raw.*3F16E view.*3F16E" "int8 raw.*4Int8E view.*IntQuantizerILi8E" "int4 raw.*4Int4E view.*IntQuantizerILi4E")
# The same of the kernels with one call of load<N, T> each, and the loads that it may be. 4 bytes are a row's parameters.
set(single_loads "f32 _Z4loadIfLi4E.*3F32E 1x16" "f16 _Z4loadIfLi8E.*3F16E 1x16" "bf16 _Z4loadIfLi8E.*4BF16E 1x16"
  "fp8 _Z4loadIfLi16E.*Fp8QuantizerI 1x4,1x16" "int8 _Z4loadIfLi16E.*IntQuantizerILi8E 1x4,1x16"
  "int4 _Z4loadIfLi32E.*IntQuantizerILi4E 1x4,1x16" "int2 _Z4loadIfLi64E.*IntQuantizerILi2E 1x4,1x16"
  "f16_to_half _Z4loadIN5folio4HalfELi8E.*3F16E 1x16" "16_f16_to_half _Z4loadIN5folio4HalfELi16E.*3F16E 2x16")

# Kernels of which neighbouring lanes read and write 4 bytes or more each: rows of 16-bit activations, codes, parameters.
set(wide append_kernel.*3F16E append_kernel.*IntQuantizerILi8E append_kernel.*Fp8QuantizerI gather_kernel.*3F16E
  gather_kernel.*IntQuantizerILi8E gather_kernel.*Fp8QuantizerI attend_kernel.*3F16E prefill_kernel.*3F16E)

set(problems 0)
macro(problem text)
  math(EXPR problems "${problems} + 1")
  message(NOTICE "${text}")
endmacro()

# Sets `kernels`, and registers_<kernel> and spills_<kernel> of each, from what ptxas says.
macro(read_report report)
  set(kernels)
  string(REPLACE "\n" ";" lines "${report}")
  foreach(line IN LISTS lines)
    if(line MATCHES "Compiling entry function '([^']+)'")
      set(kernel ${CMAKE_MATCH_1})
      list(APPEND kernels ${kernel})
    elseif(line MATCHES "([0-9]+) bytes spill stores, ([0-9]+) bytes spill loads")
      math(EXPR spills_${kernel} "${CMAKE_MATCH_1} + ${CMAKE_MATCH_2}")
    elseif(line MATCHES "Used ([0-9]+) registers")
      set(registers_${kernel} ${CMAKE_MATCH_1})
    endif()
  endforeach()
endmacro()

# Sets loads_<kernel>, such as "6x4,2x8": six loads of 4 bytes and two of 8, conversions_<kernel>, between floats, and
# narrow_<kernel>, loads and stores of less than 4 bytes.
macro(read_ptx file)
  set(kernel none)
  set(widths 1 2 4 8 16 32)
  file(STRINGS ${file} lines REGEX "\\.entry |(ld|st)\\.[a-z]|cvt\\.[a-z.]*f(16|32)")
  foreach(line IN LISTS lines)
    if(line MATCHES "\\.entry ([A-Za-z0-9_]+)")
      set(kernel ${CMAKE_MATCH_1})
      set(conversions_${kernel} 0)
      set(narrow_${kernel} 0)
      foreach(width IN LISTS widths)
        set(count_${kernel}_${width} 0)
      endforeach()
    elseif(line MATCHES "cvt\\.")
      math(EXPR conversions_${kernel} "${conversions_${kernel}} + 1")
    elseif(line MATCHES "st\\." AND NOT line MATCHES "st\\.(param|shared|local)")
      if(line MATCHES "st\\.[a-z.]*[bsuf](8|16)[ \t]")
        math(EXPR narrow_${kernel} "${narrow_${kernel}} + 1")
      endif()
    elseif(NOT line MATCHES "ld\\.(param|shared|local|const)" AND line MATCHES "ld\\.([^ \t]*)[bsuf]([0-9]+)[ \t]")
      # A load without .global is one whose address the compiler knows too little of: it counts, too.
      math(EXPR width "${CMAKE_MATCH_2} / 8")
      if(CMAKE_MATCH_1 MATCHES "v([248])\\.$")
        math(EXPR width "${width} * ${CMAKE_MATCH_1}")
      endif()
      math(EXPR count_${kernel}_${width} "${count_${kernel}_${width}} + 1")
      if(width LESS 4)
        math(EXPR narrow_${kernel} "${narrow_${kernel}} + 1")
      endif()
    endif()
  endforeach()
  foreach(kernel IN LISTS kernels)
    set(loads_${kernel})
    foreach(width IN LISTS widths)
      if(count_${kernel}_${width} GREATER 0)
        list(APPEND loads_${kernel} ${count_${kernel}_${width}}x${width})
      endif()
    endforeach()
    list(JOIN loads_${kernel} "," loads_${kernel})
  endforeach()
endmacro()

# Sets instructions_<kernel>.
macro(read_cubin file)
  execute_process(COMMAND ${READELF} -SW ${file} OUTPUT_VARIABLE sections ERROR_QUIET RESULT_VARIABLE result)
  if(NOT result EQUAL 0)
    message(FATAL_ERROR "${READELF} cannot read ${file}")
  endif()
  foreach(kernel IN LISTS kernels)
    if(NOT sections MATCHES "\\.text\\.${kernel} +PROGBITS +[0-9a-f]+ ([0-9a-f]+) ([0-9a-f]+)")
      message(FATAL_ERROR "${file} has no section of ${kernel}: ${sections}")
    endif()
    math(EXPR offset "0x${CMAKE_MATCH_1}")
    math(EXPR size "0x${CMAKE_MATCH_2}")
    file(READ ${file} code OFFSET ${offset} LIMIT ${size} HEX)
    string(REGEX MATCHALL "................................" words "${code}")
    list(FILTER words EXCLUDE REGEX "^18.9")  # NOP: the lowest 12 bits are 0x918
    list(LENGTH words instructions_${kernel})
  endforeach()
endmacro()

# Sets `out` to the one kernel whose name matches, or to nothing.
macro(find_kernel out regex)
  set(${out} ${kernels})
  list(FILTER ${out} INCLUDE REGEX "${regex}")
  list(LENGTH ${out} found)
  if(NOT found EQUAL 1)
    problem("sm_${arch}: ${found} kernels match ${regex}, not 1")
    set(${out})
  endif()
endmacro()

function(compare_pair name raw view)
  set(raw_n ${instructions_${raw}})
  set(view_n ${instructions_${view}})
  math(EXPR off "(${view_n} - ${raw_n}) * 100")
  math(EXPR allowed "${raw_n} * ${limit_percent}")
  message(NOTICE "sm_${arch} ${name}: registers ${registers_${raw}} raw, ${registers_${view}} view; instructions ${raw_n} raw, "
    "${view_n} view; global loads ${loads_${raw}} raw, ${loads_${view}} view")
  if(NOT registers_${raw} EQUAL registers_${view})
    problem("sm_${arch} ${name}: the registers differ")
  endif()
  if(NOT loads_${raw} STREQUAL loads_${view})
    problem("sm_${arch} ${name}: the global loads differ")
  endif()
  if(off GREATER allowed OR off LESS -${allowed})
    problem("sm_${arch} ${name}: the instructions differ by more than ${limit_percent} %")
  endif()
  foreach(kernel IN ITEMS ${raw} ${view})
    if(NOT spills_${kernel} EQUAL 0)
      problem("sm_${arch} ${name}: ${spills_${kernel}} bytes of registers are spilled")
    endif()
  endforeach()
  set(problems ${problems} PARENT_SCOPE)
endfunction()

file(MAKE_DIRECTORY ${SCRATCH})
foreach(arch IN LISTS ARCHITECTURES)
  set(stem ${SCRATCH}/sm_${arch})
  file(MAKE_DIRECTORY ${stem})
  execute_process(COMMAND ${NVCC} -std=c++20 -arch=sm_${arch} -cubin -Xptxas -v --keep --keep-dir ${stem} -I${INCLUDE_DIR}
      ${FLAGS} ${SOURCE} -o ${stem}/kernels.cubin
    OUTPUT_VARIABLE report ERROR_VARIABLE report RESULT_VARIABLE result)
  if(NOT result EQUAL 0)
    message(FATAL_ERROR "${SOURCE} does not compile for sm_${arch}: ${report}")
  endif()
  cmake_path(GET SOURCE STEM name)
  read_report("${report}")
  read_ptx(${stem}/${name}.ptx)
  read_cubin(${stem}/kernels.cubin)
  foreach(pair IN LISTS pairs)
    separate_arguments(pair)
    list(POP_FRONT pair name raw_regex view_regex)
    find_kernel(raw ${raw_regex})
    find_kernel(view ${view_regex})
    if(raw AND view)
      compare_pair(${name} ${raw} ${view})
    endif()
  endforeach()
  foreach(single IN LISTS single_loads)
    separate_arguments(single)
    list(POP_FRONT single name regex expected)
    find_kernel(kernel ${regex})
    if(kernel AND NOT loads_${kernel} STREQUAL expected)
      problem("sm_${arch} load of ${name}: ${loads_${kernel}}, not ${expected}")
    endif()
    if(kernel AND name MATCHES "f16_to_half$" AND NOT conversions_${kernel} EQUAL 0)
      problem("sm_${arch} load of ${name}: ${conversions_${kernel}} conversions of what is stored as it is")
    endif()
  endforeach()
  foreach(regex IN LISTS wide)
    find_kernel(kernel ${regex})
    if(kernel AND NOT narrow_${kernel} EQUAL 0)
      problem("sm_${arch} ${regex}: ${narrow_${kernel}} loads and stores of less than 4 bytes")
    endif()
    if(kernel AND NOT spills_${kernel} EQUAL 0)
      problem("sm_${arch} ${regex}: ${spills_${kernel}} bytes of registers are spilled")
    endif()
  endforeach()
endforeach()

if(problems)
  message(FATAL_ERROR "the view has a cost: ${problems} problems")
endif()
