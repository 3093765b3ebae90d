package scripted

import (
	"context"
	"testing"
	"time"

	"github.com/tongma/tongma"
)

type stopped struct{ realClock }

func (stopped) Now() time.Time { return time.UnixMilli(1_000_000) }

// TestADealerQuotesWhatItKnows: the same amount gets the same rate, near where rates
// begin, under an id of its own; other directions get none.
func TestADealerQuotesWhatItKnows(t *testing.T) {
	d := NewDealer(DealerConfig{Rates: map[Direction]int64{{tongma.HKD, tongma.THB}: 4_187_000}, Seed: 7, Clock: stopped{}})
	r := tongma.Request{Op: tongma.OpQuote, Payment: tongma.PaymentID{15: 1}, Amount: tongma.Money{Minor: 50_000, Currency: tongma.THB}, PayIn: tongma.HKD}
	one, err := d.Quote(context.Background(), r)
	two, again := d.Quote(context.Background(), r)
	if err != nil || again != nil || one.Exchange.Rate != two.Exchange.Rate || one.Exchange.Quote == two.Exchange.Quote || one.Exchange.Expiry != 1_020_000 {
		t.Fatalf("%+v %+v %v %v", one.Exchange, two.Exchange, err, again)
	}
	if rate := one.Exchange.Rate; rate < "HKD/THB 4.178626 target" || rate > "HKD/THB 4.195374 target" {
		t.Error(rate)
	}
	if rate, ok := d.Quoted(two.Exchange.Quote); !ok || rate != two.Exchange.Rate {
		t.Error("it forgets what it has said")
	}
	r.Amount, r.Exchange = tongma.Money{Minor: 10_000, Currency: tongma.HKD}, tongma.Exchange{Source: tongma.Money{Minor: 10_000, Currency: tongma.HKD}, Target: tongma.Money{Currency: tongma.THB}}
	a, err := d.Quote(context.Background(), r)
	if rate := a.Exchange.Rate; err != nil || rate < "HKD/THB 4.178626 source" || rate > "HKD/THB 4.195374 source" {
		t.Error(rate, err)
	}
	r.PayIn = tongma.USD
	if a, err := d.Quote(context.Background(), r); err != nil || a.Outcome != tongma.Declined || a.Reason != tongma.NoQuote {
		t.Error(a, err)
	}
}
