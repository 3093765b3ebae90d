// Package codespec says what a payment barcode is: which format, who presents
// it, which schemes it names and what is wrong with it. It is pure: it reads no
// clock, no network and no state but the rules it is given.
//
// Two levels of judgement are kept apart. What the wire forbids is a
// DecodeError and the code is not to be paid. What a specification or a
// scheme's profile forbids is a Finding: four of ten codes in the field have
// one, and most of them are paid every day.
//
// The unified format of this project is bound by SPEC.md in this folder.
package codespec

import (
	"fmt"
	"unicode/utf8"

	"github.com/tongma/tongma/codespec/emv"
	"github.com/tongma/tongma/codespec/link"
	"github.com/tongma/tongma/codespec/paycode"
)

// Format is the notation of a code.
type Format string

// The formats that Decode tells apart.
const (
	FormatMPM            Format = "emv-mpm"         // EMVCo merchant-presented
	FormatCPM            Format = "emv-cpm"         // EMVCo consumer-presented
	FormatJPQRCPM        Format = "jpqr-cpm"        // JPQR consumer-presented: EMVCo's envelope, fields of its own
	FormatPayCode        Format = "paycode"         // digits of a wallet
	FormatUnifiedPayCode Format = "unified-paycode" // digits of the unified format
	FormatURL            Format = "url"             // URL or app link of a wallet
	FormatRide           Format = "ride"            // transit code, checked offline at a gate
	FormatNotPayable     Format = "not-payable"     // recognised, and not a payment code
	FormatUnknown        Format = "unknown"         // nothing recognised
)

// Presentation is who shows the code to whom.
type Presentation string

// Merchant codes are scanned by the payer, consumer codes by the merchant.
const (
	Merchant Presentation = "merchant"
	Consumer Presentation = "consumer"
	None     Presentation = ""
)

// MaxRaw bounds the length in bytes of anything handed to Decode. The largest
// QR symbol holds 7,089 digits.
const MaxRaw = 8192

// Code is what a barcode says. Exactly one of MPM, CPM, PayCode and Link is
// set for a payable code of that format, except that a CPM of the unified
// format has the pay code inside it in PayCode too. A Code is to be read, not
// changed: it shares memory with the rules that made it.
type Code struct {
	Format       Format
	Presentation Presentation
	// Raw is the text after the scanner's CR and LF were cut off. It is a
	// secret when the consumer presents it: log Masked instead.
	Raw      string
	MPM      *emv.MPM
	CPM      *emv.CPM
	PayCode  *paycode.Code
	Link     *link.Link
	Matches  []Match   // which schemes the code names, best first
	Findings []Finding // what is wrong with it and does not stop it from being read
}

// Match says which rule ties the code to which scheme.
type Match struct {
	Scheme  string // scheme id
	Rule    string // stable id of the rule that matched
	Path    string // where: an ID such as "26", "prefix", "host", "61"
	Consult bool   // the rule alone does not decide: ask the scheme
	Note    string
}

// Finding is a departure from a specification or a profile that does not stop
// the code from being read.
type Finding = emv.Finding

// Schemes returns the scheme ids of Matches, each once, best first.
func (c Code) Schemes() []string {
	ids := make([]string, 0, len(c.Matches))
next:
	for i := range c.Matches {
		for _, id := range ids {
			if id == c.Matches[i].Scheme {
				continue next
			}
		}
		ids = append(ids, c.Matches[i].Scheme)
	}
	return ids
}

// Masked returns a form that is safe to show and to log: the last four
// characters behind an ellipsis, fewer if the code is very short.
func (c Code) Masked() string { return mask(c.Raw) }

func mask(s string) string {
	if len(s) < 12 {
		return "…"
	}
	cut := len(s)
	for range 4 {
		_, size := utf8.DecodeLastRuneInString(s[:cut])
		cut -= size
	}
	tail := []rune(s[cut:])
	for i, r := range tail {
		if r < ' ' || r == 0x7F || r == utf8.RuneError {
			tail[i] = '·'
		}
	}
	return "…" + string(tail)
}

// Reasons of DecodeError, besides those of the packages emv and link. The list
// is closed: Reasons returns all of it.
const (
	ReasonEmpty         = "empty"          // nothing was scanned
	ReasonTooLong       = "too-long"       // more than a symbol can hold
	ReasonUnknownFormat = "unknown-format" // no notation that we know
	ReasonNoRule        = "no-rule"        // digits that no scheme's rule covers
	ReasonCheckDigits   = "check-digits"   // unified pay code with wrong check digits
	ReasonNotHTTPS      = "not-https"      // http where https is due
	ReasonUnknownHost   = "unknown-host"   // a URL of nobody we know
	ReasonBadPath       = "bad-path"       // a known host with a path or query that is no payment code
	ReasonRideLength    = "ride-length"    // a ride code whose lengths do not add up
)

// Reasons returns every reason that a DecodeError may carry.
func Reasons() []string {
	return []string{
		ReasonEmpty, ReasonTooLong, ReasonUnknownFormat, ReasonNoRule, ReasonCheckDigits,
		ReasonNotHTTPS, ReasonUnknownHost, ReasonBadPath, ReasonRideLength,
		emv.ReasonFirstObject, emv.ReasonBadID, emv.ReasonBadLength, emv.ReasonTruncated, emv.ReasonDuplicate,
		emv.ReasonCRCMissing, emv.ReasonCRCNotLast, emv.ReasonCRCLength, emv.ReasonCRCMismatch,
		emv.ReasonNotBase64, emv.ReasonBadTag, emv.ReasonBadFormat, emv.ReasonNoApp,
		link.ReasonBadURL, link.ReasonUserinfo, link.ReasonPort, link.ReasonBadHost, link.ReasonBadEscape,
		link.ReasonUPIAction, link.ReasonUPIDuplicate, link.ReasonUPIPayee, link.ReasonUPIAmount, link.ReasonUPICurrency,
		link.ReasonNothingWrapped, link.ReasonWrappedCode,
	}
}

// DecodeError says why a code cannot be accepted, and where. Its text is safe
// to log: it holds no part of the code.
type DecodeError struct {
	Format  Format
	Reason  string // one of Reasons()
	Path    string // "62.05", "host", "" for the whole code
	Offset  int    // characters from the start (bytes of the decoded BER for a CPM), -1 unknown
	Message string
}

// Error reads like "emv: 62.05 at char 71: length 99 passes the end".
func (e *DecodeError) Error() string {
	w := emv.WireError{Notation: notation(e.Format), Reason: e.Reason, Path: e.Path, Offset: e.Offset, Message: e.Message}
	return w.Error()
}

func notation(f Format) string {
	switch f {
	case FormatMPM:
		return "emv"
	case FormatCPM, FormatJPQRCPM:
		return "cpm"
	case FormatUnknown, "":
		return "code"
	}
	return string(f)
}

// Encode writes a code as text. For every code that Decode accepted the text
// is Code.Raw again: MPM and CPM are written from their objects, a unified pay
// code from issuer and token, everything else from what was kept.
func Encode(c Code) (string, error) {
	switch {
	case c.MPM != nil:
		return c.MPM.Encode()
	case c.CPM != nil:
		return c.CPM.Encode(), nil
	case c.PayCode != nil && c.PayCode.Unified():
		p, err := paycode.MakeUnified(c.PayCode.Issuer, c.PayCode.Token)
		return p.Digits, err
	case c.PayCode != nil:
		return c.PayCode.Digits, nil
	case c.Raw != "":
		return c.Raw, nil
	}
	return "", fmt.Errorf("codespec: nothing to encode in format %q", c.Format)
}
