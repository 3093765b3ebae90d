// Package paycode reads numeric payment codes: the digits that a payer's app
// shows as Code 128 and QR. It also makes and checks the digits of the unified
// format (codespec/SPEC.md 3).
package paycode

import "errors"

// Bounds of numeric payment codes over all known schemes.
const (
	MinDigits = 16
	MaxDigits = 24
)

// Unified format: 77, issuer, one-time token, check digits.
const (
	UnifiedPrefix = "77"
	UnifiedDigits = 20
	IssuerDigits  = 4
	TokenDigits   = 12
)

// Errors of the unified format. Their texts hold no digits of the code.
var (
	ErrNotUnified  = errors.New("paycode: not 20 digits starting with 77")
	ErrCheckDigits = errors.New("paycode: check digits do not match")
	ErrIssuer      = errors.New("paycode: issuer is not four digits")
	ErrToken       = errors.New("paycode: token is not twelve digits")
)

// Code is a numeric payment code. All of it is secret while the code lives.
type Code struct {
	Digits string
	Issuer string // unified format only: four digits
	Token  string // unified format only: twelve digits that only the issuer can open
}

// Unified reports whether the code is of the unified format.
func (c *Code) Unified() bool { return c.Issuer != "" }

// AllDigits reports whether s is one or more ASCII digits.
func AllDigits(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i]-'0' > 9 {
			return false
		}
	}
	return s != ""
}

// IsUnified reports whether s has the form of a unified code; the check digits
// are not looked at.
func IsUnified(s string) bool {
	return len(s) == UnifiedDigits && s[:2] == UnifiedPrefix && AllDigits(s)
}

// ParseUnified splits a unified code and verifies its check digits.
func ParseUnified(s string) (Code, error) {
	if !IsUnified(s) {
		return Code{}, ErrNotUnified
	}
	// Not "remainder 1": 00, 01 and 99 leave the same remainders as 97, 98 and 02,
	// and a code must have one spelling.
	body := s[:UnifiedDigits-2]
	if n := check(body); s[18] != byte('0'+n/10) || s[19] != byte('0'+n%10) {
		return Code{}, ErrCheckDigits
	}
	return Code{Digits: s, Issuer: s[2:6], Token: s[6:18]}, nil
}

// MakeUnified writes the code of an issuer and a token.
func MakeUnified(issuer, token string) (Code, error) {
	if len(issuer) != IssuerDigits || !AllDigits(issuer) {
		return Code{}, ErrIssuer
	}
	if len(token) != TokenDigits || !AllDigits(token) {
		return Code{}, ErrToken
	}
	body := UnifiedPrefix + issuer + token
	return Code{Digits: body + CheckDigits(body), Issuer: issuer, Token: token}, nil
}

// CheckDigits returns the two digits of ISO 7064 MOD 97-10 for a string of
// digits: 98 minus the remainder of the string followed by 00. It returns "" if
// s is not digits. A code that carries them leaves remainder 1. They catch every
// single wrong digit and every swap of two neighbours.
func CheckDigits(s string) string {
	if !AllDigits(s) {
		return ""
	}
	n := check(s)
	return string([]byte{byte('0' + n/10), byte('0' + n%10)})
}

// check is the number that the check digits of s stand for: 2 to 98.
func check(s string) int { return 98 - mod97(s)*100%97 }

// mod97 is the remainder of a decimal string. s holds digits only.
func mod97(s string) int {
	r := 0
	for len(s) > 7 {
		for i := 0; i < 7; i++ {
			r = r*10 + int(s[i]-'0')
		}
		r, s = r%97, s[7:]
	}
	for i := 0; i < len(s); i++ {
		r = r*10 + int(s[i]-'0')
	}
	return r % 97
}
