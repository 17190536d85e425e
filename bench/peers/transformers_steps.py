#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The Folio Authors
# SPDX-License-Identifier: Apache-2.0
"""Times Hugging Face's transformers over a model directory, for serve_bench: f32 on the CPU.

    transformers_steps.py MODEL_DIR PROMPT_TOKENS THREADS

Loads the model and prints "ready". Then, for each line that standard input has, one line: the seconds of a prefill of the
prompt, up to the logits of its last token, and the median of those of 8 tokens that are decoded after it. Prints "SKIP: "
and why where torch or transformers is missing.
"""

import statistics
import sys
import time

try:
    import torch
    import transformers
except ImportError as error:
    print(f"SKIP: {error}", flush=True)
    sys.exit(0)


def main():
    folder, num_tokens, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    torch.set_num_threads(threads)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder).float().eval()
    prompt = torch.tensor([[i * 89 % model.config.vocab_size for i in range(num_tokens)]])
    print("ready", flush=True)
    for _ in sys.stdin:
        seconds = []
        tokens, past = prompt, None
        for step in range(9):
            begin = time.perf_counter()
            with torch.inference_mode():
                result = model(tokens, past_key_values=past, use_cache=True, logits_to_keep=1)
            seconds.append(time.perf_counter() - begin)
            past = result.past_key_values
            tokens = torch.tensor([[(num_tokens + step) * 89 % model.config.vocab_size]])
        print(seconds[0], statistics.median(seconds[1:]), flush=True)


main()
