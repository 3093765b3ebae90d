package codespec

import (
	"errors"
	"strings"

	"github.com/tongma/tongma/codespec/emv"
	"github.com/tongma/tongma/codespec/link"
	"github.com/tongma/tongma/codespec/paycode"
)

// Decode says what a barcode is, by the rules built into this version. See
// Rules.Decode.
func Decode(raw string) (Code, error) { return DefaultRules().Decode(raw) }

// Decode says what a barcode is. A trailing CR and LF, which scanners add, are
// cut off; nothing else is trimmed. The error is a *DecodeError. With an error
// the Code still says which format was recognised and, for EMVCo codes, what
// could be read, to be shown and never to be paid.
func (r *Rules) Decode(raw string) (Code, error) {
	text := strings.TrimRight(raw, "\r\n")
	switch {
	case len(raw) > MaxRaw:
		return Code{Format: FormatUnknown}, fail(FormatUnknown, ReasonTooLong, "more than a symbol can hold")
	case text == "":
		return Code{Format: FormatUnknown}, fail(FormatUnknown, ReasonEmpty, "nothing was scanned")
	case text[0]-'0' <= 9:
		return r.decodeDigit(text)
	case strings.HasPrefix(text, "hQV"): // 85 05, and a letter
		return r.decodeCPM(text)
	case text[0] == rideInterop || text[0] == rideLocal || strings.HasPrefix(text, shanghaiMark):
		return decodeRide(raw)
	}
	if c, ok := r.notPayable(text); ok {
		return c, nil
	}
	if i := strings.IndexByte(text, ':'); i > 0 && i <= maxURLScheme && strings.HasPrefix(text[i:], "://") {
		return r.decodeURL(text)
	}
	return unknown(text)
}

func unknown(text string) (Code, error) {
	return Code{Format: FormatUnknown, Raw: text}, fail(FormatUnknown, ReasonUnknownFormat, "no notation that we know")
}

// decodeDigit takes what starts with a digit: an MPM starts with 00, and no
// numeric pay code does.
func (r *Rules) decodeDigit(text string) (Code, error) {
	if strings.HasPrefix(text, "00") {
		if c, ok := r.slip(text); ok {
			return c, nil
		}
		return r.decodeMPM(text)
	}
	if paycode.AllDigits(text) {
		return r.decodeNumeric(text)
	}
	return unknown(text)
}

func (r *Rules) decodeMPM(text string) (Code, error) {
	c := Code{Format: FormatMPM, Presentation: Merchant, Raw: text}
	m, err := emv.ParseMPM(text)
	c.MPM = m
	var taken []int16
	if m != nil {
		c.Matches, taken = r.matchMPM(m)
	}
	if err != nil {
		return c, fromWire(FormatMPM, err)
	}
	c.Findings = r.profileFindings(m, c.Matches, taken, m.Findings())
	return c, nil
}

func (r *Rules) decodeCPM(text string) (Code, error) {
	c := Code{Format: FormatCPM, Presentation: Consumer, Raw: text}
	p, err := emv.ParseCPM(text)
	c.CPM = p
	if p != nil {
		if p.Format == emv.FormatJPQR1 {
			c.Format = FormatJPQRCPM
		}
		c.Matches = r.matchCPM(p)
	}
	if err != nil {
		return c, fromWire(c.Format, err)
	}
	unified, derr := unifiedApp(p)
	if derr != nil {
		return c, derr
	}
	c.PayCode, c.Findings = unified, p.Findings()
	return c, nil
}

func (r *Rules) decodeNumeric(text string) (Code, error) {
	c := Code{Format: FormatPayCode, Presentation: Consumer, Raw: text}
	if paycode.IsUnified(text) {
		c.Format = FormatUnifiedPayCode
		p, err := paycode.ParseUnified(text)
		if err != nil {
			return c, fail(c.Format, ReasonCheckDigits, "check digits do not match")
		}
		c.PayCode, c.Matches = &p, unifiedMatch[:]
		return c, nil
	}
	if c.Matches = r.matchNumeric(text); c.Matches == nil {
		return c, fail(c.Format, ReasonNoRule, "no scheme's rule covers these digits"+r.almostNumeric(text))
	}
	c.PayCode = &paycode.Code{Digits: text}
	return c, nil
}

func (r *Rules) decodeURL(text string) (Code, error) {
	c := Code{Format: FormatURL, Presentation: Merchant, Raw: text}
	l, rule, err := r.matchURL(text, 0)
	if err != nil {
		if g, ok := r.gs1(text); ok && err.Reason != link.ReasonUserinfo && err.Reason != link.ReasonPort {
			return g, nil
		}
		return c, err
	}
	if rule.NotPayable {
		c.Format, c.Presentation = FormatNotPayable, None
	}
	c.Link = l
	c.Matches = rule.match
	if u := l.UPI; u != nil {
		c.Findings = upiFindings(u)
	}
	return c, nil
}

func upiFindings(u *link.UPI) []Finding {
	var f []Finding
	if u.ZeroAmount {
		f = append(f, Finding{Path: "am", Kind: "amount-zero", Message: "amount is zero"})
	}
	if u.NonASCII {
		f = append(f, Finding{Path: "", Kind: "unescaped", Message: "characters that should have been escaped"})
	}
	if u.HasSignature() && u.Mode == "" {
		f = append(f, Finding{Path: "mode", Kind: "upi-mode-missing", Message: "signed without mode"})
	}
	return f
}

func fail(f Format, reason, message string) *DecodeError {
	return &DecodeError{Format: f, Reason: reason, Offset: -1, Message: message}
}

func fromWire(f Format, err error) error {
	var w *emv.WireError
	if !errors.As(err, &w) {
		return err
	}
	return &DecodeError{Format: f, Reason: w.Reason, Path: w.Path, Offset: w.Offset, Message: w.Message}
}

func fromLink(err error) *DecodeError {
	var l *link.Error
	if !errors.As(err, &l) {
		return fail(FormatURL, link.ReasonBadURL, "not a URL")
	}
	return &DecodeError{Format: FormatURL, Reason: l.Reason, Path: l.Path, Offset: l.Offset, Message: l.Message}
}
