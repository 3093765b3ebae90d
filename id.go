package tongma

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// PaymentID names one movement of money through the switch: a payment, a
// transfer or a refund. It is a UUID of version 7, so ids sort by time. The
// zero PaymentID is none.
type PaymentID [16]byte

// ParticipantID names a network that takes part: lower-case letters, digits and
// hyphens, at most 32, starting with a letter. It is also a NATS subject token.
type ParticipantID string

// SchemeID names a payment scheme, in the same form as a ParticipantID.
type SchemeID string

// WindowID numbers the clearing windows from 1. Zero is none.
type WindowID uint64

const crockford = "0123456789abcdefghjkmnpqrstvwxyz"

// IsZero tells whether the id is none.
func (p PaymentID) IsZero() bool { return p == PaymentID{} }

// AppendText appends "pay_" and 26 characters of Crockford's base 32.
func (p PaymentID) AppendText(b []byte) ([]byte, error) {
	hi, lo := binary.BigEndian.Uint64(p[:8]), binary.BigEndian.Uint64(p[8:])
	var out [26]byte
	for i := 25; i >= 0; i-- {
		out[i] = crockford[lo&31]
		lo = lo>>5 | hi<<59
		hi >>= 5
	}
	b = append(b, "pay_"...)
	return append(b, out[:]...), nil
}

// MarshalText writes the text form.
func (p PaymentID) MarshalText() ([]byte, error) { return p.AppendText(make([]byte, 0, 30)) }

// String returns the text form, or "" for none.
func (p PaymentID) String() string {
	if p.IsZero() {
		return ""
	}
	b, _ := p.AppendText(make([]byte, 0, 30))
	return string(b)
}

// UnmarshalText reads the text form.
func (p *PaymentID) UnmarshalText(text []byte) error {
	id, err := ParsePaymentID(string(text))
	if err != nil {
		return err
	}
	*p = id
	return nil
}

// ParsePaymentID reads "pay_" and 26 characters. Upper case is accepted, since
// people retype ids; the letters i, l, o and u are not.
func ParsePaymentID(s string) (PaymentID, error) {
	bad := &Error{Op: "payment id", Reason: FieldInvalid, Detail: `want "pay_" and 26 characters of base 32`}
	body, ok := strings.CutPrefix(strings.ToLower(s), "pay_")
	if !ok || len(body) != 26 || body[0] > '7' {
		return PaymentID{}, bad
	}
	var hi, lo uint64
	for i := range len(body) {
		v := strings.IndexByte(crockford, body[i])
		if v < 0 {
			return PaymentID{}, bad
		}
		hi = hi<<5 | lo>>59
		lo = lo<<5 | uint64(v)
	}
	var p PaymentID
	binary.BigEndian.PutUint64(p[:8], hi)
	binary.BigEndian.PutUint64(p[8:], lo)
	return p, nil
}

// Valid tells whether the name has the form of a participant's id, and is not
// one of the few that subjects use for something else.
func (p ParticipantID) Valid() bool { return validName(string(p)) && !reservedNames[string(p)] }

// Valid tells whether the name has the form of a scheme's id.
func (s SchemeID) Valid() bool { return validName(string(s)) }

func validName(s string) bool {
	if len(s) == 0 || len(s) > 32 || s[0] < 'a' || s[0] > 'z' {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}

// String returns "win_" and at least six digits.
func (w WindowID) String() string {
	if w == 0 {
		return ""
	}
	return fmt.Sprintf("win_%06d", uint64(w))
}

// ParseWindowID reads "win_000012" or plain "12".
func ParseWindowID(s string) (WindowID, error) {
	var n uint64
	digits := strings.TrimPrefix(s, "win_")
	for i := range len(digits) {
		if digits[i] < '0' || digits[i] > '9' || i > 17 {
			n = 0
			break
		}
		n = n*10 + uint64(digits[i]-'0')
	}
	if n == 0 {
		return 0, &Error{Op: "window id", Reason: FieldInvalid, Detail: `want "win_" and digits`}
	}
	return WindowID(n), nil
}
