#!/usr/bin/env bash
# Lets Porcupine judge the histories that the linearizability checker has judged.
# usage: tests/linear/run.sh [HISTORIES]
set -euo pipefail
cd "$(dirname "$0")/../.."
mkdir -p build
cargo run -q --locked --release -p quorate-tests --example histories -- "${1:-3000}" >build/histories.jsonl
go run -C tests/linear . <build/histories.jsonl
