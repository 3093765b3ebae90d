package clearing

import (
	"math"
	"testing"

	"github.com/tongma/tongma"
)

// TestNetNeverRunsOver: where a sum does not fit there are no figures, and the
// checked form says why. Those that just fit are right.
func TestNetNeverRunsOver(t *testing.T) {
	owes := func(from, to tongma.ParticipantID, minor int64) Obligation {
		return Obligation{Debtor: from, Creditor: to, Currency: tongma.CNY, Gross: minor, Count: 1}
	}
	fits := []Obligation{owes("a", "b", math.MaxInt64-5), owes("b", "c", 3), owes("c", "a", 2)}
	nets, totals, err := NetChecked(fits)
	if err != nil || len(nets) != 3 || nets[0].Net != math.MaxInt64-7 || nets[1].Net != 3-(math.MaxInt64-5) || totals[0].Gross != math.MaxInt64 {
		t.Errorf("%+v %+v %v", nets, totals, err)
	}
	for name, matrix := range map[string][]Obligation{
		"gross runs over":   append(fits, owes("d", "e", 1)),
		"debits run over":   {owes("a", "b", math.MaxInt64), owes("a", "c", math.MaxInt64)},
		"less than nothing": {owes("a", "b", -1)},
	} {
		if nets, totals := Net(matrix); nets != nil || totals != nil {
			t.Errorf("%s: %+v %+v", name, nets, totals)
		}
		if _, _, err := NetChecked(matrix); tongma.ReasonOf(err) != tongma.PositionOverflow {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestAWindowNeverRunsOver: what could make a figure of a sheet leave 64 bits is
// refused at the hold, so that no posting ever has to be.
func TestAWindowNeverRunsOver(t *testing.T) {
	k := newKeeper()
	k.must(t, Entry{Kind: KindOpen})
	k.must(t, capOf("bank-a", 1_000))
	k.must(t, hold(1, "bank-a", "shop-b", 100))
	w := k.book.openOf(0)
	*w.gross.of(tongma.CNY) = mostHeld - 100
	if _, e := k.submit(t, hold(2, "bank-a", "shop-b", 1)); e.Reason != tongma.PositionOverflow {
		t.Errorf("a hold: %s", e.Reason)
	}
	k.must(t, Entry{Kind: KindPost, Payment: testID(1)})
	*w.gross.of(tongma.CNY) = mostPosted
	k.must(t, Entry{Kind: KindReversing, Payment: testID(1)})
	if v, _ := k.submit(t, Entry{Kind: KindReversed, Payment: testID(1)}); v.Reason != tongma.PositionOverflow {
		t.Errorf("a turning back: %s", v.Reason)
	}
}

// TestCompression: how much of the gross has to be moved.
func TestCompression(t *testing.T) {
	for _, c := range []struct {
		total Total
		want  int64
	}{{Total{}, 0}, {Total{Gross: 3, ToMove: 1}, 3_333}, {Total{Gross: 8, ToMove: 8}, 10_000}, {Total{Gross: math.MaxInt64, ToMove: math.MaxInt64 / 2}, 4_999}, {Total{Gross: 1, ToMove: math.MaxInt64}, math.MaxInt64}} {
		if got := c.total.Compression(); got != c.want {
			t.Errorf("%+v: %d, want %d", c.total, got, c.want)
		}
	}
}
