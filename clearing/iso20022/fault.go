package iso20022

import "github.com/tongma/tongma"

// Fault names the rule that a message breaks. It is the cause of every error of
// this package, beside the reason and the path of the element: errors.Is(err,
// FaultBalance) tells a statement that does not add up from one that cannot be
// read.
type Fault string

// The rules, those of the form first.
const (
	FaultTooLarge   Fault = "more bytes than allowed"
	FaultTooDeep    Fault = "elements nested deeper than allowed"
	FaultTooMany    Fault = "more of these than allowed"
	FaultMalformed  Fault = "not well-formed XML in UTF-8"
	FaultDoctype    Fault = "document types, entities and processing instructions are refused"
	FaultNamespace  Fault = "another namespace than expected"
	FaultDefinition Fault = "header and document name different messages"
	FaultMissing    Fault = "required element is missing"
	FaultRepeated   Fault = "element stands more than once"
	FaultText       Fault = "text is empty, too long or not printable"
	FaultCode       Fault = "code is not in its list"

	FaultID            Fault = "identifier is not 1 to 35 characters of the allowed set"
	FaultUETR          Fault = "UETR is not a UUID of version 4"
	FaultParty         Fault = "party is not identified"
	FaultAccount       Fault = "account is not identified"
	FaultCurrency      Fault = "currency is not in ISO 4217"
	FaultAmount        Fault = "amount is out of range"
	FaultDecimals      Fault = "amount has more decimals than its currency"
	FaultDate          Fault = "date does not exist"
	FaultDuplicate     Fault = "identifier stands twice in one message"
	FaultMixedCurrency Fault = "one message is for one currency"
	FaultMixedSheet    Fault = "one message is for one net sheet"
	FaultDirection     Fault = "debits and credits do not share this message"
	FaultMandate       Fault = "participant has given no mandate"
	FaultOpen          Fault = "window is still open"
	FaultNotZero       Fault = "legs do not sum to zero"
	FaultNothing       Fault = "nothing to settle"
	FaultBalance       Fault = "opening balance and entries do not give the closing balance"
	FaultPages         Fault = "statement of several pages"
	FaultCount         Fault = "count or sum differs from what is there"
)

// Error returns the rule as a clause.
func (f Fault) Error() string { return string(f) }

var faultReasons = map[Fault]tongma.Reason{
	FaultTooLarge: tongma.MessageTooLong, FaultTooDeep: tongma.MessageTooLong, FaultTooMany: tongma.MessageTooLong,
	FaultMalformed: tongma.MessageMalformed, FaultDoctype: tongma.MessageMalformed, FaultMissing: tongma.FieldMissing,
	FaultCurrency: tongma.CurrencyUnknown, FaultAmount: tongma.AmountInvalid, FaultDecimals: tongma.AmountDecimals,
	FaultMixedCurrency: tongma.CurrencyMismatch, FaultMixedSheet: tongma.SheetMismatch, FaultNotZero: tongma.SheetMismatch,
	FaultOpen: tongma.WindowNotClosed, FaultMandate: tongma.NotPermittedHere, FaultNothing: tongma.StateConflict,
}

// faults keeps the first fault that is found, so that checks can be written one
// behind the other.
type faults struct {
	op  string
	err error
}

// fail records the rule f broken at path, which is an element path. Values never
// go into the text: they may be accounts.
func (c *faults) fail(f Fault, path string, offset int, detail string) {
	if c.err != nil {
		return
	}
	reason, ok := faultReasons[f]
	if !ok {
		reason = tongma.FieldInvalid
	}
	c.err = &tongma.Error{Op: c.op, Reason: reason, Field: path, Offset: offset, Detail: detail, Err: f}
}
