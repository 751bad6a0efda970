package quorate

import (
	"fmt"
	"go/ast"
	"go/constant"
	"go/parser"
	"go/token"
	"go/types"
	"maps"
	"os"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// defined gives the numbers and texts that quorate.h defines under a prefix, by the rest of the name in
// lower case without underscores.
func defined(t *testing.T, prefix string) map[string]string {
	t.Helper()
	text, err := os.ReadFile("../../include/quorate.h")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, match := range regexp.MustCompile(`(?m)^#define QUORATE_`+prefix+`_(\w+) \(?([-\w"]+)\)?$`).FindAllStringSubmatch(string(text), -1) {
		found[plain(match[1])] = strings.Trim(match[2], `"`)
	}
	if len(found) == 0 {
		t.Fatalf("the header defines nothing that begins with QUORATE_%s_", prefix)
	}
	return found
}

func plain(name string) string { return strings.ToLower(strings.ReplaceAll(name, "_", "")) }

// constants gives the constants of one file by name, as the compiler sees them.
func constants(t *testing.T, file string) map[string]string {
	t.Helper()
	files := token.NewFileSet()
	parsed, err := parser.ParseFile(files, file, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	var kept []ast.Decl
	for _, decl := range parsed.Decls {
		if d, ok := decl.(*ast.GenDecl); ok && d.Tok != token.VAR {
			kept = append(kept, d)
		}
	}
	parsed.Decls = kept
	tolerant := types.Config{Error: func(error) {}}
	pkg, _ := tolerant.Check("quorate", files, []*ast.File{parsed}, nil)
	found := map[string]string{}
	for _, name := range pkg.Scope().Names() {
		if c, ok := pkg.Scope().Lookup(name).(*types.Const); ok {
			found[name] = c.Val().ExactString()
			if c.Val().Kind() == constant.String {
				found[name] = constant.StringVal(c.Val())
			}
		}
	}
	return found
}

func TestEveryStatusOfTheHeaderHasItsConstant(t *testing.T) {
	ours := map[string]string{}
	for name, value := range constants(t, "errors.go") {
		if rest, ok := strings.CutPrefix(name, "Err"); ok {
			ours[plain(rest)] = value
		}
	}
	if theirs := defined(t, "ERR"); !maps.Equal(theirs, ours) {
		t.Errorf("the header has %v\nGo has %v", theirs, ours)
	}
}

func TestOutcomesAreThoseOfTheHeader(t *testing.T) {
	ours := map[string]string{}
	for name, value := range constants(t, "errors.go") {
		if rest, ok := strings.CutPrefix(name, "Outcome"); ok {
			ours[plain(rest)] = value
		}
	}
	if theirs := defined(t, "OUTCOME"); !maps.Equal(theirs, ours) {
		t.Errorf("the header has %v\nGo has %v", theirs, ours)
	}
}

func TestEnumerationsAreThoseOfTheHeader(t *testing.T) {
	named := func(names []string) map[string]string {
		all := map[string]string{}
		for i, name := range names {
			all[plain(name)] = strconv.Itoa(i)
		}
		return all
	}
	ours := constants(t, "state.go")
	for prefix, names := range map[string][]string{"STATE": stateNames, "MODE": modeNames, "LOOP": loopNames} {
		if theirs := defined(t, prefix); !maps.Equal(theirs, named(names)) {
			t.Errorf("%s: the header has %v, Go has the texts %v", prefix, theirs, named(names))
		}
		for i, name := range names {
			if ours[name] != strconv.Itoa(i) {
				t.Errorf("%s is %s, the header has %d", name, ours[name], i)
			}
		}
	}
}

func TestKeysAndTypesAreThoseOfTheHeader(t *testing.T) {
	keys := map[string]string{
		"currentterm": CurrentTermKey, "votedfor": VotedForKey, "localid": LocalIDKey, "clusterid": ClusterIDKey,
		"lastapplied": LastAppliedKey, "nodeconfig": NodeConfig, "webhooks": WebHooks,
	}
	if theirs := defined(t, "KEY"); !maps.Equal(theirs, keys) {
		t.Errorf("the header has %v, Go has %v", theirs, keys)
	}
	types := map[string]string{
		"membershipchange": strconv.Itoa(MembershipChange),
		"webhookchange":    strconv.Itoa(WebHookChange),
	}
	theirs := defined(t, "ENTRY")
	delete(theirs, "init")
	if !maps.Equal(theirs, types) {
		t.Errorf("the header has %v, Go has %v", theirs, types)
	}
}

func TestTimeoutsAreThoseOfTheHeader(t *testing.T) {
	for name, ours := range map[string]time.Duration{
		"HEARTBEAT": HeartbeatTimeout, "ELECTION": ElectionTimeout, "NODE_PROPOSAL": NodeProposalTimeout,
	} {
		if theirs := defined(t, name)["timeoutms"]; theirs != strconv.FormatInt(ours.Milliseconds(), 10) {
			t.Errorf("%s: the header has %s, Go has %v", name, theirs, ours)
		}
	}
}

func TestNumbersOfHooksAndEventsAreThoseOfTheHeader(t *testing.T) {
	named := func(values ...fmt.Stringer) map[string]string {
		all := map[string]string{}
		for _, value := range values {
			all[strings.ReplaceAll(strings.ToLower(value.String()), " ", "")] = fmt.Sprint(reflect.ValueOf(value).Int())
		}
		return all
	}
	for prefix, ours := range map[string]map[string]string{
		"EVENT": named(LeaderEvent, MembershipEvent, FailedEvent, StateEvent, DiskFullEvent, PeerEvent,
			AbstainingEvent, ClosedEvent),
		"FRAME":   named(OtherFrame, AppendFrame, RequestVoteFrame, JoinFrame),
		"STORAGE": named(StoreNew, StoreAgain, StoreCrashed),
	} {
		theirs := defined(t, prefix)
		delete(theirs, "init")
		if !maps.Equal(theirs, ours) {
			t.Errorf("%s: the header has %v, Go has %v", prefix, theirs, ours)
		}
	}
}
