package schemes

import (
	"os"
	"testing"

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
		}
		for _, s := range d.Schemes() {
			for _, c := range append(s.Currencies, tongma.CNY) {
				if m, ok := d.SettlementModel(d.Model(s.ID, c)); !ok || m.ID == d.DisputeModel() {
					t.Fatal("a payment belongs to no model, or to that of disputes")
				}
			}
		}
		if _, err := d.Decode("134621141753364349"); err != nil && err.Error() == "" {
			t.Fatal("an error without words")
		}
	})
}
