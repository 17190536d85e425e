# SPDX-FileCopyrightText: 2026 The Folio Authors
# SPDX-License-Identifier: Apache-2.0
#
#   cmake -DSERVE=<program> -DMODEL=<bundled model> -DPROMPTS=<prompt file> -DMAX_TOKENS=<of a sample> -DSHORT=<too little
#     memory for all> -DSCRATCH=<folder> -P serve_cuda_test.cmake
#
# The program with its cache in a GPU's memory: what it reports, and that paging, forks, preemption and windows change
# no token, nor do shared prefixes. SKIP where there is no GPU.
cmake_minimum_required(VERSION 3.25)
file(REMOVE_RECURSE ${SCRATCH})
file(MAKE_DIRECTORY ${SCRATCH})

# serve(<variable> <argument>...): runs it; the variable gets the JSON object.
function(serve variable)
  execute_process(COMMAND ${SERVE} --json ${ARGN} OUTPUT_VARIABLE json ERROR_VARIABLE errors RESULT_VARIABLE result)
  if(errors MATCHES "--device cuda is not possible: ([^\n]*); run it where there is an NVIDIA GPU")
    message(FATAL_ERROR "SKIP: ${CMAKE_MATCH_1}")
  elseif(NOT result EQUAL 0)
    message(FATAL_ERROR "serve ${ARGN}: ${result}\n${errors}")
  endif()
  set(${variable} "${json}" PARENT_SCOPE)
endfunction()

# expect(<json> <member> <EQUAL|GREATER|LESS|MATCHES> <value>)
function(expect json member comparison value)
  string(JSON got GET "${json}" ${member})
  if(NOT "${got}" ${comparison} "${value}")
    message(FATAL_ERROR "${member} is ${got}, expected ${comparison} ${value} in ${json}")
  endif()
endfunction()

# The f32 cache: every token is the same as alone on a contiguous cache, or a rounding tie, else serve fails.
set(run --prompts ${PROMPTS} --max-tokens ${MAX_TOKENS} --check)
serve(ample ${run} --samples 2 --device cuda)
expect("${ample}" device MATCHES "^cuda: ")
expect("${ample}" agreement EQUAL 1)
expect("${ample}" preemptions EQUAL 0)
expect("${ample}" forks GREATER 0)
expect("${ample}" block_copies GREATER 0)
expect("${ample}" cached_tokens GREATER 0)
expect("${ample}" evictions EQUAL 0)
serve(short ${run} --samples 2 --memory ${SHORT})  # --device auto
expect("${short}" device MATCHES "^cuda: ")
expect("${short}" agreement EQUAL 1)
expect("${short}" preemptions GREATER 0)
expect("${short}" cached_tokens GREATER 0)
expect("${short}" evictions GREATER 0)

set(prompts ${SCRATCH}/prompts.txt)
file(WRITE ${prompts} "In the beginning God created the heaven\n---\nAnd the LORD spake unto Moses, saying,\n---\nA\n")
set(run --prompts ${prompts} --max-tokens 20 --check)

# A window: the bundled weights as those of a model that has one. Blocks that left it go to others.
file(COPY ${MODEL}/model.safetensors DESTINATION ${SCRATCH}/window)
file(READ ${MODEL}/config.json config)
string(REPLACE "LlamaForCausalLM" "MistralForCausalLM" config "${config}")
string(REPLACE "\"hidden_act\"" "\"sliding_window\": 20, \"hidden_act\"" config "${config}")
file(WRITE ${SCRATCH}/window/config.json "${config}")
serve(window ${run} --model ${SCRATCH}/window --device cuda --batch-tokens 16)
expect("${window}" device MATCHES "^cuda: ")
expect("${window}" agreement EQUAL 1)

# The same as those of a model that has it in some layers, which are a group of their own.
file(COPY ${MODEL}/model.safetensors DESTINATION ${SCRATCH}/hybrid)
string(REPLACE "\"hidden_act\"" "\"layer_types\": [\"sliding_attention\", \"full_attention\", \"sliding_attention\", \"sliding_attention\"],
  \"hidden_act\"" config "${config}")
file(WRITE ${SCRATCH}/hybrid/config.json "${config}")
serve(hybrid ${run} --model ${SCRATCH}/hybrid --device cuda --batch-tokens 16)
expect("${hybrid}" device MATCHES "^cuda: ")
expect("${hybrid}" agreement EQUAL 1)

# Prefixes: a prompt that is there already, found while it is computed and when all of it is kept, and copies of the
# blocks in which the found part ends.
set(twice ${SCRATCH}/twice.txt)
file(WRITE ${twice} "And God said, Let there be light: and there was light.\n---\nAnd God said, Let there be light: and there "
  "was light.\n---\nAnd God said, Let there be light: and thus")
serve(on --prompts ${twice} --max-tokens 20 --batch-tokens 33 --check --device cuda)
expect("${on}" agreement EQUAL 1)
expect("${on}" cached_tokens GREATER 71)
expect("${on}" block_copies GREATER 0)
serve(off --prompts ${twice} --max-tokens 20 --batch-tokens 33 --check --device cuda --prefix off)
expect("${off}" agreement EQUAL 1)
expect("${off}" cached_tokens EQUAL 0)
expect("${off}" block_copies EQUAL 0)

# A quantizer that rounds agrees for a while; on both sides alike, whichever way own tokens are read.
foreach(own exact stored)
  serve(lossy ${run} --quantizer k8v4 --temperature 0 --device cuda --own-tokens ${own})
  expect("${lossy}" kv_bytes_per_token LESS 1000)
  expect("${lossy}" agreement GREATER 0.2)
  expect("${lossy}" format_agreement GREATER 0.2)
  expect("${lossy}" own_tokens MATCHES "^${own}$")
  serve(host ${run} --quantizer k8v4 --temperature 0 --device host --own-tokens ${own})
  expect("${host}" device MATCHES "^host$")
  foreach(member kv_bytes_per_token kv_bytes_total kv_bytes_peak steps)
    string(JSON value GET "${host}" ${member})
    expect("${lossy}" ${member} EQUAL ${value})
  endforeach()
endforeach()

# What is not on the GPU.
execute_process(COMMAND ${SERVE} --device cuda --quantizer bf16 ERROR_VARIABLE errors RESULT_VARIABLE result)
if(NOT result EQUAL 1 OR NOT errors MATCHES
    "^serve: --device cuda is not possible: caches on a GPU have the quantizers f32, [^\n]*, not bf16; [^\n]*\n$")
  message(FATAL_ERROR "--device cuda --quantizer bf16: ${result}: ${errors}")
endif()
message(STATUS "serve --device cuda: all as expected")
