package exchange

import (
	"math/bits"

	"github.com/tongma/tongma"
)

// pow10 holds the powers of ten that fit 64 bits.
var pow10 = func() (p [20]uint64) {
	p[0] = 1
	for i := 1; i < len(p); i++ {
		p[i] = p[i-1] * 10
	}
	return p
}()

// Pair is what a payment, or a part of it, is on both sides.
type Pair struct{ Source, Target tongma.Money }

// Conversion is a pair that follows from terms, and what its rounding left to the
// dealer: Left/Of minor units of the side that was not fixed; 0 <= Left < Of.
type Conversion struct {
	Pair
	Left, Of uint64
}

// Quote is a dealer's word: until Expiry it exchanges Source for Target at Rate,
// with the side Fixed given by whoever uses the quote.
type Quote struct {
	ID             string
	Dealer         tongma.ParticipantID
	Source, Target tongma.Currency
	Rate           Rate
	Fixed          Side
	Expiry         int64 // Unix milliseconds; the moment itself is still in time
}

// Terms returns what of the quote goes into the journal.
func (q Quote) Terms() Terms { return Terms{q.Rate, q.Fixed} }

// Usable reports why the quote cannot be used at now, Unix milliseconds:
// FieldInvalid for one that no dealer can have made, QuoteExpired. A quote of no
// expiry has expired.
func (q Quote) Usable(now int64) error {
	switch {
	case q.ID == "" || len(q.ID) > 64 || !q.Dealer.Valid() || !q.Fixed.known() || !q.Rate.covers(q.Source, q.Target):
		return fault("quote", tongma.FieldInvalid, "it lacks an id, a dealer or a fixed side, or its rate is of other currencies")
	case now > q.Expiry:
		return fault("quote", tongma.QuoteExpired, "")
	}
	return nil
}

// Convert returns both sides of a payment of which amount is the given side. The
// reasons, in their order: FieldInvalid (no such side, no rate), QuoteMismatch
// (the quote fixes the other side, or is of other currencies), what
// Money.Payable says of the amount, AmountInvalid (the other side comes to less
// than a minor unit, or to more than can be paid).
func Convert(amount tongma.Money, q Quote, side Side) (Conversion, error) {
	if side != q.Fixed {
		return Conversion{}, fault("convert", tongma.QuoteMismatch, "the quote fixes the other side")
	}
	given, other := q.Source, q.Target
	if side == Target {
		given, other = other, given
	}
	if amount.Currency != given {
		return Conversion{}, fault("convert", tongma.QuoteMismatch, "the quote is of another currency")
	}
	return q.Terms().Convert(amount, other)
}

// Convert returns both sides of a payment of which amount is the fixed one, and
// other the currency of the other one. The reasons are those of Convert.
func (t Terms) Convert(amount tongma.Money, other tongma.Currency) (Conversion, error) {
	if !t.Fixed.known() || t.Rate.digits == 0 {
		return Conversion{}, fault("convert", tongma.FieldInvalid, "no rate, or no fixed side")
	}
	if !t.Rate.covers(amount.Currency, other) {
		return Conversion{}, fault("convert", tongma.QuoteMismatch, "the rate is of other currencies")
	}
	if err := amount.Payable(); err != nil {
		return Conversion{}, err
	}
	minor, left, of, ok := t.Rate.apply(uint64(amount.Minor), amount.Currency, other)
	c := Conversion{Of: of, Left: left}
	if t.Fixed == Target && left > 0 {
		minor, c.Left = minor+1, of-left // a source is rounded up
	}
	if !ok || minor == 0 || minor > tongma.MaxMinor {
		return Conversion{}, fault("convert", tongma.AmountInvalid, "the other side is less than a minor unit, or too much")
	}
	computed := tongma.Money{Minor: int64(minor), Currency: other}
	if c.Pair = (Pair{amount, computed}); t.Fixed == Target {
		c.Pair = Pair{computed, amount}
	}
	return c, nil
}

// apply returns minor units of from in those of to: the whole ones, and left/of of
// one more. ok is false if they do not fit.
//
// digits are below 10^15 and meet a power of ten of at most 10^4; alone it is at
// most 10^16. So up and by fit 64 bits, and the product with minor 128.
func (r Rate) apply(minor uint64, from, to tongma.Currency) (whole, left, of uint64, ok bool) {
	shift := to.MinorUnits() - from.MinorUnits()
	up, by := r.digits, uint64(1)
	if from == r.Base {
		shift -= int(r.decimals)
	} else {
		shift += int(r.decimals)
		up, by = 1, r.digits
	}
	if shift < 0 {
		by *= pow10[-shift]
	} else {
		up *= pow10[shift]
	}
	hi, lo := bits.Mul64(minor, up)
	if hi >= by {
		return 0, 0, by, false
	}
	whole, left = bits.Div64(hi, lo, by)
	return whole, left, by, true
}

// Check reports whether amount, which the payer's network pays, and target, which
// the payee's network gets, follow from the rate: nil, QuoteMismatch, or what
// Convert says.
func Check(amount, target tongma.Money, rate Rate, fixed Side) error {
	given, other := amount, target
	if fixed == Target {
		given, other = target, amount
	}
	c, err := Terms{rate, fixed}.Convert(given, other.Currency)
	if err != nil {
		return err
	}
	if (c.Pair != Pair{amount, target}) {
		return fault("check", tongma.QuoteMismatch, "by the rate it comes to "+c.Source.String()+" for "+c.Target.String())
	}
	return nil
}

// Check is the function Check with these terms.
func (t Terms) Check(amount, target tongma.Money) error {
	return Check(amount, target, t.Rate, t.Fixed)
}

// Proportion returns both sides of a part of a payment that goes back: whole is
// the payment, done what of it went back, or is on its way back, and part this
// one, in either currency of the payment. The other side is such that all that is
// then back is in proportion, rounded down: the dealer keeps what the rounding
// leaves, until the last part returns all of it. So all parts together return
// exactly the payment, whatever parts there are, and whichever of them were given
// up in between. A part so small that nothing would go back on the other side is
// refused: it would be a gift to the dealer.
//
// The reasons, in their order: CurrencyMismatch, AmountInvalid (part is not more
// than zero; whole or done are no such amounts), RefundExceeds, AmountInvalid
// (the other side is less than a minor unit).
func Proportion(whole, done Pair, part tongma.Money) (Pair, error) {
	if part.Currency == whole.Target.Currency && part.Currency != whole.Source.Currency {
		back, err := Proportion(Pair{whole.Target, whole.Source}, Pair{done.Target, done.Source}, part)
		return Pair{back.Target, back.Source}, err
	}
	sane := whole.Source.Minor > 0 && whole.Target.Minor > 0 && done.Source.Minor >= 0 && done.Target.Minor >= 0
	switch left := whole.Source.Minor - done.Source.Minor; {
	case part.Currency != whole.Source.Currency || !fits(done.Source, whole.Source) || !fits(done.Target, whole.Target):
		return Pair{}, fault("proportion", tongma.CurrencyMismatch, "")
	case part.Minor <= 0 || !sane:
		return Pair{}, fault("proportion", tongma.AmountInvalid, "")
	case part.Minor > left || done.Target.Minor > whole.Target.Minor:
		return Pair{}, fault("proportion", tongma.RefundExceeds, "")
	}
	hi, lo := bits.Mul64(uint64(done.Source.Minor+part.Minor), uint64(whole.Target.Minor))
	back, _ := bits.Div64(hi, lo, uint64(whole.Source.Minor)) // at most the whole target: it fits
	other := int64(back) - done.Target.Minor
	if other <= 0 {
		return Pair{}, fault("proportion", tongma.AmountInvalid, "the other side is less than a minor unit")
	}
	return Pair{part, tongma.Money{Minor: other, Currency: whole.Target.Currency}}, nil
}

// fits tells whether part, which may be nothing at all, is in whole's currency.
func fits(part, whole tongma.Money) bool {
	return part == tongma.Money{} || part.Currency == whole.Currency
}
