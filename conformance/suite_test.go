package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/codespec"
)

// TestBadInput runs every case against the real binary: each is refused for its
// reason, no position and no hold moves, and the switch lives on. The journal
// that is left of it adds up, and the wallets' own books agree: else the market
// would end with an error.
func TestBadInput(t *testing.T) {
	dir := t.TempDir()
	demo(t, dir)
	target, err := Open(dir, 1)
	if err != nil {
		t.Fatal(err)
	}
	suite := BadInputs()
	suite.Cases = slices.DeleteFunc(suite.Cases, func(c Case) bool { return !strings.HasPrefix(c.ID, *only) })
	r := suite.Run(t.Context(), target)
	for _, v := range r.Cases {
		if !v.Pass {
			t.Errorf("%s %s: %s\n  want %s\n  got  %s\n  %s", v.ID, v.Door, v.Title, v.Want, v.Got, strings.Join(v.Faults, "\n  "))
		}
	}
	t.Logf("%d cases pass, %d fail", r.Passed, r.Failed)
	sheets, positions, err := Recompute(bytes.NewReader(run(t, "journal", "dump", "--data", dir, "--json")))
	if err != nil {
		t.Fatalf("the journal behind it does not add up: %v", err)
	}
	same(t, "positions", shownPositions(t, target), ownPositions(positions))
	same(t, "windows", shownWindows(t, target), ownWindows(sheets))
	if *report != "" {
		if err := os.WriteFile(*report, r.JSON(), 0o644); err != nil {
			t.Error(err)
		}
	}
}

// TestCasesCanBeQuoted: ids are well-formed, ascending and never twice; titles
// are one sentence each; what must come is not "nothing".
func TestCasesCanBeQuoted(t *testing.T) {
	id := regexp.MustCompile(`^BAD-[0-9]{3}$`)
	titles := map[string]string{}
	last := ""
	cases := BadInputs().Cases
	for _, c := range cases {
		if !id.MatchString(c.ID) || c.ID <= last {
			t.Errorf("%s behind %s", c.ID, last)
		}
		last = c.ID
		if c.Title == "" || strings.HasSuffix(c.Title, ".") || strings.ContainsAny(c.Title, "|\n") || titles[c.Title] != "" {
			t.Errorf("%s: title %q, as %s has it", c.ID, c.Title, titles[c.Title])
		}
		titles[c.Title] = c.ID
		if c.Do == nil || (c.Want.Manner == Answered && (c.Want.Reason == tongma.NoReason || c.Want.Reason.Info().Money != tongma.NotMoved)) {
			t.Errorf("%s: what must come of it does not say that no money moves", c.ID)
		}
	}
	if len(cases) < 40 {
		t.Errorf("%d cases", len(cases))
	}
}

// TestRunSeesWhatIsWrong: a case whose answer differs in any one thing fails, and
// says in what.
func TestRunSeesWhatIsWrong(t *testing.T) {
	right := refused(tongma.OverCap)
	for _, tt := range []struct {
		name  string
		got   Observation
		fault string
	}{
		{"nothing", right, ""},
		{"reason", Observation{tongma.Internal, right.Money, right.HTTP, right.DE39, Answered}, "reason is internal, want over-cap"},
		{"money", Observation{tongma.OverCap, "unknown", right.HTTP, right.DE39, Answered}, "what it says of the money is unknown, want not_executed"},
		{"no word on the money", Observation{tongma.OverCap, "", right.HTTP, "", Answered}, "what it says of the money is , want not_executed"},
		{"status", Observation{tongma.OverCap, right.Money, 500, right.DE39, Answered}, "HTTP status is 500, want 200"},
		{"DE39", Observation{tongma.OverCap, right.Money, right.HTTP, "00", Answered}, "DE39 is 00, want 61"},
		{"manner", silently(Closed), "manner is closed, want answered"},
	} {
		c := Case{Want: right}
		var v Verdict
		c.compare(tt.got, &v)
		if got := strings.Join(v.Faults, "; "); !strings.HasPrefix(got, tt.fault) || (got == "") != (tt.fault == "") {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.fault)
		}
	}
}

// TestReportIsJSON: what a report says can be read by a machine.
func TestReportIsJSON(t *testing.T) {
	s := Suite{Name: "s", Cases: []Case{{ID: "BAD-001", Door: DoorHTTP, Title: "T", Want: refused(tongma.OverCap),
		Prepare: func(context.Context, *Target) (Prior, error) { return Prior{}, errors.New("no <switch>") }}}}
	r := s.Run(t.Context(), &Target{})
	var back Report
	if err := json.Unmarshal(r.JSON(), &back); err != nil || back.Failed != 1 || len(back.Cases) != 1 || back.Cases[0].Faults[0] != "it could not be prepared: no <switch>" {
		t.Errorf("%+v, %v", back, err)
	}
}

// TestOwnCodesAreRight: the codes that this package makes are read by the code
// reader of the switch, with another implementation of the checksums.
func TestOwnCodesAreRight(t *testing.T) {
	x := &Target{}
	for _, code := range []string{shop{}.code(), shop{amount: "12.50", currency: "392"}.code(), x.wechatCode(approve), x.alipayCode(approve), x.unifiedCode("1001", approve), unifiedOf("9999")} {
		if err := decodable(code); err != nil {
			t.Error(err)
		}
	}
	for _, code := range []string{turned(unifiedOf("1001")), swapped(unifiedOf("1001"))} {
		if decodable(code) == nil {
			t.Error("a spoilt code is read")
		}
	}
}

func decodable(code string) error {
	_, err := codespec.Decode(code)
	return err
}

// TestRepeatedCodeIsSeen: a payer's code in an answer or in the journal is found.
func TestRepeatedCodeIsSeen(t *testing.T) {
	x := &Target{}
	code := x.wechatCode(approve)
	if x.repeats([]byte(`{"code_tail":"`+code[14:]+`"}`)) != nil || x.repeats([]byte(`{"code":"`+code+`"}`)) == nil {
		t.Error("the last four may be shown, and nothing else")
	}
}
