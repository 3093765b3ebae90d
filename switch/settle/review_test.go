package settle

import (
	"strings"
	"testing"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
)

// TestNothingIsRecastWhileAnyTransferIsInDoubt: a new sheet gives every instruction
// another id, of whatever currency. One whose answer is still to come would be sent
// a second time, and paid twice.
func TestNothingIsRecastWhileAnyTransferIsInDoubt(t *testing.T) {
	r := newRig(t, &market{banks: banks("abc"), balance: rich("c"), recast: true})
	r.must(clearing.Entry{Kind: clearing.KindCap, Debtor: "bank-c", Amount: tongma.Money{Minor: drillCap, Currency: tongma.EUR}})
	r.pay("a>b", 500)
	id := tongma.PaymentID{0: 2}
	r.must(clearing.Entry{Kind: clearing.KindHold, Op: tongma.OpPay, Payment: id, Asker: "bank-b", Key: "E", Debtor: "bank-c",
		Creditor: "bank-b", Scheme: drillScheme, Amount: tongma.Money{Minor: 300, Currency: tongma.EUR}})
	r.must(clearing.Entry{Kind: clearing.KindPost, Payment: id})
	w := r.closeWindow()
	r.bank.faults["BANK-C"] = []Word{{Outcome: Pending}}
	rep := r.settle(w, How{})
	if moves := strings.Join(*r.bank.moves, ", "); rep.Sheet.Recasting || strings.Contains(moves, "BANK-C>") {
		t.Fatalf("moves %s; %v", moves, r.told)
	}
	for id, word := range r.bank.words { // the agent decides at last
		if word.Outcome == Pending {
			r.bank.words[id] = Word{Outcome: Settled, Amount: tongma.Money{Minor: 300, Currency: tongma.EUR}}
			r.bank.balance[drillAccount] += 300
		}
	}
	if rep := r.settle(w, How{}); !rep.Done() {
		t.Errorf("%+v", rep)
	}
}
