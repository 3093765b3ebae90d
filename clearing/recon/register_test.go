package recon

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tongma/tongma"
)

func merge(t testing.TB, g *Register, res Result) Merged {
	t.Helper()
	m, err := g.Merge(res)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func dump(t testing.TB, g *Register) string {
	t.Helper()
	text, err := json.MarshalIndent(g.Breaks(), "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// of is a run over one window's file, hours after noon.
func of(t testing.TB, w tongma.WindowID, hours int, items []Item, rows ...string) Result {
	t.Helper()
	return run1(t, Input{Window: w, AsOf: noon.Add(time.Duration(hours) * time.Hour), Items: items, Files: []File{file(t, rows...)}})
}

const (
	row12 = "P1,,pay,approved,12.50,CNY,,12,,"
	row13 = "P1,,pay,approved,12.50,CNY,,13,,"
)

func TestAFileThatIsRunAgainFindsTheSameBreaks(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		in := world(rt)
		g := NewRegister(3)
		first := merge(t, g, run1(t, in))
		before := dump(t, g)
		in.AsOf = in.AsOf.Add(time.Hour) // legs are due only tomorrow
		again := merge(t, g, run1(t, in))
		if again.New != 0 || again.Ended != 0 || again.Seen != first.New+first.Seen || dump(t, g) != before {
			rt.Fatalf("first %+v, again %+v\nbefore %s\nafter %s", first, again, before, dump(t, g))
		}
	})
}

// TestTimingEndsByItself holds it for both ways round, and for either order of
// the two runs.
func TestTimingEndsByItself(t *testing.T) {
	ours12, ours13 := []Item{paid(1, 1250, 12)}, []Item{paid(1, 1250, 13)}
	for _, c := range []struct {
		name string
		runs []Result
	}{
		{"they are later", []Result{of(t, 12, 1, ours12), of(t, 13, 2, ours12, row13)}},
		{"they are earlier", []Result{of(t, 12, 1, ours13, row12), of(t, 13, 2, ours13)}},
		{"they are earlier, and we did not know yet", []Result{of(t, 12, 1, nil, row12), of(t, 13, 2, ours13)}},
		{"by reference alone", []Result{of(t, 12, 1, nil, ",S0001,pay,approved,12.50,CNY,,12,,"), of(t, 13, 2, ours13)}},
		{"a reversal", []Result{of(t, 12, 1, []Item{reversed(paid(1, 1250, 12), 13)}, "P1,,pay,reversed,12.50,CNY,,12,,"),
			of(t, 13, 2, []Item{reversed(paid(1, 1250, 12), 13)})}},
	} {
		t.Run(c.name, func(t *testing.T) {
			forth, back := NewRegister(1), NewRegister(1)
			merge(t, forth, c.runs[0])
			if len(forth.Open()) != 1 {
				t.Fatalf("after one run: %s", dump(t, forth))
			}
			if m := merge(t, forth, c.runs[1]); m.Ended != 2 || len(forth.Open()) != 0 {
				t.Fatalf("%+v %s", m, dump(t, forth))
			}
			for _, b := range forth.Breaks() {
				if r := b.Resolution; r.How != ByPair || r.Pair == "" || !r.At.Equal(noon.Add(2*time.Hour)) {
					t.Errorf("%+v", r)
				}
			}
			merge(t, back, c.runs[1])
			merge(t, back, c.runs[0])
			if dump(t, back) != dump(t, forth) {
				t.Errorf("forth %s\nback %s", dump(t, forth), dump(t, back))
			}
			merge(t, forth, c.runs[0])
			merge(t, forth, c.runs[1])
			if dump(t, back) != dump(t, forth) {
				t.Error("running both again changed something")
			}
			tight := NewRegister(0)
			merge(t, tight, c.runs[0])
			if m := merge(t, tight, c.runs[1]); m.Ended != 0 || len(tight.Open()) != 2 {
				t.Errorf("ended more cycles apart than allowed: %+v", m)
			}
		})
	}
}

func TestAPaymentThatIsReportedInTwoWindowsStaysOpen(t *testing.T) {
	g := NewRegister(5)
	ours := []Item{paid(1, 1250, 12)}
	merge(t, g, of(t, 12, 1, ours, row12))
	merge(t, g, of(t, 13, 2, ours, row13))
	if open := g.Open(); len(open) != 1 || open[0].Kind != Window {
		t.Fatalf("%s", dump(t, g))
	}
}

func TestAnotherAmountIsNoTiming(t *testing.T) {
	g := NewRegister(5)
	merge(t, g, of(t, 12, 1, nil, "P1,,pay,approved,99.00,CNY,,12,,"))
	merge(t, g, of(t, 13, 2, []Item{paid(1, 1250, 13)}))
	if len(g.Open()) != 2 {
		t.Fatalf("%s", dump(t, g))
	}
}

func TestAReferenceOfTwoPaymentsPairsNothing(t *testing.T) {
	twin := paid(2, 1250, 12)
	twin.SchemeRef = "S0001"
	ours := []Item{paid(1, 1250, 11), twin}
	g := NewRegister(5)
	merge(t, g, of(t, 12, 1, ours))
	merge(t, g, of(t, 13, 2, ours, row13))
	if len(g.Open()) != 2 {
		t.Fatalf("%s", dump(t, g))
	}
}

func TestACorrectedFileEndsWhatItNoLongerHas(t *testing.T) {
	ours := []Item{paid(1, 1250, 12), paid(2, 700, 12)}
	wrong := of(t, 12, 1, ours, "P1,,pay,approved,12.00,CNY,,12,,", "P2,,pay,declined,7.00,CNY,,12,,")
	better := of(t, 12, 30, ours, "P1,,pay,approved,12.40,CNY,,12,,", "P2,,pay,approved,7.00,CNY,,12,,")
	g := NewRegister(1)
	merge(t, g, wrong)
	if m := merge(t, g, better); m.New != 1 || m.Ended != 2 {
		t.Fatalf("%+v", m)
	}
	open := g.Open()
	if len(open) != 1 || open[0].Kind != Amount || open[0].Replaces == "" || open[0].Age(noon.Add(31*time.Hour)) != 30*time.Hour {
		t.Fatalf("the break that took the place of another has its age: %s", dump(t, g))
	}
	before := dump(t, g)
	if m := merge(t, g, wrong); m.Repeat != 1 || dump(t, g) != before {
		t.Fatalf("the old file came back: %+v", m)
	}
	stale := of(t, 12, 2, ours)
	if _, err := g.Merge(stale); tongma.ReasonOf(err) != tongma.StateConflict || dump(t, g) != before {
		t.Fatalf("a run older than the latest was taken: %v", err)
	}
	// The first fault again, in a further file: a break of its own, beside the one that ended.
	third := of(t, 12, 40, ours, "P2,,pay,declined,7.00,CNY,,12,,", "P1,,pay,approved,12.00,CNY,,12,,")
	merge(t, g, third)
	again := 0
	for _, b := range g.Open() {
		again += b.Again
		if b.ID != b.Identity() {
			t.Errorf("%+v", b)
		}
	}
	if len(g.Open()) != 2 || again != 2 {
		t.Fatalf("%s", dump(t, g))
	}
}

func TestLegsEndWhenTheMoneyComes(t *testing.T) {
	g := NewRegister(1)
	monday := Input{AsOf: noon.AddDate(0, 0, 1), Legs: []Leg{leg("I1", "lotus", true, 1250)}, Statements: []Statement{statement(credit("B1", "I1", 1000), credit("B9", "X", 5))}}
	merge(t, g, run1(t, monday))
	tuesday := monday
	tuesday.AsOf, tuesday.Window = noon.AddDate(0, 0, 2), 13
	tuesday.Statements = append([]Statement{statement(credit("B2", "I1", 250))}, monday.Statements...)
	if m := merge(t, g, run1(t, tuesday)); m.New != 0 || m.Seen != 1 || m.Ended != 1 {
		t.Fatalf("%+v %s", m, dump(t, g))
	}
	if open := g.Open(); len(open) != 1 || open[0].Kind != UnexpectedEntry {
		t.Fatalf("%s", dump(t, g))
	}
	// A run that does not look at the statement says nothing about its entries.
	wednesday := tuesday
	wednesday.AsOf, wednesday.Statements = noon.AddDate(0, 0, 3), []Statement{statement(credit("B3", "I1", 1250))}
	if m := merge(t, g, run1(t, wednesday)); m.Ended != 0 || len(g.Open()) != 1 {
		t.Fatalf("%+v %s", m, dump(t, g))
	}
}

func TestAResolutionIsGivenOnceWithANameAndAReason(t *testing.T) {
	g := NewRegister(1)
	res := of(t, 12, 0, []Item{paid(1, 1250, 12)})
	merge(t, g, res)
	id, at := res.Breaks[0].ID, noon.Add(time.Hour)
	for name, err := range map[string]error{
		"no name":        g.Resolve(id, at, "", 7, "refunded"),
		"no reason":      g.Resolve(id, at, "mei", 7, ""),
		"two lines":      g.Resolve(id, at, "mei", 7, "a\nb"),
		"long":           g.Resolve(id, at, "mei", 7, strings.Repeat("x", 501)),
		"not UTF-8":      g.Resolve(id, at, "mei", 7, "\xff"),
		"before finding": g.Resolve(id, noon.Add(-time.Second), "mei", 7, "refunded"),
	} {
		if tongma.ReasonOf(err) != tongma.FieldInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := g.Resolve("brk_0", at, "mei", 7, "refunded"); tongma.ReasonOf(err) != tongma.BreakUnknown {
		t.Error(err)
	}
	other := g.Clone()
	if err := other.Resolve(id, at, "mei", 7, "refunded"); err != nil || len(other.Open()) != 0 || len(g.Open()) != 1 {
		t.Errorf("a clone is the register itself: %v", err)
	}
	if err := g.Resolve(id, at, "mei", 7, "refunded to the payer"); err != nil {
		t.Fatal(err)
	}
	if err := g.Resolve(id, at.Add(time.Hour), "mei", 7, "refunded to the payer"); err != nil {
		t.Errorf("the same again: %v", err)
	}
	if err := g.Resolve(id, at, "mei", 8, "refunded to the payer"); tongma.ReasonOf(err) != tongma.StateConflict {
		t.Errorf("another: %v", err)
	}
	merge(t, g, res) // it is found again, and stays resolved
	b, ok := g.Break(id)
	if !ok || b.Open() || b.Resolution.Entry != 7 || b.Resolution.How != ByPerson || b.Age(at.AddDate(0, 0, 9)) != time.Hour {
		t.Errorf("%+v", b)
	}
	b.Resolution.Reason = "edited" // a copy
	if b, _ := g.Break(id); b.Resolution.Reason == "edited" {
		t.Error("a caller can edit a resolution")
	}
}

func TestSaveReplacesAsAWhole(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "breaks.json")
	if _, err := Load(path); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("no file: %v", err)
	}
	g := NewRegister(2)
	merge(t, g, of(t, 12, 1, []Item{paid(1, 1250, 12)}, ",S9,refund,approved,1.00,CNY,,12,,"))
	if err := g.Save(path); err != nil {
		t.Fatal(err)
	}
	if err := g.Resolve(g.Open()[0].ID, noon.Add(2*time.Hour), "mei", 0, "written off"); err != nil {
		t.Fatal(err)
	}
	if err := g.Save(path); err != nil {
		t.Fatal(err)
	}
	back, err := Load(path)
	if err != nil || dump(t, back) != dump(t, g) || len(back.Runs()) != 1 || back.within != 2 {
		t.Fatalf("%v\n%s", err, dump(t, back))
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	// What cannot be put in place leaves the old file, and nothing beside it.
	stuck := filepath.Join(dir, "folder")
	if err := os.MkdirAll(filepath.Join(stuck, "full"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := g.Save(stuck); err == nil {
		t.Error("a folder was replaced")
	}
	if err := g.Save(filepath.Join(dir, "none", "breaks.json")); err == nil {
		t.Error("saved into a folder that is not there")
	}
	if left, _ := os.ReadDir(dir); len(left) != 2 {
		t.Errorf("left behind: %v", left)
	}
}

func TestAnEditedRegisterIsRefused(t *testing.T) {
	g := NewRegister(2)
	merge(t, g, of(t, 12, 1, []Item{paid(1, 1250, 12)}))
	path := filepath.Join(t.TempDir(), "breaks.json")
	if err := g.Save(path); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string][2]string{
		"kind":          {"MISSING_AT_SCHEME", "STATUS"},
		"no such kind":  {"MISSING_AT_SCHEME", "NONE"},
		"expected":      {"pay 12.50 CNY", "pay 1.50 CNY"},
		"unknown field": {`"expected"`, `"hoped"`},
		"version":       {`"version": 1`, `"version": 2`},
		"at risk":       {`"minor": 1250`, `"minor": 1249`},
	} {
		bad := bytes.Replace(good, []byte(change[0]), []byte(change[1]), 1)
		if bytes.Equal(bad, good) {
			t.Fatalf("%s: nothing changed in\n%s", name, good)
		}
		if _, err := parseRegister(bad); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := parseRegister(append(good, "{}"...)); err == nil {
		t.Error("accepted with something behind it")
	}
	for n := range good {
		if _, err := parseRegister(good[:n]); err == nil && n < len(good)-1 {
			t.Fatalf("accepted %d of %d bytes", n, len(good))
		}
	}
}

func TestAReportCountsWhatIsOpen(t *testing.T) {
	g := NewRegister(1)
	res := of(t, 12, 0, []Item{paid(1, 1250, 12), paid(2, 700, 12)}, ",=1+1,pay,approved,1.00,HKD,,12,,")
	merge(t, g, res)
	for _, b := range g.Open() {
		if b.Payment == pid(2) {
			if err := g.Resolve(b.ID, noon.Add(time.Hour), "mei", 9, "paid by hand"); err != nil {
				t.Fatal(err)
			}
		}
	}
	r, err := Summarise(g.Breaks(), noon.Add(50*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := r.WriteCSV(&out); err != nil {
		t.Fatal(err)
	}
	want := "kind,participant,currency,open,at_risk,oldest_hours,ended\n" +
		"MISSING_AT_SCHEME,lotus,CNY,1,12.50,50,1\nMISSING_AT_SWITCH,lotus,HKD,1,1.00,50,0\n"
	if out.String() != want {
		t.Errorf("got\n%s", out.String())
	}
	out.Reset()
	if err := WriteBreaks(&out, g.Breaks(), noon); err != nil {
		t.Fatal(err)
	}
	if text := out.String(); !strings.Contains(text, ",'=1+1,") || strings.Count(text, "\n") != 4 || !strings.Contains(text, ",mei,9,paid by hand") {
		t.Errorf("got\n%s", text)
	}
	over := []Break{{Kind: Overpaid, AtRisk: cny(1 << 62)}, {Kind: Overpaid, AtRisk: cny(1 << 62)}}
	if _, err := Summarise(over, noon); err == nil {
		t.Error("a sum that wraps was reported")
	}
}

// FuzzRegister holds that a register that is read can be written and read again
// as it was.
func FuzzRegister(f *testing.F) {
	g := NewRegister(2)
	merge(f, g, of(f, 12, 1, []Item{paid(1, 1250, 12)}, ",S9,refund,approved,1.00,CNY,,12,,"))
	path := filepath.Join(f.TempDir(), "breaks.json")
	if err := g.Save(path); err != nil {
		f.Fatal(err)
	}
	seed, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Add([]byte(`{"version":1,"clear_within":0,"runs":null,"breaks":null}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		g, err := parseRegister(data)
		if err != nil {
			return
		}
		text, err := json.Marshal(registerFile{registerVersion, g.within, g.runs, g.Breaks()})
		if err != nil {
			return // a year that JSON cannot write
		}
		again, err := parseRegister(text)
		if err != nil || dump(t, again) != dump(t, g) {
			t.Fatalf("%v\n%s", err, text)
		}
	})
}

// FuzzJournal holds that no dump makes the reader panic or take in an item that
// Reconcile then refuses for want of an id.
func FuzzJournal(f *testing.F) {
	seed, err := os.ReadFile("testdata/example/journal.jsonl")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Fuzz(func(t *testing.T, data []byte) {
		j, err := ReadJournal(bytes.NewReader(data))
		if err != nil {
			return
		}
		for _, it := range j.Items() {
			if it.Payment.IsZero() || it.Entry == 0 || it.Entry > j.Head() || (it.Reversed != 0 && it.Posted == 0) {
				t.Fatalf("%+v", it)
			}
		}
		_, _ = Reconcile(Input{Window: 1, Items: j.Items()})
	})
}

// TestTheRightFileGivenOnceMorePutsRightWhatAWrongOneSaid: that nothing was written to
// the journal in between, so that the run has the same name, makes no difference.
func TestTheRightFileGivenOnceMorePutsRightWhatAWrongOneSaid(t *testing.T) {
	ours := []Item{paid(1, 1250, 12), paid(2, 700, 12)}
	rows := []string{"P1,,pay,approved,12.00,CNY,,12,,", "P2,,pay,approved,7.00,CNY,,12,,"}
	g := NewRegister(1)
	merge(t, g, of(t, 12, 1, ours, rows...))
	merge(t, g, of(t, 12, 2, ours)) // the file of another day, or an empty one
	if n := len(g.Open()); n != 2 {
		t.Fatalf("%d breaks: %s", n, dump(t, g))
	}
	if m := merge(t, g, of(t, 12, 3, ours, rows...)); m.Repeat != 0 || m.Ended != 2 {
		t.Fatalf("%+v", m)
	}
	if open := g.Open(); len(open) != 1 || open[0].Kind != Amount {
		t.Fatalf("%s", dump(t, g))
	}
}
