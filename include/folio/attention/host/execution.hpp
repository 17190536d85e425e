// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// How an attention is computed on the host: by whose threads. Host only.

#include <folio/executor.hpp>

namespace folio {

/// Execution of a host attention: no bit of the result depends on it.
struct HostExecution {
  Executor threads = {};  ///< a pool's, such as `&pool` of a ThreadPool; none: the calling thread
};

}  // namespace folio
