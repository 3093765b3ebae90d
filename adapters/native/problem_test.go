package native

import (
	"strings"
	"testing"

	"github.com/tongma/tongma"
)

// Every reason of the catalogue goes to a problem and back.
func TestProblemOfEveryReason(t *testing.T) {
	for _, info := range tongma.Reasons() {
		p := ProblemOf(&tongma.Error{Op: "x", Reason: info.Reason, Field: "/amount", Offset: 7, Detail: "so"})
		back, err := ParseProblem(p.AppendJSON(nil))
		if err != nil {
			t.Fatal(err)
		}
		if e := back.Err("x"); e.Reason != info.Reason || e.Field != "/amount" || e.Offset != 7 || e.Detail != "so" {
			t.Errorf("%s comes back as %v", info.Slug, e)
		}
		if p.Outcome != info.Money.String() || p.Type != "urn:tongma:error:"+info.Reason.Code() {
			t.Errorf("%s: %+v", info.Slug, p)
		}
	}
}

// Of two voices the careful one is believed.
func TestProblemInDoubt(t *testing.T) {
	for text, want := range map[string]tongma.Reason{
		`{"code":"TM-2006","outcome":"not_executed"}`: tongma.AdapterDown,
		`{"code":"TM-2006","outcome":"unknown"}`:      tongma.Internal,
		`{"code":"TM-2006","outcome":"executed"}`:     tongma.Internal,
		`{"code":"TM-7777","outcome":"not_executed"}`: tongma.Internal,
		`{"code":"TM-2009","outcome":"not_executed"}`: tongma.SchemeSilent,
	} {
		p, err := ParseProblem([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if e := p.Err("x"); e.Reason != want {
			t.Errorf("%s is %v, want %v", text, e.Reason, want)
		}
	}
	for _, text := range []string{``, `{}`, `[]`, `{"code":"TM-2006"}`, `{"outcome":"unknown"}`, strings.Repeat(" ", tongma.MaxMessage+1)} {
		if _, err := ParseProblem([]byte(text)); err == nil {
			t.Errorf("%.40q was read", text)
		}
	}
}

// Whatever bytes arrive, reading them ends without a panic, and what was read can
// be written and read again.
func FuzzParseReplies(f *testing.F) {
	p := ProblemOf(&tongma.Error{Reason: tongma.AdapterBusy})
	f.Add(p.AppendJSON(nil))
	r := Resolution{Candidates: []Candidate{{Scheme: "khqr"}}, Merchant: tongma.Merchant{ID: "M"}, Reason: tongma.CodeExpired}
	f.Add(r.AppendJSON(nil))
	f.Add(appendLine(nil, Key{Op: tongma.OpPay}, Record{Done: true}, false))
	f.Fuzz(func(t *testing.T, data []byte) {
		if p, err := ParseProblem(data); err == nil {
			_ = p.Err("fuzz").Error()
			if _, err := ParseProblem(p.AppendJSON(nil)); err != nil {
				t.Errorf("problem: %v", err)
			}
		}
		if r, err := ParseResolution(data); err == nil {
			if _, err := ParseResolution(r.AppendJSON(nil)); err != nil {
				t.Errorf("resolution: %v", err)
			}
		}
		if k, r, gone, err := parseLine(data); err == nil {
			if _, _, _, err := parseLine(appendLine(nil, k, r, gone)); err != nil {
				t.Errorf("line: %v", err)
			}
		}
	})
}
