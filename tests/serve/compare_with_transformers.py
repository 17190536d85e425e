#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The Folio Authors
# SPDX-License-Identifier: Apache-2.0
"""Holds serve beside Hugging Face's transformers: greedy tokens of small models of every family and feature.

    compare_with_transformers.py SERVE [NAME ...]        # all cases, or those whose names begin so
    compare_with_transformers.py SERVE --write FILE      # and writes those that a test runs without transformers

Each case is a config.json. Its weights follow from a formula that random_model.hpp computes, too, so a case with its
tokens is all that tests/serve/fixtures/transformers.json has to keep. Says SKIP and why where torch, transformers or NumPy are
missing. By hand, in a virtual environment: pip install torch transformers.

A case is equal, or refused by serve where the case says so; a token at which transformers' two best logits are closer
than 1e-3 ends it, for there the last bits decide. Each case also says what it is about: the same model without that
must give other tokens, or the case shows nothing.
"""

import argparse
import json
import math
import pathlib
import struct
import subprocess
import sys
import tempfile

try:
    import numpy as np
    import torch
    import transformers
except ImportError as error:
    print(f"SKIP: {error}")
    sys.exit(0)

VOCAB, CONTEXT, NEW_TOKENS = 50, 160, 24
BASE = {
    "hidden_size": 48,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "vocab_size": VOCAB,
    "max_position_embeddings": CONTEXT,
    "eos_token_id": None,
    "bos_token_id": None,
    "tie_word_embeddings": False,
}
MODEL_TYPES = {"Llama": "llama", "Mistral": "mistral", "Ministral": "ministral", "Qwen2": "qwen2", "Qwen3": "qwen3"}
ABSENT = object()  # a field that BASE has and the case has not


class Case:
    """`fields` go over BASE. `about`: the fields without which the tokens are others; a field that BASE has is put back.
    `refused`: what serve says instead of tokens. `generation`: generation_config.json. `more`: tensors besides."""

    def __init__(self, name, family, fields=None, about=None, refused=None, generation=None, more=(), kept=False):
        self.name, self.family, self.fields = name, family, dict(fields or {})
        self.about = list(self.fields) if about is None else about
        self.refused, self.generation, self.more, self.kept = refused, generation, more, kept

    def config(self, without=()):
        fields = {k: v for k, v in self.fields.items() if k not in without}
        both = {**BASE, **fields, "architectures": [self.family + "ForCausalLM"], "model_type": MODEL_TYPES[self.family]}
        return {k: v for k, v in both.items() if v is not ABSENT}


def cases():
    yarn = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 40}
    llama3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
              "original_max_position_embeddings": 64}
    linear = {"type": "linear", "factor": 2.0}
    types = ["sliding_attention", "full_attention", "sliding_attention"]
    window = {"sliding_window": 20}
    uses = {"use_sliding_window": True, **window}
    yield Case("llama", "Llama", kept=True)
    yield Case("mistral", "Mistral", {"sliding_window": None}, [])
    yield Case("qwen2", "Qwen2", kept=True)
    yield Case("qwen3", "Qwen3", kept=True)
    for dim in (16, 24, 40, 56, 64):
        yield Case(f"head_dim_{dim}", "Llama", {"head_dim": dim})
    yield Case("head_dim_of_hidden", "Llama", {"head_dim": ABSENT, "hidden_size": 64})
    yield Case("tied", "Llama", {"tie_word_embeddings": True})
    yield Case("tied_beside_another", "Llama", {"tie_word_embeddings": True}, [], more=["lm_head.weight"], kept=True)
    yield Case("theta", "Llama", {"rope_theta": 500.0})
    yield Case("linear", "Llama", {"rope_scaling": linear})
    yield Case("llama3", "Llama", {"rope_scaling": llama3}, kept=True)
    yield Case("llama3_in_parameters", "Llama", {"rope_parameters": {**llama3, "rope_theta": 500.0}})
    yield Case("llama3_original_absent", "Llama",
               {"rope_scaling": {k: v for k, v in llama3.items() if not k.startswith("original")}})
    yield Case("scaling_beside_parameters", "Llama",
               {"rope_scaling": linear, "rope_parameters": {"rope_type": "default", "rope_theta": 500.0}}, ["rope_scaling"])
    yield Case("yarn", "Qwen2", {"rope_scaling": yarn}, kept=True)
    yield Case("yarn_old_name", "Qwen2", {"rope_scaling": {"type": "yarn", "factor": 4.0,
                                                           "original_max_position_embeddings": 40}})
    yield Case("yarn_parameters", "Qwen3", {"rope_parameters": {**yarn, "rope_theta": 3000.0}}, kept=True)
    yield Case("yarn_betas", "Llama", {"rope_scaling": {**yarn, "beta_fast": 8.0, "beta_slow": 2.0}})
    yield Case("yarn_truncate", "Llama", {"rope_scaling": {**yarn, "truncate": False}})
    yield Case("yarn_attention_factor", "Llama", {"rope_scaling": {**yarn, "attention_factor": 1.5}})
    yield Case("yarn_mscale", "Llama", {"rope_scaling": {**yarn, "mscale": 2.0, "mscale_all_dim": 0.5}})
    yield Case("yarn_original_absent", "Llama", {"rope_scaling": {"rope_type": "yarn", "factor": 4.0}})
    yield Case("yarn_beyond_context", "Qwen2", {"rope_scaling": yarn, "max_position_embeddings": 40}, ["rope_scaling"])
    yield Case("dynamic", "Llama", {"rope_scaling": {"rope_type": "dynamic", "factor": 2.0}}, [])
    yield Case("dynamic_beyond_context", "Llama",
               {"rope_scaling": {"rope_type": "dynamic", "factor": 2.0}, "max_position_embeddings": 40}, [],
               refused="more than the model's context of 40")
    yield Case("longrope", "Llama", {"rope_scaling": {"rope_type": "longrope", "factor": 2.0}}, refused="longrope")
    yield Case("partial", "Llama", {"partial_rotary_factor": 0.5}, refused="partial_rotary_factor is 0.5")
    yield Case("partial_inside", "Llama", {"rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.5}},
               refused="rope_parameters: partial_rotary_factor is 0.5")
    yield Case("parameters_by_layer_type", "Mistral",
               {"rope_parameters": {"full_attention": {"rope_type": "default", "rope_theta": 500.0}}},
               refused="not one object for each type of layer")
    yield Case("biases", "Llama", {"attention_bias": True}, kept=True)
    yield Case("mlp_biases", "Llama", {"mlp_bias": True, "attention_bias": True}, ["mlp_bias"])
    yield Case("qwen3_biases", "Qwen3", {"attention_bias": True})
    yield Case("unannounced_bias", "Llama", more=["model.layers.1.self_attn.q_proj.bias"], refused="has no place in")
    yield Case("unannounced_norm", "Llama", more=["model.layers.1.self_attn.q_norm.weight"], refused="has no place in")
    yield Case("inv_freq", "Llama", more=["model.layers.1.self_attn.rotary_emb.inv_freq"])
    yield Case("window", "Mistral", window, kept=True)
    yield Case("window_absent", "Mistral", {"max_position_embeddings": 6000, "num_hidden_layers": 1}, [])
    yield Case("ministral", "Ministral", window, kept=True)
    yield Case("ministral_types", "Ministral", {**window, "layer_types": types}, ["layer_types"], kept=True)
    yield Case("qwen2_window_unused", "Qwen2", {**window, "use_sliding_window": False, "max_window_layers": 0}, [])
    yield Case("qwen2_window", "Qwen2", {**uses, "max_window_layers": 1}, ["max_window_layers"], kept=True)
    yield Case("qwen2_window_all", "Qwen2", {**uses, "max_window_layers": 0})
    yield Case("qwen2_types", "Qwen2", {**uses, "layer_types": types}, ["layer_types"])
    yield Case("qwen3_window", "Qwen3", {**uses, "max_window_layers": 2}, ["max_window_layers"])
    yield Case("qwen3_types_yarn", "Qwen3", {**uses, "layer_types": types, "rope_scaling": yarn}, ["rope_scaling"])
    yield Case("kv_heads_absent", "Llama", {"num_key_value_heads": ABSENT})
    yield Case("kv_heads_absent_mistral", "Mistral",
               {"num_key_value_heads": ABSENT, "num_attention_heads": 16, "head_dim": 16, "sliding_window": None}, [])
    yield Case("context_absent", "Llama", {"max_position_embeddings": ABSENT}, [])
    yield Case("eps", "Llama", {"rms_norm_eps": 0.5})
    for eos in (3, [3, 40], ABSENT):
        yield Case(f"eos_{'absent' if eos is ABSENT else eos}", "Llama", {"eos_token_id": eos}, [])
    yield Case("eos_of_generation", "Llama", {"eos_token_id": 3}, [], generation={"eos_token_id": 40})
    yield Case("eos_of_generation_list", "Qwen2", {"eos_token_id": 3}, [], generation={"eos_token_id": [40, 41, 42]})


class Numbers:
    """random_model.hpp's: a linear congruential generator, one number after the other in [-1, 1)."""

    def __init__(self):
        self.state = 1

    def tensor(self, shape, scale, offset=0.0):
        out = np.empty(math.prod(shape), np.float32)
        for i in range(out.size):
            self.state = (self.state * 6364136223846793005 + 1442695040888963407) & (2**64 - 1)
            out[i] = (self.state >> 40) / (1 << 23) - 1.0
        return (np.float32(offset) + np.float32(scale) * out).reshape(shape)


def tensors_of(config):
    """Those of write_model in random_model.hpp, in its order."""
    hidden, inner, heads = config["hidden_size"], config["intermediate_size"], config["num_attention_heads"]
    kv_heads = config.get("num_key_value_heads", 8 if config["model_type"] == "mistral" else heads)
    dim, numbers, out = config.get("head_dim", hidden // heads), Numbers(), {}

    def add(name, shape, scale, offset=0.0):
        out[name] = numbers.tensor(shape, scale, offset)

    def linear(name, rows, cols, bias):
        add(name + ".weight", (rows, cols), np.float32(1.5) / np.sqrt(np.float32(cols)))
        if bias:
            add(name + ".bias", (rows,), 0.5)

    qwen2 = config["model_type"] == "qwen2"
    attention, mlp = config.get("attention_bias", False), config.get("mlp_bias", False)
    add("model.embed_tokens.weight", (VOCAB, hidden), 1)
    add("model.norm.weight", (hidden,), 0.2, 1)
    if not config["tie_word_embeddings"]:
        add("lm_head.weight", (VOCAB, hidden), 0.5)
    for layer in range(config["num_hidden_layers"]):
        at = f"model.layers.{layer}."
        add(at + "input_layernorm.weight", (hidden,), 0.2, 1)
        add(at + "post_attention_layernorm.weight", (hidden,), 0.2, 1)
        linear(at + "self_attn.q_proj", heads * dim, hidden, attention or qwen2)
        linear(at + "self_attn.k_proj", kv_heads * dim, hidden, attention or qwen2)
        linear(at + "self_attn.v_proj", kv_heads * dim, hidden, attention or qwen2)
        linear(at + "self_attn.o_proj", hidden, heads * dim, attention)
        if config["model_type"] == "qwen3":
            add(at + "self_attn.q_norm.weight", (dim,), 0.3, 1)
            add(at + "self_attn.k_norm.weight", (dim,), 0.3, 1)
        linear(at + "mlp.gate_proj", inner, hidden, mlp)
        linear(at + "mlp.up_proj", inner, hidden, mlp)
        linear(at + "mlp.down_proj", hidden, inner, mlp)
    return out, numbers


def write_model(folder, case, config):
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    if case.generation is not None:
        (folder / "generation_config.json").write_text(json.dumps(case.generation))
    tensors, numbers = tensors_of(config)
    for name in case.more:
        tensors[name] = numbers.tensor((VOCAB, config["hidden_size"]), 0.5)
    header, end, data = {}, 0, b""
    for name, tensor in tensors.items():
        header[name] = {"dtype": "F32", "shape": tensor.shape, "data_offsets": [end, end + tensor.nbytes]}
        end += tensor.nbytes
        data += tensor.tobytes()
    text = json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)


def prompts_of(config):
    sizes = (1, 17, 33, 70) if config.get("max_position_embeddings", CONTEXT) < 5000 else (4200,)
    return [[(i * i + 7 * size) % VOCAB for i in range(size)] for size in sizes]


def reference(folder, prompts):
    """transformers' greedy tokens; each prompt's end where the two best logits are too close."""
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    model.eval()
    out = []
    for prompt in prompts:
        ids = torch.tensor([prompt])
        made = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, num_beams=1,
                              max_new_tokens=NEW_TOKENS, temperature=None, pad_token_id=0, output_logits=True,
                              return_dict_in_generate=True)
        tokens = made.sequences[0][len(prompt):].tolist()
        margins = [logits[0].topk(2).values for logits in made.logits]
        close = [i for i, best in enumerate(margins) if best[0] - best[1] < 1e-3]
        out.append((tokens, close[0] if close else None))
    return out


def run_serve(serve, folder, prompts):
    """serve's tokens, or what it says."""
    ids, answers = folder / "prompts.txt", folder / "answers.txt"
    ids.write_text("".join(" ".join(map(str, prompt)) + "\n" for prompt in prompts))
    done = subprocess.run([serve, "--model", folder, "--prompts", ids, "--temperature", "0", "--max-tokens",
                           str(NEW_TOKENS), "--output", answers, "--json", "--device", "host", "--threads", "1"],
                          capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return done.stderr.strip()
    return [[int(word) for word in line.split()] for line in answers.read_text().splitlines()]


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("serve")
    parser.add_argument("names", nargs="*")
    parser.add_argument("--write", type=pathlib.Path)
    options = parser.parse_args()
    torch.set_num_threads(1)  # small models, and other programs may be at work
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    counts, kept = {"equal": 0, "refused": 0, "SKIP": 0, "differs": 0}, []
    for case in cases():
        if options.names and not case.name.startswith(tuple(options.names)):
            continue
        with tempfile.TemporaryDirectory() as scratch:
            folder, config = pathlib.Path(scratch) / "model", case.config()
            write_model(folder, case, config)
            prompts = prompts_of(config)
            got = run_serve(options.serve, folder, prompts)
            verdict, detail = "equal", ""
            if case.refused is not None:
                good = isinstance(got, str) and case.refused in got
                verdict, detail = ("refused", got) if good else ("differs", f"expected a refusal, got {got}")
            elif isinstance(got, str):
                verdict, detail = ("SKIP" if "not built for head_dim" in got else "differs"), got
            else:
                expected = reference(folder, prompts)
                for i, (tokens, close) in enumerate(expected):
                    if got[i][:close] != tokens[:close]:
                        verdict, detail = "differs", f"prompt {i}: {got[i]}, transformers {tokens}"
                if verdict == "equal" and case.about:
                    other = case.config(without=case.about)
                    write_model(folder.with_name("other"), case, other)
                    if run_serve(options.serve, folder.with_name("other"), prompts) == got:
                        verdict, detail = "differs", f"the same tokens without {', '.join(case.about)}: it shows nothing"
                if case.kept:
                    kept.append({"name": case.name, "config": config, "more": list(case.more), "prompts": prompts,
                                 "tokens": [tokens[:close] for tokens, close in expected]})
        counts[verdict] += 1
        print(f"{verdict:8} {case.name:28} {detail}", flush=True)
    if options.write:
        lines = ",\n".join(json.dumps(case) for case in kept)
        options.write.write_text(f'{{"transformers": "{transformers.__version__}", "cases": [\n{lines}\n]}}\n')
    print(", ".join(f"{count} {verdict}" for verdict, count in counts.items()))
    return 1 if counts["differs"] else 0


if __name__ == "__main__":
    sys.exit(main())
