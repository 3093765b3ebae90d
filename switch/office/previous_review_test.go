package office

import (
	"testing"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing/recon"
)

// TestAStatementFollowsTheOneOfItsOwnCurrency: one account number may stand for an account
// in each currency, as an IBAN often does.
func TestAStatementFollowsTheOneOfItsOwnCurrency(t *testing.T) {
	day := func(n int) time.Time { return time.Date(2026, 11, n, 0, 0, 0, 0, time.UTC) }
	of := func(n byte, c tongma.Currency, opening, closing int64) recon.Statement {
		return recon.Statement{Account: "ONE", Hash: [32]byte{n}, Opening: tongma.Money{Minor: opening, Currency: c}, Closing: tongma.Money{Minor: closing, Currency: c}}
	}
	out := previous([]agentFile{
		{statements: []recon.Statement{of(1, tongma.THB, 0, 5), of(2, tongma.HKD, 0, 7)}, closes: []time.Time{day(1), day(1)}},
		{statements: []recon.Statement{of(3, tongma.THB, 5, 6), of(4, tongma.HKD, 7, 9)}, closes: []time.Time{day(2), day(2)}},
	})
	for i, want := range []tongma.Money{{}, {}, {Minor: 5, Currency: tongma.THB}, {Minor: 7, Currency: tongma.HKD}} {
		if out[i].Previous != want {
			t.Errorf("%d: %v, want %v", i, out[i].Previous, want)
		}
	}
}
