package clearing

import (
	"cmp"
	"math"
	"math/bits"
	"slices"

	"github.com/shopspring/decimal"
	"github.com/tongma/tongma"
	"github.com/tongma/tongma/schemes"
)

// Leg is one fee of a posting: From pays To, in the same entry as the posting and
// in its currency. A leg moves positions and counts in the window just as the
// payment does, but is not held beforehand: it may take its bearer past its cap,
// and then blocks that bearer's next holds.
type Leg struct {
	Kind     schemes.FeeKind
	OnRefund schemes.OnRefund
	From, To tongma.ParticipantID // never the same
	Amount   tongma.Money         // more than zero, at most tongma.MaxMinor
}

// MaxLegs bounds the fee legs of one entry.
const MaxLegs = 8

// legsFit tells whether the legs can be written to disk and read back.
func legsFit(legs []Leg) bool {
	for i := range legs {
		l := &legs[i]
		if l.Kind == schemes.FeeNone || l.Kind > schemes.FeeSwitch || l.OnRefund > schemes.FeeReturn || l.From == "" || l.To == "" || l.From == l.To ||
			len(l.From) > maxName || len(l.To) > maxName || l.Amount.Minor <= 0 || l.Amount.Minor > tongma.MaxMinor {
			return false
		}
	}
	return len(legs) <= MaxLegs
}

// Parties says who plays which role in one payment. A role may stay empty if no
// rule names it.
type Parties struct {
	Issuer, Acquirer, Scheme, Switch tongma.ParticipantID
}

func (p *Parties) of(role schemes.Party) tongma.ParticipantID {
	switch role {
	case schemes.PartyIssuer:
		return p.Issuer
	case schemes.PartyAcquirer:
		return p.Acquirer
	case schemes.PartyScheme:
		return p.Scheme
	case schemes.PartySwitch:
		return p.Switch
	}
	return ""
}

// feeOf returns what a rule takes of an amount, in minor units.
func feeOf(r *schemes.FeeRule, amount int64) int64 {
	points, flat := r.BasisPoints, r.FlatMinor
	for _, t := range r.Tiers {
		if amount >= t.AboveMinor {
			points, flat = t.BasisPoints, t.FlatMinor
		}
	}
	exact := points.Mul(decimal.NewFromInt(amount)).Shift(-4).Add(decimal.NewFromInt(flat))
	minor := max(exact.RoundBank(0).IntPart(), r.MinMinor)
	if r.MaxMinor > 0 {
		minor = min(minor, r.MaxMinor)
	}
	return min(minor, tongma.MaxMinor)
}

// Fees returns the legs of a payment of the given amount, in the order of the
// rules. Rules for other currencies are passed over. No leg comes of a fee of
// zero, nor of one that a participant would pay itself, as when issuer and acquirer
// are one. FieldInvalid: a rule is wrong, a role that it names is played by nobody,
// the amount is not payable, or there are more than MaxLegs. It is pure.
func Fees(rules []schemes.FeeRule, who Parties, amount tongma.Money) ([]Leg, error) {
	if err := amount.Payable(); err != nil {
		return nil, err
	}
	var legs []Leg
	for i := range rules {
		r := &rules[i]
		if err := r.Check(); err != nil {
			return nil, err
		}
		if r.Currency != amount.Currency {
			continue
		}
		shares := r.Shares
		if len(shares) == 0 {
			shares = []schemes.Share{{To: r.To, Weight: 1}}
		}
		weights := make([]int64, len(shares))
		for j, s := range shares {
			weights[j] = s.Weight
		}
		parts, err := Split(feeOf(r, amount.Minor), weights)
		if err != nil {
			return nil, err
		}
		for j, part := range parts {
			l := Leg{r.Kind, r.OnRefund, who.of(r.From), who.of(shares[j].To), tongma.Money{Minor: part, Currency: amount.Currency}}
			if l.From == "" || l.To == "" {
				return nil, &tongma.Error{Op: "clearing.Fees", Reason: tongma.FieldInvalid, Field: "/parties", Detail: "a role is played by nobody"}
			}
			if part > 0 && l.From != l.To {
				legs = append(legs, l)
			}
		}
	}
	if !legsFit(legs) {
		return nil, &tongma.Error{Op: "clearing.Fees", Reason: tongma.FieldInvalid, Field: "/rules", Detail: "too many legs"}
	}
	return legs, nil
}

// Split divides total by weights, so that the parts are whole, differ from the
// exact ones by less than one, and add up to total: each gets its exact part cut
// off, and those that lost most by it get one more, the earlier first where they
// lost the same. FieldInvalid: total or a weight is less than zero, no weight is
// more, or their sum is more than 64 bits hold.
func Split(total int64, weights []int64) ([]int64, error) {
	bad := &tongma.Error{Op: "clearing.Split", Reason: tongma.FieldInvalid}
	sum, ok := int64(0), total >= 0
	for _, w := range weights {
		sum += w
		ok = ok && w >= 0 && sum >= 0
	}
	if !ok || sum == 0 {
		return nil, bad
	}
	parts, lost, order := make([]int64, len(weights)), make([]uint64, len(weights)), make([]int, len(weights))
	left := total
	for i, w := range weights {
		hi, lo := bits.Mul64(uint64(total), uint64(w))
		q, r := bits.Div64(hi, lo, uint64(sum)) // w is at most sum, so that q is at most total
		parts[i], lost[i], order[i] = int64(q), r, i
		left -= int64(q)
	}
	slices.SortStableFunc(order, func(x, y int) int { return cmp.Compare(lost[y], lost[x]) })
	for _, i := range order[:left] {
		parts[i]++
	}
	return parts, nil
}

// Returned returns the legs that go back when amount is refunded of a payment of
// whole minor units, of which before was refunded already: of each leg that says
// so, what is due for everything refunded up to now, less what went back before.
// So all refunds of a payment together return each leg exactly, in whatever parts
// they come, and never more. It is pure.
func Returned(taken []Leg, whole, before, amount int64) []Leg {
	var legs []Leg
	for _, l := range taken {
		if l.OnRefund != schemes.FeeReturn {
			continue
		}
		l.Amount.Minor = proportion(l.Amount.Minor, before+amount, whole) - proportion(l.Amount.Minor, before, whole)
		if l.Amount.Minor > 0 {
			l.From, l.To = l.To, l.From
			legs = append(legs, l)
		}
	}
	return legs
}

// proportion is n * part / whole, rounded half to even; n if part is the whole.
func proportion(n, part, whole int64) int64 {
	switch {
	case part <= 0:
		return 0
	case part >= whole:
		return n
	}
	hi, lo := bits.Mul64(uint64(n), uint64(part))
	q, r := bits.Div64(hi, lo, uint64(whole))
	if rest := uint64(whole) - r; r > rest || (r == rest && q&1 == 1) {
		q++
	}
	return int64(q)
}

// turned returns legs the other way round: what a reversal gives back.
func turned(taken []Leg) []Leg {
	if len(taken) == 0 {
		return nil
	}
	legs := slices.Clone(taken)
	for i := range legs {
		legs[i].From, legs[i].To = legs[i].To, legs[i].From
	}
	return legs
}

// returned returns the fees of a payment that go back if minor units of it are refunded
// or charged back now.
func (b *Book) returned(i uint32, minor int64) []Leg {
	o := b.payments.at(i)
	return Returned(b.legs(o), b.given(o).Minor, o.refunded+b.claimsOn(i).feesBack, minor)
}

// chargeable says why the fee legs of a completed entry may not be written. Caps
// are no such reason: what the scheme has approved is posted, with its fees.
func (b *Book) chargeable(e *Entry, p *payment) tongma.Reason {
	if e.Window != 0 && (len(e.Legs) > 0 || e.Kind == KindReversed) {
		more := int64(MaxLegs * tongma.MaxMinor)
		if e.Kind == KindReversed { // a posting was held, and counts already
			more += e.Amount.Minor
		}
		if b.tooMuch(b.openOf(p.model), p.currency, more, mostPosted) || b.tooMuch(b.openOf(p.model), b.given(p).Currency, more, mostPosted) {
			return tongma.PositionOverflow
		}
	}
	return b.bearable(e, p)
}

// chargeableLegs is chargeable for the fees that go back with a chargeback.
func (b *Book) chargeableLegs(e *Entry, w *window, p *payment) tongma.Reason {
	if len(e.Legs) > 0 && b.tooMuch(w, p.currency, int64(MaxLegs*tongma.MaxMinor), mostPosted) {
		return tongma.PositionOverflow
	}
	return b.bearable(e, p)
}

// bearable says why the accounts of the fee legs cannot bear them.
func (b *Book) bearable(e *Entry, p *payment) tongma.Reason {
	for i := range e.Legs {
		l := &e.Legs[i]
		if l.Amount.Currency != b.feeCurrency(p) {
			return tongma.FieldInvalid
		}
		from, to := b.standing(l.From, l.Amount.Currency), b.standing(l.To, l.Amount.Currency)
		use, ok := addChecked(from.position, from.reserved)
		const most = MaxLegs * tongma.MaxMinor // all legs of an entry, on one account
		if !ok || use > math.MaxInt64-most || to.position < math.MinInt64/2 {
			return tongma.PositionOverflow
		}
	}
	return tongma.NoReason
}
