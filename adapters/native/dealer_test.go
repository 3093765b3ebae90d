package native_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/adapters/native"
)

// quotes is a dealer's own code.
type quotes func(context.Context, tongma.Request) (tongma.Answer, error)

func (q quotes) Quote(ctx context.Context, r tongma.Request) (tongma.Answer, error) { return q(ctx, r) }

// TestADealerIsAskedForQuotesAndNothingElse: what it says arrives as it said it; what
// it does not say in time, or refuses, is an error that leaves nothing open.
func TestADealerIsAskedForQuotesAndNothingElse(t *testing.T) {
	s := startServer(t, "")
	var seen atomic.Pointer[tongma.Exchange] // what the dealer was told of both sides
	offered := tongma.Exchange{Quote: "q-1", Rate: "HKD/CNY 0.9193 target", Expiry: 1_790_000_000_000}
	svc, err := native.ServeDealer(t.Context(), dial(t, s), native.ServiceConfig{Scheme: "bourse", Log: quiet}, quotes(func(ctx context.Context, r tongma.Request) (tongma.Answer, error) {
		seen.Store(&r.Exchange)
		switch r.Amount.Minor {
		case 1:
			<-ctx.Done()
			return tongma.Answer{}, ctx.Err()
		case 2:
			return tongma.Answer{Outcome: tongma.Declined, Reason: tongma.NoQuote}, nil
		case 3:
			panic("rates")
		}
		if r.Op != tongma.OpQuote || r.PayIn != tongma.HKD || r.Issuer != "wallet" || r.Acquirer != "shop" {
			t.Errorf("asked %+v", r)
		}
		return tongma.Answer{Outcome: tongma.Approved, Exchange: offered}, nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	defer svc.Stop()
	nc := dial(t, s)
	d := native.NewDealer(nc, "bourse", native.AdapterOptions{})
	defer d.Close()
	ask := func(minor int64) (tongma.Answer, error) {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		return d.Quote(ctx, tongma.Request{Payment: payment(uint64(minor)), Key: "k", Amount: yuan(minor), PayIn: tongma.HKD, Issuer: "wallet", Acquirer: "shop"})
	}
	if a, err := ask(1250); err != nil || a.Outcome != tongma.Approved || a.Exchange != offered {
		t.Fatal(a, err)
	}
	given := tongma.Exchange{Source: tongma.Money{Minor: 1000, Currency: tongma.HKD}, Target: tongma.Money{Currency: tongma.CNY}}
	if _, err := d.Quote(t.Context(), tongma.Request{Payment: payment(8), Amount: given.Source, Exchange: given, PayIn: tongma.HKD, Issuer: "wallet", Acquirer: "shop"}); err != nil || *seen.Load() != given {
		t.Errorf("what the payer gives: the dealer sees %+v, %v", seen.Load(), err)
	}
	if a, err := ask(2); err != nil || a.Outcome != tongma.Declined || a.Reason != tongma.NoQuote {
		t.Error(a, err)
	}
	_, err = ask(1)
	wantReason(t, err, tongma.SchemeSilent)
	if a, err := ask(3); err != nil || a.Outcome != tongma.Unknown {
		t.Error(a, err)
	}
	_, err = native.NewDealer(nc, "nobody", native.AdapterOptions{}).Quote(t.Context(), tongma.Request{Payment: payment(9), Amount: yuan(1), PayIn: tongma.HKD})
	wantReason(t, err, tongma.AdapterDown)
	a := native.NewAdapter(nc, "bourse", native.AdapterOptions{})
	defer a.Close()
	_, err = a.Authorise(t.Context(), exampleRequest(7))
	wantReason(t, err, tongma.AdapterDown) // a dealer debits nobody
}
