package settle

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

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

// counted counts what an agent is asked.
type counted struct {
	Agent
	moves, asks int
}

func (c *counted) Move(ctx context.Context, t Transfer) Word {
	c.moves++
	return c.Agent.Move(ctx, t)
}

func (c *counted) Ask(ctx context.Context, t Transfer) Word {
	c.asks++
	return c.Agent.Ask(ctx, t)
}

// TestACreditMayBeRefusedManyTimesAndIsStillPaid: it may be tried far more often than
// people have the patience for; what was refused is asked after once, or once more behind
// a restart; and when the last id is used up two people say how it was paid.
func TestACreditMayBeRefusedManyTimesAndIsStillPaid(t *testing.T) {
	r := newRig(t, &market{banks: banks("ac"), balance: rich("a")})
	c := &counted{Agent: r.bank}
	start := func() *Settler {
		return New(Options{Ledger: r.books, Directory: func() *schemes.Directory { return r.dir }, Agent: func(*clearing.Sheet, tongma.Currency) Agent { return c }, Patience: time.Millisecond, Every: time.Millisecond})
	}
	settle := func(s *Settler, id tongma.WindowID, how How) Report {
		rep, err := s.Settle(t.Context(), id, how)
		if err != nil {
			t.Fatal(err)
		}
		c.moves, c.asks = 0, 0
		return rep
	}
	refuse := func(s *Settler, id tongma.WindowID, times int) {
		for range times {
			r.bank.faults[drillAccount] = []Word{{Outcome: Rejected}}
			if rep := settle(s, id, How{Retry: r.sheet(id).State != clearing.WindowClosed}); rep.Done() || len(rep.Open) != 1 || rep.Open[0].Kind != "rejected" {
				t.Fatalf("%+v", rep)
			}
		}
	}
	r.pay("a>c", 500)
	id := r.closeWindow()
	s := start()
	refuse(s, id, 30)
	if _, err := s.Settle(t.Context(), id, How{}); err != nil || c.moves != 0 || c.asks != 1 {
		t.Errorf("%d sent, %d asked: %v", c.moves, c.asks, err)
	}
	refuse(start(), id, 1) // another process finds them out again
	if rep := settle(s, id, How{Retry: true}); !rep.Done() || r.bank.balance["BANK-C"] != 500 || len(s.refusals) != 0 {
		t.Errorf("%+v %v", rep.Open, s.refusals)
	}

	r.pay("a>c", 300)
	id = r.closeWindow()
	refuse(s, id, maxTries)
	if rep := settle(s, id, How{Retry: true}); rep.Done() || len(rep.Open) != 1 || len(rep.Open[0].Ref) > 35 {
		t.Errorf("%+v", rep)
	}
	h := ByHand{Window: id, Instruction: clearing.Instruct(r.sheet(id))[0].ID, Evidence: "cheque 0042"}
	for _, h.By = range []string{"ann", "ben"} {
		if _, err := start().Confirm(t.Context(), h); err != nil {
			t.Error(err)
		}
	}
	if r.sheet(id).State != clearing.WindowSettled || r.bank.balance["BANK-C"] != 500 {
		t.Errorf("%+v", r.sheet(id))
	}
}

// TestPeopleSpeakOfATryThatIsUnderWay: of a further try of a credit they say under its own
// id that it moved, so that the statement agrees; of one that is not under way they do not.
func TestPeopleSpeakOfATryThatIsUnderWay(t *testing.T) {
	r := newRig(t, &market{banks: banks("ac"), balance: rich("a")})
	r.pay("a>c", 500)
	id := r.closeWindow()
	r.bank.faults[drillAccount] = []Word{{Outcome: Rejected}, {Outcome: Pending}}
	r.settle(id, How{})
	own := clearing.Instruct(r.sheet(id))[0].ID
	say := func(by, instruction string) tongma.Reason {
		_, err := r.settler().Confirm(t.Context(), ByHand{Window: id, Instruction: instruction, Evidence: "camt.054 7", By: by})
		return tongma.ReasonOf(err)
	}
	if got := say("ann", own+"-2"); got != tongma.InstructionUnknown { // nobody has sent it
		t.Error(got)
	}
	r.settle(id, How{Retry: true})
	for _, other := range []string{own + "-3", own + "-02", own + "-1", own + "-100", own + "-"} {
		if got := say("ann", other); got != tongma.InstructionUnknown {
			t.Error(other, got)
		}
	}
	if one, two := say("ann", own+"-2"), say("ben", own+"-2"); one != tongma.NoReason || two != tongma.NoReason || r.sheet(id).State != clearing.WindowSettled {
		t.Error(one, two)
	}
	if was, ok := r.books.book.Told(id, own+"-2"); !ok || was.Kind != clearing.KindSettle {
		t.Errorf("%+v", was)
	}
}

// TestARecastThatWasInterruptedIsFinishedForItsCurrencyAlone: two currencies are short.
// Wherever the switch stops meanwhile, what leaves the window in the end is the same, and
// each currency goes through rules of its own. The one that was not being recast may have
// got its money since.
func TestARecastThatWasInterruptedIsFinishedForItsCurrencyAlone(t *testing.T) {
	eur := func(minor int64) tongma.Money { return tongma.Money{Minor: minor, Currency: tongma.EUR} }
	end := func(t *testing.T, fund int64, stop func(*rig), then How) (gone []string) {
		r := newRig(t, &market{banks: banks("abc"), balance: rich("b"), recast: true, fund: fund})
		var err error
		if r.dir, err = schemes.Parse(2, []byte(strings.Replace(r.market.source(), "default_rules:\n", "default_rules:\n  - {currency: EUR, recast: true}\n", 1))); err != nil {
			t.Fatal(err)
		}
		r.must(clearing.Entry{Kind: clearing.KindCap, Debtor: "bank-a", Amount: eur(drillCap)})
		names := map[tongma.PaymentID]string{}
		for i, who := range []string{"c", "b", "c"} {
			names[r.pay("a>"+who, 300)] = "CNY"
			id := tongma.PaymentID{0: 2, 15: byte(i)}
			names[id] = "EUR"
			bank := tongma.ParticipantID("bank-" + who)
			r.must(clearing.Entry{Kind: clearing.KindHold, Op: tongma.OpPay, Payment: id, Asker: bank, Key: fmt.Sprint("E", i), Debtor: "bank-a", Creditor: bank, Scheme: drillScheme, Amount: eur(100)})
			r.must(clearing.Entry{Kind: clearing.KindPost, Payment: id})
		}
		w := r.closeWindow()
		stop(r)
		_, _ = r.settler().Settle(t.Context(), w, How{})
		r.books.left, r.books.gone, *r.books.ends = -1, false, clearing.KindNone
		if then.Retry {
			r.bank.balance["BANK-A"] = 1_000_000
		}
		if rep := r.settle(w, then); !rep.Done() {
			t.Errorf("%v %v", rep.Open, r.told)
		}
		r.books.book.WindowPayments(w, func(it clearing.WindowItem) bool {
			if it.DeferredTo != 0 {
				gone = append(gone, names[it.Payment])
			}
			return true
		})
		return gone
	}
	for fund, want := range map[int64]string{0: "[CNY EUR CNY EUR CNY EUR]", 900: "[EUR EUR EUR]"} {
		for n := range 40 {
			stop := func(r *rig) { r.books.left, r.books.after = n/2, n%2 == 1 }
			if got := end(t, fund, stop, How{}); fmt.Sprint(got) != want {
				t.Errorf("a fund of %d, stopped at entry %d: %v", fund, n/2, got)
			}
		}
	}
	inTheMiddle := func(r *rig) { *r.books.ends = clearing.KindDefer }
	if got := end(t, 0, inTheMiddle, How{Retry: true}); fmt.Sprint(got) != "[CNY CNY CNY]" {
		t.Error(got) // and what was short in EUR is paid
	}
}
