package clearing

import (
	"cmp"
	"math"
	"slices"

	"github.com/tongma/tongma"
)

// Carry is room of a participant that goes from one shard to another. What leaves is
// taken as if it were owed to the other shard, where it then is owed to the
// participant: so it can be used there, and not here any more. Less than zero is debt
// that leaves: the other shard's room for it is used up. No window has it, and so no
// net changes: it is only where the participant's room lies.
//
// Those from one shard to another are numbered without a gap, and taken in by number:
// once each, however often they are sent. What is in an account goes and comes whoever
// settles for its owner by now: windows of before settle in that account, and a carry that
// could not come in would hold up all behind it.
type Carry struct {
	Shard       uint16 // where to, or where from
	Sequence    uint64
	Participant tongma.ParticipantID
	Amount      tongma.Money // less than zero: debt
}

// maxPending is how many carries may be on the way to one shard.
const maxPending = 4096

// proposeCarry decides on room that leaves, or comes in. The reasons, in their order:
//
//	FieldInvalid: no other shard, no participant, or no amount
//	carry-out: NoAccount; Overloaded (too many on the way); OverCap (there is no such room), AmountInvalid (there is no
//	such debt), PositionOverflow
//	carry-in:  a repeat: Exists; StateConflict (one before it is missing); PositionOverflow
func (b *Book) proposeCarry(e *Entry) Verdict {
	if !b.otherShard(e.Shard) || e.Debtor == "" || IsTransit(e.Debtor) || e.Amount.Minor == 0 || e.Amount.Minor == math.MinInt64 || !e.Amount.Currency.Valid() {
		return Verdict{Reason: tongma.FieldInvalid}
	}
	w := b.wayNow(e.Shard)
	if e.Kind == KindCarryIn {
		switch {
		case e.Sequence != 0 && e.Sequence <= w.taken:
			return Verdict{Exists: true}
		case e.Sequence != w.taken+1:
			return Verdict{Reason: tongma.StateConflict}
		}
		return b.carryFits(e)
	}
	n, known := b.numbers[string(e.Debtor)]
	a := b.accounts[accountKey{n, e.Amount.Currency}]
	if !known || a == nil {
		return Verdict{Reason: tongma.NoAccount}
	}
	// What this entry confirms is on the way no more: else, once so many are, none could
	// ever leave that says so.
	upto := min(max(e.Upto, w.confirmed), w.sent)
	if w.sent-upto >= maxPending {
		return Verdict{Reason: tongma.Overloaded}
	}
	if reason := a.carriable(e.Amount.Minor); reason != tongma.NoReason {
		return Verdict{Reason: reason}
	}
	e.Sequence, e.Upto = w.sent+1, upto
	return b.carryFits(e)
}

// carriable says why so much room, or debt if it is less than zero, may not leave.
func (a *account) carriable(minor int64) tongma.Reason {
	use, ok := addChecked(a.position, a.reserved)
	after, fits := addChecked(use, minor)
	switch {
	case !ok || !fits:
		return tongma.PositionOverflow
	case minor > 0 && after > a.limit():
		return tongma.OverCap
	case minor < 0 && after < 0:
		return tongma.AmountInvalid
	}
	return tongma.NoReason
}

// carryFits tells whether the two positions stay well within 64 bits.
func (b *Book) carryFits(e *Entry) Verdict {
	for _, who := range []tongma.ParticipantID{e.Debtor, TransitAccount(e.Shard)} {
		a := &account{}
		if own := b.accounts[accountKey{b.numbers[string(who)], e.Amount.Currency}]; own != nil {
			a = own
		}
		for _, minor := range []int64{e.Amount.Minor, -e.Amount.Minor} {
			if sum, ok := addChecked(a.position, minor); !ok || sum > math.MaxInt64/2 || sum < math.MinInt64/2 {
				return Verdict{Reason: tongma.PositionOverflow}
			}
		}
	}
	return Verdict{Write: true}
}

func (b *Book) applyCarry(e *Entry) {
	w, minor := b.wayTo(e.Shard), e.Amount.Minor
	if e.Kind == KindCarryIn {
		w.taken, minor = e.Sequence, -minor
	} else {
		w.sent = e.Sequence
		w.pending = append(w.pending[e.Upto-w.confirmed:], Carry{e.Shard, e.Sequence, e.Debtor, e.Amount})
		w.confirmed = e.Upto
	}
	who, transit := b.number(string(e.Debtor)), b.number(string(TransitAccount(e.Shard)))
	b.carry(who, e.Amount.Currency, minor, e.Number)
	b.carry(transit, e.Amount.Currency, -minor, e.Number)
	b.account(who, e.Amount.Currency).position += minor
	b.account(transit, e.Amount.Currency).position -= minor
}

// CarriesOut returns what is on the way to another shard, behind the number that it
// has confirmed, in order.
func (b *Book) CarriesOut(shard uint16, confirmed uint64) []Carry {
	w := b.wayNow(shard)
	i := min(max(confirmed, w.confirmed)-w.confirmed, uint64(len(w.pending)))
	return slices.Clone(w.pending[i:])
}

// CarriesIn returns the number of the latest carry that was taken in from a shard.
func (b *Book) CarriesIn(shard uint16) uint64 { return b.wayNow(shard).taken }

// Astray returns what of every participant lies in this shard though it is at home
// in another: the carry that takes it there, so that here nothing of it is in use.
// Room that is held for open payments stays until they end.
func (b *Book) Astray() []Carry {
	if !b.sharded() {
		return nil
	}
	var out []Carry
	for k, a := range b.accounts {
		who := tongma.ParticipantID(b.names[k.participant])
		use := a.position + a.reserved
		if use == 0 || IsTransit(who) || !b.away(who) {
			continue
		}
		out = append(out, Carry{Shard: b.homeOf(who), Participant: who, Amount: tongma.Money{Minor: -use, Currency: k.currency}})
	}
	slices.SortFunc(out, func(x, y Carry) int {
		return cmp.Or(cmp.Compare(x.Participant, y.Participant), cmp.Compare(x.Amount.Currency, y.Amount.Currency))
	})
	return out
}

// Lacking returns how much room somebody lacks in this shard to owe so much more, and
// who settles for it.
func (b *Book) Lacking(who tongma.ParticipantID, m tongma.Money) (tongma.ParticipantID, int64) {
	n, known := b.numbers[string(who)]
	if !known {
		return who, m.Minor
	}
	settler := b.settler(n)
	a := b.standing(who, m.Currency)
	return tongma.ParticipantID(b.names[settler]), max(0, a.position+a.reserved+m.Minor-a.limit())
}
