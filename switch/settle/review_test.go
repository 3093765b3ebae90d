package settle

import (
	"strings"
	"testing"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/schemes"
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

// TestWhoIsRefusedIsAskedOnceInACall, whether people want it asked again or it has to
// give back what a recast took away: each refusal gives the next instruction another
// id, and each is an entry.
func TestWhoIsRefusedIsAskedOnceInACall(t *testing.T) {
	refusals := func(r *rig, who string) (n int) {
		for _, l := range r.told {
			if strings.HasPrefix(l, "short "+who) {
				n++
			}
		}
		return n
	}
	many := func() (all []Word) {
		for range 50 {
			all = append(all, Word{Outcome: Rejected})
		}
		return all
	}
	r := newRig(t, &market{banks: banks("ab")})
	r.pay("a>b", 500)
	w := r.closeWindow()
	r.bank.faults["BANK-A"] = many()
	r.settle(w, How{})
	if r.settle(w, How{Retry: true}); refusals(r, "bank-a") != 2 {
		t.Errorf("asked %d times in two calls", refusals(r, "bank-a"))
	}

	r = newRig(t, &market{banks: banks("abc"), balance: rich("b"), method: "bilateral", recast: true})
	id := tongma.PaymentID{0: 3}
	r.must(clearing.Entry{Kind: clearing.KindHold, Op: tongma.OpPay, Payment: id, Asker: "bank-b", Key: "F", Debtor: "bank-a", Creditor: "bank-b", Scheme: drillScheme, Amount: cny(500), Model: r.model})
	r.must(clearing.Entry{Kind: clearing.KindPost, Payment: id, Legs: []clearing.Leg{{Kind: schemes.FeeSwitch, From: "bank-b", To: "bank-c", Amount: cny(10)}}})
	w = r.closeWindow()
	r.bank.faults["BANK-C"] = many()
	rep := r.settle(w, How{})
	if n := refusals(r, "bank-c"); n != 1 || rep.Done() {
		t.Errorf("asked to give back %d times: %v", n, r.told)
	}
}
