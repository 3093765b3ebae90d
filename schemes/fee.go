package schemes

import (
	"github.com/shopspring/decimal"
	"github.com/tongma/tongma"
)

// FeeKind says what a fee is paid for. Numbers are given once and never reused.
type FeeKind uint8

const (
	FeeNone        FeeKind = 0
	FeeInterchange FeeKind = 1 // between issuer and acquirer
	FeeScheme      FeeKind = 2 // to the scheme
	FeeSwitch      FeeKind = 3 // to the switch
)

// String returns "interchange", "scheme" or "switch".
func (k FeeKind) String() string {
	if k > FeeSwitch {
		return "unknown"
	}
	return [...]string{"none", "interchange", "scheme", "switch"}[k]
}

// OnRefund says what becomes of a fee when its payment is refunded. Whatever it
// says, a payment that is reversed gives back all of its fees: it never was.
type OnRefund uint8

const (
	FeeKeep   OnRefund = 0 // it stays where it is
	FeeReturn OnRefund = 1 // it goes back, in proportion to what is refunded
)

// String returns "keep" or "return".
func (o OnRefund) String() string { return [...]string{"keep", "return"}[o&1] }

// Party is a role in a payment, which a fee rule names in place of participants.
type Party uint8

const (
	PartyNone     Party = iota
	PartyIssuer         // the debtor of the payment
	PartyAcquirer       // its creditor
	PartyScheme
	PartySwitch
)

// FeeRule is how one fee is computed. The fee is basis points of the amount plus
// something flat, by the amount's tier if there are tiers, not less than MinMinor
// and, unless that is zero, not more than MaxMinor. It is rounded once, half to
// even, to whole minor units of Currency.
type FeeRule struct {
	Kind        FeeKind
	From, To    Party
	Currency    tongma.Currency // of payments to which it applies, and of every figure here
	BasisPoints decimal.Decimal // hundredths of a percent: 0 to 10,000, with at most six decimals
	FlatMinor   int64
	Tiers       []Tier  // in place of BasisPoints and FlatMinor; ordered
	Shares      []Share // in place of To: the rounded fee, split
	MinMinor    int64
	MaxMinor    int64
	OnRefund    OnRefund
}

// Tier is the price of amounts from AboveMinor on. It holds for the whole amount,
// not only for what lies above.
type Tier struct {
	AboveMinor  int64 // the first tier's is zero
	BasisPoints decimal.Decimal
	FlatMinor   int64
}

// Share is one receiver's part of a fee.
type Share struct {
	To     Party
	Weight int64
}

// Check says what is wrong with a rule: FieldInvalid, and where.
func (r *FeeRule) Check() error {
	bad := func(field string) error {
		return &tongma.Error{Op: "schemes.FeeRule", Reason: tongma.FieldInvalid, Field: field}
	}
	price := func(points decimal.Decimal, flat int64) bool {
		return points.Exponent() >= -6 && points.Exponent() <= 4 && !points.IsNegative() && points.LessThanOrEqual(decimal.NewFromInt(10_000)) &&
			flat >= 0 && flat <= tongma.MaxMinor
	}
	role := func(p Party) bool { return p >= PartyIssuer && p <= PartySwitch }
	switch {
	case r.Kind == FeeNone || r.Kind > FeeSwitch:
		return bad("/kind")
	case r.OnRefund > FeeReturn:
		return bad("/on_refund")
	case !r.Currency.Valid():
		return bad("/currency")
	case !role(r.From):
		return bad("/from")
	case len(r.Shares) == 0 && (!role(r.To) || r.To == r.From), len(r.Shares) > 0 && r.To != PartyNone:
		return bad("/to")
	case !price(r.BasisPoints, r.FlatMinor), len(r.Tiers) > 0 && !(r.BasisPoints.IsZero() && r.FlatMinor == 0):
		return bad("/basis_points")
	case r.MinMinor < 0 || r.MaxMinor < 0 || r.MinMinor > tongma.MaxMinor || r.MaxMinor > tongma.MaxMinor || (r.MaxMinor > 0 && r.MinMinor > r.MaxMinor):
		return bad("/min")
	}
	for i, t := range r.Tiers {
		if !price(t.BasisPoints, t.FlatMinor) || (i == 0) != (t.AboveMinor == 0) || (i > 0 && t.AboveMinor <= r.Tiers[i-1].AboveMinor) {
			return bad("/tiers")
		}
	}
	for _, s := range r.Shares {
		if !role(s.To) || s.To == r.From || s.Weight <= 0 || s.Weight > tongma.MaxMinor {
			return bad("/shares")
		}
	}
	return nil
}
