package tongma

import "time"

// Operation is what is asked of the switch, or by the switch of a scheme.
type Operation uint8

const (
	OpNone      Operation = iota
	OpPay                 // acquirer → switch: pay with a payer's code
	OpTransfer            // wallet → switch: pay a merchant's code
	OpAuthorise           // switch → issuer's scheme: debit the payer
	OpAccept              // switch → acquirer's scheme: take the credit
	OpInquire             // either way: what became of it?
	OpReverse             // either way: undo it, whatever became of it
	OpRefund              // either way: give back all or part of it
	OpConsult             // switch → scheme: is this code yours?
	OpResolve             // wallet → switch: whose code is this?
	OpQuote               // switch → dealer: for how much would you exchange?
)

var operationNames = [...]string{"", "pay", "transfer", "authorise", "accept", "inquire", "reverse", "refund", "consult", "resolve", "quote"}

// String returns the operation as it stands in a NATS subject.
func (o Operation) String() string {
	if int(o) < len(operationNames) {
		return operationNames[o]
	}
	return ""
}

// ParseOperation reads the text form.
func ParseOperation(s string) (Operation, bool) {
	for i, name := range operationNames {
		if name == s && i > 0 {
			return Operation(i), true
		}
	}
	return OpNone, false
}

// Merchant is who is paid, as the acquirer or the code tells it. All of it is
// for showing and for the issuer's rules; none of it decides where money goes.
type Merchant struct {
	ID       string // acquirer's merchant number, at most 35 characters
	Name     string // at most 64 characters
	City     string // at most 32 characters
	Country  string // ISO 3166-1 alpha-2
	MCC      string // ISO 18245, four digits
	Terminal string // till, at most 16 characters
}

// Exchange is what a payment in two currencies has besides the others: a dealer takes
// Source on the payer's side and gives Target on the merchant's; of a refund, the other
// way round. The zero Exchange is that of a payment in one currency.
type Exchange struct {
	Dealer ParticipantID
	Quote  string // the dealer's own number of its quote, at most 64 characters; used once
	Rate   string // by which the amounts follow from each other, and which one is fixed: "HKD/THB 4.1870 target"
	Source Money  // what the payer pays, or gets back
	Target Money  // what the merchant gets, or gives back
	Expiry int64  // until when the quote may be used, Unix milliseconds; zero for one that was used
}

// MaxRate is the longest text of a rate, in characters.
const MaxRate = 48

// Request is the one canonical request, in every direction: what an acquirer or
// a wallet asks of the switch, and what the switch asks of a scheme. Fields that
// an operation does not use stay zero.
type Request struct {
	Op       Operation     // from the subject or the path, never from the body
	From     ParticipantID // from the subject that the server's permissions allowed, never from the body
	Key      string        // idempotency key, 1 to 64 printable ASCII characters
	Payment  PaymentID     // given by the switch
	Original PaymentID     // the payment to inquire, reverse or refund
	OfKey    string        // the same, by the asker's own key, when it never learnt the id
	Scheme   SchemeID
	Acquirer ParticipantID
	Issuer   ParticipantID
	Code     string // the scanned code: a secret when it is a payer's
	Amount   Money
	Merchant Merchant
	Order    string        // the merchant's own order number, at most 64 characters
	PayIn    Currency      // what the payer pays in, where that is left to the asker; of a quote, what it is asked for
	Quote    string        // the quote that the payer has seen, at most 64 characters
	Exchange Exchange      // told to a scheme: the amounts on both sides, of which Amount is its own
	Reason   Reason        // why it is reversed
	Budget   time.Duration // how long the asker will wait; zero: the default
	Attempt  int           // counts repeats of one question to a scheme, from 1
}

// Answer is the one canonical answer. The zero Answer is the careful one: not
// known, and pending.
type Answer struct {
	Payment   PaymentID
	Original  PaymentID
	Outcome   Outcome
	Status    Status
	Reason    Reason
	Scheme    SchemeID
	Issuer    ParticipantID
	Acquirer  ParticipantID
	Amount    Money
	Exchange  Exchange      // both amounts, if the payment is in two currencies
	SchemeRef string        // the scheme's own number of it, at most 64 characters
	Approval  string        // six characters, as ISO 8583 DE38
	At        int64         // when it was decided: Unix milliseconds, from the journal entry
	Window    WindowID      // clearing window, once posted
	Entry     uint64        // journal entry that this answer was built from; zero if none
	After     time.Duration // when asking again makes sense; zero if it does not
	Detail    string        // one clause for people, safe to log
	Replayed  bool          // the answer was given before; travels in a header, since the bytes stay the same
}

// Bounds on what the fields of a Request may carry.
const (
	MaxKey     = 64
	MaxCode    = 1024
	MaxMessage = 16 << 10 // a request or answer on the wire, in bytes
)

// Check reports the first field of r that is out of bounds, whatever the
// operation. It says nothing about fields that an operation needs.
func (r *Request) Check() error {
	fields := [...]struct {
		path, value string
		max         int
	}{
		{"/key", r.Key, MaxKey}, {"/of_key", r.OfKey, MaxKey}, {"/code", r.Code, MaxCode}, {"/order", r.Order, 64}, {"/quote", r.Quote, 64},
		{"/merchant/id", r.Merchant.ID, 35}, {"/merchant/name", r.Merchant.Name, 128}, {"/merchant/city", r.Merchant.City, 64},
		{"/merchant/country", r.Merchant.Country, 2}, {"/merchant/mcc", r.Merchant.MCC, 4}, {"/merchant/terminal", r.Merchant.Terminal, 16},
	}
	for _, f := range fields {
		if len(f.value) > f.max {
			return &Error{Op: "request", Reason: FieldInvalid, Field: f.path, Detail: "too long"}
		}
	}
	if !printable(r.Key) || !printable(r.OfKey) {
		return &Error{Op: "request", Reason: FieldInvalid, Field: "/key", Detail: "printable ASCII only"}
	}
	if !printable(r.Quote) {
		return &Error{Op: "request", Reason: FieldInvalid, Field: "/quote", Detail: "printable ASCII only"}
	}
	if r.Budget < 0 || r.Budget > 10*time.Minute {
		return &Error{Op: "request", Reason: FieldInvalid, Field: "/budget_ms", Detail: "0 to 600000"}
	}
	return nil
}

func printable(s string) bool {
	for i := range len(s) {
		if s[i] < 0x21 || s[i] > 0x7e {
			return false
		}
	}
	return true
}
