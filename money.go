package tongma

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/shopspring/decimal"
)

// Money is an amount in whole minor units together with its currency. The two
// never travel apart. The zero Money is no amount in no currency.
type Money struct {
	Minor    int64    // minor units of Currency: 1250 with CNY is 12.50 CNY
	Currency Currency // ISO 4217
}

// MaxMinor bounds every amount that enters the switch: twelve digits, as ISO
// 8583 DE4 carries them. Sums are free to be larger.
const MaxMinor = 999_999_999_999

// Add returns m plus n. It fails if the currencies differ or the sum overflows.
func (m Money) Add(n Money) (Money, error) {
	if m.Currency != n.Currency {
		return Money{}, &Error{Op: "money.Add", Reason: CurrencyMismatch,
			Detail: m.Currency.Code() + " and " + n.Currency.Code()}
	}
	sum := m.Minor + n.Minor
	if (n.Minor > 0 && sum < m.Minor) || (n.Minor < 0 && sum > m.Minor) {
		return Money{}, &Error{Op: "money.Add", Reason: AmountInvalid, Detail: "sum overflows"}
	}
	return Money{sum, m.Currency}, nil
}

// Neg returns m with the opposite sign. It fails for the one value that has none.
func (m Money) Neg() (Money, error) {
	if m.Minor == math.MinInt64 {
		return Money{}, &Error{Op: "money.Neg", Reason: AmountInvalid, Detail: "negation overflows"}
	}
	return Money{-m.Minor, m.Currency}, nil
}

// IsZero tells whether the amount is nothing, in whatever currency.
func (m Money) IsZero() bool { return m.Minor == 0 }

// Payable reports why m cannot be asked of a payer: an unknown currency, an
// amount of zero or less, or more than MaxMinor. It returns nil if it can.
func (m Money) Payable() error {
	switch {
	case !m.Currency.Valid():
		return &Error{Op: "amount", Reason: CurrencyUnknown, Field: "/amount/currency"}
	case m.Minor <= 0:
		return &Error{Op: "amount", Reason: AmountInvalid, Field: "/amount/minor", Detail: "must be more than zero"}
	case m.Minor > MaxMinor:
		return &Error{Op: "amount", Reason: AmountInvalid, Field: "/amount/minor", Detail: "more than twelve digits"}
	}
	return nil
}

// Decimal returns the amount in major units with exactly as many decimals as
// the currency has: "12.50", "-0.05", "1250" for JPY, "1.250" for KWD.
func (m Money) Decimal() string {
	digits := m.Currency.MinorUnits()
	neg := m.Minor < 0
	u := uint64(m.Minor)
	if neg {
		u = -u
	}
	s := strconv.FormatUint(u, 10)
	if digits > 0 {
		if len(s) <= digits {
			s = strings.Repeat("0", digits-len(s)+1) + s
		}
		s = s[:len(s)-digits] + "." + s[len(s)-digits:]
	}
	if neg {
		s = "-" + s
	}
	return s
}

// String returns the amount as people write it: "12.50 CNY".
func (m Money) String() string { return m.Decimal() + " " + m.Currency.Code() }

// Major returns the amount in major units, for rates and fees.
func (m Money) Major() decimal.Decimal {
	return decimal.New(m.Minor, -int32(m.Currency.MinorUnits()))
}

// MoneyOf turns an amount of major units into money. It does not round: more
// decimals than the currency has are refused, unless they are zeros.
func MoneyOf(major decimal.Decimal, c Currency) (Money, error) {
	if !c.Valid() {
		return Money{}, &Error{Op: "money", Reason: CurrencyUnknown}
	}
	minor := major.Shift(int32(c.MinorUnits()))
	if !minor.IsInteger() {
		return Money{}, &Error{Op: "money", Reason: AmountDecimals, Detail: fmt.Sprintf("%s has %d decimals", c.Code(), c.MinorUnits())}
	}
	if !minor.BigInt().IsInt64() {
		return Money{}, &Error{Op: "money", Reason: AmountInvalid, Detail: "too large"}
	}
	return Money{minor.IntPart(), c}, nil
}

// ParseMoney reads a decimal amount of major units as EMVCo MPM 54 writes it:
// "12.5", "98." or "1250". Digits and at most one point are allowed: no sign, no
// thousands separator, no exponent.
func ParseMoney(s string, c Currency) (Money, error) {
	plain := len(s) > 0 && len(s) <= 20 && s[0] != '.' && strings.Count(s, ".") <= 1
	for i := range len(s) {
		plain = plain && (s[i] == '.' || (s[i] >= '0' && s[i] <= '9'))
	}
	major, err := decimal.NewFromString(strings.TrimSuffix(s, "."))
	if !plain || err != nil {
		return Money{}, &Error{Op: "money", Reason: AmountInvalid, Detail: "not a decimal amount"}
	}
	return MoneyOf(major, c)
}
