package iso8583

import (
	"testing"

	"github.com/tongma/tongma"
)

// TestWhatThePayerPaysIsTheBillingAmount: DE4 and DE49 are echoed as they came; DE6,
// DE51 and DE10 say what that is to the payer, in currencies of none to four decimals.
func TestWhatThePayerPaysIsTheBillingAmount(t *testing.T) {
	hkd := func(minor int64) tongma.Money { return tongma.Money{Minor: minor, Currency: tongma.HKD} }
	for _, c := range []struct {
		x         tongma.Exchange
		d         Decimals
		de6, de51 string
		de10      string
	}{
		{tongma.Exchange{Rate: "HKD/THB 4.1870 target", Source: hkd(11942), Target: tongma.Money{Minor: 50000, Currency: tongma.THB}}, nil, "000000011942", "344", "72388345"},
		{tongma.Exchange{Rate: "THB/HKD 0.2389 target", Source: hkd(11942), Target: tongma.Money{Minor: 50000, Currency: tongma.THB}}, nil, "000000011942", "344", "72389000"},
		{tongma.Exchange{Rate: "HKD/KWD 0.039412 target", Source: hkd(3132), Target: tongma.Money{Minor: 1234, Currency: tongma.KWD}}, nil, "000000003132", "344", "52537298"},
		{tongma.Exchange{Rate: "HKD/VND 3252.33 target", Source: hkd(1), Target: tongma.Money{Minor: 30, Currency: tongma.VND}}, nil, "000000000001", "344", "90307472"},
		{tongma.Exchange{Rate: "JPY/CLF 0.00000012 target", Source: tongma.Money{Minor: 8333333334, Currency: tongma.JPY}}, nil, "008333333334", "392", ""}, // of which two currencies is not said
		{tongma.Exchange{Source: hkd(500)}, nil, "000000000500", "344", ""},                                                                                 // a refund has no rate of its own
		{tongma.Exchange{Rate: "HKD/THB 4.1870 target", Source: hkd(11942), Target: tongma.Money{Minor: 50000, Currency: tongma.THB}}, Decimals{tongma.HKD: 3}, "000000119420", "344", "72388345"},
		{tongma.Exchange{}, nil, "", "", ""},
	} {
		var m Message
		m.Reset("0210")
		m.bill(c.x, c.d)
		if m.Text(6) != c.de6 || m.Text(51) != c.de51 || m.Text(10) != c.de10 {
			t.Errorf("%+v: DE6 %q, DE51 %q, DE10 %q", c.x, m.Text(6), m.Text(51), m.Text(10))
		}
		if got := m.billed(c.d); got != c.x.Source {
			t.Errorf("%+v: a till reads %v", c.x, got)
		}
	}
}
