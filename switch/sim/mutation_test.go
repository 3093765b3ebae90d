package sim

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

var mutants = flag.String("mutants", "", "put those faults of testdata/mutations.json whose name matches into the switch, one at a time")

// mutation is a fault of one line, to be put into the switch's own source.
type mutation struct {
	Name string `json:"name"`
	File string `json:"file"` // from the root of the module
	Bug  string `json:"bug"`  // what users of another system met, or would
	Old  string `json:"old"`  // stands in the file exactly once
	New  string `json:"new"`
}

// budget is how many histories a fault has to be found in: half of what make sim
// plays. Most are found in the first hundred; a race of two rare faults takes longer.
const budget = 5000

func mutations(t *testing.T) []mutation {
	t.Helper()
	data, err := os.ReadFile("testdata/mutations.json")
	if err != nil {
		t.Fatal(err)
	}
	var all []mutation
	if err := json.Unmarshal(data, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

// source returns the file with the fault in it.
func (m *mutation) source() ([]byte, error) {
	text, err := os.ReadFile(m.path())
	if err != nil {
		return nil, err
	}
	if n := bytes.Count(text, []byte(m.Old)); n != 1 || m.New == m.Old {
		return nil, fmt.Errorf("%s: %q stands in %s %d times: the table must keep up with the code", m.Name, m.Old, m.File, n)
	}
	return bytes.Replace(text, []byte(m.Old), []byte(m.New), 1), nil
}

func (m *mutation) path() string { return filepath.Join("..", "..", filepath.FromSlash(m.File)) }

var found = regexp.MustCompile(`seed (\d+): ([a-z -]+):`)

// hunt builds the simulation with the fault in the switch, plays, and says which
// rule found it and in which seed; "" if none did.
func (m *mutation) hunt(t *testing.T) string {
	t.Helper()
	text, err := m.source()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	full, err := filepath.Abs(m.path())
	if err != nil {
		t.Fatal(err)
	}
	faulty, overlay, binary := filepath.Join(dir, "faulty.go"), filepath.Join(dir, "overlay.json"), filepath.Join(dir, "sim.test")
	spec, err := json.Marshal(map[string]map[string]string{"Replace": {full: faulty}})
	if err := errors.Join(err, os.WriteFile(faulty, text, 0o600), os.WriteFile(overlay, spec, 0o600)); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "go", "test", "-c", "-overlay", overlay, "-o", binary, ".").CombinedOutput(); err != nil {
		t.Errorf("%s does not build: %v\n%s", m.Name, err, out)
		return "the compiler"
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, binary, "-test.run", "^TestHistoriesBreakNoRule$", "-seeds", fmt.Sprint(budget)).CombinedOutput()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return ""
	case ctx.Err() != nil:
		return "a hang"
	case !errors.As(err, &exit):
		t.Fatal(err)
	}
	if hit := found.FindSubmatch(out); hit != nil {
		return fmt.Sprintf("%s, seed %s", hit[2], hit[1])
	}
	line, _, _ := strings.Cut(string(out[max(bytes.Index(out, []byte("panic:")), 0):]), "\n")
	return line
}

func TestTheTableOfFaultsKeepsUpWithTheCode(t *testing.T) {
	all := mutations(t)
	if len(all) < 55 {
		t.Errorf("%d faults only", len(all))
	}
	for _, m := range all {
		if _, err := m.source(); err != nil {
			t.Error(err)
		}
	}
}

// quick are the faults that every go test puts in: that the simulation can fail is
// a part of what it says.
var quick = map[string]bool{"timeout-is-a-no": true, "cap-without-holds": true}

func TestFaultsInTheSwitchAreFound(t *testing.T) {
	if *seeds > 0 || *one > 0 {
		return
	}
	wanted := regexp.MustCompile(*mutants)
	for _, m := range mutations(t) {
		if *mutants == "" && !quick[m.Name] || !wanted.MatchString(m.Name) {
			continue
		}
		start := time.Now()
		by := m.hunt(t)
		if by == "" {
			t.Errorf("%s: %s: not found in %d histories", m.Name, m.Bug, budget)
			continue
		}
		if *mutants != "" {
			fmt.Printf("%-24s found by %-28s %5.1f s   %s\n", m.Name, by, time.Since(start).Seconds(), m.Bug)
		}
	}
}
