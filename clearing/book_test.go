package clearing

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/tongma/tongma"
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
	if n := len(k.book.codes[0]) + len(k.book.codes[1]); n != 2 {
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
			if v.Reason != tongma.PositionOverflow {
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
