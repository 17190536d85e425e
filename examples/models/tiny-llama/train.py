#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The Folio Authors
# SPDX-License-Identifier: Apache-2.0
"""Trains a small byte-level language model of the Llama architecture (GQA, RoPE, RMSNorm, SwiGLU) on one text file
and writes it as a model directory: config.json and model.safetensors (bfloat16, Llama tensor names).

    train.py TEXT OUT --minutes 60 [--start DIR] [--device cuda] [--layers 4 --dim 192 ...]

The last twentieth of TEXT is held out. Needs PyTorch >= 1.13; one NumPy-free file, nothing else.
--recall S mixes in a share S of rows that state random facts ("[Abel=4821]") and ask them again further on; learning
to answer them takes far more steps than two CPU cores can do in an hour.
"""
import argparse, json, math, os, random, struct, time
import torch, torch.nn as nn, torch.nn.functional as F

a = argparse.ArgumentParser()
a.add_argument("text"); a.add_argument("out"); a.add_argument("--minutes", type=float, default=60); a.add_argument("--start")
a.add_argument("--device", default="cpu"); a.add_argument("--recall", type=float, default=0.0); a.add_argument("--lr", type=float, default=2e-3)
for name, default in dict(layers=4, dim=192, heads=4, kv_heads=2, head_dim=64, ffn=512, context=1024, tokens_per_step=3072).items():
    a.add_argument("--" + name, type=int, default=default)
o = a.parse_args()
L, D, H, KV, HD, FF, V, THETA, EPS = o.layers, o.dim, o.heads, o.kv_heads, o.head_dim, o.ffn, 256, 10000.0, 1e-5
torch.manual_seed(7); rng = random.Random(7); torch.set_flush_denormal(True)
text = open(o.text, "rb").read(); held = text[-len(text) // 20:]; text = text[:-len(held)]
words = sorted({w.decode() for w in text.replace(b".", b" ").replace(b",", b" ").split() if w.isalpha() and w[:1].isupper() and 4 <= len(w) <= 8})

def fact(): return f"[{rng.choice(words)}={rng.randrange(10000):04d}]\n".encode()

def recall_row(T):
    out, known, verses = bytearray(), [], text[rng.randrange(len(text) // 2):].split(b"\n", 200)
    while len(out) < T + 1:
        if rng.random() < 0.4 or not known: known.append(fact()); out += known[-1]
        elif rng.random() < 0.7: out += rng.choice(known)
        else: out += rng.choice(verses[1:-1])[:120] + b"\n"
    return out[: T + 1]

def batch(T, B):
    rows = []
    for _ in range(B):
        s = rng.randrange(len(text) - T - 1)
        rows.append(recall_row(T) if rng.random() < o.recall else text[s:s + T + 1])
    t = torch.tensor([list(r) for r in rows], device=o.device)
    return t[:, :-1], t[:, 1:]

def rope(T):
    angle = torch.outer(torch.arange(T).float(), 1.0 / THETA ** (torch.arange(0, HD, 2).float() / HD)).to(o.device)
    angle = torch.cat([angle, angle], -1)
    return angle.cos(), angle.sin()

def rotate(x, cos, sin):
    u, v = x.split(HD // 2, -1)
    return x * cos + torch.cat([-v, u], -1) * sin

class RMSNorm(nn.Module):
    def __init__(s): super().__init__(); s.weight = nn.Parameter(torch.ones(D))
    def forward(s, x): return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + EPS) * s.weight

class Layer(nn.Module):
    def __init__(s):
        super().__init__(); lin = lambda i, j: nn.Linear(i, j, bias=False)
        s.n1, s.n2, s.q, s.k, s.v, s.o = RMSNorm(), RMSNorm(), lin(D, H * HD), lin(D, KV * HD), lin(D, KV * HD), lin(H * HD, D)
        s.gate, s.up, s.down = lin(D, FF), lin(D, FF), lin(FF, D)
    def forward(s, x, cos, sin, mask):
        B, T, _ = x.shape; h = s.n1(x); split = lambda y, n: y.view(B, T, n, HD).transpose(1, 2)
        q, k = rotate(split(s.q(h), H), cos, sin), rotate(split(s.k(h), KV), cos, sin).repeat_interleave(H // KV, 1)
        v = split(s.v(h), KV).repeat_interleave(H // KV, 1)
        p = ((q @ k.transpose(-1, -2)) * HD ** -0.5 + mask).softmax(-1)
        x = x + s.o((p @ v).transpose(1, 2).reshape(B, T, H * HD)); h = s.n2(x)
        return x + s.down(F.silu(s.gate(h)) * s.up(h))

class Model(nn.Module):
    def __init__(s):
        super().__init__(); s.emb = nn.Embedding(V, D); s.layers = nn.ModuleList(Layer() for _ in range(L)); s.norm = RMSNorm()
        for n, p in s.named_parameters():
            if p.dim() == 2: nn.init.normal_(p, std=0.02 / (math.sqrt(2 * L) if n.endswith(("o.weight", "down.weight")) else 1))
    def forward(s, t):
        T = t.shape[1]; cos, sin = rope(T); mask = torch.full((T, T), -1e9, device=t.device).triu(1); x = s.emb(t)
        for l in s.layers: x = l(x, cos, sin, mask)
        return s.norm(x) @ s.emb.weight.t()

def tensors(m):
    t = {"model.embed_tokens.weight": m.emb.weight, "model.norm.weight": m.norm.weight}
    for i, l in enumerate(m.layers):
        p = f"model.layers.{i}."
        t |= {p + "input_layernorm.weight": l.n1.weight, p + "post_attention_layernorm.weight": l.n2.weight}
        t |= {f"{p}self_attn.{n}_proj.weight": getattr(l, n).weight for n in "qkvo"}
        t |= {f"{p}mlp.{n}_proj.weight": getattr(l, n).weight for n in ("gate", "up", "down")}
    return t

def save(m):
    head, blobs, at = {}, [], 0
    for n, t in tensors(m).items():
        b = t.detach().cpu().to(torch.bfloat16).contiguous().view(torch.int16).numpy().tobytes()
        head[n] = {"dtype": "BF16", "shape": list(t.shape), "data_offsets": [at, at + len(b)]}; blobs.append(b); at += len(b)
    h = json.dumps(head).encode(); h += b" " * (-len(h) % 8); os.makedirs(o.out, exist_ok=True)
    with open(f"{o.out}/model.safetensors", "wb") as f: f.write(struct.pack("<Q", len(h)) + h + b"".join(blobs))
    json.dump({"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": D, "intermediate_size": FF, "num_hidden_layers": L,
               "num_attention_heads": H, "num_key_value_heads": KV, "head_dim": HD, "vocab_size": V, "rms_norm_eps": EPS, "rope_theta": THETA, "hidden_act": "silu",
               "max_position_embeddings": o.context, "tie_word_embeddings": True, "eos_token_id": None, "torch_dtype": "bfloat16"}, open(f"{o.out}/config.json", "w"), indent=1)

def load(m, folder):
    with open(f"{folder}/model.safetensors", "rb") as f: head = json.loads(f.read(struct.unpack("<Q", f.read(8))[0])); blob = f.read()
    for n, t in tensors(m).items():
        i, j = head[n]["data_offsets"]
        t.data.copy_(torch.frombuffer(bytearray(blob[i:j]), dtype=torch.int16).view(torch.bfloat16).float().view(t.shape))

@torch.no_grad()
def bits_per_byte(m, T, n=8):
    g = random.Random(1); nll = 0.0
    for _ in range(n):
        s = g.randrange(len(held) - T - 1); t = torch.tensor([list(held[s:s + T + 1])], device=o.device)
        nll += F.cross_entropy(m(t[:, :-1])[0], t[0, 1:]).item()
    return nll / n / math.log(2)

m = Model().to(o.device)
if o.start: load(m, o.start)
print("parameters", sum(p.numel() for p in m.parameters()), flush=True)
opt = torch.optim.AdamW([{"params": [p for p in m.parameters() if p.dim() == 2], "weight_decay": 0.05},
                         {"params": [p for p in m.parameters() if p.dim() < 2], "weight_decay": 0.0}], lr=o.lr, betas=(0.9, 0.95))
begin, step = time.time(), 0
while (done := (time.time() - begin) / 60 / o.minutes) < 1:
    for g in opt.param_groups: g["lr"] = o.lr * min(1, (step + 1) / 100) * (0.485 * (1 + math.cos(math.pi * done)) + 0.03)
    T = o.context // 4 if done < 0.4 else o.context // 2 if done < 0.7 else o.context          # short rows first, the whole context last
    x, y = batch(T, max(1, o.tokens_per_step // T)); loss = F.cross_entropy(m(x).reshape(-1, V), y.reshape(-1))
    opt.zero_grad(); loss.backward(); nn.utils.clip_grad_norm_(m.parameters(), 1.0); opt.step(); step += 1
    if step % 200 == 0: print(f"{step} steps, rows of {T}, loss {loss.item():.3f}, held out {bits_per_byte(m, T):.3f} bits per byte", flush=True); save(m)
save(m)
print("held out, bits per byte by context:", {T: round(bits_per_byte(m, T, 24), 3) for T in (64, 256, o.context)}, flush=True)
