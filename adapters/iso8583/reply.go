package iso8583

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tongma/tongma"
)

// echoed are the fields that a reply takes over from the request, unchanged.
var echoed = [...]int{2, 3, 4, 7, 11, 12, 13, 32, 33, 37, 41, 42, 49, 70, 90}

// approvedCode is DE39 of what has been done, and of an advice taken.
const approvedCode = "00"

// replyTo makes m the empty reply to a request: the response type, and what is
// echoed. The values are those of the request, not copies.
func (m *Message) replyTo(request *Message) {
	m.Reset("")
	m.mti = responseType(request.mti)
	for _, id := range echoed {
		if request.Has(id) {
			m.Set(id, request.Get(id))
		}
	}
}

// responseType is the message type of the reply to a request, which is the same
// for a repeat.
func responseType(mti [4]byte) [4]byte {
	mti[2]++
	if mti[3] == '1' || mti[3] == '3' { // the bit of a repeat
		mti[3]--
	}
	return mti
}

// refuse makes m the reply to a request that was not carried out, or of which it
// is not known. where names a field, or is empty.
func (m *Message) refuse(request *Message, reason tongma.Reason, where string) {
	m.replyTo(request)
	m.SetText(39, reason.Info().DE39)
	m.explain(reason, where)
}

// explain puts the reason's own code into DE44, since many reasons share one
// DE39: "TM-8003 DE3".
func (m *Message) explain(reason tongma.Reason, where string) {
	if reason == tongma.NoReason {
		return
	}
	text := reason.Code()
	if where != "" && len(where)+len(text) < 25 {
		text += " " + where
	}
	m.SetText(44, text)
}

// answer makes m the reply that carries the switch's answer. It is a pure
// function of what it is given. settled is MMDD, or empty if not known.
func (m *Message) answer(request *Message, k kind, a *tongma.Answer, settled string) {
	m.replyTo(request)
	m.SetText(39, responseCode(k, a))
	m.explain(a.Reason, "")
	if settled != "" {
		m.SetText(15, settled)
	}
	if len(a.Approval) == 6 && classAN.stray([]byte(a.Approval)) < 0 {
		m.SetText(38, a.Approval)
	}
	if !m.Has(37) && a.At > 0 && m.Has(11) {
		m.SetText(37, retrievalReference(time.UnixMilli(a.At), m.Text(11)))
	}
	var tags []byte
	tags = appendTag(tags, tagScheme, string(a.Scheme))
	tags = appendTag(tags, tagSchemeRef, a.SchemeRef)
	tags = appendTag(tags, tagPayment, a.Payment.String())
	if len(tags) > 0 {
		m.Set(48, tags)
	}
}

// retrievalReference is DE37 by convention: last digit of the year, day of the
// year, hour (UTC), trace number.
func retrievalReference(at time.Time, trace string) string {
	at = at.UTC()
	return fmt.Sprintf("%d%03d%02d%s", at.Year()%10, at.YearDay(), at.Hour(), trace)
}

// responseCode is DE39 of an answer. A reversal is approved when nothing is left
// of the payment; an advice, when the switch has it stored.
func responseCode(k kind, a *tongma.Answer) string {
	if k == kindReversal || k == kindAdvice {
		if a.Status == tongma.ReversedBack || a.Reason == tongma.ReversedBeforeOriginal ||
			(a.Status == tongma.Refused && nothingToUndo(a.Reason)) ||
			(k == kindAdvice && a.Status == tongma.Pending && a.Reason == tongma.ReversalPending) {
			return approvedCode
		}
		if a.Status == tongma.Paid && a.Reason == tongma.NoReason {
			return tongma.StateConflict.Info().DE39 // still paid, so not reversed, whatever the cause
		}
	} else if a.Status == tongma.Paid {
		return approvedCode
	}
	if code := a.Reason.Info().DE39; code != approvedCode {
		return code
	}
	switch a.Status {
	case tongma.Pending:
		return tongma.PayerConfirming.Info().DE39
	case tongma.ReversedBack:
		return tongma.ReversedBySwitch.Info().DE39
	}
	return tongma.DoNotHonour.Info().DE39
}

// nothingToUndo tells whether a refusal speaks of the payment, which then ended
// without money moving, so that its reversal has nothing left to do. Reasons from
// 4000 on (identity and repeats, frames, the switch itself) speak of the reversal.
func nothingToUndo(r tongma.Reason) bool { return r != tongma.NoReason && r < tongma.NotAuthenticated }

// reasonFor is the reason of an error of the switch. A deadline that passed
// without a decision says nothing about the money.
func reasonFor(err error) tongma.Reason {
	var e *tongma.Error
	if !errors.As(err, &e) && errors.Is(err, context.DeadlineExceeded) {
		return tongma.SchemeSilent
	}
	return tongma.ReasonOf(err)
}

// whereOf is the field that an error names, or "".
func whereOf(err error) string {
	var e *tongma.Error
	if errors.As(err, &e) {
		return e.Field
	}
	return ""
}
