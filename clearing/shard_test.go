package clearing

import (
	"reflect"
	"slices"
	"strconv"
	"testing"

	"github.com/tongma/tongma"
)

// keyOf returns a key of asker's that a shard is the owner of.
func keyOf(asker tongma.ParticipantID, shard, shards uint16) string {
	for n := 0; ; n++ {
		if key := "k-" + strconv.Itoa(n); OwnerOf(asker, key, shards) == shard {
			return key
		}
	}
}

// nameAt returns a name that begins with prefix and is at home in a shard.
func nameAt(prefix string, shard, shards uint16) tongma.ParticipantID {
	for n := 0; ; n++ {
		if who := tongma.ParticipantID(prefix + "-" + strconv.Itoa(n)); HomeOf(who, shards) == shard {
			return who
		}
	}
}

// asHead makes a Book the head of three shards, and does there all that there is.
func asHead(t testing.TB, k *keeper) {
	one, two := nameAt("bank", 1, 3), nameAt("bank", 2, 3)
	for _, e := range []Entry{
		{Kind: KindHome, Shard: 1, Shards: 3},
		capOf(one, 100_000), {Kind: KindDeposit, Key: "d-home", Debtor: one, Amount: tongma.Money{Minor: 7, Currency: tongma.CNY}},
		{Kind: KindClaim, Asker: "shop-b", Key: keyOf("shop-b", 1, 3), Shard: 2},
		{Kind: KindCarryOut, Debtor: one, Shard: 2, Amount: tongma.Money{Minor: 10, Currency: tongma.CNY}},
		{Kind: KindCarryOut, Debtor: one, Shard: 2, Amount: tongma.Money{Minor: -4, Currency: tongma.CNY}, Upto: 1},
		{Kind: KindCarryIn, Debtor: two, Shard: 3, Sequence: 1, Amount: tongma.Money{Minor: 5, Currency: tongma.CNY}},
		{Kind: KindHome, Debtor: one, Shard: 3, Sequence: 1},
		{Kind: KindClose, ValueDate: 20261123},
	} {
		k.must(t, e)
	}
	w := k.written[len(k.written)-1].Window
	cells := []Obligation{{Debtor: one, Creditor: two, Currency: tongma.CNY, Gross: 12, Count: 2, Fees: 1}}
	k.must(t, Entry{Kind: KindGather, Window: w, Shard: 2, Linked: 1, Sequence: 1, Upto: 2, Hash: [32]byte{9}, Cells: cells})
}

// follower is a Book that is the second of three shards, and has done all that there is.
func follower(t testing.TB) *keeper {
	k := newKeeper()
	home := nameAt("bank", 2, 3)
	for _, e := range []Entry{
		{Kind: KindOpen}, {Kind: KindHome, Shard: 2, Shards: 3}, capOf(home, 1_000),
		{Kind: KindSuspend, Debtor: "late", Maker: ByHead},
	} {
		k.must(t, e)
	}
	k.must(t, hold(1, home, "shop-b", 100))
	k.must(t, Entry{Kind: KindPost, Payment: testID(1)})
	k.must(t, Entry{Kind: KindClose, Linked: 3, Cutoff: startMillis, ValueDate: 20261123})
	k.must(t, Entry{Kind: KindSettled, Window: 1, Linked: 3, Hash: [32]byte{7}})
	k.must(t, Entry{Kind: KindClose, Linked: 4})
	return k
}

func TestWhatAShardDoesIsAuditedReplayedAndKept(t *testing.T) {
	head := newKeeper()
	head.must(t, Entry{Kind: KindOpen})
	asHead(t, head)
	for _, k := range []*keeper{head, follower(t)} {
		sameBooks(t, replayed(t, k.written), k.book)
		sameAsAudit(t, audited(k.written), k.book)
		again := restored(t, k.book)
		if err := same(reflect.ValueOf(again).Elem(), reflect.ValueOf(k.book).Elem(), "Book"); err != "" {
			t.Error(err)
		}
		for _, p := range k.book.Positions() {
			x := k.book.Explain(p.Participant, p.Currency, 0)
			sum := int64(0)
			for _, l := range x.Lines {
				sum += l.Position
			}
			if sum != p.Position || x.Position != p.Position {
				t.Errorf("%s stands at %d, its lines say %d", p.Participant, p.Position, sum)
			}
		}
	}
}

// TestOneShardKnowsNothingOfOthers: a switch that is alone neither writes such entries
// nor claims keys, and everybody is at home.
func TestOneShardKnowsNothingOfOthers(t *testing.T) {
	k := newKeeper()
	k.must(t, Entry{Kind: KindOpen})
	k.must(t, capOf("bank-a", 1_000))
	for _, e := range []Entry{
		{Kind: KindCarryOut, Debtor: "bank-a", Shard: 2, Amount: tongma.Money{Minor: 1, Currency: tongma.CNY}},
		{Kind: KindGather, Window: 1, Shard: 2, Linked: 1, Sequence: 1, Upto: 1, Hash: [32]byte{1}},
		{Kind: KindClaim, Asker: "shop-b", Key: "k", Shard: 2},
		{Kind: KindHome, Debtor: "bank-a", Shard: 2, Sequence: 1},
	} {
		if v, _ := k.submit(t, e); v.Write || v.Reason != tongma.StateConflict {
			t.Errorf("%s: written %t, %s", e.Kind, v.Write, v.Reason)
		}
	}
	if v, _ := k.submit(t, Entry{Kind: KindClose, Linked: 7}); v.Write {
		t.Error("it follows a head that there is not")
	}
	if at, _ := k.book.Home("bank-a"); at != Head || k.book.Astray() != nil {
		t.Error("not at home")
	}
}

// shardDamages are journals of shards that break a rule by their last entry, behind
// those that make a head of three.
var shardDamages = []struct {
	check string
	entry Entry
}{
	{checkCarry, Entry{Kind: KindCarryIn, Debtor: "bank-a", Shard: 2, Sequence: 2, Amount: tongma.Money{Minor: 5, Currency: tongma.CNY}}},
	{checkCarry, Entry{Kind: KindCarryOut, Debtor: "bank-a", Shard: 2, Sequence: 1, Amount: tongma.Money{Minor: 5, Currency: tongma.CNY}}},
	{checkCarry, Entry{Kind: KindCarryOut, Debtor: "bank-a", Shard: 2, Sequence: 1, Amount: tongma.Money{Minor: -5, Currency: tongma.CNY}}},
	{checkGather, Entry{Kind: KindGather, Window: 1, Shard: 2, Linked: 1, Sequence: 1, Upto: 1, Hash: [32]byte{1}}}, // it is open
	{checkGather, Entry{Kind: KindClose, Window: 1}},                                            // of how many shards?
	{checkClaim, Entry{Kind: KindClaim, Asker: "shop-b", Key: keyOf("shop-b", 2, 3), Shard: 2}}, // another's to give
	{checkHome, Entry{Kind: KindHome, Shard: 2, Shards: 3}},                                     // it is shard 1
	{checkHome, Entry{Kind: KindHome, Debtor: "bank-a", Shard: 2}},                              // by no move
	{checkHome, Entry{Kind: KindHold, Payment: testID(1), Asker: "shop-b", Key: "k", Debtor: nameAt("bank", 2, 3), Creditor: "shop-b", AuthWindow: 1, Amount: tongma.Money{Minor: 1, Currency: tongma.CNY}}},
}

func TestTheAuditNoticesAShardThatCheats(t *testing.T) {
	for i, d := range shardDamages {
		k := newKeeper()
		k.must(t, Entry{Kind: KindOpen})
		k.must(t, Entry{Kind: KindHome, Shard: 1, Shards: 3})
		bad := d.entry
		bad.Number, bad.Time = uint64(len(k.written)+1), k.now
		found := false
		for _, f := range audited(append(k.written, bad)).Findings {
			found = found || f.Check == d.check
		}
		if !found {
			t.Errorf("damage %d: %s passes", i, d.check)
		}
		if k.book.Apply(&bad) == nil {
			t.Errorf("damage %d: the Book applies %s", i, bad.Kind)
		}
	}
}

// TestAcrossNoticesJournalsThatDoNotAgree: each of them is sound by itself.
func TestAcrossNoticesJournalsThatDoNotAgree(t *testing.T) {
	m := func() []*keeper {
		var out []*keeper
		for i := range 2 {
			k := newKeeper()
			k.must(t, Entry{Kind: KindOpen})
			k.must(t, Entry{Kind: KindHome, Shard: uint16(i + 1), Shards: 2})
			out = append(out, k)
		}
		return out
	}
	cny := func(minor int64) tongma.Money { return tongma.Money{Minor: minor, Currency: tongma.CNY} }
	tombstone := Entry{Kind: KindTombstone, Payment: testID(1), Asker: "shop-b", Key: keyOf("shop-b", 1, 2), Reason: tongma.ReversedBeforeOriginal}
	for _, tt := range []struct {
		check string
		do    func(head, other *keeper)
	}{
		{acrossTransit, func(_, other *keeper) {
			other.must(t, Entry{Kind: KindCarryIn, Debtor: "bank-a", Shard: 1, Sequence: 1, Amount: cny(5)})
		}},
		{acrossTransit, func(head, other *keeper) {
			who := nameAt("bank", 1, 2) // elsewhere its cap would be zero
			head.must(t, capOf(who, 100))
			head.must(t, Entry{Kind: KindCarryOut, Debtor: who, Shard: 2, Amount: cny(5)})
			other.must(t, Entry{Kind: KindCarryIn, Debtor: who, Shard: 1, Sequence: 1, Amount: cny(6)})
		}},
		{acrossKeys, func(head, other *keeper) {
			head.must(t, tombstone)
			twice := tombstone
			twice.Payment = testID(2)
			other.must(t, twice)
		}},
		{acrossClaims, func(_, other *keeper) { other.must(t, tombstone) }},
		{acrossGather, func(head, _ *keeper) {
			head.must(t, Entry{Kind: KindClose})
			head.must(t, Entry{Kind: KindGather, Window: 1, Shard: 2, Linked: 1, Sequence: 1, Upto: 1, Hash: [32]byte{1}})
		}},
		{acrossHomes, func(head, other *keeper) {
			who := nameAt("bank", 1, 2)
			head.must(t, capOf(who, 100))
			other.must(t, Entry{Kind: KindHome, Debtor: who, Shard: 2, Sequence: 1, Terms: []Terms{{Currency: tongma.CNY, Cap: 100}}})
		}},
		{acrossCodes, func(head, other *keeper) {
			for i, k := range []*keeper{head, other} {
				who := nameAt("bank", uint16(i+1), 2)
				k.must(t, capOf(who, 100))
				e := hold(uint64(i+1), who, "shop-b", 10)
				e.Code = Digest{9}
				k.must(t, e)
			}
		}},
		{acrossShards, func(_, other *keeper) { *other = *newKeeper() }},
	} {
		shards := m()
		tt.do(shards[0], shards[1])
		var auditors []*Auditor
		for i, k := range shards {
			a := NewAuditor(AuditOptions{Shard: uint16(i)})
			for j := range k.written {
				a.Entry(&k.written[j])
			}
			auditors = append(auditors, a)
		}
		found := false
		for _, f := range Across(auditors).Findings {
			found = found || f.Check == tt.check
		}
		if !found {
			t.Errorf("%s passes: %+v", tt.check, Across(auditors).Findings)
		}
	}
}

// TestFormerHomesAreAskedUntilCodesAreForgotten: the one before the only move, all others
// behind several, none two days later, in days of UTC; nor by who is not at home here.
func TestFormerHomesAreAskedUntilCodesAreForgotten(t *testing.T) {
	k := newKeeper()
	k.must(t, Entry{Kind: KindOpen})
	k.must(t, Entry{Kind: KindHome, Shard: 1, Shards: 3})
	once, often, own, away := nameAt("once", 2, 3), nameAt("often", 3, 3), nameAt("own", 1, 3), nameAt("away", 3, 3)
	k.must(t, capOf(own, 100))
	k.must(t, Entry{Kind: KindHome, Debtor: once, Shard: 1, Sequence: 1})
	k.must(t, Entry{Kind: KindHome, Debtor: often, Shard: 1, Sequence: 2})
	k.must(t, Entry{Kind: KindHome, Debtor: away, Shard: 2, Sequence: 7})
	want := func(who tongma.ParticipantID, moves uint64, shards ...uint16) {
		t.Helper()
		if got, n := k.book.Former(who); !slices.Equal(got, shards) || n != moves {
			t.Errorf("%s, %d days later: %v, %d moves", who, (k.now-startMillis)/day, got, n)
		}
	}
	for later := range 2 {
		want(once, 1, 2)
		want(often, 2, 2, 3)
		want(own, 0)
		want(away, 7)
		k.now += day
		k.must(t, capOf(own, int64(200+later)))
	}
	want(once, 1)
	want(often, 2)
}

// TestACapStandsAtHomeOnly, whatever is said in a shard that somebody has left meanwhile,
// or that it has just come to. What a sub-participant may owe is limited in every shard.
func TestACapStandsAtHomeOnly(t *testing.T) {
	k := newKeeper()
	k.must(t, Entry{Kind: KindOpen})
	k.must(t, Entry{Kind: KindHome, Shard: 1, Shards: 2})
	one, two, sub := nameAt("one", 1, 2), nameAt("two", 2, 2), nameAt("sub", 2, 2)
	k.must(t, Entry{Kind: KindSponsor, Debtor: sub, Creditor: two})
	stands := func(who tongma.ParticipantID, want int64) {
		t.Helper()
		for _, p := range k.book.Positions() {
			if p.Participant == who && p.Cap != want {
				t.Errorf("%s has a cap of %d, want %d", who, p.Cap, want)
			}
		}
	}
	for _, who := range []tongma.ParticipantID{one, two, sub} {
		k.must(t, capOf(who, 500))
	}
	stands(one, 500)
	stands(two, 0)
	stands(sub, 500)
	k.must(t, Entry{Kind: KindHome, Debtor: one, Shard: 2, Sequence: 1})
	k.must(t, Entry{Kind: KindHome, Debtor: two, Shard: 1, Sequence: 1, Terms: []Terms{{Currency: tongma.CNY, Cap: 500, Directed: 500}}})
	for _, who := range []tongma.ParticipantID{one, two} { // a version that was being adopted meanwhile
		if v, _ := k.submit(t, capOf(who, 700)); v.Reason != tongma.NoReason {
			t.Errorf("%s: %s", who, v.Reason)
		}
	}
	stands(one, 0)
	stands(two, 700)
	sameBooks(t, replayed(t, k.written), k.book)
	sameAsAudit(t, audited(k.written), k.book)
}

// TestCarriesGoOnWhenAShardThatWasAwayIsBack: as many as may be are on the way to it, and it
// has taken them all in; the next one says so, and leaves.
func TestCarriesGoOnWhenAShardThatWasAwayIsBack(t *testing.T) {
	k := newKeeper()
	k.must(t, Entry{Kind: KindOpen})
	k.must(t, Entry{Kind: KindHome, Shard: 1, Shards: 3})
	who := nameAt("bank", 1, 3)
	k.must(t, capOf(who, 100_000))
	next := Entry{Kind: KindCarryOut, Debtor: who, Shard: 2, Amount: tongma.Money{Minor: 1, Currency: tongma.CNY}}
	for range maxPending {
		k.must(t, next)
	}
	if v, _ := k.submit(t, next); v.Reason != tongma.Overloaded {
		t.Fatalf("one more is on the way: %+v", v)
	}
	next.Upto = maxPending
	k.must(t, next)
	if out := k.book.CarriesOut(2, 0); len(out) != 1 || out[0].Sequence != maxPending+1 {
		t.Errorf("%d are on the way", len(out))
	}
	sameBooks(t, replayed(t, k.written), k.book)
	sameAsAudit(t, audited(k.written), k.book)
}
