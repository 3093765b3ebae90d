package clearing

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/schemes"
)

func hold(n uint64, debtor, creditor tongma.ParticipantID, minor int64) Entry {
	return Entry{Kind: KindHold, Payment: testID(n), Op: tongma.OpPay, Asker: creditor, Key: testID(n).String(),
		Debtor: debtor, Creditor: creditor, Amount: tongma.Money{Minor: minor, Currency: tongma.CNY}}
}

func capOf(who tongma.ParticipantID, minor int64) Entry {
	return Entry{Kind: KindCap, Debtor: who, Amount: tongma.Money{Minor: minor, Currency: tongma.CNY}}
}

// TestProposeChangesNothing: a Book that was asked a thousand things and wrote
// none of them is the Book that was never asked.
func TestProposeChangesNothing(t *testing.T) {
	k := newKeeper()
	k.must(t, Entry{Kind: KindOpen})
	k.must(t, capOf("bank-a", 1000))
	k.must(t, hold(1, "bank-a", "shop-b", 100))
	k.must(t, Entry{Kind: KindPost, Payment: testID(1)})
	k.must(t, Entry{Kind: KindClose})
	k.must(t, Entry{Kind: KindInstruct, Window: 1})
	names, accounts := len(k.book.names), len(k.book.accounts)
	for kind := range Kind(30) {
		for _, who := range []tongma.ParticipantID{"", "stranger", "bank-a"} {
			e := hold(2, who, "other-stranger", 1)
			e.Kind, e.Window = kind, 1
			k.book.Propose(&e, k.now)
			e.Debtor, e.Creditor = "", "third-stranger"
			k.book.Propose(&e, k.now)
		}
	}
	if len(k.book.names) != names || len(k.book.accounts) != accounts {
		t.Errorf("asking made %d names of %d and %d accounts of %d: %v", len(k.book.names), names, len(k.book.accounts), accounts, k.book.names)
	}
	sameBooks(t, replayed(t, k.written), k.book)
}

// TestProposeRefusesWhatCannotBeReadBack: an entry which the journal could not
// read back would be durable, acknowledged, and the end of every replay.
func TestProposeRefusesWhatCannotBeReadBack(t *testing.T) {
	long := strings.Repeat("x", 65)
	for name, spoil := range map[string]func(*Entry){
		"key":            func(e *Entry) { e.Key = long },
		"asker":          func(e *Entry) { e.Asker = tongma.ParticipantID(long) },
		"debtor":         func(e *Entry) { e.Debtor = tongma.ParticipantID(long) },
		"creditor":       func(e *Entry) { e.Creditor = tongma.ParticipantID(long) },
		"scheme":         func(e *Entry) { e.Scheme = tongma.SchemeID(long) },
		"scheme ref":     func(e *Entry) { e.SchemeRef = long },
		"approval":       func(e *Entry) { e.Approval = "1234567" },
		"merchant":       func(e *Entry) { e.Merchant = long },
		"order":          func(e *Entry) { e.Order = long },
		"code tail":      func(e *Entry) { e.CodeTail = "12345" },
		"salt":           func(e *Entry) { e.Salt = make([]byte, 33) },
		"reason":         func(e *Entry) { e.Reason = 10_000 },
		"expiry":         func(e *Entry) { e.Expiry = -1 },
		"late expiry":    func(e *Entry) { e.Expiry = math.MaxInt64 },
		"directory":      func(e *Entry) { e.Directory = math.MaxUint64 },
		"maker":          func(e *Entry) { e.Maker = long },
		"checker":        func(e *Entry) { e.Checker = long },
		"fee":            func(e *Entry) { e.Legs = []Leg{{}} },
		"fees of a hold": func(e *Entry) { e.Legs = []Leg{fee(schemes.FeeScheme, schemes.FeeKeep, "bank-a", "net-s", 3)} },
		"the other side": func(e *Entry) { e.Creditor = "" },
	} {
		t.Run(name, func(t *testing.T) {
			k := newKeeper()
			k.must(t, Entry{Kind: KindOpen})
			k.must(t, capOf("bank-a", 1000))
			e := hold(1, "bank-a", "shop-b", 100)
			spoil(&e)
			if v, out := k.submit(t, e); v.Write && (name != "the other side" || out.Kind != KindRefuse) {
				t.Errorf("written as %s", out.Kind)
			}
			replayed(t, k.written)
		})
	}
}

// TestApplyRefusesABrokenJournal: replay stops at an entry that no Book would
// have proposed, and does not panic.
func TestApplyRefusesABrokenJournal(t *testing.T) {
	open, first := Entry{Number: 1, Kind: KindOpen, Window: 1}, hold(1, "bank-a", "shop-b", 100)
	first.Number, first.AuthWindow = 2, 1
	for name, entries := range map[string][]Entry{
		"a hold before any window": {{Number: 1, Kind: KindHold, Payment: testID(1)}},
		"a gap":                    {{Number: 2, Kind: KindOpen, Window: 1}},
		"time going back":          {{Number: 1, Time: 5, Kind: KindOpen, Window: 1}, {Number: 2, Time: 4, Kind: KindSuspend, Debtor: "bank-a"}},
		"no kind":                  {{Number: 1, Kind: 99}},
		"two first windows":        {open, {Number: 2, Kind: KindOpen, Window: 2}},
		"a posting elsewhere":      {open, first, {Number: 3, Kind: KindPost, Payment: testID(1), Window: 2}},
		"a posting nowhere":        {open, first, {Number: 3, Kind: KindPost, Payment: testID(1)}},
		"a posting of nothing":     {open, {Number: 2, Kind: KindPost, Payment: testID(1), Window: 1}},
		"a refund of nothing":      {open, {Number: 2, Kind: KindHold, Op: tongma.OpRefund, AuthWindow: 1, Payment: testID(2), Original: testID(1)}},
		"a payment id twice":       {open, first, {Number: 3, Kind: KindRefuse, AuthWindow: 1, Payment: testID(1), Key: "other"}},
		"a key twice":              {open, first, {Number: 3, Kind: KindRefuse, AuthWindow: 1, Payment: testID(2), Asker: first.Asker, Key: first.Key}},
		"closing the past":         {open, {Number: 2, Kind: KindClose, Window: 1}, {Number: 3, Kind: KindClose, Window: 1}},
		"more than was held":       {open, first, {Number: 3, Kind: KindPost, Payment: testID(1), Window: 1, Amount: tongma.Money{Minor: 101, Currency: tongma.CNY}}},
		"posted in another money":  {open, first, {Number: 3, Kind: KindPost, Payment: testID(1), Window: 1, Amount: tongma.Money{Minor: 99, Currency: tongma.JPY}}},
		"a fee in another money":   {open, first, {Number: 3, Kind: KindPost, Payment: testID(1), Window: 1, Legs: []Leg{{schemes.FeeScheme, schemes.FeeKeep, "a", "b", tongma.Money{Minor: 1, Currency: tongma.JPY}}}}},
		"a fee of a no":            {open, first, {Number: 3, Kind: KindVoid, Payment: testID(1), Legs: []Leg{fee(schemes.FeeScheme, schemes.FeeKeep, "a", "b", 1)}}},
		"expired without an end":   {open, first, {Number: 3, Time: math.MaxInt64, Kind: KindExpire, Payment: testID(1)}},
		"withdrawing nothing":      {open, {Number: 2, Kind: KindWithdraw, Key: "w", Debtor: "bank-a", Amount: tongma.Money{Minor: 1, Currency: tongma.CNY}}},
		"approving nothing":        {open, {Number: 2, Kind: KindCapApproved, Key: "c", Checker: "bob", Debtor: "bank-a", Maker: "ann"}},
		"settling nothing":         {open, {Number: 2, Kind: KindSettled, Window: 1}},
		"a leg that is not due": {open, {Number: 2, Kind: KindClose, Window: 1}, {Number: 3, Kind: KindInstruct, Window: 1},
			{Number: 4, Kind: KindSettle, Window: 1, Debtor: "bank-a", Amount: tongma.Money{Minor: 1, Currency: tongma.CNY}}},
	} {
		t.Run(name, func(t *testing.T) {
			b := NewBook()
			for i := range entries {
				if err := b.Apply(&entries[i]); err != nil {
					if tongma.ReasonOf(err) != tongma.Internal || i != len(entries)-1 {
						t.Errorf("entry %d: %v", i+1, err)
					}
					return
				}
			}
			t.Error("applied")
		})
	}
}

// TestPositionOverflow: a sum that no number can hold is refused before it is
// made, on either side.
func TestPositionOverflow(t *testing.T) {
	k := newKeeper()
	k.must(t, Entry{Kind: KindOpen})
	k.must(t, capOf("bank-a", math.MaxInt64))
	k.must(t, hold(1, "bank-a", "shop-b", 100))
	k.book.accounts[accountKey{k.book.numbers["bank-a"], tongma.CNY}].position = math.MaxInt64 - 150
	if _, e := k.submit(t, hold(2, "bank-a", "shop-b", 51)); e.Reason != tongma.PositionOverflow {
		t.Errorf("debtor: %s", e.Reason)
	}
	k.book.accounts[accountKey{k.book.numbers["bank-a"], tongma.CNY}].position = 0
	k.must(t, Entry{Kind: KindPost, Payment: testID(1)})
	k.book.accounts[accountKey{k.book.numbers["shop-b"], tongma.CNY}].position = math.MinInt64/2 - 1
	if _, e := k.submit(t, hold(3, "bank-a", "shop-b", 1)); e.Reason != tongma.PositionOverflow {
		t.Errorf("creditor: %s", e.Reason)
	}
}

// TestAFeeNeverRunsOver: of the reasons to refuse fees that a scheme has approved,
// this is the only one that is not a fault of the caller. No real sum comes near.
func TestAFeeNeverRunsOver(t *testing.T) {
	k := newKeeper()
	k.must(t, Entry{Kind: KindOpen})
	k.must(t, capOf("bank-a", math.MaxInt64))
	k.must(t, hold(1, "bank-a", "shop-b", 100))
	post := Entry{Kind: KindPost, Payment: testID(1), Legs: []Leg{fee(schemes.FeeScheme, schemes.FeeKeep, "bank-a", "net-s", tongma.MaxMinor)}}
	a := k.book.accounts[accountKey{k.book.numbers["bank-a"], tongma.CNY}]
	a.position = math.MaxInt64 - 200
	if v, _ := k.submit(t, post); v.Reason != tongma.PositionOverflow {
		t.Errorf("%+v", v)
	}
	a.position = math.MaxInt64 - 100 - MaxLegs*tongma.MaxMinor
	k.must(t, post)
	if a.position < 0 {
		t.Errorf("position %d", a.position)
	}
}

// TestReasonsHaveOneOrder: an entry that is wrong in everything is refused for the
// first reason of the list at Propose; set right in that, for the next one.
func TestReasonsHaveOneOrder(t *testing.T) {
	k := newKeeper()
	k.must(t, Entry{Kind: KindOpen})
	k.must(t, capOf("bank-a", 1_000))
	k.must(t, hold(1, "bank-a", "shop-b", 100))
	cny := func(minor int64) tongma.Money { return tongma.Money{Minor: minor, Currency: tongma.CNY} }
	type step struct {
		right func(e *Entry) // nothing for the first
		want  tongma.Reason
	}
	walk := func(name string, e Entry, steps []step) {
		for i, s := range steps {
			if s.right != nil {
				s.right(&e)
			}
			asked := e
			if v := k.book.Propose(&asked, k.now); v.Reason != s.want {
				t.Errorf("%s, step %d: %s, want %s", name, i+1, v.Reason, s.want)
			}
		}
	}
	used := hold(2, "bank-a", "shop-b", 1)
	used.Code = digestOf("used")
	k.must(t, used)
	k.must(t, Entry{Kind: KindSuspend, Debtor: "bank-a"})
	bad := hold(9, "stranger", "shop-b", 0)
	bad.Salt, bad.Code, bad.Amount.Currency = make([]byte, 33), used.Code, 1
	bad.Legs = []Leg{fee(schemes.FeeScheme, schemes.FeeKeep, "bank-a", "net-s", 3)}
	walk("a hold", bad, []step{
		{nil, tongma.FieldInvalid},
		{func(e *Entry) { e.Salt = nil }, tongma.FieldInvalid},
		{func(e *Entry) { e.Legs = nil }, tongma.CurrencyUnknown},
		{func(e *Entry) { e.Amount = cny(0) }, tongma.AmountInvalid},
		{func(e *Entry) { e.Amount = cny(1_001) }, tongma.CodeSpent},
		{func(e *Entry) { e.Code = Digest{} }, tongma.NoAccount},
		{func(e *Entry) { e.Debtor = "bank-a" }, tongma.ParticipantSuspended},
		{func(*Entry) { k.must(t, Entry{Kind: KindResume, Debtor: "bank-a"}) }, tongma.OverCap},
		{func(e *Entry) { e.Amount = cny(1) }, tongma.NoReason},
	})
	k.must(t, hold(3, "bank-a", "shop-b", 1))
	k.must(t, Entry{Kind: KindVoid, Payment: testID(3)})
	wrong := Entry{Kind: KindPost, Payment: testID(99), Salt: make([]byte, 33), Amount: tongma.Money{Minor: 101, Currency: tongma.JPY},
		Legs: []Leg{{schemes.FeeScheme, schemes.FeeKeep, "bank-a", "net-s", tongma.Money{Minor: 1, Currency: tongma.JPY}}}}
	walk("a posting", wrong, []step{
		{nil, tongma.FieldInvalid},
		{func(e *Entry) { e.Salt = nil }, tongma.PaymentUnknown},
		{func(e *Entry) { e.Payment = testID(3) }, tongma.StateConflict},
		{func(e *Entry) { e.Payment = testID(1) }, tongma.CurrencyMismatch},
		{func(e *Entry) { e.Amount = cny(101) }, tongma.AmountInvalid},
		{func(e *Entry) { e.Amount = cny(100) }, tongma.FieldInvalid},
		{func(e *Entry) { e.Legs[0].Amount.Currency = tongma.CNY }, tongma.NoReason},
	})
	k.must(t, Entry{Kind: KindSuspend, Debtor: "bank-a"})
	out := Entry{Kind: KindWithdraw, Debtor: "bank-c", Amount: cny(0)}
	walk("a withdrawal", out, []step{
		{nil, tongma.FieldInvalid},
		{func(e *Entry) { e.Key, e.Amount = "w", cny(1) }, tongma.NoAccount},
		{func(e *Entry) { e.Debtor = "bank-a" }, tongma.ParticipantSuspended},
		{func(*Entry) { k.must(t, Entry{Kind: KindResume, Debtor: "bank-a"}) }, tongma.AmountInvalid},
		{func(*Entry) {
			k.must(t, Entry{Kind: KindDeposit, Key: "d", Debtor: "bank-a", Amount: cny(1)})
			k.must(t, capOf("bank-a", 100))
		}, tongma.OverCap},
		{func(*Entry) { k.must(t, capOf("bank-a", 101)) }, tongma.NoReason},
	})
	k.must(t, Entry{Kind: KindCapProposed, Key: "c", Debtor: "bank-a", Amount: cny(5), Maker: "ann"})
	k.must(t, capOf("bank-a", 200))
	walk("an approval", Entry{Kind: KindCapApproved, Key: "c"}, []step{
		{nil, tongma.FieldInvalid},
		{func(e *Entry) { e.Checker = "ann" }, tongma.MakerIsChecker},
		{func(e *Entry) { e.Checker = "bob" }, tongma.CapChanged},
	})
	if p, ok := k.book.CapProposal("c"); !ok || !p.Stale || p.Maker != "ann" || p.Cap != cny(5) || p.State != KindCapProposed {
		t.Errorf("%+v", p)
	}
}

// TestCodesAreForgottenAfterTwoDays: the memory of spent codes is bounded by
// entry time, and is the same after a replay.
func TestCodesAreForgottenAfterTwoDays(t *testing.T) {
	k := newKeeper()
	k.must(t, Entry{Kind: KindOpen})
	k.must(t, capOf("bank-a", 1_000_000))
	for d := range uint64(10) {
		e := hold(d+1, "bank-a", "shop-b", 1)
		e.Code = digestOf(testID(d).String())
		k.must(t, e)
		k.now += day
	}
	if n := k.book.codes[0].count + k.book.codes[1].count; n != 2 {
		t.Errorf("%d codes are remembered, want those of two days", n)
	}
	again := hold(50, "bank-a", "shop-b", 1)
	again.Code = digestOf(testID(0).String())
	k.must(t, again)
	if r := audited(k.written); !r.OK {
		t.Errorf("audit: %+v", r.Findings)
	}
}

// TestNamesNeverWrapRound: with more names than numbers, a stranger is refused
// rather than taken for somebody else; those who are known go on.
func TestNamesNeverWrapRound(t *testing.T) {
	k := newKeeper()
	k.must(t, Entry{Kind: KindOpen})
	k.must(t, capOf("bank-a", 1000))
	known := hold(1, "bank-a", "shop-b", 1)
	known.Scheme = "pay"
	k.must(t, known)
	for n := range 1 << 16 {
		suspend := Entry{Kind: KindSuspend, Debtor: tongma.ParticipantID(fmt.Sprintf("p-%d", n))}
		if v := k.book.Propose(&suspend, k.now); !v.Write {
			if v.Reason != tongma.NamesExhausted {
				t.Fatalf("%d: %s", n, v.Reason)
			}
			break
		}
		if err := k.book.Apply(&suspend); err != nil {
			t.Fatal(err)
		}
	}
	if len(k.book.names) != len(k.book.numbers) || len(k.book.names) > 1<<16 {
		t.Fatalf("%d names, %d numbers", len(k.book.names), len(k.book.numbers))
	}
	again := hold(2, "bank-a", "shop-b", 1)
	again.Scheme = "pay"
	if v := k.book.Propose(&again, k.now); !v.Write || v.Reason != tongma.NoReason {
		t.Errorf("known names: %s", v.Reason)
	}
}
