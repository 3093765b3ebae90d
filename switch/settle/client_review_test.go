package settle

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
)

// TestAmountThatNobodyKnowsIsNotGuessed: of a cover that was sent before we stopped,
// only its id is known again. Where the agent's advice does not say what was booked
// under it, it is not taken for all that is due.
func TestAmountThatNobodyKnowsIsNotGuessed(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }))
	defer srv.Close()
	c := NewClient(ClientOptions{URL: srv.URL})
	in := clearing.Instruction{ID: "0123456789abcdef0123456789abcdef", Debtor: "bank-a", Debit: true, Amount: tongma.Money{Currency: tongma.CNY}}
	if w := c.booked(t.Context(), Transfer{Instruction: in}, Word{Outcome: Settled, Amount: in.Amount}); w.Outcome != Unknown || w.Err == nil {
		t.Errorf("%+v", w)
	}
	in.Creditor = "bank-b" // between two: there is no advice
	if w := c.booked(t.Context(), Transfer{Instruction: in}, Word{Outcome: Settled, Amount: in.Amount}); w.Outcome != Unknown || w.Err == nil {
		t.Errorf("%+v", w)
	}
}
