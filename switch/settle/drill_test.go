package settle

import (
	"testing"

	"github.com/tongma/tongma/clearing"
)

// TestDefaultDrill is the drill that the rules of a market have to pass: the largest
// net debtor fails, and the two largest fail, and the window settles all the same,
// over real HTTP, with every layer used. Drill itself audits the books and holds them
// against the agent's money.
func TestDefaultDrill(t *testing.T) {
	for fail := 1; fail <= 2; fail++ {
		for seed := range uint64(4) {
			r, err := Drill(t.Context(), DrillOptions{Seed: seed, Fail: fail})
			if err != nil {
				t.Fatalf("seed %d, %d fail: %v\n%v", seed, fail, err, r.Events)
			}
			layers := map[string]int{}
			for _, e := range r.Events {
				layers[e.Kind]++
			}
			if len(r.Failed) != fail || layers["short"] != fail || layers["prefunding"] != fail || layers["guarantee"] == 0 || layers["share"] == 0 || layers["deferred"] == 0 ||
				r.After.State != clearing.WindowSettled || r.Deferred == 0 || r.Deferred > 200 {
				t.Errorf("seed %d, %d fail: %v, %d payments deferred", seed, fail, layers, r.Deferred)
			}
			for _, row := range r.Rows {
				if row.Failed && (row.Paid != 0 || row.ForOthers != 0) || row.ForOthers > 0 && row.Prefunding > 0 {
					t.Errorf("%+v", row)
				}
			}
			if seed == 0 {
				for _, e := range r.Events {
					t.Log(e)
				}
				t.Logf("%d fail: %d of %d payments roll over; settled in %v, %d entries audited", fail, r.Deferred, 400, r.Took, r.Audit.Entries)
			}
		}
	}
}
