package switching

import (
	"context"
	"testing"

	"github.com/tongma/tongma"
)

// TestProjectionShowsWhoWouldBeBeyondItsCap is the case that no other switch
// warns of: settling the window with a participant's credits alone leaves it
// beyond its cap in the next one.
func TestProjectionShowsWhoWouldBeBeyondItsCap(t *testing.T) {
	b := newBench(t)
	ctx := context.Background()
	b.want(b.do(payRequest("k1", 1, 9000)), tongma.Paid, tongma.NoReason) // wallet owes acq 90.00
	if _, err := b.engine.CloseWindow(ctx, 0); err != nil {
		t.Fatal(err)
	}
	refund := func(key string, original tongma.PaymentID, minor int64) {
		b.want(b.do(tongma.Request{Op: tongma.OpRefund, From: "acq", Key: key, Original: original, Amount: tongma.Money{Minor: minor, Currency: tongma.CNY}}), tongma.Paid, tongma.NoReason)
	}
	first := b.do(tongma.Request{Op: tongma.OpInquire, From: "acq", OfKey: "k1"})
	refund("r1", first.Payment, 9000) // window 2: acq owes wallet 90.00
	v, err := b.engine.Project(ctx, []tongma.WindowID{2})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range v.Positions {
		if p.Participant == "wallet" && (p.Settled != "-90.00" || p.After != "90.00" || p.Beyond != "") {
			t.Errorf("wallet: %+v", p)
		}
	}
	if _, err := b.engine.CloseWindow(ctx, 0); err != nil {
		t.Fatal(err)
	}
	b.want(b.do(payRequest("k2", 2, 9500)), tongma.Paid, tongma.NoReason) // window 3; within the cap only by the refund's credit
	if v, err = b.engine.Project(ctx, []tongma.WindowID{2, 2}); err != nil || v.Beyond != 1 {
		t.Fatalf("settling the credit alone: %+v, %v", v, err)
	}
	for _, p := range v.Positions {
		if p.Participant == "wallet" && (p.Position != "95.00" || p.After != "185.00" || p.Beyond != "85.00") {
			t.Errorf("wallet: %+v", p)
		}
	}
	v, err = b.engine.Project(ctx, nil)
	if err != nil || len(v.Windows) != 3 || v.Beyond != 0 || v.Instructions[0].Direction != "debit" {
		t.Fatalf("settling everything: %+v, %v", v, err)
	}
	before, held := b.standing("wallet")
	if before != 9500 || held != 0 {
		t.Fatalf("a projection moved the position to %d, %d held", before, held)
	}
	if _, err := b.engine.Project(ctx, []tongma.WindowID{9}); tongma.ReasonOf(err) != tongma.WindowUnknown {
		t.Fatal(err)
	}
}

func TestZeroNetsNeedNoInstruction(t *testing.T) {
	b := newBench(t)
	ctx := context.Background()
	first := b.do(payRequest("k1", 1, 9000)) // window 1: wallet owes 90.00
	b.want(first, tongma.Paid, tongma.NoReason)
	b.do(tongma.Request{Op: tongma.OpRefund, From: "acq", Key: "r", Original: first.Payment, Amount: first.Amount})
	if _, err := b.engine.CloseWindow(ctx, 0); err != nil { // window 1 nets to zero
		t.Fatal(err)
	}
	second := b.do(payRequest("k2", 2, 8000))
	b.do(tongma.Request{Op: tongma.OpRefund, From: "acq", Key: "r2", Original: second.Payment, Amount: second.Amount})
	if _, err := b.engine.CloseWindow(ctx, 0); err != nil {
		t.Fatal(err)
	}
	b.do(payRequest("k3", 3, 7000)) // window 3
	v, err := b.engine.Project(ctx, []tongma.WindowID{1, 2})
	if err != nil || v.Beyond != 0 || len(v.Instructions) != 0 || v.ToMove["CNY"] != "0.00" {
		t.Fatalf("zero nets need nothing: %+v, %v", v, err)
	}
}
