package clearing

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing/journal"
	"github.com/tongma/tongma/schemes"
)

// life is a journal in which everything happens once or more: two windows, of
// which the first is settled; every end that a payment can come to.
func life(t testing.TB) []Entry {
	t.Helper()
	k := newKeeper()
	step := func(e Entry) {
		k.now += 7
		e.Directory = k.book.Directory()
		if e.Kind == KindDirectory {
			e.Directory++
		}
		k.must(t, e)
	}
	with := func(e Entry, change func(*Entry)) Entry { change(&e); return e }
	refund := func(n, of uint64, minor int64) Entry {
		return with(hold(n, "shop-b", "bank-a", minor), func(e *Entry) {
			e.Op, e.Original, e.Asker = tongma.OpRefund, testID(of), "shop-b"
		})
	}
	code := func(e Entry, c string) Entry { e.Code, e.CodeTail = digestOf(c), "1234"; return e }
	to := func(kind Kind, n uint64) Entry { return Entry{Kind: kind, Payment: testID(n)} }

	step(Entry{Kind: KindOpen})
	step(Entry{Kind: KindDirectory, Hash: [32]byte{7}})
	step(capOf("bank-a", 10_000))
	step(capOf("bank-c", 5_000))
	step(capOf("shop-b", 1_000))
	step(code(hold(1, "bank-a", "shop-b", 3_000), "c1"))
	step(code(hold(2, "bank-c", "shop-b", 2_000), "c2"))
	step(to(KindPend, 2))
	step(to(KindPost, 1))
	step(to(KindPost, 2))
	step(refund(3, 1, 500))
	step(to(KindPost, 3))
	step(hold(4, "bank-a", "shop-d", 700))
	step(to(KindVoid, 4))
	step(hold(5, "bank-a", "shop-d", 600))
	step(to(KindReversing, 5))
	step(to(KindReversed, 5))
	step(hold(6, "bank-a", "shop-d", 900))
	step(to(KindPost, 6))
	step(hold(7, "bank-a", "shop-d", 800)) // straddles
	step(Entry{Kind: KindClose})
	step(to(KindPost, 7))
	step(to(KindReversing, 6))
	step(to(KindReversed, 6))
	step(Entry{Kind: KindTombstone, Payment: testID(8), Asker: "shop-b", Key: "late"})
	step(Entry{Kind: KindInstruct, Window: 1})
	sheet, _ := k.book.Sheet(1)
	for _, in := range Instruct(sheet) {
		step(in.Confirm())
	}
	step(Entry{Kind: KindSettled, Window: 1})
	step(Entry{Kind: KindSuspend, Debtor: "bank-c"})
	if _, e := k.submit(t, hold(9, "bank-c", "shop-b", 1)); e.Kind != KindRefuse {
		t.Fatal("a suspended bank was allowed to pay")
	}
	step(Entry{Kind: KindResume, Debtor: "bank-c"})
	step(hold(10, "bank-a", "shop-b", 50))
	step(refund(11, 1, 250))

	order := func(kind Kind, key string, minor int64, maker, checker string) Entry {
		e := capOf("bank-a", minor)
		e.Kind, e.Key, e.Maker, e.Checker = kind, key, maker, checker
		return e
	}
	step(order(KindDeposit, "d-1", 500, "", ""))
	step(order(KindWithdraw, "w-1", 200, "", ""))
	step(order(KindCapProposed, "c-1", 20_000, "ann", ""))
	step(Entry{Kind: KindCapApproved, Key: "c-1", Checker: "bob"})
	step(order(KindCapProposed, "c-2", 30_000, "ann", ""))
	step(Entry{Kind: KindCapRejected, Key: "c-2", Checker: "bob"})
	step(with(hold(12, "bank-a", "shop-b", 1_000), func(e *Entry) { e.Expiry = k.now + 10 }))
	step(to(KindExpire, 12))
	step(hold(13, "bank-a", "shop-b", 1_000))
	step(with(to(KindPost, 13), func(e *Entry) {
		e.Amount = tongma.Money{Minor: 601, Currency: tongma.CNY}
		e.Legs = []Leg{fee(schemes.FeeInterchange, schemes.FeeReturn, "shop-b", "bank-a", 7), fee(schemes.FeeScheme, schemes.FeeKeep, "bank-a", "net-s", 3), fee(schemes.FeeSwitch, schemes.FeeReturn, "shop-b", "tongma", 5)}
	}))
	step(refund(14, 13, 300))
	step(to(KindPost, 14))
	step(hold(15, "bank-a", "shop-b", 100))
	step(with(to(KindPost, 15), func(e *Entry) { e.Legs = []Leg{fee(schemes.FeeScheme, schemes.FeeKeep, "bank-a", "net-s", 3)} }))
	step(to(KindReversing, 15))
	step(to(KindReversed, 15))
	step(refund(16, 13, 301))
	step(to(KindPost, 16))
	return k.written
}

func fee(kind schemes.FeeKind, on schemes.OnRefund, from, to tongma.ParticipantID, minor int64) Leg {
	return Leg{kind, on, from, to, tongma.Money{Minor: minor, Currency: tongma.CNY}}
}

func TestAuditAgreesWithTheBook(t *testing.T) {
	written := life(t)
	book := replayed(t, written)
	for _, size := range []int{1, 3, 1000} {
		r, err := Audit(t.Context(), batches(t, written, size), AuditOptions{})
		if err != nil {
			t.Fatal(err)
		}
		sameAsAudit(t, r, book)
		if r.Entries != uint64(len(written)) || r.Payments != (AuditPayments{Held: 2, Posted: 7, Refused: 1, Voided: 1, Reversed: 3, Tombstones: 1, Expired: 1}) {
			t.Errorf("%d entries, %+v", r.Entries, r.Payments)
		}
		want := AuditTotal{Currency: "CNY", Postings: 11, Posted: 9_502, Refunded: 1_101, Reversed: 1_000, Held: 300, Collected: 5_400, Paid: 5_400, Fees: 33}
		if len(r.Totals) != 1 || r.Totals[0] != want {
			t.Errorf("%+v, want %+v", r.Totals, want)
		}
	}
}

// find returns the place of the nth entry of a kind, or of a payment's entry.
func find(t *testing.T, es []Entry, kind Kind, n int, payment uint64) int {
	t.Helper()
	for i := range es {
		if es[i].Kind == kind && (payment == 0 || es[i].Payment == testID(payment)) {
			if n--; n == 0 {
				return i
			}
		}
	}
	t.Fatalf("no %s %d", kind, n)
	return 0
}

func renumber(es []Entry) []Entry {
	for i := range es {
		es[i].Number = uint64(i + 1)
		if i > 0 {
			es[i].Time = max(es[i].Time, es[i-1].Time)
		}
	}
	return es
}

// damage is one way in which a journal can be wrong: what is changed in a good
// one, the check that has to notice, and at which entry.
type damage struct {
	name   string
	check  string
	change func(es []Entry, at func(kind Kind, n int) int, of func(kind Kind, payment uint64) int) (changed []Entry, noticed int)
}

func edit(kind Kind, payment uint64, set func(*Entry)) func([]Entry, func(Kind, int) int, func(Kind, uint64) int) ([]Entry, int) {
	return func(es []Entry, _ func(Kind, int) int, of func(Kind, uint64) int) ([]Entry, int) {
		i := of(kind, payment)
		set(&es[i])
		return es, i + 1
	}
}

var damages = []damage{
	{"an entry is lost", checkNumbers, func(es []Entry, at func(Kind, int) int, _ func(Kind, uint64) int) ([]Entry, int) {
		i := at(KindVoid, 1)
		n := int(es[i+1].Number)
		return slices.Delete(es, i, i+1), n
	}},
	{"time goes back", checkTime, edit(KindPost, 2, func(e *Entry) { e.Time -= 1000 })},
	{"another directory is named", checkDirectory, edit(KindPost, 2, func(e *Entry) { e.Directory = 9 })},
	{"the directory goes back", checkDirectory, edit(KindDirectory, 0, func(e *Entry) { e.Directory = 0 })},
	{"a key is used again", checkKey, edit(KindHold, 5, func(e *Entry) { e.Key, e.Asker = testID(4).String(), "shop-d" })},
	{"a payment id is used again", checkPayment, edit(KindHold, 10, func(e *Entry) { e.Payment = testID(4) })},
	{"a payment has no id", checkPayment, edit(KindHold, 10, func(e *Entry) { e.Payment = tongma.PaymentID{} })},
	{"posted twice", checkPhase, func(es []Entry, at func(Kind, int) int, _ func(Kind, uint64) int) ([]Entry, int) {
		i := at(KindPost, 1)
		return renumber(slices.Insert(es, i+1, es[i])), i + 2
	}},
	{"posted behind a no", checkPhase, edit(KindReversing, 5, func(e *Entry) { e.Kind, e.Payment, e.Window = KindPost, testID(4), 1 })},
	{"a late yes counts", checkPhase, edit(KindReversed, 5, func(e *Entry) { e.Kind, e.Window = KindPost, 1 })},
	{"posted without a hold", checkPhase, edit(KindPost, 2, func(e *Entry) { e.Payment = testID(99) })},
	{"a reversal names another amount", checkSame, edit(KindReversed, 6, func(e *Entry) { e.Amount.Minor-- })},
	{"more is posted than was held", checkCapture, edit(KindPost, 2, func(e *Entry) { e.Amount.Minor = 2_001 })},
	{"less than nothing is posted", checkCapture, edit(KindPost, 2, func(e *Entry) { e.Amount.Minor = -1 })},
	{"posted in another currency", checkCapture, edit(KindPost, 2, func(e *Entry) { e.Amount.Currency = tongma.JPY })},
	{"a hold is dropped too early", checkExpiry, edit(KindExpire, 12, func(e *Entry) { e.Time -= 4 })},
	{"a hold without an end is dropped", checkExpiry, func(es []Entry, _ func(Kind, int) int, of func(Kind, uint64) int) ([]Entry, int) {
		es[of(KindHold, 12)].Expiry = 0
		return es, of(KindExpire, 12) + 1
	}},
	{"a fee of nothing", checkFees, edit(KindPost, 13, func(e *Entry) { e.Legs[1].Amount.Minor = 0 })},
	{"a fee in another currency", checkFees, edit(KindPost, 13, func(e *Entry) { e.Legs[1].Amount.Currency = tongma.JPY })},
	{"a fee to oneself", checkFees, edit(KindPost, 13, func(e *Entry) { e.Legs[1].To = "bank-a" })},
	{"a fee of a hold", checkFees, edit(KindHold, 13, func(e *Entry) { e.Legs = []Leg{fee(schemes.FeeScheme, schemes.FeeKeep, "bank-a", "net-s", 3)} })},
	{"a refund gives back too much", checkFees, edit(KindPost, 14, func(e *Entry) { e.Legs[0].Amount.Minor++ })},
	{"a refund gives back what is kept", checkFees, edit(KindPost, 14, func(e *Entry) { e.Legs = append(e.Legs, fee(schemes.FeeScheme, schemes.FeeKeep, "net-s", "bank-a", 1)) })},
	{"a refund gives back nothing", checkFees, edit(KindPost, 16, func(e *Entry) { e.Legs = nil })},
	{"a reversal keeps a fee", checkFees, edit(KindReversed, 15, func(e *Entry) { e.Legs = nil })},
	{"a cap is approved by its maker", checkApproval, edit(KindCapApproved, 0, func(e *Entry) { e.Checker = " Ann" })},
	{"a cap is approved by nobody", checkApproval, edit(KindCapApproved, 0, func(e *Entry) { e.Checker = "" })},
	{"another cap is approved", checkApproval, edit(KindCapApproved, 0, func(e *Entry) { e.Amount.Minor++ })},
	{"a cap is proposed by nobody", checkApproval, edit(KindCapProposed, 0, func(e *Entry) { e.Maker = "" })},
	{"a rejected cap is approved", checkApproval, func(es []Entry, at func(Kind, int) int, _ func(Kind, uint64) int) ([]Entry, int) {
		i := at(KindCapRejected, 1)
		e := es[i]
		e.Kind = KindCapApproved
		return renumber(slices.Insert(es, i+1, e)), i + 2
	}},
	{"a cap is approved over another", checkApproval, func(es []Entry, at func(Kind, int) int, _ func(Kind, uint64) int) ([]Entry, int) {
		i := at(KindCapApproved, 1)
		return renumber(slices.Insert(es, i, capOf("bank-a", 12_000))), i + 2
	}},
	{"a deposit is taken twice", checkPrefund, func(es []Entry, at func(Kind, int) int, _ func(Kind, uint64) int) ([]Entry, int) {
		i := at(KindDeposit, 1)
		return renumber(slices.Insert(es, i+1, es[i])), i + 2
	}},
	{"a deposit of nothing", checkPrefund, edit(KindDeposit, 0, func(e *Entry) { e.Amount.Minor = 0 })},
	{"more is withdrawn than is there", checkPrefund, edit(KindWithdraw, 0, func(e *Entry) { e.Amount.Minor = 501 })},
	{"what is in use is withdrawn", checkPrefund, func(es []Entry, at func(Kind, int) int, _ func(Kind, uint64) int) ([]Entry, int) {
		i := at(KindWithdraw, 1)
		use := hold(60, "bank-a", "shop-b", 5_000)
		use.AuthWindow = 2
		return renumber(slices.Insert(es, i, use, capOf("bank-a", 0))), i + 3
	}},
	{"a suspended bank withdraws", checkPrefund, func(es []Entry, at func(Kind, int) int, _ func(Kind, uint64) int) ([]Entry, int) {
		i := at(KindWithdraw, 1)
		return renumber(slices.Insert(es, i, Entry{Kind: KindSuspend, Debtor: "bank-a"})), i + 2
	}},
	{"a posting names another debtor", checkSame, edit(KindPost, 2, func(e *Entry) { e.Debtor = "bank-a" })},
	{"a posting names another creditor", checkSame, edit(KindPost, 2, func(e *Entry) { e.Creditor = "bank-a" })},
	{"nothing is held", checkAmount, edit(KindHold, 10, func(e *Entry) { e.Amount.Minor = 0 })},
	{"less than nothing is held", checkAmount, edit(KindHold, 10, func(e *Entry) { e.Amount.Minor = -5 })},
	{"no currency is held", checkAmount, edit(KindHold, 10, func(e *Entry) { e.Amount.Currency = 1 })},
	{"a code is spent twice", checkCode, edit(KindHold, 2, func(e *Entry) { e.Code = digestOf("c1") })},
	{"a cap is passed", checkCap, func(es []Entry, at func(Kind, int) int, of func(Kind, uint64) int) ([]Entry, int) {
		es[at(KindCap, 1)].Amount.Minor = 2_999
		return es, of(KindHold, 1) + 1
	}},
	{"a cap is passed by what is on hold", checkCap, func(es []Entry, at func(Kind, int) int, of func(Kind, uint64) int) ([]Entry, int) {
		es[at(KindCap, 1)].Amount.Minor = 3_000 - 500 + 900 + 799
		return es, of(KindHold, 7) + 1
	}},
	{"there is no cap", checkCap, edit(KindHold, 10, func(e *Entry) { e.Debtor = "shop-d" })},
	{"a cap is less than nothing", checkCap, func(es []Entry, at func(Kind, int) int, _ func(Kind, uint64) int) ([]Entry, int) {
		i := at(KindCap, 3)
		es[i].Amount.Minor = -1
		return es, i + 1
	}},
	{"a suspended bank pays", checkSuspended, func(es []Entry, at func(Kind, int) int, _ func(Kind, uint64) int) ([]Entry, int) {
		i := at(KindRefuse, 1)
		es[i].Kind = KindHold
		return es, i + 1
	}},
	{"a refund passes its payment", checkRefund, edit(KindHold, 11, func(e *Entry) { e.Amount.Minor = 2_501 })},
	{"a refund goes elsewhere", checkRefund, edit(KindHold, 11, func(e *Entry) { e.Creditor = "bank-c" })},
	{"a refund of nothing", checkRefund, edit(KindHold, 11, func(e *Entry) { e.Original = testID(98) })},
	{"a refund of what was voided", checkRefund, edit(KindHold, 11, func(e *Entry) { e.Original = testID(4) })},
	{"a refund of a refund", checkRefund, edit(KindHold, 11, func(e *Entry) { e.Original, e.Debtor, e.Creditor = testID(3), "bank-a", "shop-b" })},
	{"what was refunded is reversed", checkReversal, edit(KindReversing, 6, func(e *Entry) { e.Payment = testID(1) })},
	{"a refund is reversed", checkReversal, edit(KindReversing, 6, func(e *Entry) { e.Payment = testID(3) })},
	{"posted into a closed window", checkWindow, edit(KindPost, 7, func(e *Entry) { e.Window = 1 })},
	{"posted into no window", checkWindow, edit(KindPost, 7, func(e *Entry) { e.Window = 0 })},
	{"turned back in a closed window", checkWindow, edit(KindReversed, 6, func(e *Entry) { e.Window = 1 })},
	{"a no names a window", checkWindow, edit(KindVoid, 4, func(e *Entry) { e.Window = 1 })},
	{"asked for in another window", checkAuth, edit(KindHold, 10, func(e *Entry) { e.AuthWindow = 1 })},
	{"asked for before any window", checkAuth, func(es []Entry, _ func(Kind, int) int, _ func(Kind, uint64) int) ([]Entry, int) {
		return renumber(append([]Entry{{Kind: KindTombstone, Payment: testID(77), Key: "early", AuthWindow: 1}}, es...)), 1
	}},
	{"a window opens twice", checkWindows, edit(KindSuspend, 0, func(e *Entry) { e.Kind, e.Window = KindOpen, 1 })},
	{"another window closes", checkWindows, edit(KindClose, 0, func(e *Entry) { e.Window = 2 })},
	{"an open window is instructed", checkWindows, edit(KindInstruct, 0, func(e *Entry) { e.Window = 2 })},
	{"a window is instructed twice", checkWindows, func(es []Entry, at func(Kind, int) int, _ func(Kind, uint64) int) ([]Entry, int) {
		i := at(KindInstruct, 1)
		return renumber(slices.Insert(es, i+1, es[i])), i + 2
	}},
	{"a window that never was is settled", checkWindows, edit(KindSettled, 0, func(e *Entry) { e.Window = 7 })},
	{"the sheet is of something else", checkSheet, edit(KindInstruct, 0, func(e *Entry) { e.Hash[3] ^= 1 })},
	{"the sheet is missing", checkSheet, edit(KindSettled, 0, func(e *Entry) { e.Hash = [32]byte{} })},
	{"a leg is of another sheet", checkSheet, edit(KindSettle, 0, func(e *Entry) { e.Hash[0] ^= 1 })},
	{"an amount is changed", checkSheet, func(es []Entry, at func(Kind, int) int, of func(Kind, uint64) int) ([]Entry, int) {
		for _, kind := range []Kind{KindHold, KindPend, KindPost} {
			es[of(kind, 2)].Amount.Minor++
		}
		return es, at(KindInstruct, 1) + 1
	}},
	{"a posting is taken out", checkSheet, func(es []Entry, at func(Kind, int) int, of func(Kind, uint64) int) ([]Entry, int) {
		i := of(KindPost, 2)
		return renumber(slices.Delete(es, i, i+1)), at(KindInstruct, 1) + 1
	}},
	{"the cut-off is moved", checkSheet, func(es []Entry, at func(Kind, int) int, of func(Kind, uint64) int) ([]Entry, int) {
		i := at(KindClose, 1)
		es[i], es[i-1] = es[i-1], es[i]
		es[i].AuthWindow = 2
		return renumber(es), at(KindInstruct, 1) + 1
	}},
	{"a leg has another figure", checkLegs, edit(KindSettle, 0, func(e *Entry) { e.Amount.Minor++ })},
	{"a leg is confirmed twice", checkLegs, func(es []Entry, at func(Kind, int) int, _ func(Kind, uint64) int) ([]Entry, int) {
		i := at(KindSettle, 1)
		return renumber(slices.Insert(es, i+1, es[i])), i + 2
	}},
	{"a leg has two sides", checkLegs, edit(KindSettle, 0, func(e *Entry) { e.Creditor = "shop-b" })},
	{"a leg is missing", checkLegs, func(es []Entry, at func(Kind, int) int, _ func(Kind, uint64) int) ([]Entry, int) {
		i := at(KindSettle, 4)
		return renumber(slices.Delete(es, i, i+1)), at(KindSettled, 1) + 1
	}},
	{"less is paid out than was collected", checkSettled, func(es []Entry, at func(Kind, int) int, _ func(Kind, uint64) int) ([]Entry, int) {
		i := at(KindSettle, 4)
		return renumber(slices.Delete(es, i, i+1)), at(KindSettled, 1) + 1
	}},
	{"a credit is paid first", checkDebits, func(es []Entry, at func(Kind, int) int, _ func(Kind, uint64) int) ([]Entry, int) {
		i := at(KindSettle, 2)
		es[i], es[i+1] = es[i+1], es[i]
		return renumber(es), i + 1
	}},
	{"a hold is for nobody", checkZeroSum, edit(KindHold, 10, func(e *Entry) { e.Creditor = "" })},
	{"an entry of no kind", checkEntry, edit(KindSuspend, 0, func(e *Entry) { e.Kind = 77 })},
	{"sums run over", checkOverflow, func(es []Entry, _ func(Kind, int) int, of func(Kind, uint64) int) ([]Entry, int) {
		i := of(KindHold, 7)
		es[i].Amount.Minor = math.MaxInt64
		return es, i + 1
	}},
}

// TestAuditNamesEveryDamage changes one thing in a good journal, for each rule,
// and wants that rule's name and the place.
func TestAuditNamesEveryDamage(t *testing.T) {
	for i, d := range slices.Concat(damages, hardDamages) {
		history := life
		if i >= len(damages) {
			history = hardship
		}
		t.Run(d.check+"/"+d.name, func(t *testing.T) {
			es := history(t)
			changed, entry := d.change(es, func(kind Kind, n int) int { return find(t, es, kind, n, 0) },
				func(kind Kind, payment uint64) int { return find(t, es, kind, 1, payment) })
			r := audited(changed)
			if r.OK || !slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Check == d.check && f.Entry == uint64(entry) }) {
				t.Errorf("want %s at entry %d, got %+v", d.check, entry, r.Findings)
			}
		})
	}
}

// TestAuditChecksItself: figures of the audit that are added up in two ways are
// held against each other, so that a fault of its own is a finding too.
func TestAuditChecksItself(t *testing.T) {
	for check, spoil := range map[string]func(*Auditor){
		checkHolds:    func(a *Auditor) { a.balance("bank-a", tongma.CNY).reserved++ },
		checkPosition: func(a *Auditor) { a.balance("bank-a", tongma.CNY).position++ },
		checkPrefund:  func(a *Auditor) { a.balance("bank-a", tongma.CNY).prefunding++ },
		checkZeroSum:  func(a *Auditor) { a.balance("bank-c", tongma.CNY).position++ },
		checkMatrix: func(a *Auditor) {
			w := a.open[""]
			w.matrix[auditPair{a.balance("bank-a", tongma.CNY), a.balance("bank-c", tongma.CNY)}]++
			e := Entry{Kind: KindClose, Number: a.next, Window: w.id, Time: a.clock}
			a.Entry(&e)
		},
	} {
		a := NewAuditor(AuditOptions{})
		es := life(t)
		for i := range es {
			a.Entry(&es[i])
		}
		if r := a.Report(); !r.OK {
			t.Fatalf("%+v", r.Findings)
		}
		spoil(a)
		if r := a.Report(); !slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Check == check }) {
			t.Errorf("want %s, got %+v", check, r.Findings)
		}
	}
}

// TestAuditOfADamagedStream: what is wrong with the stream itself.
func TestAuditOfADamagedStream(t *testing.T) {
	written := life(t)
	last, _ := batches(t, written, 4).Last(t.Context())
	for name, c := range map[string]struct {
		check  string
		batch  uint64
		damage func(*journal.Memory)
	}{
		"a changed byte":   {checkChain, 4, func(m *journal.Memory) { m.Edit(func(ms [][]byte) [][]byte { ms[3][200] ^= 1; return ms }) }},
		"a lost batch":     {checkChain, 4, func(m *journal.Memory) { m.Edit(func(ms [][]byte) [][]byte { return slices.Delete(ms, 3, 4) }) }},
		"exchanged":        {checkChain, 4, func(m *journal.Memory) { m.Edit(func(ms [][]byte) [][]byte { ms[3], ms[4] = ms[4], ms[3]; return ms }) }},
		"another's batch":  {checkChain, last + 1, func(m *journal.Memory) { m.Put([]byte("hello")) }},
		"a lost tail":      {checkKnown, 0, func(m *journal.Memory) { m.Lose(1) }},
		"another history":  {checkKnown, last, func(*journal.Memory) {}},
		"a changed first":  {checkChain, 1, func(m *journal.Memory) { m.Edit(func(ms [][]byte) [][]byte { ms[0][9] ^= 1; return ms }) }},
		"not a canonical":  {checkEntry, last + 2, func(m *journal.Memory) { appendRaw(t, m, written) }},
		"nothing is wrong": {"", 0, func(*journal.Memory) {}},
	} {
		t.Run(name, func(t *testing.T) {
			m, known := batches(t, written, 4), map[uint64][32]byte{}
			// The writer's number is drawn at random: take the hashes of this stream.
			_ = m.Read(t.Context(), 1, func(seq uint64, message []byte) error { known[seq] = journal.Hash(message); return nil })
			c.damage(m)
			if name == "another history" {
				known[last] = [32]byte{1}
			}
			r, err := Audit(t.Context(), m, AuditOptions{Known: known})
			if err != nil {
				t.Fatal(err)
			}
			if c.check == "" {
				if !r.OK {
					t.Errorf("%+v", r.Findings)
				}
				return
			}
			if r.OK || r.Findings[0].Check != c.check || (c.batch != 0 && r.Findings[0].Batch != c.batch) {
				t.Errorf("want %s at batch %d, got %+v", c.check, c.batch, r.Findings)
			}
		})
	}
}

// appendRaw adds a batch whose chain is right and whose one entry is not an entry.
func appendRaw(t *testing.T, m *journal.Memory, written []Entry) {
	log, err := journal.Open(t.Context(), m, 0, func(journal.Batch) error { return nil })
	if err == nil {
		err = log.TakeOver(t.Context(), startMillis)
	}
	if err == nil {
		err = log.Commit(t.Context(), [][]byte{append(written[0].AppendTo(nil), 0)}, startMillis, 1)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestAuditOfAStoreThatCannotBeRead(t *testing.T) {
	m := batches(t, life(t), 4)
	m.FailReads(1)
	if r, err := Audit(t.Context(), m, AuditOptions{}); err == nil {
		t.Errorf("no error, and %+v", r)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Audit(ctx, m, AuditOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// TestEveryCheckIsProved: there is no check in the list that nothing has ever set off.
func TestEveryCheckIsProved(t *testing.T) {
	proved := map[string]bool{checkChain: true, checkKnown: true, checkHolds: true, checkPosition: true, checkMatrix: true}
	for _, d := range slices.Concat(damages, hardDamages) {
		proved[d.check] = true
	}
	for _, d := range shardDamages {
		proved[d.check] = true
	}
	listed := map[string]bool{}
	for _, c := range AuditChecks() {
		if !proved[c.ID] || c.Rule == "" || listed[c.ID] {
			t.Errorf("%s: not proved, without a rule, or listed twice", c.ID)
		}
		listed[c.ID] = true
	}
	if len(listed) < len(proved) {
		t.Errorf("%d checks are listed, %d are proved", len(listed), len(proved))
	}
}

func TestAuditKeepsSoManyFindings(t *testing.T) {
	a := NewAuditor(AuditOptions{MaxFindings: 5})
	for n := range uint64(20) {
		a.Entry(&Entry{Kind: KindPost, Number: n + 1, Payment: testID(n)})
	}
	if r := a.Report(); len(r.Findings) != 5 || r.More != 15 || r.OK {
		t.Errorf("%d findings and %d more", len(r.Findings), r.More)
	}
	if r := a.Report(); len(r.Findings) != 5 || r.More != 15 {
		t.Errorf("the second report differs: %d findings and %d more", len(r.Findings), r.More)
	}
}

// BenchmarkAudit is a journal of paid payments, from the bytes of the stream on.
func BenchmarkAudit(b *testing.B) {
	const payments = 50_000
	k := newKeeper()
	k.must(b, Entry{Kind: KindOpen})
	for p := range 8 {
		k.must(b, capOf(tongma.ParticipantID(fmt.Sprintf("bank-%d", p)), math.MaxInt64/4))
	}
	for n := range uint64(payments) {
		e := hold(n+1, tongma.ParticipantID(fmt.Sprintf("bank-%d", n%8)), tongma.ParticipantID(fmt.Sprintf("bank-%d", n%7)), int64(n+1))
		e.Code = Digest(testID(n + 1))
		k.must(b, e)
		k.must(b, Entry{Kind: KindPost, Payment: e.Payment})
	}
	store := batches(b, k.written, journal.MaxEntries)
	b.ResetTimer()
	for b.Loop() {
		if r, err := Audit(b.Context(), store, AuditOptions{}); err != nil || !r.OK {
			b.Fatal(err, r.Findings)
		}
	}
	b.ReportMetric(float64(len(k.written))*float64(b.N)/b.Elapsed().Seconds(), "entries/s")
}
