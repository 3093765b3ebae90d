package scripted

import (
	"strings"

	"github.com/tongma/tongma"
)

// Outcome is what the wallet is told to do. Its number stands in the code, as two
// digits; those of declines are their ISO 8583 response codes.
type Outcome uint8

const (
	None           Outcome = 0  // told nothing: Config.Default decides
	Approve        Outcome = 1  // approve at once
	Decline05      Outcome = 5  // decline: do not honour
	Decline14      Outcome = 14 // decline: the code is not known
	Decline17      Outcome = 17 // decline: the payer cancelled
	Decline51      Outcome = 51 // decline: not enough funds
	Decline54      Outcome = 54 // decline: the code has expired
	Decline57      Outcome = 57 // decline: not permitted
	Decline59      Outcome = 59 // decline: suspected fraud
	Decline61      Outcome = 61 // decline: over the payer's limit
	Decline62      Outcome = 62 // decline: restricted
	Decline65      Outcome = 65 // decline: too many payments
	Decline91      Outcome = 91 // decline: the issuer cannot decide
	Timeout        Outcome = 70 // never answer, and have no record of it
	LateApprove    Outcome = 71 // approve and debit, after the asker has stopped waiting
	AnswerTwice    Outcome = 72 // approve, and send the answer twice
	Vanish         Outcome = 73 // debit, and never answer; an inquiry finds it approved
	PendingApprove Outcome = 74 // the payer is confirming, and then approves
	PendingDecline Outcome = 75 // the payer is confirming, and then cancels
	PendingForever Outcome = 76 // the payer is confirming, and never does
	LateReverse    Outcome = 77 // approve; acknowledge a reversal only when asked the third time
	Flaky          Outcome = 78 // approve seven of ten; decline, stay silent or vanish otherwise
	ByAmount       Outcome = 79 // the last two digits of the minor units are the outcome
	Busy           Outcome = 80 // say that nothing was taken
)

var outcomeNames = map[Outcome]string{
	Approve: "approve", Decline05: "decline-05", Decline14: "decline-14", Decline17: "decline-17", Decline51: "decline-51",
	Decline54: "decline-54", Decline57: "decline-57", Decline59: "decline-59", Decline61: "decline-61", Decline62: "decline-62",
	Decline65: "decline-65", Decline91: "decline-91", Timeout: "timeout", LateApprove: "late-approve", AnswerTwice: "answer-twice",
	Vanish: "vanish", PendingApprove: "pending-approve", PendingDecline: "pending-decline", PendingForever: "pending-forever",
	LateReverse: "late-reverse", Flaky: "flaky", ByAmount: "by-amount", Busy: "busy",
}

var declines = map[Outcome]tongma.Reason{
	Decline05: tongma.DoNotHonour, Decline14: tongma.IssuerCodeInvalid, Decline17: tongma.PayerCancelled, Decline51: tongma.InsufficientFunds,
	Decline54: tongma.IssuerCodeExpired, Decline57: tongma.NotPermitted, Decline59: tongma.SuspectedFraud, Decline61: tongma.IssuerLimit,
	Decline62: tongma.AccountRestricted, Decline65: tongma.TooManyAttempts, Decline91: tongma.IssuerUnavailable,
}

// String returns the outcome's name, such as "decline-51", or "" for None.
func (o Outcome) String() string { return outcomeNames[o] }

// Outcomes returns all outcomes but None, in the order of their numbers.
func Outcomes() []Outcome {
	var all []Outcome
	for o := range Outcome(100) {
		if outcomeNames[o] != "" {
			all = append(all, o)
		}
	}
	return all
}

// ParseOutcome reads an outcome's name, in any case.
func ParseOutcome(name string) (Outcome, bool) {
	name = strings.ToLower(name)
	for o, n := range outcomeNames {
		if n == name {
			return o, true
		}
	}
	return None, false
}

// Declines returns the reason of a decline, and whether o is one.
func (o Outcome) Declines() (tongma.Reason, bool) {
	r, ok := declines[o]
	return r, ok
}

const merchantPrefix = "SANDBOX-"

// Merchant returns the number of a merchant whose credits have an outcome:
// "SANDBOX-DECLINE-51-0001".
func Merchant(o Outcome, serial string) string {
	id := merchantPrefix + strings.ToUpper(o.String())
	if serial != "" {
		id += "-" + serial
	}
	return id
}

// OutcomeOfMerchant reads what a merchant's number tells: None if nothing. The
// hyphens may be missing, since a merchant's code has room for letters and digits
// only. Of two names that fit, the longer one counts.
func OutcomeOfMerchant(id string) Outcome {
	plain := strings.ReplaceAll(id, "-", "")
	rest, ok := strings.CutPrefix(plain, strings.ReplaceAll(merchantPrefix, "-", ""))
	if !ok {
		return None
	}
	found, length := None, 0
	for _, o := range Outcomes() {
		name := strings.ReplaceAll(strings.ToUpper(o.String()), "-", "")
		if strings.HasPrefix(rest, name) && len(name) > length {
			found, length = o, len(name)
		}
	}
	return found
}
