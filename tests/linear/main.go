// Judges histories of registers with Porcupine and compares that with what the lines say of themselves.
// Reads the lines that the example `histories` of the tests' crate prints.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math"
	"os"

	"github.com/anishathalye/porcupine"
)

// operation is one call of a history; of an unknown outcome if it never returned.
type operation struct {
	Client    int     `json:"client"`
	Called    int64   `json:"called"`
	Returned  *int64  `json:"returned"`
	Key       string  `json:"key"`
	Action    string  `json:"action"`
	Expected  *string `json:"expected"`
	Value     string  `json:"value"`
	Read      *string `json:"read"`
	Swapped   bool    `json:"swapped"`
	isUnknown bool
}

type history struct {
	Linearizable bool        `json:"linearizable"`
	Operations   []operation `json:"operations"`
}

// held is what a register holds: nothing before the first write.
type held struct {
	is   bool
	text string
}

func heldOf(text *string) held {
	if text == nil {
		return held{}
	}
	return held{true, *text}
}

func step(state, input, _ any) (bool, any) {
	now, o := state.(held), input.(operation)
	switch o.Action {
	case "get":
		return o.isUnknown || now == heldOf(o.Read), now
	case "put":
		return true, held{true, o.Value}
	case "append":
		return true, held{true, now.text + o.Value}
	}
	swaps := now == heldOf(o.Expected)
	fits := o.isUnknown || swaps == o.Swapped
	if swaps {
		return fits, held{true, o.Value}
	}
	return fits, now
}

func partition(all []porcupine.Operation) [][]porcupine.Operation {
	parts := map[string][]porcupine.Operation{}
	for _, o := range all {
		key := o.Input.(operation).Key
		parts[key] = append(parts[key], o)
	}
	list := make([][]porcupine.Operation, 0, len(parts))
	for _, part := range parts {
		list = append(list, part)
	}
	return list
}

var registers = porcupine.Model{
	Partition: partition,
	Init:      func() any { return held{} },
	Step:      step,
}

func judge(h history) bool {
	list := make([]porcupine.Operation, 0, len(h.Operations))
	for _, o := range h.Operations {
		returned := int64(math.MaxInt64)
		if o.isUnknown = o.Returned == nil; !o.isUnknown {
			returned = *o.Returned
		}
		list = append(list, porcupine.Operation{ClientId: o.Client, Input: o, Call: o.Called, Return: returned})
	}
	return porcupine.CheckOperations(registers, list)
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<26)
	agreed, differing, linearizable := 0, 0, 0
	for n := 0; lines.Scan(); n++ {
		var h history
		if err := json.Unmarshal(lines.Bytes(), &h); err != nil {
			fmt.Fprintf(os.Stderr, "line %d: %v\n", n, err)
			os.Exit(1)
		}
		judged := judge(h)
		if judged {
			linearizable++
		}
		if judged == h.Linearizable {
			agreed++
			continue
		}
		differing++
		fmt.Printf("history %d: Porcupine says %v\n", n, judged)
	}
	fmt.Printf("Porcupine: %d of %d histories are linearizable\n", linearizable, agreed+differing)
	fmt.Printf("%d passed, %d failed\n", agreed, differing)
	isVacuous := linearizable*5 < agreed || linearizable*5 > agreed*4
	if isVacuous {
		fmt.Println("one kind of history is rare")
	}
	if differing > 0 || isVacuous || lines.Err() != nil {
		os.Exit(1)
	}
}
