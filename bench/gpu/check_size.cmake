# SPDX-FileCopyrightText: 2026 The Folio Authors
# SPDX-License-Identifier: Apache-2.0
#
#   cmake -DFILE=<program> -P bench/gpu/check_size.cmake
#
# Fails when a program that is carried to other machines is larger than 20 MB.

file(SIZE ${FILE} bytes)
if(bytes GREATER 20000000)
  message(FATAL_ERROR "${FILE} has ${bytes} bytes; at most 20000000 are carried")
endif()
