#!/usr/bin/env bash
# Runs all tests of the Go package: plain, under the race detector, with the collector at work after every
# few allocations, and with each pointer that crosses to C checked.
# usage: bindings/go/test.sh      the static library must be built: cargo build --release -p quorate-ffi
set -euo pipefail
cd "$(dirname "$0")"
./link.sh
go vet ./...
go test -v -count=1 ./...
GOGC=1 GODEBUG=cgocheck=1 go test -race -v -count=1 ./...
go build -C ../../examples/go -o /dev/null .
go vet -C ../../examples/go .
