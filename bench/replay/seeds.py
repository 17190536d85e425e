#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The Folio Authors
# SPDX-License-Identifier: Apache-2.0
"""Hit rates of several policies on generated traffic of many seeds, as JSON: is a lead one, or luck?

    seeds.py REPLAY TRAFFIC NUM_SEEDS CAPACITY,... POLICY,... > replay_seeds.json
"""

import json
import os
import subprocess
import sys


def main():
    replay, traffic, num_seeds = sys.argv[1], sys.argv[2], int(sys.argv[3])
    capacities, policies = [int(n) for n in sys.argv[4].split(",")], sys.argv[5].split(",")
    runs = []
    for capacity in capacities:
        for seed in range(1, num_seeds + 1):
            percent = {}
            for policy in policies:
                command = [replay, "--generate", traffic, "--seed", str(seed), "--capacity-blocks", str(capacity)]
                result = subprocess.run(command + ["--eviction", policy, "--json"], capture_output=True, check=True)
                percent[policy] = round(100 * json.loads(result.stdout)["hit_rate"], 4)
            runs.append({"capacity_blocks": capacity, "seed": seed, "percent": percent})
            print(json.dumps(runs[-1]), file=sys.stderr, flush=True)
    print(json.dumps({"context": {"num_cpus": os.cpu_count()}, "traffic": traffic, "runs": runs}))


main()
