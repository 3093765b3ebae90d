package tongma

// Outcome is what a scheme told us about the money. There are three answers,
// never two.
type Outcome uint8

const (
	Unknown  Outcome = iota // the scheme has not told us; the money may have moved
	Approved                // the payer is debited, or will be without further asking
	Declined                // the payer is not debited, and will not be
)

var outcomeNames = [...]string{"unknown", "approved", "declined"}

// String returns "unknown", "approved" or "declined".
func (o Outcome) String() string {
	if int(o) < len(outcomeNames) {
		return outcomeNames[o]
	}
	return outcomeNames[Unknown]
}

// ParseOutcome reads the text form. Anything else is Unknown and false.
func ParseOutcome(s string) (Outcome, bool) {
	for i, name := range outcomeNames {
		if name == s {
			return Outcome(i), true
		}
	}
	return Unknown, false
}

// Status is the public state of a payment. The switch knows finer ones; the
// table that maps them here is in package switching.
type Status uint8

const (
	Pending      Status = iota // not decided yet: the payer is confirming, or the outcome is being found out
	Paid                       // approved and posted
	Refused                    // declined: no money moved
	ReversedBack               // undone: no money moved in the end
)

var statusNames = [...]string{"pending", "approved", "declined", "reversed"}

// String returns "pending", "approved", "declined" or "reversed".
func (s Status) String() string {
	if int(s) < len(statusNames) {
		return statusNames[s]
	}
	return statusNames[Pending]
}

// ParseStatus reads the text form. Anything else is Pending and false.
func ParseStatus(s string) (Status, bool) {
	for i, name := range statusNames {
		if name == s {
			return Status(i), true
		}
	}
	return Pending, false
}

// Final tells whether the status will not change by itself. An approved payment
// may still be refunded or reversed on request.
func (s Status) Final() bool { return s != Pending }
