package exchange

import (
	"strconv"
	"strings"

	"github.com/shopspring/decimal"
	"github.com/tongma/tongma"
)

// Bounds of a rate: significant digits, and how many of them behind the point.
// They keep every product of a rate and an amount within 128 bits.
const (
	MaxDigits   = 15
	MaxDecimals = 12
)

// Rate says how much of Term one major unit of Base is worth. It is a plain
// value, can be compared, and keeps the decimals that it was written with:
// "1.0850" has four. The zero Rate exchanges nothing.
type Rate struct {
	Base, Term tongma.Currency
	digits     uint64 // all digits as one number: 155230
	decimals   uint8  // how many of them are behind the point: 3
}

// NewRate reads a rate's number: digits and at most one point between them, not
// zero, no sign, no exponent, no needless zero in front, at most MaxDigits and
// MaxDecimals. The currencies must be known, and two.
func NewRate(base, term tongma.Currency, number string) (Rate, error) {
	r := Rate{Base: base, Term: term}
	if !base.Valid() || !term.Valid() {
		return Rate{}, fault("rate", tongma.CurrencyUnknown, "")
	}
	if base == term {
		return Rate{}, fault("rate", tongma.FieldInvalid, "a currency is not exchanged for itself")
	}
	whole, fraction, point := strings.Cut(number, ".")
	if whole == "" || point && fraction == "" || len(whole) > 1 && whole[0] == '0' {
		return Rate{}, fault("rate", tongma.FieldInvalid, "not a plain decimal number")
	}
	if len(fraction) > MaxDecimals || len(whole)+len(fraction) > MaxDigits+1 {
		return Rate{}, fault("rate", tongma.FieldInvalid, "too many digits")
	}
	for _, part := range [...]string{whole, fraction} {
		for i := range len(part) {
			if part[i] < '0' || part[i] > '9' {
				return Rate{}, fault("rate", tongma.FieldInvalid, "not a plain decimal number")
			}
			r.digits = r.digits*10 + uint64(part[i]-'0')
		}
	}
	if r.digits == 0 || r.digits >= pow10[MaxDigits] {
		return Rate{}, fault("rate", tongma.FieldInvalid, "zero, or too many digits")
	}
	r.decimals = uint8(len(fraction))
	return r, nil
}

// Quoted returns the rate at which a dealer sells term for base: number, units of
// term for one of base, less a margin of 0 to below 10,000 basis points, cut to so
// many decimals. Cutting is in the dealer's favour too. It fails with FieldInvalid
// if number or margin are none, or if nothing is left.
func Quoted(base, term tongma.Currency, number string, margin decimal.Decimal, decimals int) (Rate, error) {
	r, err := NewRate(base, term, number)
	if err != nil {
		return Rate{}, err
	}
	if margin.IsNegative() || margin.Cmp(basisPoints) >= 0 || decimals < 0 || decimals > MaxDecimals {
		return Rate{}, fault("quoted", tongma.FieldInvalid, "the margin or the number of decimals is out of bounds")
	}
	exact := decimal.NewFromUint64(r.digits).Shift(-int32(r.decimals)).Mul(basisPoints.Sub(margin)).Shift(-4)
	return NewRate(base, term, exact.Truncate(int32(decimals)).StringFixed(int32(decimals)))
}

var basisPoints = decimal.New(10_000, 0)

// ParseRate reads "USD/JPY 155.230", exactly as String writes it.
func ParseRate(s string) (Rate, error) {
	if len(s) < 9 || s[3] != '/' || s[7] != ' ' {
		return Rate{}, fault("rate", tongma.FieldInvalid, `want "USD/JPY 155.230"`)
	}
	base, _ := tongma.CurrencyByCode(s[:3])
	term, _ := tongma.CurrencyByCode(s[4:7])
	return NewRate(base, term, s[8:])
}

// Number returns the rate without its currencies: "155.230".
func (r Rate) Number() string {
	s := strconv.FormatUint(r.digits, 10)
	n := int(r.decimals)
	if n == 0 {
		return s
	}
	s = strings.Repeat("0", max(0, n+1-len(s))) + s
	return s[:len(s)-n] + "." + s[len(s)-n:]
}

// String returns "USD/JPY 155.230".
func (r Rate) String() string { return r.Base.Code() + "/" + r.Term.Code() + " " + r.Number() }

// MarshalText writes what String returns.
func (r Rate) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads it.
func (r *Rate) UnmarshalText(text []byte) error {
	got, err := ParseRate(string(text))
	if err == nil {
		*r = got
	}
	return err
}

// covers tells whether the rate is between these two, either way round.
func (r Rate) covers(source, target tongma.Currency) bool {
	return r.digits > 0 && (r.Base == source && r.Term == target || r.Base == target && r.Term == source)
}

// Side is one of the two amounts of a payment. The zero Side is neither.
type Side uint8

// The sides.
const (
	NoSide Side = 0
	Source Side = 1 // what the payer's network pays to the dealer
	Target Side = 2 // what the dealer pays to the payee's network
)

// String returns "source", "target" or "none".
func (s Side) String() string { return [...]string{"none", "source", "target"}[s%3] }

func (s Side) known() bool { return s == Source || s == Target }

// ParseSide reads "source" or "target".
func ParseSide(s string) (Side, error) {
	switch s {
	case "source":
		return Source, nil
	case "target":
		return Target, nil
	}
	return NoSide, fault("side", tongma.FieldInvalid, "want source or target")
}

// MarshalText writes the side's name; it refuses NoSide.
func (s Side) MarshalText() ([]byte, error) {
	_, err := ParseSide(s.String())
	return []byte(s.String()), err
}

// UnmarshalText reads it.
func (s *Side) UnmarshalText(text []byte) error {
	got, err := ParseSide(string(text))
	if err == nil {
		*s = got
	}
	return err
}

// Terms are a rate, and which side is fixed.
type Terms struct {
	Rate  Rate
	Fixed Side
}

// String returns "USD/JPY 155.230 target", the form of the journal.
func (t Terms) String() string { return t.Rate.String() + " " + t.Fixed.String() }

// ParseTerms reads exactly what String writes. It allocates nothing.
func ParseTerms(s string) (Terms, error) {
	i := strings.LastIndexByte(s, ' ')
	if i < 0 {
		return Terms{}, fault("terms", tongma.FieldInvalid, `want "USD/JPY 155.230 target"`)
	}
	side, err := ParseSide(s[i+1:])
	if err != nil {
		return Terms{}, err
	}
	rate, err := ParseRate(s[:i])
	return Terms{rate, side}, err
}

func fault(op string, r tongma.Reason, detail string) error {
	return &tongma.Error{Op: "exchange: " + op, Reason: r, Detail: detail}
}
