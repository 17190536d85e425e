# SPDX-FileCopyrightText: 2026 The Folio Authors
# SPDX-License-Identifier: Apache-2.0
#
#   cmake -DFILE=<program> -DCARRIED=<0 or 1> -P bench/gpu/check_size.cmake
#
# Fails when a program that is carried to other machines is larger than 20 MB. What is built for debugging is not carried.

file(SIZE ${FILE} bytes)
if(CARRIED AND bytes GREATER 20000000)
  message(FATAL_ERROR "${FILE} has ${bytes} bytes; at most 20000000 are carried")
endif()
