package iso8583

import (
	"strings"
	"time"

	"github.com/tongma/tongma"
)

// kind is what a message type asks for.
type kind uint8

const (
	kindUnserved  kind = iota
	kindResponse       // an answer: nobody here asked for one
	kindNetwork        // 0800: sign-on, sign-off, echo
	kindFinancial      // 0200: purchase, refund, inquiry, by DE3
	kindInquiry        // 0100: inquiry only
	kindReversal       // 0400: may be declined
	kindAdvice         // 0420: may not
)

// kindOf looks a message type up. A repeat (last digit 1) asks for the same as
// the first copy.
func kindOf(mti [4]byte) kind {
	if mti[0] == '0' && (mti[2]-'0')%2 == 1 {
		return kindResponse
	}
	switch string(mti[:]) {
	case "0800", "0801":
		return kindNetwork
	case "0200", "0201":
		return kindFinancial
	case "0100", "0101":
		return kindInquiry
	case "0400", "0401":
		return kindReversal
	case "0420", "0421":
		return kindAdvice
	}
	return kindUnserved
}

// reversalReasons maps DE39 of a reversal, why the acquirer sends it.
var reversalReasons = map[string]tongma.Reason{
	"17": tongma.PayerCancelled,
	"68": tongma.SchemeSilent,
}

// requestOf turns a message into what is asked of the switch. It sets Op, Key and
// all that the message says; From and Budget are the link's to add.
func requestOf(m *Message, k kind, d Decimals) (tongma.Request, error) {
	for _, id := range [...]int{7, 11, 32} {
		if !m.Has(id) {
			return tongma.Request{}, missing(id)
		}
	}
	tags, err := parseTagged(m.Get(48))
	if err != nil {
		return tongma.Request{}, err
	}
	r := tongma.Request{Key: keyOf(m), Merchant: merchantOf(m), Order: orderOf(m, &tags)}
	switch processing := string(m.Get(3)); {
	case k == kindReversal || k == kindAdvice:
		err = readReversal(&r, m, &tags, d)
	case len(processing) == 0:
		err = missing(3)
	case processing[0] == '3':
		err = readInquiry(&r, m, &tags)
	case k == kindInquiry:
		err = fail("request", tongma.OperationUnknown, 3, 0, "0100 serves inquiries only")
	case processing[:2] == "00":
		err = readPurchase(&r, m, &tags, d)
	case processing[:2] == "20":
		err = readRefund(&r, m, &tags, d)
	default:
		err = fail("request", tongma.OperationUnknown, 3, 0, "want 00, 20 or 3x")
	}
	if err != nil {
		return tongma.Request{}, err
	}
	return r, r.Check()
}

func readPurchase(r *tongma.Request, m *Message, tags *tagged, d Decimals) (err error) {
	r.Op = tongma.OpPay
	if r.Amount, err = amountOf(m, d); err != nil {
		return err
	}
	switch {
	case !m.Has(42):
		return missing(42)
	case tags[tagCode] == nil:
		return tagError(tongma.FieldMissing, tagCode, 0, "")
	case tags[tagPresentation] != nil && string(tags[tagPresentation]) != "C":
		return tagError(tongma.CodeWrongSide, tagPresentation, 0, "only codes that the payer shows are paid here")
	case tags[tagSchemeRef] != nil || tags[tagPayment] != nil:
		return invalid("DE48", "tags 04 and 07 are the switch's to give")
	}
	r.Code = string(tags[tagCode])
	if v := tags[tagScheme]; v != nil {
		if r.Scheme = tongma.SchemeID(v); !r.Scheme.Valid() {
			return tagError(tongma.FieldInvalid, tagScheme, 0, "not a scheme's id")
		}
	}
	return nil
}

func readRefund(r *tongma.Request, m *Message, tags *tagged, d Decimals) (err error) {
	r.Op = tongma.OpRefund
	if r.Amount, err = amountOf(m, d); err != nil {
		return err
	}
	return readOriginal(r, m, tags)
}

func readInquiry(r *tongma.Request, m *Message, tags *tagged) error {
	r.Op = tongma.OpInquire
	return readOriginal(r, m, tags)
}

func readReversal(r *tongma.Request, m *Message, tags *tagged, d Decimals) (err error) {
	r.Op, r.Reason = tongma.OpReverse, tongma.ReversedByAcquirer
	if why, ok := reversalReasons[string(m.Get(39))]; ok {
		r.Reason = why
	}
	if strings.Trim(string(m.Get(95)), "0") != "" {
		return fail("request", tongma.FieldInvalid, 95, 0, "a part is given back by refund, not by reversal")
	}
	if m.Has(4) && m.Has(49) {
		if r.Amount, err = amountOf(m, d); err != nil {
			return err
		}
	}
	if !m.Has(90) {
		return missing(90)
	}
	return readOriginal(r, m, tags)
}

// readOriginal finds the payment that the message is about: by DE90, or by the
// id that the switch gave it (DE48 tag 07), or by both.
func readOriginal(r *tongma.Request, m *Message, tags *tagged) (err error) {
	if v := tags[tagPayment]; v != nil {
		if r.Original, err = tongma.ParsePaymentID(string(v)); err != nil {
			return tagError(tongma.FieldInvalid, tagPayment, 0, "not a payment's id")
		}
		if !m.Has(90) {
			return nil
		}
	}
	if r.OfKey, err = originalKey(m); err != nil {
		return err
	}
	if r.OfKey == r.Key {
		return invalid("DE90", "the message names itself: give it a trace number of its own")
	}
	return nil
}

func amountOf(m *Message, d Decimals) (tongma.Money, error) {
	for _, id := range [...]int{4, 49} {
		if !m.Has(id) {
			return tongma.Money{}, missing(id)
		}
	}
	return d.money(m.Get(4), m.Get(49))
}

// merchantOf reads DE18, 41, 42 and 43 (25 characters of name, 13 of city, 2 of
// country).
func merchantOf(m *Message) tongma.Merchant {
	out := tongma.Merchant{ID: trimmed(m.Get(42)), MCC: string(m.Get(18)), Terminal: trimmed(m.Get(41))}
	if v := m.Get(43); v != nil {
		out.Name, out.City, out.Country = trimmed(v[:25]), trimmed(v[25:38]), trimmed(v[38:40])
	}
	return out
}

// orderOf is the merchant's order number, or else the retrieval reference.
func orderOf(m *Message, tags *tagged) string {
	if v := tags[tagOrder]; v != nil {
		return string(v)
	}
	return trimmed(m.Get(37))
}

func trimmed(v []byte) string { return strings.TrimSpace(string(v)) }

// defaultBudget is how long an acquirer is taken to wait if nobody says so.
const defaultBudget = 30 * time.Second
