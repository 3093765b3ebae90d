package schemes

import (
	"math"
	"os"
	"testing"
	"time"

	tongma "github.com/tongma/tongma"
)

// FuzzParse: whatever the bytes, Parse gives a directory or words, and a directory
// that was accepted is accepted again with the same meaning.
func FuzzParse(f *testing.F) {
	f.Add(Sandbox())
	whole, err := os.ReadFile("testdata/market.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add([]byte("name: x\nparticipants: [{id: a}]\nschemes: [{}]"))
	f.Add([]byte("rules: {mpm: [{id: a, scheme: b, ids: 26-51, pattern: \"(\"}]}"))
	f.Add([]byte("? [a]\n: b"))
	f.Add([]byte("a: &x [*x]"))
	f.Fuzz(func(t *testing.T, source []byte) {
		d, err := Parse(1, source)
		if err != nil {
			if err.Error() == "" || d != nil {
				t.Fatal("an error without words, or with a directory")
			}
			return
		}
		again, err := Parse(1, d.Source())
		if err != nil || again.Hash() != d.Hash() || len(again.Schemes()) != len(d.Schemes()) {
			t.Fatal("accepted once only")
		}
		for _, m := range d.Models() {
			if again, ok := d.SettlementModel(m.ID); !ok || again != m {
				t.Fatal("a model is lost")
			}
			if m.Schedule != nil {
				if _, err := m.Schedule.Next(time.UnixMilli(1_790_000_000_000)); err != nil && err.Error() == "" {
					t.Fatal("an error without words")
				}
			}
		}
		for _, s := range d.Schemes() {
			for _, c := range append(s.Currencies, tongma.CNY) {
				if m, ok := d.SettlementModel(d.Model(s.ID, c)); !ok || m.ID == d.DisputeModel() {
					t.Fatal("a payment belongs to no model, or to that of disputes")
				}
				for _, r := range d.Fees(s.ID, tongma.OpPay, c, math.MaxInt64) {
					if err := r.Check(); err != nil || r.Currency != c {
						t.Fatal("a fee rule that is none was accepted")
					}
				}
			}
		}
		for _, v := range d.Participants() {
			if s, ok := d.Participant(v.Sponsor); v.Sponsor != "" && (!ok || s.Sponsor != "") {
				t.Fatal("a sponsor that is none was accepted")
			}
		}
		for _, r := range d.AllDefaultRules() {
			if again, ok := d.DefaultRules(r.Model, r.Currency); !ok || again != r {
				t.Fatal("default rules are lost")
			}
		}
		if at, err := d.DisputeDeadline(StepAnswer, 1_790_000_000_000); err == nil && at < 1_790_000_000_000 {
			t.Fatal("a deadline before its beginning")
		}
		if _, err := d.Decode("134621141753364349"); err != nil && err.Error() == "" {
			t.Fatal("an error without words")
		}
	})
}
