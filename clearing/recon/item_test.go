package recon

import (
	"testing"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
)

// TestAnItemIsWhatWasPostedNotWhatWasHeld: captured in part, expired, with fees.
func TestAnItemIsWhatWasPostedNotWhatWasHeld(t *testing.T) {
	j := NewJournal()
	n := uint64(0)
	add := func(e clearing.Entry) {
		t.Helper()
		n++
		e.Number = n
		if err := j.Add(&e); err != nil {
			t.Fatal(err)
		}
	}
	add(clearing.Entry{Kind: clearing.KindOpen, Window: 1})
	add(clearing.Entry{Kind: clearing.KindHold, Payment: pid(1), Op: tongma.OpPay, Debtor: "lotus", Creditor: "harbour", Amount: cny(1250)})
	add(clearing.Entry{Kind: clearing.KindHold, Payment: pid(2), Op: tongma.OpPay, Debtor: "lotus", Creditor: "harbour", Amount: cny(800)})
	add(clearing.Entry{Kind: clearing.KindPost, Payment: pid(1), Amount: cny(1000), Window: 1, Legs: []clearing.Leg{
		{From: "harbour", To: "lotus", Amount: cny(7)}, {From: "harbour", To: "switch", Amount: cny(3)}}})
	add(clearing.Entry{Kind: clearing.KindExpire, Payment: pid(2)})
	add(clearing.Entry{Kind: clearing.KindClose, Window: 1})
	one, two := &j.Items()[0], &j.Items()[1]
	if one.Amount != cny(1000) || one.Posted != 1 || two.Status != tongma.Refused || two.Posted != 0 || j.LastWindow() != 2 {
		t.Fatalf("%+v, %+v, %v", one, two, j.LastWindow())
	}
	if fee, ok := Charged("harbour", one); fee != cny(10) || !ok {
		t.Error(fee, ok)
	}
	if fee, ok := Charged("lotus", one); ok {
		t.Error("a file cannot tell a fee that is received", fee)
	}
	if fee, ok := Charged("orchid", two); fee != cny(0) || !ok {
		t.Error(fee, ok)
	}
}
