package settle

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/schemes"
)

// TestAModelThatTheDirectoryDroppedIsNotForgotten: what was paid in its open window
// is owed all the same, and nobody closes it but people, who have to be told.
func TestAModelThatTheDirectoryDroppedIsNotForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, b, d := timetableUntil(t, "2000-12-31"), wall(), &diary{}
		must := func(e clearing.Entry) {
			if r, err := b.Submit(t.Context(), e); err != nil || !r.Write {
				t.Fatalf("%s: %+v %v", e.Kind, r.Verdict, err)
			}
		}
		must(clearing.Entry{Kind: clearing.KindOpen})
		must(clearing.Entry{Kind: clearing.KindOpen, Model: "gone"})
		must(clearing.Entry{Kind: clearing.KindOpen, Model: "gone-and-empty"})
		must(clearing.Entry{Kind: clearing.KindCap, Debtor: "bank-a", Amount: cny(100)})
		id := tongma.PaymentID{1}
		must(clearing.Entry{Kind: clearing.KindHold, Op: tongma.OpPay, Payment: id, Asker: "bank-b", Key: "K", Debtor: "bank-a", Creditor: "bank-b", Scheme: "here", Amount: cny(1), Model: "gone"})
		must(clearing.Entry{Kind: clearing.KindPost, Payment: id})
		runFor(t, d.clock(b, func() *schemes.Directory { return dir }, 0), time.Hour)
		if want := []string{"gone: model-unknown"}; !slices.Equal(d.faults, want) {
			t.Errorf("%q", d.faults)
		}
	})
}
